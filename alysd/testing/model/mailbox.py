"""The model of one mailbox, with lists instead of tasks, and with an outcome for every message.

Each message is exactly one of: recorded, refused, the cause of a crash, dropped and counted, abandoned by its
sender, never accepted, or still waiting. Time is modelled by `tree`, not here.
"""

from enum import Enum

import attrs

from alysd.nurseries import OnCrash, Overflow
from alysd.testing.model.commands import Action, ChildPlan, SendMode


class SendOutcome(Enum):
    """The outcome of a message for its sender."""

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
class Message:
    """One message of a program: its number, how it is sent, the actor's reaction, and the outcome."""

    number: int
    mode: SendMode
    action: Action
    deadline: float
    outcome: SendOutcome = SendOutcome.WAITING
    stale: bool = False
    """Whether it is the message of a timer whose instance has ended."""
    extra: bool = False
    """Whether it has returned to a mailbox that had been filled meanwhile, and takes no place in it."""
    retried: bool = False
    """Whether it is handled for the second time, because the first one crashed the actor."""

    @property
    def asked(self) -> bool:
        """Whether the sender expects an answer."""
        return self.mode is SendMode.ASK

    @property
    def awaits_answer(self) -> bool:
        """Whether the sender is waiting for an answer now."""
        return self.asked and self.outcome is SendOutcome.WAITING

    @property
    def abandoned(self) -> bool:
        """Whether the sender no longer waits for the answer."""
        return self.asked and self.outcome is not SendOutcome.WAITING

    def end(self, outcome: SendOutcome) -> None:
        """Set the outcome if the sender is still waiting."""
        if self.outcome is SendOutcome.WAITING:
            self.outcome = outcome

    def accepted(self) -> None:
        """Note that the message is queued: a `tell` or `send` is done, an `ask` continues to wait."""
        if not self.asked:
            self.end(SendOutcome.SENT)


