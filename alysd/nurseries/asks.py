"""Asks that wait for an answer: their deadlines, and the detection of cycles.

The task of an ask sleeps until its `Pending` gets an answer or an error. A channel and a cancel scope per ask
would cost more than the rest of the ask. One timer, the `Wheel`, holds the deadlines of all asks. It rounds them
up to a tick and keeps them in buckets: its task wakes at most once per tick, however many asks wait, and sleeps
when no ask waits. An ask that ends leaves its bucket. Times are those of trio's clock.

While a handler waits for an answer, or for room in a full mailbox, its actor takes no messages. If two actors wait
for each other, directly or through others, neither can continue. The wait that would close such a cycle is refused
with `AskCycle`, which names the actors in the cycle. A wait for a pool ends when any of its workers is free. A
handler that waits until another actor has stopped, restarted or started waits for that actor in the same way.
"""

import math
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from heapq import heappop, heappush
from threading import get_ident
from typing import Any, Protocol

import trio
from trio.lowlevel import Abort, RaiseCancelT, Task, current_task, reschedule

from alysd.nurseries.errors import AskCycle
from alysd.nurseries.wakeups import WOKEN

TICK = 0.01
"""The longest delay, in seconds, from a deadline to its enforcement: 1 % of a timeout of one second."""


BUCKETS_KEPT = 64
"""Up to this number of buckets stay in a `Wheel` although they are empty. With more, the empty ones are removed
whenever the number has doubled. An empty bucket can still have the memory for thousands of asks."""


MOST_SECONDS = 1e9
"""The longest timeout of an ask: 31 years, far below the numbers at which adding it to a clock loses precision."""


def invalid_seconds(name: str, seconds: object) -> Exception:
    """The error for a timeout that is not a number of seconds from 0 to `MOST_SECONDS`."""
    kind = ValueError if isinstance(seconds, int | float) else TypeError
    return kind(f"ask of {name}: seconds must be a number from 0 to {MOST_SECONDS:g}, not {seconds!r}")


class Expiring(Protocol):
    """Something that a `Wheel` expires: a waiting ask, or the watchdog of an actor."""

    bucket: "set[Expiring] | None"

    def expire(self) -> None:
        """React to the deadline. The wheel has removed this from its bucket already."""
        ...


class MailboxPlace(Protocol):
    """The place of a waiting ask: in a mailbox, in the line before it, or among an actor's deferred replies."""

    def vacate(self) -> None:
        """Free the place, because the asker has given up."""
        ...


class Pending:
    """One waiting ask. Its task sleeps until the first call of `reply` or `fail`; later calls have no effect."""

    __slots__ = ("answered", "bucket", "error", "place", "task", "value")

    def __init__(self, task: Task | None, place: MailboxPlace | None = None) -> None:
        self.task = task
        self.answered = False
        self.value: Any = None
        self.error: BaseException | None = None
        self.bucket: set[Expiring] | None = None
        self.place = place

    def reply(self, value: object) -> None:
        """Wake the asker with the answer, unless the asker no longer waits."""
        task = self.task
        if task is not None:
            self.value = value
            self.answered = True
            self.task = None
            if self.bucket is not None:
                self.bucket.discard(self)
            reschedule(task, WOKEN)

    def fail(self, error: BaseException | None) -> None:
        """Wake the asker with an error. `None` means that the deadline has passed."""
        self.error = error
        task = self.task
        if task is not None:
            self.task = None
            if self.bucket is not None:
                self.bucket.discard(self)
            reschedule(task, WOKEN)

    def expire(self) -> None:
        """Wake the asker, because the deadline has passed."""
        self.fail(None)
        if self.place is not None:
            self.place.vacate()

    def abort(self, _: RaiseCancelT) -> Abort:
        """Record that the asker was cancelled and no longer waits."""
        self.task = None
        if self.bucket is not None:
            self.bucket.discard(self)
        if self.place is not None:
            self.place.vacate()
        return Abort.SUCCEEDED


class Wheel:
    """The deadlines of all asks and watchdogs in one system. `run` is the task that enforces them."""

    __slots__ = ("_buckets", "_keys", "_most_keys", "_scope", "thread")

    def __init__(self) -> None:
        # The thread of the system's run, to which all its asks belong.
        self.thread = get_ident()
        self._buckets: dict[int, set[Expiring]] = {}
        self._keys: list[int] = []
        self._most_keys = BUCKETS_KEPT
        self._scope: trio.CancelScope | None = None

    def add(self, pending: Expiring, seconds: float) -> None:
        """Let `pending` expire after `seconds`, with a delay of at most one `TICK`."""
        key = int((trio.current_time() + seconds) / TICK) + 1
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._keys) >= self._most_keys:
                self._remove_empty()
            bucket = self._buckets[key] = set()
            heappush(self._keys, key)
            if self._scope is not None and self._keys[0] == key:
                self._scope.deadline = key * TICK
        bucket.add(pending)
        pending.bucket = bucket

    def _remove_empty(self) -> None:
        """Remove the buckets whose asks have all ended. Their deadlines may be days away."""
        self._buckets = {key: bucket for key, bucket in self._buckets.items() if bucket}
        self._keys = sorted(self._buckets)  # which is a heap
        self._most_keys = max(BUCKETS_KEPT, 2 * len(self._keys))

    async def run(self) -> None:
        """Expire each ask and watchdog at its deadline, until cancelled."""
        while True:
            deadline = self._keys[0] * TICK if self._keys else math.inf
            with trio.CancelScope(deadline=deadline) as self._scope:
                await trio.sleep_forever()
            self._expire(trio.current_time())

    def _expire(self, now: float) -> None:
        # Buckets whose asks were all answered are left out, also later ones. So the next wake-up is for a deadline
        # that can pass, and asks that are answered in time cause less than two wake-ups per timeout.
        while self._keys and (self._keys[0] * TICK <= now or not self._buckets[self._keys[0]]):
            for pending in list(self._buckets.pop(heappop(self._keys))):
                pending.bucket = None
                pending.expire()


