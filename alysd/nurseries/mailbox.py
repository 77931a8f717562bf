"""A bounded memory channel with overflow policies and an urgent lane.

`Mailbox` implements `trio.abc.SendChannel` and `trio.abc.ReceiveChannel`. It is an order of magnitude faster than
trio's own memory channel for two reasons: `send` and `receive` execute a checkpoint only once per `TURNS`
operations of the process, and a waiting receiver is woken once for all values that have arrived.

Guarantees, which tests verify:

- Values sent by one task are received in the order in which they were sent. Urgent values overtake queued ones.
- If `send` raises, the value was not sent. If it returns, the value was sent, whatever is cancelled afterwards.
- At most `capacity` values are queued. The values of waiting senders form a line, which is served in order.
- Every sent value is received, or passed to `drop` and counted in `dropped`.

All methods belong to the thread of the receiver's trio run. A `send_nowait` in another thread wakes the receiver
through the run's `token`. If it finds the mailbox full, it raises `WrongThread`.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator
from enum import Enum
from itertools import count
from typing import Generic, TypeVar

import attrs
import trio
from trio.lowlevel import Abort, RaiseCancelT, Task, checkpoint, current_task, reschedule, wait_task_rescheduled

from alysd.nurseries.errors import ActorDown, MailboxFull, WrongThread
from alysd.nurseries.threads import in_run
from alysd.nurseries.wakeups import WOKEN


class Overflow(Enum):
    """The overflow policies without parameters, for a message that arrives at a full mailbox. See `Backoff`."""

    BLOCK = "block"
    """`send` and `ask` wait for space, first come, first served. `tell` never waits; it raises `MailboxFull`."""
    DROP_OLDEST = "drop oldest"
    """The oldest message becomes a dead letter. If it was an ask, its asker gets `MailboxFull`."""
    DROP_NEWEST = "drop newest"
    """The new message becomes a dead letter. If it is an ask, its asker gets `MailboxFull`."""
    FAIL = "fail"
    """The sender gets `MailboxFull`."""


@attrs.frozen
class Backoff:
    """An overflow policy with which `send` and `ask` try again, `retries` times, and then raise `MailboxFull`.

    The first wait is `first_seconds`, and each next one is `factor` times longer. `tell` never waits; it raises
    `MailboxFull` at once.
    """

    retries: int = attrs.field(default=6, validator=[attrs.validators.instance_of(int), attrs.validators.ge(1)])
    first_seconds: float = attrs.field(default=0.001, validator=attrs.validators.gt(0.0))
    factor: float = attrs.field(default=2.0, validator=attrs.validators.ge(1.0))

    def delays(self) -> Iterator[float]:
        """Seconds to wait before each retry."""
        seconds = self.first_seconds
        for _ in range(self.retries):
            yield seconds
            seconds *= self.factor


OverflowPolicy = Overflow | Backoff


T = TypeVar("T")

CLOSED = "its mailbox is closed"
"""The reason of the `ActorDown` of a sender to a closed mailbox."""

TURNS = 256
"""Operations between two checkpoints. At 0.7 µs each, other tasks wait at most 0.2 ms for a busy sender.

