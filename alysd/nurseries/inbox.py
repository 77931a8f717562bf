"""The mailbox of an actor: its entries, its dead letters, and the asks whose askers have given up.

A message that was accepted and whose handling is never completed becomes a `DeadLetter`.
"""

from collections import deque
from collections.abc import Iterable
from time import perf_counter

import attrs

from alysd.nurseries.asks import Pending, Waiter, begin_wait, end_wait, handling, is_awaited
from alysd.nurseries.errors import ActorDown, MailboxFull, NotAnswered
from alysd.nurseries.mailbox import Mailbox, OverflowPolicy, Ticket
from alysd.nurseries.signals import Signal
from alysd.nurseries.trace import TracedMessage

Entry = tuple[object, float, Pending | None]
"""A message, the `perf_counter()` time at which it was sent, and its `Pending` if it is an ask.

It is a plain tuple: one is created for every message, and an object with slots costs ten times as much.
"""


class RetriedEntry(tuple[object, float, Pending | None]):
    """An entry that is handled for the second and last time, because its first handling crashed the actor.

    The mark belongs to the entry and not to the address, because another worker may take the entry.
    """

    __slots__ = ()


DEAD_LETTERS_KEPT = 32
"""Number of dead letters kept per actor, the newest ones. All dead letters are counted."""


@attrs.frozen
class ReturnedMessage:
    """Stands in a full queue for a message that the actor had taken and that returned. It takes no place."""

    entry: Entry

    @property
    def message(self) -> object:
        """The message."""
        return self.entry[0]


def content(message: object) -> object:
    """The program's message in a queue, without the wrapper of a returned message, a trace or a signal."""
    while isinstance(message, ReturnedMessage | TracedMessage | Signal):
        message = message.message
    return message


@attrs.frozen
class DeadLetter:
    """A message that was sent, or offered to a full mailbox, and whose handling was not completed."""

    to: str
    message: object
    reason: str
    waited: float
    """Seconds from sending the message until it was given up."""


