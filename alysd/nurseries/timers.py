"""Timers of an actor: messages that it sends to itself later, once or periodically.

    class Refresher(Actor[Refreshing]):
        async def pre_start(self) -> None:
            self.timers.every(60.0, Refresh())

        @handles(Request)
        async def request(self, message: Request) -> None:
            self.deadline = self.timers.after(5.0, GiveUp())

The rules, which tests verify:

1. A message of a timer waits in line with the other messages of the mailbox, from the moment at which it is due.
   It never waits for room and is never dropped because the mailbox is full.
2. A timer has at most one message in the mailbox. While one waits, a periodic timer queues no other one.
3. A periodic timer does not drift: tick `n` is due `n` periods after the call of `every`, however late earlier
   ticks were handled. Of the ticks that passed while the whole process was busy, only one is told.
4. A timer belongs to the instance that set it, and ends with it. No message of it reaches the next instance, not
   even one that waits in the mailbox. An actor that was asked to stop for good gets no more of them.
5. After `cancel` no message of the timer is handled, not even one that waits in the mailbox.

Timers with the same due time queue their messages in the order in which they were set. One task per system fires
the timers of all its actors; a timer costs an entry in its heap.
"""

import math
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any, Generic, TypeVar

import trio

from alysd.nurseries.mailbox import Mailbox
from alysd.nurseries.signals import Signal

M = TypeVar("M")

SHORTEST_PERIOD = 0.001
"""The shortest period in seconds. A shorter one would keep the process busy with nothing else."""

CANCELLED_KEPT = 64
"""Up to this number of cancelled timers stay in the heap. With more, it is rebuilt once they are more than half of
it."""


class Timer(Signal):
    """One timer. `cancel` ends it; `due` is the time of its next message on trio's clock."""

    __slots__ = ("_begun", "_heap", "_message", "_period", "_ticks", "due", "scheduled")

    def __init__(
        self,
        inbox: Mailbox[Any],
        owned: set[Signal],
        heap: "TimerHeap",
        message: object,
        seconds: float,
        *,
        periodic: bool,
    ) -> None:
        super().__init__(inbox, owned)
        self._heap = heap
        self._message = message
        self._begun = trio.current_time()
        self._period = seconds if periodic else None
        self._ticks = 1
        self.due = self._begun + seconds
        self.scheduled = True
        heap.add(self)

    @property
    def message(self) -> object:
        """The message that the actor sends to itself."""
        return self._message

    def cancel(self) -> None:
        """End the timer. A message of it that waits is not handled either. A second call does nothing."""
        super().cancel()
        if self.scheduled:
            self.scheduled = False
            self._heap.cancelled()

    def fire(self, now: float) -> None:
        """Queue the message, unless one waits. A periodic timer is set for its next tick after `now`."""
        if not self.waiting:
            self.enqueue()
        if self._period is None:
            self.scheduled = False
        else:
            self._ticks = max(self._ticks, math.floor((now - self._begun) / self._period)) + 1
            self.due = self._begun + self._ticks * self._period
            self._heap.add(self)

    def take(self) -> object:
        """The message. A timer without a period is then over."""
        self.waiting = False
        if self._period is None:
            self.cancel()
        return self._message


class Timers(Generic[M]):
    """Sets timers for one instance of an actor, with messages of the type `M`."""

    __slots__ = ("_heap", "_inbox", "_owned")

    def __init__(self, inbox: Mailbox[Any], owned: set[Signal], heap: "TimerHeap") -> None:
        self._inbox = inbox
        self._owned = owned
        self._heap = heap

    def after(self, seconds: float, message: M) -> Timer:
        """Have the actor handle `message` once, in `seconds` from now.

        Raises `ValueError` unless 0 <= seconds < inf.
        """
        if not 0 <= seconds < math.inf:
            raise ValueError(f"the seconds of a timer must be finite and at least 0, not {seconds}")
        return Timer(self._inbox, self._owned, self._heap, message, seconds, periodic=False)

    def every(self, seconds: float, message: M) -> Timer:
        """Have the actor handle `message` every `seconds`, first in `seconds` from now, until `cancel`.

        Raises `ValueError` unless `SHORTEST_PERIOD` <= seconds < inf.
        """
        if not SHORTEST_PERIOD <= seconds < math.inf:
            raise ValueError(
                f"the period of a timer must be finite and at least {SHORTEST_PERIOD:g} s, not {seconds}"
            )
        return Timer(self._inbox, self._owned, self._heap, message, seconds, periodic=True)


class TimerHeap:
    """The timers of all actors of one system, by due time. `run` is the task that fires them."""

    __slots__ = ("_cancelled", "_entries", "_number", "_scope")

    def __init__(self) -> None:
        # The number keeps timers with the same due time in the order in which they were set.
        self._entries: list[tuple[float, int, Timer]] = []
        self._number: Callable[[], int] = count().__next__
        self._cancelled = 0
        self._scope: trio.CancelScope | None = None

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, timer: Timer) -> None:
        """Fire the timer at its due time."""
        heappush(self._entries, (timer.due, self._number(), timer))
        if self._scope is not None:
            self._scope.deadline = self._entries[0][0]

    def cancelled(self) -> None:
        """Count a cancelled timer. Once cancelled timers are more than half of the heap, remove them all."""
        self._cancelled += 1
        if self._cancelled > max(CANCELLED_KEPT, len(self._entries) // 2):
            self._entries = [entry for entry in self._entries if entry[2].scheduled]
            heapify(self._entries)
            self._cancelled = 0

    async def run(self) -> None:
        """Fire each timer at its due time, until cancelled."""
        while True:
            deadline = self._entries[0][0] if self._entries else math.inf
            with trio.CancelScope(deadline=deadline) as self._scope:
                await trio.sleep_forever()
            self._fire(trio.current_time())

    def _fire(self, now: float) -> None:
        while self._entries and self._entries[0][0] <= now:
            _, _, timer = heappop(self._entries)
            if timer.scheduled:
                timer.fire(now)
            else:
                self._cancelled -= 1
