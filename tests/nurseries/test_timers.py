"""Timers of an actor: when their messages are handled, and that they end with their instance."""

import math
from collections.abc import Callable
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from alysd.nurseries import (
    Actor,
    Address,
    Ask,
    ChildSpec,
    Immediate,
    OnCrash,
    Tell,
    Timer,
    Timers,
    actor,
    handles,
)
from alysd.nurseries.timers import CANCELLED_KEPT, TimerHeap
from alysd.testing.echo import running


class Ticking:
    """The protocol of `Clockwork`."""


@attrs.frozen
class Tick(Tell[Ticking]):
    """Sent by a timer."""

    name: str = "tick"
    seconds: float = 0.0
    """How long its handler takes."""
    crash: bool = False


@attrs.frozen
class Set(Ask[Ticking, Timer]):
    """Set a timer."""

    set: Callable[[Timers[Tell[Ticking]]], Timer]


class Clockwork(Actor[Ticking]):
    """Writes down each tick with its time. With `period`, each instance sets a periodic timer."""

    def __init__(self, ticks: list[tuple[str, float]], period: float | None) -> None:
        self.ticks = ticks
        self.period = period

    async def pre_start(self) -> None:
        if self.period is not None:
            self.timers.every(self.period, Tick("periodic"))

    @handles(Tick)
    async def tick(self, message: Tick) -> None:
        self.ticks.append((message.name, trio.current_time()))
        if message.crash:
            raise ValueError("crash")
        await trio.sleep(message.seconds)

    @handles(Set)
    async def set_timer(self, message: Set) -> Timer:
        return message.set(self.timers)


def clockwork(
    period: float | None = None, **mailbox: Any
) -> tuple[Address[Ticking], ChildSpec, list[tuple[str, float]]]:
    """A clockwork, and its ticks with their times."""
    address: Address[Ticking] = Address("clockwork", **mailbox)
    ticks: list[tuple[str, float]] = []
    return address, actor(address, lambda: Clockwork(ticks, period), restart=Immediate()), ticks


async def test_messages_are_handled_once_when_they_are_due(autojump_clock: MockClock) -> None:
    address, child, ticks = clockwork()
    async with running([child]):
        begun = trio.current_time()
        for name, seconds in (("late", 2.0), ("early", 0.5), ("next", 0.5), ("now", 0.0)):
            await address.ask(Set(lambda timers, n=name, s=seconds: timers.after(s, Tick(n))))
        await trio.sleep(100)
        assert ticks == [("now", begun), ("early", begun + 0.5), ("next", begun + 0.5), ("late", begun + 2)]


async def test_a_periodic_timer_does_not_drift_and_never_waits_twice(autojump_clock: MockClock) -> None:
    address, child, ticks = clockwork(period=0.1)
    async with running([child]):
        begun = trio.current_time()
        await trio.sleep(0.25)
        address.tell(Tick("slow", seconds=0.5))
        await trio.sleep(0.75 - 0.01)
        assert [name for name, _ in ticks] == ["periodic", "periodic", "slow", *["periodic"] * 3]
        assert [at - begun for name, at in ticks if name == "periodic"] == pytest.approx(
            [0.1, 0.2, 0.75, 0.8, 0.9]
        )
        await trio.sleep(1000)
        assert ticks[-1][1] - begun == pytest.approx(1000.9, abs=0.11)
        assert (ticks[-1][1] - begun) / 0.1 == pytest.approx(round((ticks[-1][1] - begun) / 0.1))


async def test_ticks_that_passed_while_the_process_was_busy_are_skipped(mock_clock: MockClock) -> None:
    _, child, ticks = clockwork(period=1.0)
    async with running([child]):
        begun = trio.current_time()
        await wait_all_tasks_blocked()
        mock_clock.jump(3.5)
        await wait_all_tasks_blocked()
        mock_clock.jump(0.5)
        await wait_all_tasks_blocked()
        assert [at - begun for _, at in ticks] == [3.5, 4.0]


async def test_a_timer_ends_with_its_instance(autojump_clock: MockClock) -> None:
    """Also one whose message waits in the mailbox, behind the message that crashes."""
    address, child, ticks = clockwork()
    async with running([child]):
        await address.ask(Set(lambda timers: timers.after(5, Tick("later"))))
        await address.ask(Set(lambda timers: timers.after(1, Tick("waits"))))
        address.tell(Tick("slow", seconds=2))
        address.tell(Tick("crash", crash=True))
        await trio.sleep(10)
        assert [name for name, _ in ticks] == ["slow", "crash"]
        assert address.depth == 0


