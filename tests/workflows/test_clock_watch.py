"""The watch over the machine's clock: a step is logged at once, once, and so is its end."""

import attrs
import trio
from trio.testing import MockClock

from alysd.errors import StoreError
from alysd.messages.log.base import LogEvent
from alysd.messages.log.process import ClockBelieved, ClockFarAhead, ClockStepNotKept, ClockStepped
from alysd.testing.virtual_time import VirtualClock, threads_inline
from alysd.workflows.clock_watch import ClockWatch


async def test_a_step_and_its_end_are_logged_without_anybody_asking(
    autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    """A follower makes no blocks, so that nothing else would look at its clock."""
    clock = VirtualClock(start=0.0)
    watch = ClockWatch(clock, 2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.run)
        await trio.sleep(10.5)
        clock.offset += 3600
        await trio.sleep(1)
        assert logged == [ClockStepped(3600.0, 600.0)]
        clock.offset -= 3600
        await trio.sleep(1)
        assert logged[1:] == [ClockBelieved(0.0)]
        clock.offset -= 60
        await trio.sleep(700)
        assert logged[2:] == [ClockStepped(-60.0, 600.0), ClockBelieved(-60.0)]
        nursery.cancel_scope.cancel()


async def test_a_clock_that_is_accepted_is_believed(autojump_clock: MockClock, logged: list[LogEvent]) -> None:
    clock = VirtualClock(start=0.0)
    watch = ClockWatch(clock, 2)
    assert watch.accept() == 0
    assert not logged
    clock.offset += 60
    assert "was set forward by 60 s" in watch.doubt()
    assert watch.accept() == 60
    assert not watch.doubt()
    assert logged[-1] == ClockBelieved(60.0)


@attrs.define
class Memory:
    """Keeps a step in memory; while `broken`, it cannot be written."""

    kept: float | None = None
    writes: list[float | None] = attrs.Factory(list[float | None])
    broken: bool = False

    def read(self) -> float | None:
        return self.kept

    def write(self, believed: float | None) -> None:
        self.writes.append(believed)
        if self.broken:
            raise StoreError("the disk is full")
        self.kept = believed


async def test_an_open_step_is_kept_over_a_restart_until_it_ends(
    autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    """A restart made the node believe the wrong year at once."""
    clock, memory = VirtualClock(start=0.0), Memory()
    with threads_inline():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ClockWatch(clock, 2, memory).run)
            await trio.sleep(10.5)
            assert memory.writes == [], "nothing is written while the clock is trusted"
            clock.offset += 3600
            await trio.sleep(20)
            assert memory.writes == [0.0]
            nursery.cancel_scope.cancel()
        logged.clear()
        async with trio.open_nursery() as nursery:
            watch = ClockWatch(clock, 2, memory)
            nursery.start_soon(watch.run)
            await trio.sleep(5)
            assert logged == [ClockStepped(3600.0, 600.0)], "it is said again, once"
            assert "was set forward by 3600 s" in watch.doubt()
            await trio.sleep(600)
            assert logged[1:] == [ClockBelieved(3600.0)]
            assert memory.writes == [0.0, None]
            nursery.cancel_scope.cancel()


async def test_a_disk_that_fails_does_not_stop_the_watch(
    autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    clock, memory = VirtualClock(start=0.0), Memory(broken=True)
    with threads_inline():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ClockWatch(clock, 2, memory).run)
            await trio.sleep(1.5)
            clock.offset += 3600
            await trio.sleep(20)
            assert logged == [ClockStepped(3600.0, 600.0), ClockStepNotKept("the disk is full")]
            nursery.cancel_scope.cancel()


async def test_a_chain_of_last_year_waits_for_a_person(autojump_clock: MockClock, logged: list[LogEvent]) -> None:
    clock = VirtualClock()
    watch = ClockWatch(clock, 2, newest=clock.start - 365 * 86_400.0)
    assert "the newest block is 365 days older than the time of this machine's clock" in watch.doubt()
    assert watch.look().step
    assert logged == [ClockFarAhead(365 * 86_400.0)]
    await trio.sleep(3600)
    assert watch.accept() == 365 * 86_400.0
    assert not watch.doubt()
    assert logged[1:] == [ClockBelieved(365 * 86_400.0)]


async def test_a_step_of_a_year_is_never_steady_enough(autojump_clock: MockClock, logged: list[LogEvent]) -> None:
    clock = VirtualClock()
    watch = ClockWatch(clock, 2)
    clock.offset += 365 * 86_400.0
    assert watch.doubt().endswith("until the clock is right, or is accepted with `alysd clock accept`")
    await trio.sleep(3600)
    assert watch.doubt()
    assert logged == [ClockStepped(365 * 86_400.0, None)]