class Waiter(Protocol):
    """A participant in a cycle of waits: the mailbox of an actor, or of a pool, which waits for its workers."""

    name: str
    waits_for: "list[Waiter] | None"

    @property
    def waits_for_any(self) -> bool:
        """Whether one of the participants in `waits_for` is enough for it to continue; otherwise it needs all."""
        ...


class HandlerTask:
    """The handlers of one instance of an actor: its mailbox is `waiter`, and they run in `task`."""

    __slots__ = ("outer", "task", "waiter")

    def __init__(self, waiter: Waiter) -> None:
        self.waiter = waiter
        self.task = current_task()
        # The number of nurseries that stay open between two handlers.
        self.outer = len(self.task.child_nurseries)


handling: ContextVar[HandlerTask | None] = ContextVar("handling", default=None)
"""The handler that runs this code, or that started the task of this code; `None` if there is none.

A task inherits the value from the code that starts it. `is_awaited` says whether the handler waits for it.
"""


def is_awaited(handler: HandlerTask) -> bool:
    """Whether the handler waits for the current task: its own task, or one in a nursery that it has opened."""
    task = current_task()
    while task is not handler.task:
        nursery = task.parent_nursery
        if nursery is None:
            return False
        task = nursery.parent_task
        if task is handler.task:
            return nursery in task.child_nurseries[handler.outer :]
    return True


def waiting_handler() -> Waiter | None:
    """The mailbox of the actor whose handler waits for this code; `None` if no handler does."""
    handler = handling.get()
    return handler.waiter if handler is not None and is_awaited(handler) else None


def begin_wait(waiter: Waiter, target: Waiter) -> None:
    """Record that `waiter` waits for `target`. Raises `AskCycle` if neither could then ever continue."""
    if target is waiter or target.waits_for:
        path_back = _path(target, waiter)
        if path_back is not None and not _can_go_on(target, waiter):
            raise AskCycle((waiter.name, *path_back))
    if waiter.waits_for is None:
        waiter.waits_for = [target]
    else:
        waiter.waits_for.append(target)


@contextmanager
def waits_of_handler(targets: Sequence[Waiter]) -> Generator[None]:
    """In the `with` block, record that the current handler waits for these actors.

    Does nothing if no handler waits for this code. Raises `AskCycle`, without entering the block, if one of the
    actors waits for that handler.
    """
    handler = handling.get()
    if handler is None or not is_awaited(handler):
        yield
        return
    others = [target for target in targets if target is not handler.waiter]
    begun: list[Waiter] = []
    try:
        for target in others:
            begin_wait(handler.waiter, target)
            begun.append(target)
        yield
    finally:
        for target in begun:
            end_wait(handler.waiter, target)


def end_wait(waiter: Waiter, target: Waiter) -> None:
    """Record that the wait is over."""
    waits = waiter.waits_for or []
    waits.remove(target)


def _path(start: Waiter, end: Waiter) -> tuple[str, ...] | None:
    """The names on the path of waits from `start` to `end`, or `None` when there is no path."""
    seen: list[Waiter] = []
    paths: list[tuple[Waiter, tuple[str, ...]]] = [(start, (start.name,))]
    while paths:
        waiter, names = paths.pop()
        if waiter is end:
            return names
        if waiter not in seen:
            seen.append(waiter)
            paths.extend((following, (*names, following.name)) for following in waiter.waits_for or ())
    return None


def _can_go_on(start: Waiter, blocked: Waiter) -> bool:
    """Whether `start` can continue although `blocked` cannot: a pool can while one of its workers can."""
    reached = [start]
    for waiter in reached:
        reached.extend(following for following in waiter.waits_for or () if following not in reached)
    free: list[Waiter] = []
    found = True
    while found:
        found = False
        for waiter in reached:
            if waiter is not blocked and waiter not in free:
                needed = [following in free for following in waiter.waits_for or ()]
                if any(needed) if waiter.waits_for_any else all(needed):
                    free.append(waiter)
                    found = True
    return start in free