class Inbox(Mailbox[Entry]):
    """The mailbox of an actor. It keeps dead letters, and fails an ask whose message is dropped.

    Two kinds of queued entries do not count against the capacity: messages that have returned to a full queue
    (`ReturnedMessage`), and asks whose askers have given up. `bound` is the capacity plus the number of these
    entries. Abandoned asks are skipped when the actor takes them from the queue. If there are `capacity` of them,
    they are all removed at once, so that each one costs a constant time.
    """

    __slots__ = ("abandoned", "dead_letters", "waits_for")

    def __init__(self, name: str, capacity: int, overflow: OverflowPolicy) -> None:
        super().__init__(name, capacity, overflow)
        # Asks that were not handled because their asker had given up.
        self.abandoned = 0
        self.dead_letters: deque[DeadLetter] | None = None
        self.waits_for: list[Waiter] | None = None

    def share(self, workers: Iterable[Waiter]) -> None:
        """Have several receivers, the workers of a pool. Each registers with `add_receiver` before it waits."""
        self.spares = self.spares or []
        self.waits_for = list(workers)

    def unshare(self) -> None:
        """Have a single receiver again."""
        self.spares = self.waits_for = None

    @property
    def waits_for_any(self) -> bool:
        """Whether this is the mailbox of a pool, which can continue when one of its workers can."""
        return self.spares is not None

    @property
    def depth(self) -> int:
        """The number of queued messages that count against the capacity, and of signals of timers and watches."""
        return len(self.queue) - (self.bound - self.capacity)

    def vacate(self) -> None:
        """Make room for one more message, because the asker of a queued ask has given up."""
        self.bound += 1
        if self.bound >= 2 * self.capacity:
            queued = [entry for entry in self.queue if not _is_abandoned(entry)]
            self.abandoned += len(self.queue) - len(queued)
            self.queue.clear()
            self.queue.extend(queued)
            self._reset_bound()
        if self.line:
            self.admit()
        elif not self.closed:
            self.limit = self.bound

    def skip(self) -> None:
        """Count an ask that was taken from the queue and is not handled, because its asker has given up."""
        self.abandoned += 1
        self._took_no_place()

    def _took_no_place(self) -> None:
        """Adjust the bound, because an entry without a place has left the queue."""
        if self.bound > self.capacity:
            self.bound -= 1
            if self.limit:
                self.limit = self.bound

    def _reset_bound(self) -> None:
        """Count the entries without a place again, after asks have left the queue."""
        self.bound = self.capacity + sum(isinstance(message, ReturnedMessage) for message, _, _ in self.queue)

    def fail_asks(self, error: NotAnswered) -> None:
        """Let all asks in the queue and in the line fail. They become dead letters."""
        queued = tuple(self.queue)
        self.queue.clear()
        self.queue.extend(entry for entry in queued if entry[2] is None)
        self._reset_bound()
        for entry in queued:
            if entry[2] is not None:
                self._fail_ask(entry, error)
        for ticket in tuple(self.line or ()):
            if ticket.value[2] is not None:
                self.leave_line(ticket)
                self._fail_ask(ticket.value, error)
        self.admit()

    def _fail_ask(self, entry: Entry, error: NotAnswered) -> None:
        pending = entry[2]
        if pending is not None and pending.task is not None:
            pending.fail(error)
            self.drop((entry[0], entry[1], None), str(error))
        else:
            self.abandoned += 1

    def drop(self, value: Entry, reason: str) -> None:
        """Count the message and keep it as a dead letter. An ask fails."""
        message, sent_at, pending = value
        if isinstance(message, Signal) and not message.active:
            return  # nobody waits for it: its instance has ended, or has cancelled it
        super().drop(value, reason)
        message = content(message)
        if self.dead_letters is None:
            self.dead_letters = deque(maxlen=DEAD_LETTERS_KEPT)
        self.dead_letters.append(DeadLetter(self.name, message, reason, perf_counter() - sent_at))
        if pending is not None:
            full = reason == "mailbox full"
            pending.fail(MailboxFull(self.name, self.capacity) if full else ActorDown(self.name, reason))

    def drop_oldest(self) -> None:
        """Drop the oldest message that takes a place and is no signal, if there is one."""
        for place, entry in enumerate(self.queue):
            if not isinstance(entry[0], Signal | ReturnedMessage) and not _is_abandoned(entry):
                del self.queue[place]
                self.drop(entry, "mailbox full")
                return

    async def _send_in_line(self, value: Entry) -> None:
        sender = handling.get()
        if sender is None or not is_awaited(sender):
            await super()._send_in_line(value)
            return
        begin_wait(sender.waiter, self)
        try:
            await super()._send_in_line(value)
        finally:
            end_wait(sender.waiter, self)

    def requeue(self, entry: Entry) -> None:
        """Return an entry, which the actor had already taken, to the head of the queue.

        If the queue is full by now, the entry is wrapped in a `ReturnedMessage`, which takes no place in it;
        `take_again` unwraps it.
        """
        if len(self.queue) >= self.bound:
            self.bound += 1
            if self.limit:
                self.limit = self.bound
            entry = (ReturnedMessage(entry), entry[1], entry[2])
        self.queue.appendleft(entry)
        self.wake()

    def take_again(self, returned: ReturnedMessage) -> Entry:
        """The entry that had returned to the full queue and was taken again."""
        self._took_no_place()
        return returned.entry

    def clear_urgent(self, reason: str) -> None:
        """Drop the urgent entries, which were meant for the instance that has ended."""
        urgent, self.urgent = self.urgent, None
        fail_urgent(urgent or (), ActorDown(self.name, reason))

    def drop_all(self, reason: str) -> None:
        """Drop every queued message."""
        while self.queue:
            self.drop(self.queue.popleft(), reason)
        self.bound = self.capacity


def fail_urgent(entries: Iterable[Entry], error: ActorDown) -> None:
    """Let the health checks and other queries among these urgent entries fail."""
    for _, _, pending in entries:
        if pending is not None:
            pending.fail(error)


def _is_abandoned(entry: Entry) -> bool:
    pending = entry[2]
    return pending is not None and pending.task is None


class AskTicket(Ticket[Entry]):
    """An ask in the line of a full mailbox. Its task waits for the answer, not for the place in the queue."""

    __slots__ = ("_inbox", "_pending")

    def __init__(self, inbox: Inbox, entry: Entry, pending: Pending) -> None:
        super().__init__(entry, None)
        self._inbox = inbox
        self._pending = pending
        pending.place = self

    def admit(self) -> None:
        """Record that the ask has been queued."""
        super().admit()
        self._pending.place = self._inbox

    def vacate(self) -> None:
        """Take the ask out of the line, because the asker has given up."""
        self._inbox.leave_line(self)
