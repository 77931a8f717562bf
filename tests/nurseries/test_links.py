"""Links between siblings: who restarts and who stops with a child that failed."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from alysd.nurseries import (
    Address,
    ChildSpec,
    FixedDelay,
    Intensity,
    Never,
    OneForOne,
    SpecError,
    State,
    supervisor,
    task,
)
from alysd.testing.echo import CrashTold, Echo, Note, Say, Watcher, echo, running


def chain(restart: Any = None, **options: Any) -> tuple[list[Address[Echo]], list[ChildSpec]]:
    """Four actors: `b` is linked to `a`, `c` to `b`, and `d` to none."""
    pairs: list[tuple[Address[Echo], ChildSpec]] = []
    for name, links in (("a", ()), ("b", ("a",)), ("c", ("b",)), ("d", ())):
        pairs.append(echo(name, restart=restart or FixedDelay(1.0), linked_to=links, **options))
    return [address for address, _ in pairs], [child for _, child in pairs]


async def test_a_failed_child_restarts_with_those_linked_to_it(autojump_clock: MockClock) -> None:
    addresses, children = chain()
    watcher = Watcher()
    async with running(children, observer=watcher, intensity=Intensity(1)) as system:
        addresses[0].tell(CrashTold())
        await trio.sleep(0.5)
        addresses[2].tell(Note("kept"))
        assert [child.state for child in system.snapshot().children] == [
            State.BACKOFF,
            State.STOPPED,
            State.STOPPED,
            State.RUNNING,
        ]
        assert watcher.order(State.STOPPING) == ["c", "b"], "each stops before the one that it is linked to"
        await trio.sleep(1)
        assert [child.restarts for child in system.snapshot().children] == [1, 1, 1, 0]
        assert watcher.order(State.RUNNING)[-3:] == ["a", "b", "c"]
        assert addresses[2].handled == 1
        assert system.failures.recent[0].outcome.value == "restarted with its group"


async def test_a_link_has_one_direction(autojump_clock: MockClock) -> None:
    addresses, children = chain()
    async with running(children) as system:
        addresses[1].tell(CrashTold())
        addresses[3].tell(CrashTold())
        await trio.sleep(5)
        assert [child.restarts for child in system.snapshot().children] == [0, 1, 1, 1]


async def test_those_linked_to_a_child_that_failed_for_good_stop_for_good(autojump_clock: MockClock) -> None:
    notes: list[str] = []
    addresses, children = chain(Never(), notes=notes)
    async with running(children) as system:
        addresses[0].tell(CrashTold())
        addresses[2].tell(Note("handled first"))
        await trio.sleep(1)
        assert [child.state for child in system.snapshot().children] == [
            State.FAILED,
            State.STOPPED,
            State.STOPPED,
            State.RUNNING,
        ]
        assert notes == ["handled first"]
        for name in ("a", "b", "c"):
            await system.restart(name)
        assert await addresses[2].ask(Say("back")) == "back"


async def test_what_an_operator_does_to_a_child_takes_no_other_along(autojump_clock: MockClock) -> None:
    _, children = chain()
    async with running(children) as system:
        await system.restart("a")
        await trio.sleep(1)
        await system.stop_child("a")
        await trio.sleep(1)
        assert [child.restarts for child in system.snapshot().children] == [1, 0, 0, 0]
        assert system.snapshot().children[1].state is State.RUNNING


async def test_children_of_run_time_can_be_linked_too(autojump_clock: MockClock) -> None:
    address, first = echo("a", restart=Never())
    async with running([first, supervisor("Other", OneForOne(), [])]) as system:
        late = await system.start_child("Root", task("late", trio.sleep_forever, linked_to=[address]))
        with pytest.raises(SpecError, match="x is linked to a, which is no earlier child of the same supervisor"):
            await system.start_child("Other", task("x", trio.sleep_forever, linked_to=["a"]))
        address.tell(CrashTold())
        await trio.sleep(1)
        assert late.name not in system.registry


async def test_a_link_is_a_dependency_by_name_or_address(autojump_clock: MockClock) -> None:
    address, first = echo("a")
    second = echo("b", linked_to=[address], depends_on=["a"])[1]
    third = echo("c", depends_on=[address])[1]
    assert (second.depends_on, second.linked_to, third.depends_on) == (("a",), ("a",), ("a",))
    async with running([first, second, third]) as system:
        assert system.registry.dependents("a") == ("b", "c")


@pytest.mark.parametrize("links", [["b"], ["c"], ["nobody"], ["inner"]])
async def test_a_link_names_an_earlier_sibling(links: list[str]) -> None:
    inner = supervisor("Sub", OneForOne(), [echo("inner")[1]])
    with pytest.raises(SpecError, match="b (is linked to|depends on)"):
        async with running([inner, echo("b", linked_to=links)[1], echo("c")[1]]):
            pass