@attrs.define(eq=False)
class MailboxModel:
    """The model of a mailbox, with the policies and the counters of the real one."""

    plan: ChildPlan
    queue: list[Message] = attrs.field(factory=list[Message])
    line: list[Message] = attrs.field(factory=list[Message])
    closed: bool = False
    written: list[int] = attrs.field(factory=list[int])
    handled: int = 0
    refused: int = 0
    dropped: int = 0
    abandoned: int = 0
    deferred: list[Message] = attrs.field(factory=list[Message])
    """Asks of the present instance whose answers are deferred."""
    timers_set: list[Message] = attrs.field(factory=list[Message])
    """Messages that have set a timer of the present instance since `take_timers_set`."""

    @property
    def has_room(self) -> bool:
        """Whether a new message would be queued at once."""
        return self.waiting < self.plan.capacity and not self.line

    @property
    def waiting(self) -> int:
        """The number of queued messages that take a place; abandoned asks and a returned message take none."""
        return sum(not (message.abandoned or message.extra) for message in self.queue)

    @property
    def keeps(self) -> bool:
        """Whether messages are queued, other than those of timers, which end with their instance."""
        return any(message.action is not Action.DUE for message in self.queue)

    def offer(self, message: Message) -> None:
        """Queue a message, or apply the overflow policy."""
        if self.closed:
            message.end(SendOutcome.DOWN)
        elif self.has_room:
            self.queue.append(message)
            message.accepted()
        else:
            self._overflow(message)

    def _overflow(self, message: Message) -> None:
        match self.plan.overflow:
            case Overflow.BLOCK if message.mode is not SendMode.TELL:
                self.line.append(message)
            case Overflow.DROP_OLDEST:
                droppable = (
                    old for old in self.queue if not (old.action is Action.DUE or old.abandoned or old.extra)
                )
                oldest = next(droppable, None)
                if oldest is not None:
                    self.queue.remove(oldest)
                    self.drop(oldest, SendOutcome.FULL)
                self.queue.append(message)
                message.accepted()
            case Overflow.DROP_NEWEST:
                message.accepted()
                self.drop(message, SendOutcome.FULL)
            case _:
                message.end(SendOutcome.FULL)

    def drop(self, message: Message, outcome: SendOutcome) -> None:
        """Drop and count a message, as a policy requires. A message of a timer that has ended is not counted."""
        self.dropped += not message.stale
        message.end(outcome)

    def serve(self) -> bool:
        """Handle all messages. Return True if one crashed the actor; the messages after it stay queued."""
        while self.queue or self.line:
            while self.queue:
                if not self._handle(self.queue.pop(0)):
                    return True
            self._admit()
        return False

    def _handle(self, message: Message) -> bool:
        if message.abandoned:
            self.abandoned += 1
            return True
        match message.action:
            case Action.REFUSE:
                self.refused += 1
                message.end(SendOutcome.REFUSED)
            case Action.CRASH:
                self._crashed_over(message)
                return False
            case _:
                if not message.stale:
                    self._do(message)
        return True

    def _do(self, message: Message) -> None:
        """Handle a message that neither fails nor is refused."""
        if message.action is Action.REPLY:
            for asked in self.deferred:
                asked.end(SendOutcome.ANSWERED)
            self.deferred.clear()
        elif message.action is Action.SET_TIMER:
            self.timers_set.append(message)
        self.written.append(message.number)
        self.handled += 1
        if message.action is Action.DEFER and message.asked:
            self.deferred.append(message)
        else:
            message.end(SendOutcome.ANSWERED)

    def take_timers_set(self) -> list[Message]:
        """Return the messages that have set timers since the last call."""
        taken, self.timers_set = self.timers_set, []
        return taken

    def end_instance(self, outcome: SendOutcome) -> None:
        """Let the deferred asks end with `outcome`. Messages of timers that wait will not be handled."""
        for asked in self.deferred:
            asked.end(outcome)
        self.deferred.clear()
        for message in self.queue:
            message.stale = message.action is Action.DUE

    def _crashed_over(self, message: Message) -> None:
        if message.asked:
            message.end(SendOutcome.CRASHED)
        elif self.plan.on_crash is OnCrash.RETRY and not message.retried:
            message.retried = True
            message.extra = self.waiting >= self.plan.capacity
            self.queue.insert(0, message)
        else:
            self.drop(message, SendOutcome.DOWN)

    def _admit(self) -> None:
        while self.line and self.waiting < self.plan.capacity:
            message = self.line.pop(0)
            self.queue.append(message)
            message.accepted()

    def leave(self, message: Message, outcome: SendOutcome) -> None:
        """End the wait of the sender. A message that is not queued is not sent; a queued ask is abandoned."""
        message.end(outcome)
        if message in self.line:
            self.line.remove(message)
        elif len(self.queue) - self.waiting >= self.plan.capacity:
            self._sweep()
        self._admit()

    def _sweep(self) -> None:
        self.abandoned += sum(message.abandoned for message in self.queue)
        self.queue = [message for message in self.queue if not message.abandoned]

    def open_circuit(self) -> None:
        """Let all waiting asks fail, because the circuit breaker opens."""
        self._sweep()
        for message in (*self.queue, *self.line):
            if message.asked:
                self.drop(message, SendOutcome.OPEN)
        self.queue = [message for message in self.queue if not message.asked]
        self.line = [message for message in self.line if not message.asked]
        self._admit()

    def close(self) -> None:
        """Accept no more messages. Queued messages can still be handled."""
        self.closed = True
        for message in self.line:
            if message.asked:
                self.drop(message, SendOutcome.DOWN)
            message.end(SendOutcome.DOWN)
        self.line.clear()

    def shut(self) -> None:
        """Close, and drop the queued messages."""
        self.close()
        for message in self.queue:
            self.drop(message, SendOutcome.DOWN)
        self.queue.clear()
