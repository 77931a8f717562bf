"""Asks that wait for an answer, and one timer for all their deadlines.

An ask is a one-shot slot on which its task sleeps, not a channel and a cancel scope each: those cost more
than all the rest of an ask. Deadlines are rounded up to a tick and kept in buckets, so that the timer's
task wakes at most once a tick however many asks wait, and not at all when none does. Time is trio's clock.
"""

import math
from heapq import heappop, heappush
from typing import Any

import trio
from trio.lowlevel import Abort, RaiseCancelT, Task, reschedule

TICK = 0.01
"""Seconds by which a deadline may be late: a hundredth of the shortest deadlines that anybody waits for."""


class Pending:
    """One ask that waits. Its task sleeps until `reply`, `fail` or `expire`; the first of them counts."""

    __slots__ = ("answered", "bucket", "error", "task", "value")

    def __init__(self, task: Task | None) -> None:
        self.task = task
        self.answered = False
        self.value: Any = None
        self.error: BaseException | None = None
        self.bucket: set[Pending] | None = None

    def reply(self, value: object) -> None:
        """Wake the asker with its answer, unless it no longer waits."""
        task = self.task
        if task is not None:
            self.value = value
            self.answered = True
            self.task = None
            if self.bucket is not None:
                self.bucket.discard(self)
            reschedule(task)

    def fail(self, error: BaseException | None) -> None:
        """Wake the asker with an error; `None` means that time is up."""
        self.error = error
        task = self.task
        if task is not None:
            self.task = None
            if self.bucket is not None:
                self.bucket.discard(self)
            reschedule(task)

    def abort(self, _: RaiseCancelT) -> Abort:
        """The asker was cancelled: nobody waits any more."""
        self.task = None
        if self.bucket is not None:
            self.bucket.discard(self)
        return Abort.SUCCEEDED


class Wheel:
    """The deadlines of the asks of one system. `run` is its task."""

    __slots__ = ("_buckets", "_keys", "_scope")

    def __init__(self) -> None:
        self._buckets: dict[int, set[Pending]] = {}
        self._keys: list[int] = []
        self._scope: trio.CancelScope | None = None

    def add(self, pending: Pending, seconds: float) -> None:
        """Expire `pending` after `seconds`, at most one `TICK` later."""
        key = int((trio.current_time() + seconds) / TICK) + 1
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = set()
            heappush(self._keys, key)
            if self._scope is not None and self._keys[0] == key:
                self._scope.deadline = key * TICK
        bucket.add(pending)
        pending.bucket = bucket

    async def run(self) -> None:
        """Expire asks, for ever."""
        while True:
            deadline = self._keys[0] * TICK if self._keys else math.inf
            with trio.CancelScope(deadline=deadline) as self._scope:
                await trio.sleep_forever()
            self._expire(trio.current_time())

    def _expire(self, now: float) -> None:
        while self._keys and self._keys[0] * TICK <= now:
            for pending in list(self._buckets.pop(heappop(self._keys))):
                pending.bucket = None
                pending.fail(None)
