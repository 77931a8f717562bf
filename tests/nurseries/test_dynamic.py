"""Children that are started at run time: their start, their result, their end, and thousands of them."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from alysd.nurseries import (
    Actor,
    ActorDown,
    Address,
    FixedDelay,
    Immediate,
    Intensity,
    Never,
    OneForAll,
    OneForOne,
    OperationFailed,
    SpecError,
    StartFailed,
    State,
    SystemFailed,
    TooManyChildren,
    WrongState,
    actor,
    dynamic_supervisor,
    supervisor,
    task,
)
from alysd.testing.echo import CrashTold, Say, echo, running

OPS = "Operations"


def working(seconds: float, value: object = None, *errors: Exception) -> Callable[[], Awaitable[object]]:
    """A function that takes `seconds`, then raises the next of `errors`, or returns `value`."""
    left = list(errors)

    async def run() -> object:
        await trio.sleep(seconds)
        if left:
            raise left.pop(0)
        return value

    return run


async def test_an_operation_returns_its_result_to_everyone_who_asks_and_leaves(autojump_clock: MockClock) -> None:
    async with running([dynamic_supervisor(OPS)]) as system, trio.open_nursery() as nursery:
        results: list[int] = []

        async def run() -> int:
            await trio.sleep(5)
            return 7

        operation = await system.start_child(OPS, task("one", run, may_end=True))
        assert (operation.name, trio.current_time()) == ("one", 0)

        async def wait() -> None:
            results.append(await operation.result())

        nursery.start_soon(wait)
        nursery.start_soon(wait)
        await trio.sleep(6)
        assert results == [7, 7]
        assert await operation.result() == 7
        assert "one" not in system.registry


async def test_a_transient_operation_restarts_until_it_returns(autojump_clock: MockClock) -> None:
    run = working(1, "done", OSError("a"), OSError("b"))
    async with running([dynamic_supervisor(OPS)]) as system:
        operation = await system.start_child(OPS, task("one", run, may_end=True, restart=FixedDelay(1.0)))
        assert await operation.result() == "done"
        assert trio.current_time() == 5


async def test_a_temporary_operation_fails_once_and_leaves(autojump_clock: MockClock) -> None:
    error = OSError("unreachable")
    async with running([dynamic_supervisor(OPS, intensity=Intensity(0))]) as system:
        run = working(1, "done", error)
        operation = await system.start_child(OPS, task("one", run, may_end=True, restart=Never()))
        for _ in range(2):
            with pytest.raises(OperationFailed, match="one failed: unreachable") as caught:
                await operation.result()
            assert caught.value.__cause__ is error
        await wait_all_tasks_blocked()
        assert "one" not in system.registry
        again = await system.start_child(OPS, task("one", working(1, 2), may_end=True))
        assert await again.result() == 2


async def test_a_permanent_task_has_no_result(autojump_clock: MockClock) -> None:
    async with running([dynamic_supervisor(OPS)]) as system:
        forever = await system.start_child(OPS, task("one", working(1), restart=FixedDelay(1.0)))
        await trio.sleep(10)
        await system.remove("one")
        with pytest.raises(ActorDown, match="one is down: "):
            await forever.result()


async def test_a_stopped_operation_says_so_and_so_does_one_whose_system_ends(autojump_clock: MockClock) -> None:
    async with running([dynamic_supervisor(OPS)]) as system:
        one = await system.start_child(OPS, task("one", working(100), may_end=True))
        two = await system.start_child(OPS, task("two", working(100), may_end=True))
        await system.stop_child("one")
        with pytest.raises(ActorDown, match="one is down: stopped"):
            await one.result()
        assert [child.name for child in system.registry.find(state=State.STOPPED)] == ["one"]
    with pytest.raises(ActorDown, match="two is down: stopped"):
        await two.result()


async def test_an_actor_is_up_when_its_start_returns(autojump_clock: MockClock) -> None:
    class Slow(Actor[Any], partial=True):
        async def pre_start(self) -> None:
            await trio.sleep(2)

    address: Address[Any] = Address("slow")
    async with running([dynamic_supervisor(OPS)]) as system:
        assert await system.start_child(OPS, actor(address, Slow)) is address
        assert trio.current_time() == 2
        sub = supervisor("Sub", OneForOne(), [echo("a")[1], echo("b")[1]])
        await system.start_child(OPS, sub)
        assert [child.state for child in system.registry.find("?")] == [State.RUNNING] * 2


@pytest.mark.parametrize("restart", [Immediate(), Never(), FixedDelay(1.0)])
async def test_a_failed_start_is_raised_not_repeated_and_not_counted(
    autojump_clock: MockClock, restart: Any
) -> None:
    starts = 0
    error = OSError("no start")

    class Bad(Actor[Any], partial=True):
        async def pre_start(self) -> None:
            nonlocal starts
            starts += 1
            raise error

    address: Address[Any] = Address("bad")
    async with running([dynamic_supervisor(OPS, intensity=Intensity(0))]) as system:
        for _ in range(3):
            with pytest.raises(StartFailed, match="bad did not start: no start") as caught:
                await system.start_child(OPS, actor(address, Bad, restart=restart))
            assert caught.value.__cause__ is error
            await trio.sleep(10)
            assert "bad" not in system.registry
        assert starts == 3


async def test_a_start_that_takes_too_long_is_ended(autojump_clock: MockClock) -> None:
    class Slow(Actor[Any], partial=True):
        async def pre_start(self) -> None:
            await trio.sleep(100)

    address: Address[Any] = Address("slow")
    async with running([dynamic_supervisor(OPS)]) as system:
        with pytest.raises(StartFailed, match="slow did not start: it was not up within 3 s"):
            await system.start_child(OPS, actor(address, Slow), seconds=3)
        assert trio.current_time() == 3
        await trio.sleep(1)
        assert "slow" not in system.registry


async def test_a_start_that_an_operator_stops_is_over(autojump_clock: MockClock) -> None:
    class Slow(Actor[Any], partial=True):
        async def pre_start(self) -> None:
            await trio.sleep(100)

    address: Address[Any] = Address("slow")
    async with running([dynamic_supervisor(OPS)]) as system, trio.open_nursery() as nursery:

        async def start() -> None:
            with pytest.raises(StartFailed, match="slow did not start: slow is down: stopped while it started"):
                await system.start_child(OPS, actor(address, Slow))

        nursery.start_soon(start)
        await trio.sleep(1)
        await system.remove("slow")
        await trio.sleep(0.1)
        assert "slow" not in system.registry


async def test_a_cancelled_call_does_not_end_the_start(autojump_clock: MockClock) -> None:
    failing = False

    class Slow(Actor[Any], partial=True):
        async def pre_start(self) -> None:
            await trio.sleep(2)
            if failing:
                raise OSError("no start")

    address: Address[Any] = Address("slow")
    async with running([dynamic_supervisor(OPS)]) as system:
        for failing in (False, True):
            with trio.move_on_after(1) as scope:
                await system.start_child(OPS, actor(address, Slow))
            assert scope.cancelled_caught
            assert "slow" in system.registry
            await trio.sleep(2)
            assert ("slow" in system.registry) is not failing
            if not failing:
                await system.remove("slow")


async def test_there_are_at_most_max_children(autojump_clock: MockClock) -> None:
    async with running([dynamic_supervisor(OPS, max_children=2)]) as system:
        one = await system.start_child(OPS, task("one", working(1), may_end=True))
        await system.start_child(OPS, task("two", working(9), may_end=True))
        with pytest.raises(TooManyChildren, match="Operations has 2 children already, which is its max_children"):
            await system.start_child(OPS, task("three", working(1), may_end=True))
        await one.result()
        await wait_all_tasks_blocked()
        await system.start_child(OPS, task("three", working(1), may_end=True))
    with pytest.raises(ValueError, match="max_children"):
        dynamic_supervisor(OPS, max_children=0)
    with pytest.raises(SpecError, match="S has 2 children, but max_children is 1"):
        async with running([supervisor("S", OneForOne(), [echo("a")[1], echo("b")[1]], max_children=1)]):
            pass


async def test_only_a_supervisor_that_is_up_starts_children(autojump_clock: MockClock) -> None:
    async with running([echo()[1], dynamic_supervisor(OPS)]) as system:
        with pytest.raises(WrongState, match="cannot add a child to echo: it is not a supervisor"):
            await system.start_child("echo", echo("a")[1])
        with pytest.raises(SpecError, match="two children are named echo"):
            await system.start_child(OPS, echo()[1])
        await system.stop_child(OPS)
        with pytest.raises(WrongState, match="cannot add a child to Operations"):
            await system.start_child(OPS, echo("a")[1])


async def test_a_crash_restarts_only_its_own_child(autojump_clock: MockClock) -> None:
    async with running([dynamic_supervisor(OPS)]) as system:
        pairs = [echo(f"echo {n}") for n in range(10)]
        for _, child in pairs:
            await system.start_child(OPS, child)
        pairs[3][0].tell(CrashTold())
        await trio.sleep(1)
        restarts = {child.name: child.restarts for child in system.registry.find("echo *")}
        assert restarts == {f"echo {n}": int(n == 3) for n in range(10)}


async def test_children_survive_the_restart_of_a_supervisor_that_gave_up(autojump_clock: MockClock) -> None:
    ops = dynamic_supervisor(OPS, intensity=Intensity(0))
    async with running([ops]) as system:
        one, child = echo("one")
        await system.start_child(OPS, child)
        two = await system.start_child(OPS, task("two", working(5, 2), may_end=True))
        one.tell(CrashTold())
        await trio.sleep(1)
        assert await one.ask(Say("back")) == "back"
        assert await two.result() == 2
        assert trio.current_time() == 5, "it began again"


async def test_a_start_under_a_supervisor_that_gives_up_fails_and_is_not_made_up_for(
    autojump_clock: MockClock,
) -> None:
    class Slow(Actor[Any], partial=True):
        async def pre_start(self) -> None:
            await trio.sleep(2)

    address: Address[Any] = Address("slow")
    group = supervisor(OPS, OneForAll(), [echo("one")[1]], intensity=Intensity(0))
    async with running([group]) as system, trio.open_nursery() as nursery:

        async def start() -> None:
            with pytest.raises(StartFailed, match="stopped while it started"):
                await system.start_child(OPS, actor(address, Slow))

        nursery.start_soon(start)
        await trio.sleep(1)
        system.registry.address("one").tell(CrashTold())
        await trio.sleep(10)
        assert "slow" not in system.registry


async def test_a_fatal_error_in_a_start_is_still_fatal(autojump_clock: MockClock) -> None:
    class Bad(Actor[Any], partial=True):
        async def pre_start(self) -> None:
            raise ZeroDivisionError("fatal")

    address: Address[Any] = Address("bad")

    async def run() -> None:
        async with running([dynamic_supervisor(OPS)], fatal=[ZeroDivisionError]) as system:
            with pytest.raises(StartFailed, match="bad did not start: fatal"):
                await system.start_child(OPS, actor(address, Bad))
            await trio.sleep_forever()

    with pytest.raises(SystemFailed):
        await run()


async def test_thousands_of_children_start_end_and_stop(autojump_clock: MockClock) -> None:
    """The time per child must not grow with their number, or this takes minutes."""
    most = 2000
    results: list[object] = []
    async with running([dynamic_supervisor(OPS, max_children=most)]) as system, trio.open_nursery() as nursery:

        async def run_one(number: int) -> None:
            operation = await system.start_child(OPS, task(f"op {number}", working(10, number), may_end=True))
            results.append(await operation.result())

        for number in range(most):
            nursery.start_soon(run_one, number)
        await trio.sleep(1)
        assert len(system.registry) == most + 2
        await trio.sleep(20)
        assert (len(results), len(system.registry)) == (most, 2)
        for number in range(100):
            await system.start_child(OPS, task(f"op {number}", trio.sleep_forever))
