"""A bounded memory channel with overflow policies and an urgent lane.

`Mailbox` implements `trio.abc.SendChannel` and `trio.abc.ReceiveChannel`. It is an order of magnitude faster than
trio's own memory channel for two reasons: `send` and `receive` execute a checkpoint only every `TURNS` operations
of the process, and a waiting receiver is woken once for all values that have arrived.

Guarantees, kept by tests:

- Order: values sent by one task are received in the order they were sent; the urgent lane comes before the queue.
- A `send` that raises was not sent. A `send` that returns was sent, whatever is cancelled afterwards.
- At most `capacity` values are queued; waiting senders stand in one line, first come, first served.
- Every value sent is received, or passed to `drop` and counted in `dropped`.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator
from enum import Enum
from itertools import count
from typing import Generic, TypeVar

import attrs
import trio
from trio.lowlevel import Abort, RaiseCancelT, Task, checkpoint, current_task, reschedule, wait_task_rescheduled

from alysd.nurseries.errors import ActorDown, MailboxFull


class Overflow(Enum):
    """The policies of a full mailbox for one more message. `Backoff` is a further policy, with parameters."""

    BLOCK = "block"
    """`send` and `ask` wait for space, in order of arrival; `tell`, which never waits, raises `MailboxFull`."""
    DROP_OLDEST = "drop oldest"
    """The oldest message becomes a dead letter; if it was an ask, its asker gets `MailboxFull`."""
    DROP_NEWEST = "drop newest"
    """The new message becomes a dead letter; if it is an ask, the asker gets `MailboxFull`."""
    FAIL = "fail"
    """The sender gets `MailboxFull`."""


@attrs.frozen
class Backoff:
    """`send` and `ask` retry `retries` times: after `first_seconds`, then after `factor` times longer each time.

    They raise `MailboxFull` when the last retry fails. `tell` never waits and raises it at once.
    """

    retries: int = attrs.field(default=6, validator=attrs.validators.ge(1))
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

TURNS = 256
"""Operations between two checkpoints: at 0.7 µs each, other tasks wait at most 0.2 ms for a busy sender.