async def test_a_tick_that_crashed_its_actor_does_not_reach_the_next_instance(
    autojump_clock: MockClock,
) -> None:
    address, child, ticks = clockwork(on_crash=OnCrash.RETRY)
    async with running([child]):
        await address.ask(Set(lambda timers: timers.every(1, Tick("bad", crash=True))))
        await trio.sleep(10)
        assert [name for name, _ in ticks] == ["bad"]
        letters = address.mailbox.dead_letters
        assert letters is not None
        assert [letter.message for letter in letters] == [Tick("bad", crash=True)]


async def test_an_actor_that_stops_for_good_gets_no_more_ticks(autojump_clock: MockClock) -> None:
    address, child, ticks = clockwork(period=0.1)
    async with running([child]) as system:
        address.tell(Tick("slow", seconds=1))
        await trio.sleep(0.05)
        await system.stop_child("clockwork")
        await trio.sleep(10)
        assert [name for name, _ in ticks] == ["slow"]
        await system.restart("clockwork")
        await trio.sleep(0.15)
        assert [name for name, _ in ticks] == ["slow", "periodic"]


async def test_a_suspended_actor_finds_one_tick(autojump_clock: MockClock) -> None:
    _, child, ticks = clockwork(period=1)
    async with running([child]) as system:
        system.suspend("clockwork")
        await trio.sleep(10.5)
        assert ticks == []
        system.resume("clockwork")
        await wait_all_tasks_blocked()
        assert len(ticks) == 1


async def test_a_cancelled_timer_is_not_handled_not_even_if_it_waits(autojump_clock: MockClock) -> None:
    address, child, ticks = clockwork()
    async with running([child]):
        later = await address.ask(Set(lambda timers: timers.after(1, Tick("later"))))
        waits = await address.ask(Set(lambda timers: timers.every(0.1, Tick("waits"))))
        over = await address.ask(Set(lambda timers: timers.after(0, Tick("over"))))
        await trio.sleep(0.05)
        address.tell(Tick("slow", seconds=0.5))
        await trio.sleep(0.25)
        assert address.depth == 1
        for timer in (later, waits, over, over):
            timer.cancel()
        assert [timer.active for timer in (later, waits, over)] == [False] * 3
        await trio.sleep(10)
        assert [name for name, _ in ticks] == ["over", "slow"]


async def test_a_tick_is_queued_although_the_mailbox_is_full(autojump_clock: MockClock) -> None:
    address, child, ticks = clockwork(capacity=1)
    async with running([child]):
        await address.ask(Set(lambda timers: timers.after(0.5, Tick("timer"))))
        address.tell(Tick("slow", seconds=1))
        await wait_all_tasks_blocked()
        address.tell(Tick("fills"))
        await trio.sleep(2)
        assert [name for name, _ in ticks] == ["slow", "fills", "timer"]


async def test_timers_that_are_cancelled_leave_the_heap(autojump_clock: MockClock) -> None:
    heap = TimerHeap()
    inbox = Address[Ticking]("x").mailbox
    timers: Timers[Tell[Ticking]] = Timers(inbox, set(), heap)
    timers.after(50, Tick("before"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(heap.run)
        await wait_all_tasks_blocked()
        timers.after(40, Tick("kept"))
        for _ in range(1000):
            timers.after(3600, Tick()).cancel()
            assert len(heap) <= CANCELLED_KEPT + 3
        await trio.sleep(3601)
        assert (len(heap), len(inbox)) == (0, 2)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("seconds", [-1.0, math.inf, math.nan])
async def test_seconds_that_never_come_are_refused(seconds: float) -> None:
    timers: Timers[Tell[Ticking]] = Timers(Address[Ticking]("x").mailbox, set(), TimerHeap())
    with pytest.raises(ValueError, match=f"the seconds of a timer must be finite and at least 0, not {seconds}"):
        timers.after(seconds, Tick())
    with pytest.raises(ValueError, match=f"finite and at least 0.001 s, not {seconds}"):
        timers.every(seconds, Tick())
    with pytest.raises(ValueError, match="at least 0.001 s, not 0"):
        timers.every(0, Tick())
