"""Snapshots, and the search for children by their properties."""

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from alysd.nurseries import Health, OneForOne, Priority, State, UnknownChild, supervisor, task
from alysd.testing.echo import EchoActor, Note, Say, echo, running


async def test_children_are_found_by_name_pattern_kind_type_tag_priority_and_state() -> None:
    a, a_child = echo("peg-in", tags=["peg", "money"], priority=Priority.HIGH)
    _, b_child = echo("peg-out", tags=["peg"])
    work = task("work", trio.sleep_forever, priority=Priority.BACKGROUND)
    async with running([supervisor("Bridge", OneForOne(), [a_child, b_child]), work]) as system:
        registry = system.registry

        def names(pattern: str = "*", **what: object) -> list[str]:
            return [node.name for node in registry.find(pattern, **what)]  # pyright: ignore[reportArgumentType]

        assert registry.address("peg-in") is a
        assert await registry.address("peg-in").ask(Say("hello")) == "hello"
        assert len(registry) == 5
        assert "work" in registry
        assert names("peg-*") == ["peg-in", "peg-out"]
        assert names(kind="supervisor") == ["Root", "Bridge"]
        assert names(actor_type=EchoActor) == ["peg-in", "peg-out"]
        assert names(tag="money") == ["peg-in"]
        assert names(priority=Priority.BACKGROUND) == ["work"]
        assert names("peg-*", health=Health.HEALTHY) == []
        system.suspend("peg-out")
        await wait_all_tasks_blocked()
        assert names(state=State.SUSPENDED) == ["peg-out"]
        for nobody in ("nobody", "work"):
            with pytest.raises(UnknownChild):
                registry.address(nobody)


async def test_dependencies_are_followed_both_ways() -> None:
    children = [
        echo("store")[1],
        echo("chain", depends_on=["store"])[1],
        echo("network", depends_on=["chain"])[1],
        echo("sync", depends_on=["network", "chain"])[1],
    ]
    async with running(children) as system:
        assert system.registry.dependencies("sync") == ("network", "chain", "store")
        assert system.registry.dependents("store") == ("chain", "network", "sync")
        assert system.registry.dependents("sync") == ()
        with pytest.raises(UnknownChild):
            system.registry.dependencies("nobody")


async def test_what_a_removed_child_needed_is_no_longer_asked_for() -> None:
    _, chain = echo("chain")
    _, late = echo("late", depends_on=["chain"])
    async with running([chain]) as system:
        system.add("Root", late)
        await system.remove("chain")
        assert system.registry.dependencies("late") == ("chain",)
        assert "chain" not in system.registry


async def test_a_snapshot_stays_as_it_was_taken() -> None:
    address, child = echo()
    async with running([child]) as system:
        before = system.snapshot()
        for _ in range(3):
            address.tell(Note("x"))
        await address.ask(Say("done"))
        after = system.snapshot()
    assert before.state is after.state is State.RUNNING
    mailboxes = [snapshot.children[0].mailbox for snapshot in (before, after)]
    assert [mailbox.handled for mailbox in mailboxes if mailbox] == [0, 4]
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        before.restarts = 1  # pyright: ignore[reportAttributeAccessIssue]


async def test_walking_goes_down_the_tree_in_start_order() -> None:
    inner = supervisor("Inner", OneForOne(), [echo("a")[1], echo("b")[1]])
    async with running([inner, task("last", trio.sleep_forever)]) as system:
        assert [node.name for node in system.snapshot().walk()] == ["Root", "Inner", "a", "b", "last"]
