"""The mailbox of an actor: messages with the time they were sent and, for an ask, who waits."""

from collections import deque
from time import perf_counter

import attrs

from alysd.nurseries.errors import ActorDown, MailboxFull
from alysd.nurseries.mailbox import Mailbox
from alysd.nurseries.overflow import OverflowPolicy
from alysd.nurseries.trace import TracedMessage
from alysd.nurseries.waits import Waiter, begin_wait, end_wait, handling
from alysd.nurseries.wheel import Pending

Entry = tuple[object, float, Pending | None]
"""A message, `perf_counter()` when it was sent, and the ask it belongs to if it is one.

A plain tuple: it costs a tenth of a slotted object, and one is made for every message.
"""

DEAD_LETTERS_KEPT = 32
"""Dead letters kept an actor, the newest. All are counted; these are for a person to look at."""


@attrs.frozen
class DeadLetter:
    """A message that was accepted, or offered, but never handled to its end."""

    to: str
    message: object
    reason: str
    waited: float
    """Seconds from sending to this."""


class Inbox(Mailbox[Entry]):
    """A mailbox that tells askers when their message is dropped, and keeps dead letters."""

    __slots__ = ("dead_letters", "waits_for")

    def __init__(self, name: str, capacity: int, overflow: OverflowPolicy) -> None:
        super().__init__(name, capacity, overflow)
        self.dead_letters: deque[DeadLetter] | None = None
        self.waits_for: list[Waiter] | None = None

    def drop(self, value: Entry, reason: str) -> None:
        """Count the message, keep it as a dead letter and tell its asker."""
        super().drop(value, reason)
        message, sent_at, pending = value
        if isinstance(message, TracedMessage):
            message = message.message
        if self.dead_letters is None:
            self.dead_letters = deque(maxlen=DEAD_LETTERS_KEPT)
        self.dead_letters.append(DeadLetter(self.name, message, reason, perf_counter() - sent_at))
        if pending is not None:
            full = reason == "mailbox full"
            pending.fail(MailboxFull(self.name, self.capacity) if full else ActorDown(self.name, reason))

    async def _send_in_line(self, value: Entry) -> None:
        sender = handling.get()
        if sender is None:
            await super()._send_in_line(value)
            return
        begin_wait(sender, self)
        try:
            await super()._send_in_line(value)
        finally:
            end_wait(sender, self)

    def put_back(self, entry: Entry) -> None:
        """Return an entry that was taken, to be the next one again."""
        self.queue.appendleft(entry)
        self.taken -= 1

    def clear_urgent(self, reason: str) -> None:
        """Drop the signals that wait: they were meant for an instance that has ended."""
        urgent, self.urgent = self.urgent, None
        for _, _, pending in urgent or ():
            if pending is not None:
                pending.fail(ActorDown(self.name, reason))

    def discard_all(self, reason: str) -> None:
        """Drop every message that waits."""
        while self.queue:
            self.taken += 1
            self.drop(self.queue.popleft(), reason)
