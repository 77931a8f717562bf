"""A child at run time: the table of its states, its figures, and its observer."""

from itertools import product

import pytest
import trio
from trio.testing import MockClock

from alysd.nurseries import (
    TRANSITIONS,
    Change,
    FixedDelay,
    IllegalTransition,
    OneForOne,
    State,
    open_system,
    supervisor,
    task,
)
from alysd.testing.echo import CrashTold, Say, Watcher, echo, running, unstarted_child


@pytest.mark.parametrize(("old", "new"), list(product(State, State)))
async def test_a_child_goes_only_where_the_table_has_a_way(old: State, new: State) -> None:
    child = unstarted_child()
    child.state = old
    if new in TRANSITIONS[old]:
        child.move(new)
        assert child.state is new
    else:
        with pytest.raises(IllegalTransition, match=f"t cannot go from {old.value} to {new.value}"):
            child.move(new)
        assert child.state is old


def test_every_state_can_be_reached_and_every_life_can_end() -> None:
    reached = {State.UNINITIALIZED}
    while True:
        further = reached.union(*(TRANSITIONS[state] for state in reached))
        if further == reached:
            break
        reached = further
    assert reached == set(State)

    ends = {State.STOPPED}
    while True:
        more = ends | {state for state in State if TRANSITIONS[state] & ends}
        if more == ends:
            break
        ends = more
    assert ends == set(State)


async def test_an_observer_that_fails_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def broken(change: Change) -> None:
        raise RuntimeError(f"cannot draw {change.new.value}")

    address, child = echo()
    async with open_system(supervisor("Root", OneForOne(), [child]), observer=broken):
        assert await address.ask(Say("fine")) == "fine"
    assert "RuntimeError('cannot draw Starting')" in caplog.text


async def test_a_child_tells_its_observer_every_change_with_time_and_error(autojump_clock: MockClock) -> None:
    watcher = Watcher()
    address, child = echo(restart=FixedDelay(2.0))
    async with running([child], observer=watcher):
        await trio.sleep(1)
        address.tell(CrashTold(KeyError("why")))
        await address.ask(Say("back"))
    changes = [change for change in watcher.changes if change.name == "echo"]
    assert [(change.old, change.new, change.at) for change in changes] == [
        (State.UNINITIALIZED, State.STARTING, 0),
        (State.STARTING, State.RUNNING, 0),
        (State.RUNNING, State.CRASHED, 1),
        (State.CRASHED, State.BACKOFF, 1),
        (State.BACKOFF, State.RESTARTING, 3),
        (State.RESTARTING, State.RUNNING, 3),
        (State.RUNNING, State.STOPPING, 3),
        (State.STOPPING, State.STOPPED, 3),
    ]
    assert [repr(change.error) for change in changes if change.error] == ["KeyError('why')"]


async def test_uptime_is_that_of_the_instance_and_zero_without_one(autojump_clock: MockClock) -> None:
    address, child = echo(restart=FixedDelay(2.0))
    async with running([child]) as system:

        def uptime() -> float:
            return system.snapshot().children[0].uptime

        await trio.sleep(10)
        assert uptime() == 10
        address.tell(CrashTold())
        await trio.sleep(1)
        assert uptime() == 0
        await trio.sleep(5)
        assert uptime() == 4


async def test_a_failure_that_wears_nested_groups_is_recorded_as_what_it_is(autojump_clock: MockClock) -> None:
    async def work() -> None:
        async with trio.open_nursery() as outer, trio.open_nursery() as inner:
            outer.start_soon(trio.sleep_forever)
            inner.start_soon(trio.sleep_forever)
            raise OSError("deep inside")

    async with running([task("work", work)]) as system:
        await trio.sleep(0.05)
        assert [record.error for record in system.failures.recent] == ["OSError: deep inside"]
