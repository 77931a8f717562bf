"""The stable side of an actor: what others hold, and what stays when an instance crashes.

An `Address` owns the mailbox and the counters. Instances of the actor come and go behind it; messages wait
in the mailbox meanwhile, so a restart loses nothing.
"""

import os
from collections.abc import Coroutine
from time import perf_counter
from typing import Any, Generic, TypeVar

import trio
from trio.lowlevel import current_task, reschedule, wait_task_rescheduled

from alysd.nurseries.errors import ActorDown, AskTimeout, CircuitOpen, HandlerCrashed, NotAnswered
from alysd.nurseries.inbox import Entry, Inbox
from alysd.nurseries.messages import Ask, Tell
from alysd.nurseries.overflow import OnCrash, Overflow, OverflowPolicy
from alysd.nurseries.trace import carry, traces
from alysd.nurseries.waits import begin_wait, end_wait, handling
from alysd.nurseries.wheel import Pending, Wheel

P = TypeVar("P")
R = TypeVar("R")

ASK_SECONDS = 5.0
"""The usual patience of an ask: two slots of the chains this was made for, and a bit."""

_PROCESS = f"{os.getpid():x}-{os.urandom(4).hex()}"


class Address(Generic[P]):
    """Where messages of the protocol `P` are sent.

    `capacity` bounds the mailbox, `overflow` says what happens beyond, `on_crash` what becomes of the message
    that a crash interrupts. Made before the system, given to whoever needs it, and bound to its actor by the
    `actor(address, factory)` of the tree.
    """

    __slots__ = (
        "abandoned",
        "circuit_until",
        "current",
        "handled",
        "longest_wait",
        "mailbox",
        "name",
        "on_crash",
        "refused",
        "retried",
        "wheel",
    )

    def __init__(
        self,
        name: str,
        *,
        capacity: int = 1024,
        overflow: OverflowPolicy = Overflow.BLOCK,
        on_crash: OnCrash = OnCrash.DROP,
    ) -> None:
        self.name = name
        self.mailbox = Inbox(name, capacity, overflow)
        self.on_crash = on_crash
        self.wheel: Wheel | None = None
        self.circuit_until: float | None = None
        self.current: Entry | None = None
        self.retried: Entry | None = None
        # Messages handled to their end, refused by a handler, and asks whose asker had gone.
        self.handled = 0
        self.refused = 0
        self.abandoned = 0
        # The longest time a message waited, in seconds, as seen by samples of one message in 16.
        self.longest_wait = 0.0

    def __repr__(self) -> str:
        return f"<Address {self.name}: {self.depth}/{self.mailbox.capacity}>"

    @property
    def depth(self) -> int:
        """Messages that wait in the mailbox."""
        return len(self.mailbox.queue)

    @property
    def message_id(self) -> str:
        """The id of the message taken last: the process, the actor, and the message's number in its mailbox.

        Messages leave a mailbox in order, so the number needs no storing: it is the count of those taken.
        """
        return f"{_PROCESS}-{self.name}-{self.mailbox.taken}"

    def tell(self, message: Tell[P]) -> None:
        """Send without waiting.

        A full mailbox drops by its policy or raises `MailboxFull`; a stopped actor raises `ActorDown`.
        """
        self.mailbox.send_nowait((carry(message) if traces.open else message, perf_counter(), None))

    def send(self, message: Tell[P]) -> Coroutine[Any, Any, None]:
        """Send, waiting for room if that is the mailbox's policy. Cancelled, the message was not sent.

        To be awaited. Raises `ActorDown` when the actor is stopped, `MailboxFull` by policy.
        """
        return self.mailbox.send((carry(message) if traces.open else message, perf_counter(), None))

    async def ask(self, message: Ask[P, R], *, seconds: float = ASK_SECONDS) -> R:
        """Send and wait for the answer, at most `seconds` in all.

        Raises what the handler refused with, or a `NotAnswered`: `HandlerCrashed`, `AskTimeout`, `ActorDown`
        when the actor is stopped, `CircuitOpen` while its breaker holds it down, `MailboxFull` by policy, and
        `AskCycle` when a handler asks an actor that waits for the handler's own.
        Cancelled before it is handled, the message is not handled at all.
        """
        wheel = self.wheel
        if wheel is None:
            raise ActorDown(self.name, "not part of a running system")
        if self.circuit_until is not None:
            self._raise_circuit_open(self.circuit_until)
        asker = handling.get()
        if asker is None:
            return await self._ask(wheel, message, seconds)
        begin_wait(asker, self.mailbox)
        try:
            return await self._ask(wheel, message, seconds)
        finally:
            end_wait(asker, self.mailbox)

    async def _ask(self, wheel: Wheel, message: Ask[P, R], seconds: float) -> R:
        inbox = self.mailbox
        if len(inbox.queue) >= inbox.limit:
            return await self._ask_full(wheel, message, seconds)
        pending = Pending(current_task())
        inbox.queue.append((carry(message) if traces.open else message, perf_counter(), pending))
        waiter = inbox.waiter
        if waiter is not None:
            inbox.waiter = None
            reschedule(waiter)
        wheel.add(pending, seconds)
        await wait_task_rescheduled(pending.abort)
        if pending.answered:
            return pending.value
        raise pending.error or AskTimeout(self.name, type(message).__name__, seconds)

    async def _ask_full(self, wheel: Wheel, message: Ask[P, R], seconds: float) -> R:
        """The same when there is no room: by policy, or in line."""
        inbox = self.mailbox
        pending = Pending(None)
        entry: Entry = (carry(message) if traces.open else message, perf_counter(), pending)
        ticket = None
        if inbox.overflow is Overflow.BLOCK:
            ticket = inbox.stand_in_line(entry)
        else:
            await inbox.send(entry)
        if pending.error is None:
            pending.task = current_task()
            wheel.add(pending, seconds)
            try:
                await wait_task_rescheduled(pending.abort)
            finally:
                if ticket is not None:
                    inbox.leave_line(ticket)
        if pending.answered:
            return pending.value
        raise pending.error or AskTimeout(self.name, type(message).__name__, seconds)

    def _raise_circuit_open(self, until: float) -> None:
        raise CircuitOpen(self.name, "its circuit breaker is open", max(0.0, until - trio.current_time()))

    def settle(self, error: Exception) -> None:
        """The instance ended with a message in hand: a tell goes by `on_crash`.

        Its asker gets `HandlerCrashed` around `error` (never `error` itself: the asker, which handles a message of
        its own, would crash in turn), or `error` where that says already that nothing was answered.
        """
        if self.mailbox.urgent is not None:
            self.mailbox.clear_urgent("its instance ended")
        entry, self.current = self.current, None
        if entry is None:
            return
        _, _, pending = entry
        if pending is not None:
            if not isinstance(error, NotAnswered):
                crashed = HandlerCrashed(self.name, error)
                crashed.__cause__ = error
                error = crashed
            pending.fail(error)
        elif self.on_crash is OnCrash.RETRY and self.retried is not entry:
            self.retried = entry
            self.mailbox.put_back(entry)
        else:
            self.mailbox.drop(entry, f"crashed its actor: {type(error).__name__}")

    def shut(self, reason: str) -> None:
        """Nobody will take messages here: refuse new ones, drop what waits, tell every asker."""
        self.circuit_until = None
        self.mailbox.close()
        self.settle(ActorDown(self.name, reason))
        self.mailbox.discard_all(reason)
