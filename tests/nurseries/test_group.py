"""Groups: messages are distributed among the members that are up."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from alysd.nurseries import ActorDown, Balance, CircuitBreaker, Group, OneForOne, pool, supervisor
from alysd.testing.echo import CrashTold, EchoActor, Note, Say, echo, pause, running


async def test_in_turn() -> None:
    notes: dict[str, list[str]] = {name: [] for name in "abc"}
    addresses, children = zip(*(echo(name, notes[name]) for name in notes), strict=True)
    group = Group("all", addresses, Balance.ROUND_ROBIN)
    async with running(children):
        for number in range(6):
            await group.send(Note(str(number)))
        assert await group.ask(Say("hello")) == "hello"
    assert notes == {"a": ["0", "3"], "b": ["1", "4"], "c": ["2", "5"]}


async def test_the_least_loaded_member_gets_the_work(autojump_clock: MockClock) -> None:
    group, children = pool("worker", 3, lambda: EchoActor([]))
    async with running([supervisor("Pool", OneForOne(), children)]), trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(group.ask, pause(2))
            await wait_all_tasks_blocked()
        began = trio.current_time()
        for _ in range(5):
            await group.ask(Say("quick"))
        assert trio.current_time() == began
        assert sorted(member.handled for member in group.members) == [0, 0, 5]


async def test_members_that_are_down_are_passed_over_until_none_is_left(autojump_clock: MockClock) -> None:
    a, a_child = echo("a", restart=CircuitBreaker(failures=1, open_seconds=60))
    b, b_child = echo("b")
    group = Group("both", [a, b])
    async with running([a_child, b_child]) as system:
        a.tell(CrashTold())
        await wait_all_tasks_blocked()
        for _ in range(4):
            group.tell(Note("x"))
        assert await group.ask(Say("who?")) == "who?"
        assert (a.handled, b.handled) == (0, 5)
        await system.stop_child("b")
        with pytest.raises(ActorDown, match="both is down: every member is down"):
            group.tell(Note("x"))
        await trio.sleep(61)
        assert await group.ask(Say("a is back")) == "a is back"


def test_a_group_of_nobody_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="group empty has no members"):
        Group("empty", [])
