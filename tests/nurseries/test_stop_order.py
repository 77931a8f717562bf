"""The order of stops: side by side unless one child depends on another, and the time that this may take."""

import pytest
import trio
from trio.testing import MockClock

from alysd.nurseries import ChildSpec, OneForAll, OneForOne, RestForOne, State, Strategy, supervisor, task
from alysd.testing.echo import Watcher, running


def slow(name: str, *needs: str, seconds: float = 1.0) -> ChildSpec:
    """A task that takes `seconds` to stop."""

    async def run() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(seconds)

    return task(name, run, depends_on=needs)


async def test_a_hundred_children_that_take_a_second_each_stop_in_a_second(autojump_clock: MockClock) -> None:
    async with running([slow(f"child {number}") for number in range(100)]):
        pass
    assert trio.current_time() == pytest.approx(1)


@pytest.mark.parametrize("strategy", [OneForAll(), RestForOne()])
async def test_children_that_restart_together_stop_in_reverse_order(
    autojump_clock: MockClock, strategy: Strategy
) -> None:
    watcher = Watcher()
    async with running([slow(name) for name in "abc"], strategy=strategy, observer=watcher):
        pass
    assert watcher.order(State.STOPPED) == ["c", "b", "a", "Root"]
    assert trio.current_time() == pytest.approx(3)


async def test_a_child_stops_after_all_that_depend_on_it_and_with_all_others(autojump_clock: MockClock) -> None:
    """A store that stopped before its writers would lose their last writes."""
    watcher = Watcher()
    children = [
        slow("store"),
        slow("writer", "store", seconds=2),
        slow("reader", "store"),
        slow("client", "reader", "writer"),
        slow("other", seconds=1.5),
    ]
    async with running(children, observer=watcher):
        pass
    ended = {change.name: change.at for change in watcher.changes if change.new is State.STOPPED}
    assert ended == {"client": 1, "other": 1.5, "reader": 2, "writer": 3, "store": 4, "Root": 4}


async def test_a_dependency_inside_two_subtrees_orders_the_subtrees(autojump_clock: MockClock) -> None:
    watcher = Watcher()
    tree = [
        supervisor("Stores", OneForOne(), [slow("store")]),
        supervisor("Others", OneForOne(), [slow("other")]),
        supervisor("Users", OneForOne(), [slow("user", "store")]),
    ]
    async with running(tree, observer=watcher):
        pass
    ended = {change.name: change.at for change in watcher.changes if change.new is State.STOPPED}
    assert (ended["Users"], ended["Others"], ended["Stores"]) == (1, 1, 2)


async def test_a_child_added_at_run_time_has_its_whole_time_to_stop(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The budget of the supervisor counts the children that it has when it stops."""
    watcher = Watcher()
    inner = supervisor("Inner", RestForOne(), [])
    async with running([inner], observer=watcher) as system:
        for name in ("a", "b", "c"):
            system.add("Inner", slow(name, seconds=4))
        await trio.sleep(1)
    assert watcher.order(State.STOPPED) == ["c", "b", "a", "Inner", "Root"]
    assert trio.current_time() == pytest.approx(13)
    assert "did not stop within" not in caplog.text


async def test_the_budget_is_that_of_the_longest_path(autojump_clock: MockClock) -> None:
    def stuck(name: str, seconds: float, *needs: str) -> ChildSpec:
        return task(name, lambda: forever(), stop_seconds=seconds, depends_on=needs)

    async def forever() -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(1000)

    async with running([]) as system:
        children = [stuck("a", 3), stuck("b", 4, "a"), stuck("c", 5, "a"), stuck("d", 6)]
        tree = supervisor("Sub", OneForOne(), children, stop_seconds=None)
        system.add("Root", tree)
        sub = system._root.children["Sub"]  # pyright: ignore[reportPrivateUsage]
        assert sub.stop_budget() == 5 + 3 + 1
        await trio.sleep(990)
