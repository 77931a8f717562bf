"""The model of one mailbox: lists instead of tasks, and every message accounted for.

A message given is exactly one of: written, refused, crashed over, dropped and counted, abandoned by its
asker, never accepted, or still waiting. Nothing here waits; time is the business of `tree`.
"""

from enum import Enum

import attrs

from alysd.nurseries import OnCrash, Overflow
from alysd.testing.model.commands import ChildPlan, Deed, Manner


class Fate(Enum):
    """What the sender of a message got."""

    WAITING = "waits for room or for the answer"
    SENT = "sent"
    ANSWERED = "answered"
    REFUSED = "refused"
    CRASHED = "the handler crashed"
    TIMEOUT = "no answer in time"
    DOWN = "the actor is down"
    OPEN = "the actor is down for now: its circuit is open"
    FULL = "the mailbox is full"
    CANCELLED = "cancelled"


@attrs.define(eq=False)
class Letter:
    """One message of a program: its number, what it does, how it was given, what came of it."""

    number: int
    manner: Manner
    deed: Deed
    deadline: float
    fate: Fate = Fate.WAITING

    @property
    def asked(self) -> bool:
        """Whether somebody wants an answer."""
        return self.manner is Manner.ASK

    def end(self, fate: Fate) -> None:
        """The sender gets this, if it still waits for something."""
        if self.fate is Fate.WAITING:
            self.fate = fate

    def accepted(self) -> None:
        """It is queued: a sender is done, an asker waits on."""
        if not self.asked:
            self.end(Fate.SENT)


@attrs.define(eq=False)
class MailboxModel:
    """A mailbox by its policies, with the counters of the real one."""

    plan: ChildPlan
    queue: list[Letter] = attrs.field(factory=list[Letter])
    line: list[Letter] = attrs.field(factory=list[Letter])
    closed: bool = False
    written: list[int] = attrs.field(factory=list[int])
    handled: int = 0
    refused: int = 0
    dropped: int = 0
    abandoned: int = 0
    retried: Letter | None = None

    @property
    def has_room(self) -> bool:
        """Whether a newcomer is queued at once."""
        return len(self.queue) < self.plan.capacity and not self.line

    def offer(self, letter: Letter) -> None:
        """A message comes."""
        if self.closed:
            letter.end(Fate.DOWN)
        elif self.has_room:
            self.queue.append(letter)
            letter.accepted()
        else:
            self._overflow(letter)

    def _overflow(self, letter: Letter) -> None:
        match self.plan.overflow:
            case Overflow.BLOCK if letter.manner is not Manner.TELL:
                self.line.append(letter)
            case Overflow.DROP_OLDEST:
                self.drop(self.queue.pop(0), Fate.FULL)
                self.queue.append(letter)
                letter.accepted()
            case Overflow.DROP_NEWEST:
                letter.accepted()
                self.drop(letter, Fate.FULL)
            case _:
                letter.end(Fate.FULL)

    def drop(self, letter: Letter, fate: Fate) -> None:
        """A message is lost, by a policy that has a name, and counted."""
        self.dropped += 1
        letter.end(fate)

    def serve(self) -> bool:
        """Handle all there is. True when that crashed the actor; what is left then waits."""
        while self.queue or self.line:
            while self.queue:
                if not self._handle(self.queue.pop(0)):
                    return True
            self._admit()
        return False

    def _handle(self, letter: Letter) -> bool:
        if letter.asked and letter.fate is not Fate.WAITING:
            self.abandoned += 1
            return True
        match letter.deed:
            case Deed.WRITE:
                self.written.append(letter.number)
                self.handled += 1
                letter.end(Fate.ANSWERED)
            case Deed.REFUSE:
                self.refused += 1
                letter.end(Fate.REFUSED)
            case Deed.TRIP:
                self._crashed_over(letter)
                return False
        return True

    def _crashed_over(self, letter: Letter) -> None:
        if letter.asked:
            letter.end(Fate.CRASHED)
        elif self.plan.on_crash is OnCrash.RETRY and self.retried is not letter:
            self.retried = letter
            self.queue.insert(0, letter)
        else:
            self.drop(letter, Fate.DOWN)

    def _admit(self) -> None:
        while self.line and len(self.queue) < self.plan.capacity:
            letter = self.line.pop(0)
            self.queue.append(letter)
            letter.accepted()

    def leave(self, letter: Letter, fate: Fate) -> None:
        """The sender waits no longer. In line it was not sent; in the queue its ask is abandoned."""
        letter.end(fate)
        if letter in self.line:
            self.line.remove(letter)

    def close(self) -> None:
        """Take nothing more; what is queued can still be handled."""
        self.closed = True
        for letter in self.line:
            if letter.asked:
                self.drop(letter, Fate.DOWN)
            letter.end(Fate.DOWN)
        self.line.clear()

    def shut(self) -> None:
        """Close, and drop what is queued."""
        self.close()
        for letter in self.queue:
            self.drop(letter, Fate.DOWN)
        self.queue.clear()
