"""The watch over the machine's clock: a step is logged at once, once, and so is its end."""

import trio
from trio.testing import MockClock

from alysd.messages.log.base import LogEvent
from alysd.messages.log.process import ClockBelieved, ClockStepped
from alysd.testing.virtual_time import VirtualClock
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