With half of it, each of many receivers would wake twice as often for the same messages, and a wake-up is more
expensive than several messages.
"""

_turns = count(1)
_MASK = TURNS - 1  # TURNS is a power of two: a mask is the cheapest test for a multiple of it


async def maybe_checkpoint() -> None:
    """Execute a checkpoint on every `TURNS`-th call; cancellation is noticed only then."""
    if not next(_turns) & _MASK:
        await checkpoint()


class Ticket(Generic[T]):
    """A value in the line of a full mailbox, and the task to wake when it is queued, if one waits."""

    __slots__ = ("admitted", "task", "value")

    def __init__(self, value: T, task: Task | None) -> None:
        self.value = value
        self.task = task
        self.admitted = False


class Mailbox(trio.abc.SendChannel[T], trio.abc.ReceiveChannel[T]):
    """A bounded queue of values between any number of senders and one receiving task.

    `queue` is public so that a receiver can drain it without a call per value. A receiver that does so adds to
    `taken`, and calls `admit` when there is space for the values in the line.
    """

    __slots__ = (
        "capacity",
        "closed",
        "dropped",
        "limit",
        "line",
        "name",
        "overflow",
        "queue",
        "taken",
        "urgent",
        "waiter",
    )

    def __init__(self, name: str, capacity: int, overflow: OverflowPolicy = Overflow.BLOCK) -> None:
        if capacity < 1:
            raise ValueError(f"mailbox {name}: capacity must be at least 1, not {capacity}")
        self.name = name
        self.capacity = capacity
        self.overflow = overflow
        self.queue: deque[T] = deque()
        self.urgent: deque[T] | None = None
        self.line: OrderedDict[Ticket[T], None] | None = None
        # The length of the queue below which a value is queued at once: 0 while values wait in the line, and after
        # closing. The fast path needs one comparison instead of three.
        self.limit = capacity
        self.closed = False
        self.taken: int = 0
        self.dropped: int = 0
        self.waiter: Task | None = None

    def __len__(self) -> int:
        return len(self.queue)

    # Sending

    async def send(self, value: T) -> None:
        """Queue `value`, waiting for space if that is the policy.

        Raises `ActorDown` when closed, and `MailboxFull` according to the policy.
        """
        if not next(_turns) & _MASK:
            await checkpoint()  # before queueing: a cancelled send was not sent
        if len(self.queue) < self.limit:
            self.queue.append(value)
            waiter = self.waiter
            if waiter is not None:
                self.waiter = None
                reschedule(waiter)
        elif self.overflow is Overflow.BLOCK:
            await self._send_in_line(value)
        elif isinstance(self.overflow, Backoff):
            await self._send_with_retries(value, self.overflow)
        else:
            self._overflowed(value)

    def send_nowait(self, value: T) -> None:
        """Queue `value` without waiting. Raises `ActorDown`, and `MailboxFull` unless the policy drops a value."""
        if len(self.queue) < self.limit:
            self.queue.append(value)
            waiter = self.waiter
            if waiter is not None:
                self.waiter = None
                reschedule(waiter)
        else:
            self._overflowed(value)

    def send_urgent(self, value: T) -> None:
        """Put `value` into the lane that is received before the queue: unbounded, for the runtime only."""
        if self.urgent is None:
            self.urgent = deque()
        self.urgent.append(value)
        self.wake()

    def join_line(self, value: T, task: Task | None = None) -> Ticket[T]:
        """Append `value` to the line; `task` is woken when it is queued. Raises `ActorDown` when closed."""
        self._raise_if_closed()
        if self.line is None:
            self.line = OrderedDict()
        ticket = Ticket(value, task)
        self.line[ticket] = None
        self.limit = 0
        return ticket

    def leave_line(self, ticket: Ticket[T]) -> None:
        """Remove `ticket` if it is still in the line: its value was not sent."""
        if self.line and ticket in self.line:
            del self.line[ticket]
            self._reopen_if_no_line()

    async def _send_in_line(self, value: T) -> None:
        ticket = self.join_line(value, current_task())

        def abort(_: RaiseCancelT) -> Abort:
            self.leave_line(ticket)
            return Abort.SUCCEEDED

        await wait_task_rescheduled(abort)
        if not ticket.admitted:
            raise ActorDown(self.name, "closed")

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
        if self.overflow is Overflow.DROP_OLDEST:
            self.taken += 1
            self.drop(self.queue.popleft(), "mailbox full")
            self.queue.append(value)
        elif self.overflow is Overflow.DROP_NEWEST:
            self.drop(value, "mailbox full")
        else:
            raise MailboxFull(self.name, self.capacity)

    def _raise_if_closed(self) -> None:
        if self.closed:
            raise ActorDown(self.name, "closed")

    def _reopen_if_no_line(self) -> None:
        if not self.line and not self.closed:
            self.limit = self.capacity

    def drop(self, value: T, reason: str) -> None:  # noqa: ARG002  a subclass uses them
        """Count a value that is lost, for the given `reason`. A subclass may keep it."""
        self.dropped += 1

    # Receiving

    async def receive(self) -> T:
        """The next value, urgent ones first. Raises `trio.EndOfChannel` when closed and empty."""
        await maybe_checkpoint()
        while True:
            try:
                return self.receive_nowait()
            except trio.WouldBlock:
                await self.wait()

    def receive_nowait(self) -> T:
        """The next value if there is one. Raises `trio.WouldBlock`, or `trio.EndOfChannel` when closed."""
        if self.urgent:
            return self.urgent.popleft()
        if self.queue:
            value = self.queue.popleft()
            self.taken += 1
            if self.line:
                self.admit()
            return value
        if self.closed:
            raise trio.EndOfChannel
        raise trio.WouldBlock

    async def wait(self) -> None:
        """Wait until a value is sent or the mailbox is closed. Raises `trio.BusyResourceError` if a task waits."""
        if self.waiter is not None:
            raise trio.BusyResourceError(f"another task already receives from mailbox {self.name}")
        self.waiter = current_task()
        await wait_task_rescheduled(self.abort_wait)

    def abort_wait(self, _: RaiseCancelT) -> Abort:
        """The receiver was cancelled while it waited."""
        self.waiter = None
        return Abort.SUCCEEDED

    def wake(self) -> None:
        """Wake the receiving task, if it waits."""
        waiter = self.waiter
        if waiter is not None:
            self.waiter = None
            reschedule(waiter)

    def admit(self) -> None:
        """Queue values from the line while there is space, and wake their senders."""
        line, queue = self.line, self.queue
        while line and len(queue) < self.capacity:
            ticket, _ = line.popitem(last=False)
            ticket.admitted = True
            queue.append(ticket.value)
            if ticket.task is not None:
                reschedule(ticket.task)
        self._reopen_if_no_line()

    # Closing

    def close(self) -> None:
        """Refuse new values; those that are queued can still be received.

        Values in the line were not sent: their senders get `ActorDown`.
        """
        self.closed = True
        self.limit = 0
        line, self.line = self.line, None
        for ticket in line or ():
            if ticket.task is not None:
                reschedule(ticket.task)
            else:
                self.drop(ticket.value, "closed")
        self.wake()

    def reopen(self) -> None:
        """Accept values again after `close`."""
        self.closed = False
        self._reopen_if_no_line()

    async def aclose(self) -> None:
        """Close, as trio's channels do."""
        self.close()
        await checkpoint()
