"""The functions of many tasks in one thread: together, in order, and each with its own result, error and end.

The first function holds the thread until the test lets it go, so that the others arrive while it is busy.
"""

import threading
from collections.abc import Callable
from functools import partial

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from alysd.nurseries.shared_thread import SharedThread


@attrs.define
class Runs:
    """Starts functions in tasks, and notes their order, their results, and the tasks that began their turns."""

    shared: SharedThread = attrs.Factory(lambda: SharedThread(most=3))
    held: threading.Event = attrs.Factory(threading.Event)
    begun: trio.Event = attrs.Factory(trio.Event)
    executed: list[str] = attrs.Factory(list[str])
    turns: list[str] = attrs.Factory(list[str])
    results: dict[str, str] = attrs.Factory(dict[str, str])
    scopes: dict[str, trio.CancelScope] = attrs.Factory(dict[str, trio.CancelScope])

    def hold(self) -> str:
        trio.from_thread.run_sync(self.begun.set)
        assert self.held.wait(60)
        return self.note("first")

    def note(self, name: str) -> str:
        self.executed.append(name)
        self.turns.append(trio.from_thread.run_sync(trio.lowlevel.current_task).name)
        return name

    def fail(self) -> str:
        raise ValueError("wrong")

    async def run(self, name: str, function: Callable[[], str], cancels: str | None = None) -> None:
        with trio.CancelScope() as self.scopes[name]:
            try:
                self.results[name] = await self.shared.run(function)
            except ValueError as error:
                self.results[name] = repr(error)
            if cancels is not None:
                self.scopes[cancels].cancel()

    async def start(self, nursery: trio.Nursery, *names: str, cancels: str | None = None) -> None:
        """Let the first function hold the thread, and start a function for each name, in this order.

        The first task cancels the task `cancels` in the moment in which it has its result.
        """
        nursery.start_soon(self.run, "first", self.hold, cancels, name="first")
        await self.begun.wait()
        for name in names:
            function = self.fail if name == "fails" else partial(self.note, name)
            nursery.start_soon(self.run, name, function, name=name)
            await wait_all_tasks_blocked()


async def test_a_function_alone_is_executed_in_another_thread() -> None:
    shared = SharedThread(most=3)
    assert await shared.run(threading.get_ident) != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        await shared.run(lambda: 1 // 0)
    assert await shared.run(lambda: "next") == "next"


async def test_functions_that_arrive_meanwhile_are_executed_together_and_in_order() -> None:
    runs = Runs()
    async with trio.open_nursery() as nursery:
        await runs.start(nursery, "a", "b", "fails", "d")
        assert not runs.executed
        runs.held.set()
    assert runs.executed == ["first", "a", "b", "d"]
    assert runs.results == {"first": "first", "a": "a", "b": "b", "fails": "ValueError('wrong')", "d": "d"}
    assert runs.turns == ["first", "a", "a", "d"], "the first one alone, then three, then the last one"


async def test_a_task_that_is_cancelled_while_it_waits_leaves_its_function_out() -> None:
    runs = Runs()
    async with trio.open_nursery() as nursery:
        await runs.start(nursery, "a", "b", "c")
        runs.scopes["a"].cancel()
        runs.scopes["c"].cancel()
        await wait_all_tasks_blocked()
        runs.held.set()
    assert runs.executed == ["first", "b"]
    assert runs.results == {"first": "first", "b": "b"}


async def test_a_task_that_is_cancelled_before_it_begins_is_not_counted() -> None:
    runs = Runs()
    with trio.CancelScope() as scope:
        scope.cancel()
        await runs.shared.run(partial(runs.note, "never"))
    assert await runs.shared.run(partial(runs.note, "next")) == "next"
    assert runs.executed == ["next"]


async def test_the_turn_passes_on_when_the_task_that_shall_begin_it_is_cancelled() -> None:
    runs = Runs()
    async with trio.open_nursery() as nursery:
        await runs.start(nursery, "a", "b", "c", cancels="a")
        runs.held.set()
    assert runs.executed == ["first", "b", "c"]
    assert runs.turns == ["first", "b", "b"]
    assert runs.results == {"first": "first", "b": "b", "c": "c"}


@pytest.mark.parametrize("ticks_between", [0, 1, 2])
async def test_a_disconnect_of_the_tasks_of_a_turn_in_the_moment_of_its_beginning_stops_nobody(
    ticks_between: int,
) -> None:
    """The order of the tasks in a tick is random, so this is repeated."""
    for _ in range(32):
        runs = Runs()

        async def first(runs: Runs) -> None:
            await runs.shared.run(runs.hold)
            runs.scopes["a"].cancel()  # it has just been woken to begin the next turn
            for _ in range(ticks_between):
                await trio.lowlevel.checkpoint()
            runs.scopes["b"].cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(first, runs)
            await runs.begun.wait()
            for name in ("a", "b"):
                nursery.start_soon(runs.run, name, partial(runs.note, name))
                await wait_all_tasks_blocked()
            runs.held.set()
        with trio.fail_after(10):
            assert await runs.shared.run(partial(runs.note, "next")) == "next"
        assert runs.executed == ["first", "next"]
        assert not runs.results


async def test_a_function_of_a_turn_is_left_out_if_its_task_is_cancelled_before_it_begins() -> None:
    runs = Runs()
    held, begun = threading.Event(), trio.Event()

    def hold_second() -> str:
        trio.from_thread.run_sync(begun.set)
        assert held.wait(60)
        return runs.note("a")

    async with trio.open_nursery() as nursery:
        await runs.start(nursery)
        nursery.start_soon(runs.run, "a", hold_second)
        await wait_all_tasks_blocked()
        nursery.start_soon(runs.run, "b", partial(runs.note, "b"))
        await wait_all_tasks_blocked()
        runs.held.set()
        await begun.wait()
        runs.scopes["b"].cancel()
        await wait_all_tasks_blocked()
        held.set()
    assert runs.executed == ["first", "a"]
    assert runs.results == {"first": "first", "a": "a"}


async def test_a_function_that_is_being_executed_is_executed_to_its_end_in_spite_of_a_cancellation() -> None:
    runs = Runs()
    async with trio.open_nursery() as nursery:
        await runs.start(nursery, "a")
        runs.scopes["first"].cancel()
        await wait_all_tasks_blocked()
        assert not runs.results
        runs.held.set()
    assert runs.executed == ["first", "a"]
    assert runs.results == {"first": "first", "a": "a"}


async def test_a_task_that_is_cancelled_while_another_one_executes_its_function_waits_no_longer() -> None:
    runs = Runs()
    held, begun = threading.Event(), trio.Event()

    def hold_second() -> str:
        trio.from_thread.run_sync(begun.set)
        assert held.wait(60)
        return runs.note("b")

    async with trio.open_nursery() as nursery:
        await runs.start(nursery, "a")
        nursery.start_soon(runs.run, "b", hold_second)
        await wait_all_tasks_blocked()
        runs.held.set()
        await begun.wait()
        runs.scopes["b"].cancel()
        await wait_all_tasks_blocked()
        assert runs.scopes["b"].cancelled_caught
        held.set()
    assert runs.executed == ["first", "a", "b"]
    assert runs.results == {"first": "first", "a": "a"}