With half as many, receivers would wake twice as often for the same messages, and a wake-up is more expensive than
several messages.
"""

turns = count(1)
MASK = TURNS - 1  # the cheapest test for a multiple of TURNS, which is a power of two


async def maybe_checkpoint() -> None:
    """Execute a checkpoint on every `TURNS`-th call. A cancellation takes effect only then."""
    if not next(turns) & MASK:
        await checkpoint()


class Ticket(Generic[T]):
    """A value in the line of a full mailbox, and the waiting task, if any, to wake when the value is queued."""

    __slots__ = ("admitted", "task", "value")

    def __init__(self, value: T, task: Task | None) -> None:
        self.value = value
        self.task = task
        self.admitted = False

    def admit(self) -> None:
        """Record that the value has been queued, and wake its task."""
        self.admitted = True
        if self.task is not None:
            reschedule(self.task, WOKEN)


class Mailbox(trio.abc.SendChannel[T], trio.abc.ReceiveChannel[T]):
    """A bounded queue of values between any number of senders and one receiving task, or several (`spares`).

    `queue` is public: a receiver can take values from it directly, which saves a call per value. Such a receiver
    must call `admit` to move values from the line into the free space.
    """

    __slots__ = (
        "bound",
        "capacity",
        "closed",
        "dropped",
        "limit",
        "line",
        "name",
        "overflow",
        "queue",
        "spares",
        "token",
        "urgent",
        "waiter",
    )

    def __init__(self, name: str, capacity: int, overflow: OverflowPolicy = Overflow.BLOCK) -> None:
        if not isinstance(capacity, int) or capacity < 1:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError(f"mailbox {name}: capacity must be a whole number of at least 1, not {capacity!r}")
        if not isinstance(overflow, OverflowPolicy):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"mailbox {name}: overflow must be an Overflow or a Backoff, not {overflow!r}")
        self.name = name
        self.capacity = capacity
        self.overflow = overflow
        self.queue: deque[T] = deque()
        self.urgent: deque[T] | None = None
        self.line: OrderedDict[Ticket[T], None] | None = None
        # The largest length of the queue. A subclass makes it larger while some queued values do not count.
        self.bound = capacity
        # A value is queued at once while the queue is shorter than `limit`: `bound`, or 0 while values wait in
        # the line and after closing. Senders compare only this number.
        self.limit = capacity
        self.closed = False
        self.dropped: int = 0
        # The task that is woken for the next value, if one waits.
        self.waiter: Task | None = None
        # The other tasks that wait, if the mailbox has several receivers; None if it has one.
        self.spares: list[Task] | None = None
        # The run of the receiver, once one has waited; another thread wakes the receiver through it.
        self.token: trio.lowlevel.TrioToken | None = None

    def __len__(self) -> int:
        return len(self.queue)

    # Sending

    async def send(self, value: T) -> None:
        """Queue `value`. If the mailbox is full, apply the overflow policy, which may wait for space.

        Raises `ActorDown` when closed, and `MailboxFull` when the policy says so.
        """
        if not next(turns) & MASK:
            await checkpoint()  # before queueing: a cancelled send was not sent
        if len(self.queue) < self.limit:
            self.queue.append(value)
            if self.waiter is not None:
                self.wake()
        else:
            await self.send_to_full(value)

    async def send_to_full(self, value: T) -> None:
        """Apply the overflow policy to `value`, because the mailbox is full or closed. Raises as `send` does."""
        if self.overflow is Overflow.BLOCK:
            await self._send_in_line(value)
        elif isinstance(self.overflow, Backoff):
            await self._send_with_retries(value, self.overflow)
        else:
            self._overflowed(value)

    def send_nowait(self, value: T) -> None:
        """Queue `value` without waiting. Raises `ActorDown`, and `MailboxFull` unless the policy drops a value."""
        if len(self.queue) < self.limit:
            self.queue.append(value)
            if self.waiter is not None:
                self.wake()
        else:
            self._overflowed(value)

    def send_urgent(self, value: T) -> None:
        """Put `value` into the urgent lane, whose values overtake the queue.

        The lane is unbounded. Only the runtime uses it.
        """
        if self.urgent is None:
            self.urgent = deque()
        self.urgent.append(value)
        self.wake()

    def join_line(self, ticket: Ticket[T]) -> None:
        """Append the value of `ticket` to the line. Its task is woken when it is queued. Raises `ActorDown`."""
        self._raise_if_closed()
        self._raise_if_elsewhere()
        if self.line is None:
            self.line = OrderedDict()
        self.line[ticket] = None
        self.limit = 0
        if self.waiter is not None:  # of several receivers, some of which have not come to their values yet
            self.wake()

    def leave_line(self, ticket: Ticket[T]) -> None:
        """Remove `ticket` from the line if it is still there. Its value was then not sent."""
        if self.line and ticket in self.line:
            del self.line[ticket]
            self._reopen_if_no_line()

    async def _send_in_line(self, value: T) -> None:
        ticket = Ticket(value, current_task())
        self.join_line(ticket)

        def abort(_: RaiseCancelT) -> Abort:
            self.leave_line(ticket)
            return Abort.SUCCEEDED

        await wait_task_rescheduled(abort)
        if not ticket.admitted:
            raise ActorDown(self.name, CLOSED)

    async def _send_with_retries(self, value: T, policy: Backoff) -> None:
        for seconds in policy.delays():
            self._raise_if_closed()
            await trio.sleep(seconds)
            if len(self.queue) < self.limit:
                self.send_nowait(value)
                return
        self._overflowed(value)

    def _overflowed(self, value: T) -> None:
        self._raise_if_closed()
        self._raise_if_elsewhere()
        if self.overflow is Overflow.DROP_OLDEST:
            self.drop_oldest()
            self.queue.append(value)
        elif self.overflow is Overflow.DROP_NEWEST:
            self.drop(value, "mailbox full")
        else:
            raise MailboxFull(self.name, self.capacity)

    def _raise_if_closed(self) -> None:
        if self.closed:
            raise ActorDown(self.name, CLOSED)

    def _raise_if_elsewhere(self) -> None:
        if self.token is not None and not in_run(self.token):
            raise WrongThread(self.name, "send to the full mailbox", "use tell_from_thread")

    def _reopen_if_no_line(self) -> None:
        if not self.line and not self.closed:
            self.limit = self.bound

    def drop_oldest(self) -> None:
        """Make room in the full queue: drop its oldest value."""
        self.drop(self.queue.popleft(), "mailbox full")

    def drop(self, value: T, reason: str) -> None:  # noqa: ARG002  a subclass uses them
        """Count a value that is lost for the given `reason`. A subclass can keep it."""
        self.dropped += 1

    # Receiving

    async def receive(self) -> T:
        """The next value, urgent ones first. Raises `trio.EndOfChannel` when closed and empty."""
        await maybe_checkpoint()
        while True:
            try:
                return self.receive_nowait()
            except trio.WouldBlock:
                self._begin_wait()
                if self.queue:  # from another thread, since it was found empty
                    self.waiter = None
                else:
                    await wait_task_rescheduled(self.abort_wait)

    def receive_nowait(self) -> T:
        """The next value. When empty, raises `trio.EndOfChannel` if closed and `trio.WouldBlock` if not."""
        if self.urgent:
            return self.urgent.popleft()
        if self.queue:
            value = self.queue.popleft()
            if self.line:
                self.admit()
            return value
        if self.closed:
            raise trio.EndOfChannel
        raise trio.WouldBlock

    async def wait(self) -> None:
        """Wait until a value is sent or the mailbox is closed.

        Raises `trio.BusyResourceError` if another task waits already.
        """
        self._begin_wait()
        await wait_task_rescheduled(self.abort_wait)

    def _begin_wait(self) -> None:
        if self.waiter is not None:
            raise trio.BusyResourceError(f"another task already receives from mailbox {self.name}")
        self.token = trio.lowlevel.current_trio_token()
        self.waiter = current_task()

    def abort_wait(self, _: RaiseCancelT) -> Abort:
        """Record that the receiver no longer waits, because it was cancelled."""
        self.waiter = None
        return Abort.SUCCEEDED

    def add_receiver(self, task: Task) -> None:
        """Register one of several receivers, which now waits. It is woken for one value."""
        if self.waiter is None or self.spares is None:
            self.waiter = task
        else:
            self.spares.append(task)

    def remove_receiver(self, task: Task) -> bool:
        """Return whether one of several receivers still waits, and no longer wake it for a value."""
        if self.waiter is task:
            self.waiter = self.spares.pop() if self.spares else None
            return True
        if self.spares and task in self.spares:
            self.spares.remove(task)
            return True
        return False

    def wake_for_waiting(self) -> None:
        """Wake as many receivers as values wait, because a receiver that was woken for one has ended."""
        for _ in range(len(self.queue) + len(self.line or ())):
            if self.waiter is None:
                return
            self.wake()

    def wake(self) -> None:
        """Wake the receiving task, if it waits. In another thread than the task's, it wakes a moment later."""
        waiter = self.waiter
        if waiter is None:
            return
        try:
            reschedule(waiter, WOKEN)
        except (RuntimeError, AssertionError):  # trio's own refusals outside of the task's run
            if self.token is None or in_run(self.token):
                raise
            self.token.run_sync_soon(self.wake)
        else:
            self.waiter = self.spares.pop() if self.spares else None

    def admit(self) -> None:
        """Queue values from the line while there is space, and wake their senders."""
        line, queue = self.line, self.queue
        while line and len(queue) < self.bound:
            ticket, _ = line.popitem(last=False)
            queue.append(ticket.value)
            ticket.admit()
        self._reopen_if_no_line()

    # Closing

    def close(self) -> None:
        """Refuse new values. Queued values can still be received.

        Values in the line were not sent; their senders get `ActorDown`.
        """
        self.closed = True
        self.limit = 0
        line, self.line = self.line, None
        for ticket in line or ():
            if ticket.task is not None:
                reschedule(ticket.task, WOKEN)
            else:
                self.drop(ticket.value, "mailbox closed")
        self.wake()
        while self.waiter is not None and self.spares is not None:
            self.wake()

    def reopen(self) -> None:
        """Accept values again after `close`."""
        self.closed = False
        self._reopen_if_no_line()

    async def aclose(self) -> None:
        """Close, as trio's channels do."""
        self.close()
        await checkpoint()
