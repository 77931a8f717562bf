"""The address of an actor, which outlives each instance of the actor. Messages are sent to it.

While a crashed instance is replaced, messages wait in the mailbox, so a restart loses none of them. This module
also decides what happens to the message that was being handled when its actor crashed (`OnCrash`,
`Address.resolve_current`).
"""

from enum import Enum
from functools import partial
from threading import get_ident
from time import perf_counter
from typing import Any, Generic, TypeVar

import trio
from trio.lowlevel import TrioToken, checkpoint, current_task, current_trio_token, wait_task_rescheduled

from alysd.nurseries.asks import (
    MOST_SECONDS,
    Pending,
    Waiter,
    Wheel,
    begin_wait,
    end_wait,
    handling,
    invalid_seconds,
    is_awaited,
    waiting_handler,
)
from alysd.nurseries.behaviour import Ask, Tell
from alysd.nurseries.deferred import Deferred, fail_deferred
from alysd.nurseries.errors import (
    ActorDown,
    AskTimeout,
    CircuitOpen,
    NotAnswered,
    WrongThread,
    as_crash,
)
from alysd.nurseries.inbox import AskTicket, DeadLetter, Entry, Inbox, RetriedEntry, ReturnedMessage
from alysd.nurseries.mailbox import MASK, Overflow, OverflowPolicy, turns
from alysd.nurseries.receivers import Receiver
from alysd.nurseries.signals import Signal
from alysd.nurseries.threads import LoopGone, await_soon, call_soon, in_waiting_task
from alysd.nurseries.trace import carry, traces
from alysd.nurseries.watch import Watch, close_watches

P = TypeVar("P")
R = TypeVar("R")

ASK_SECONDS = 5.0
"""The default timeout of an ask."""

NOT_RUNNING = "not part of a running system"
"""The reason why an address accepts no messages before its system starts and after it has ended."""


class OnCrash(Enum):
    """The treatment of a tell whose handling crashed the actor. The asker of an ask always gets the error."""

    DROP = "drop"
    """The message becomes a dead letter."""
    RETRY = "retry"
    """The message is handled once more, by the next instance or by another worker of the pool.

    If its handling crashes again, the message becomes a dead letter.
    """


class Address(Generic[P]):
    """The handle to which messages of the protocol `P` are sent.

    `capacity` bounds the mailbox. `overflow` says what happens when the mailbox is full, `on_crash` what happens
    to a message that a crash interrupts. A program creates an address before the system starts, passes it to every
    sender, and binds it to its actor with `actor(address, factory)` in the tree.
    """

    __slots__ = (
        "circuit_until",
        "current",
        "deferred",
        "gone",
        "handled",
        "longest_wait",
        "mailbox",
        "name",
        "on_crash",
        "receiver",
        "refused",
        "watches",
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
        if not isinstance(on_crash, OnCrash):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"address {name}: on_crash must be an OnCrash, not {on_crash!r}")
        self.name = name
        self.mailbox = Inbox(name, capacity, overflow)
        self.receiver: Receiver = self.mailbox
        self.on_crash = on_crash
        self.wheel: Wheel | None = None
        self.circuit_until: float | None = None
        self.current: Entry | None = None
        # The deferred replies that their askers wait for.
        self.deferred: dict[Deferred[Any], None] | None = None
        # Why the address accepts no messages any more, or not yet; None while it accepts them.
        self.gone: str | None = NOT_RUNNING
        self.watches: dict[Watch, None] | None = None
        # Counts: messages handled, and messages refused by a handler.
        self.handled = 0
        self.refused = 0
        # The longest wait of a message in the mailbox, in seconds. Only one message in 16 is measured.
        self.longest_wait = 0.0

    def __repr__(self) -> str:
        return f"<Address {self.name}: {self.depth}/{self.mailbox.capacity}>"

    @property
    def depth(self) -> int:
        """Messages queued in the mailbox."""
        return self.mailbox.depth

    @property
    def abandoned(self) -> int:
        """Asks that were not handled because their asker had given up."""
        return self.mailbox.abandoned

    @property
    def dead_letters(self) -> tuple[DeadLetter, ...]:
        """The newest `DEAD_LETTERS_KEPT` messages whose handling was not completed, oldest first."""
        return tuple(self.mailbox.dead_letters or ())

    def tell(self, message: Tell[P]) -> None:
        """Send without waiting.

        Raises `ActorDown` when the actor is stopped. When the mailbox is full, raises `MailboxFull`, unless the
        overflow policy drops a message. In another thread, use `tell_from_thread`.
        """
        self.mailbox.send_nowait((carry(message) if traces.open else message, perf_counter(), None))

    async def send(self, message: Tell[P]) -> None:
        """Send. If the mailbox is full, apply the overflow policy, which may wait for space.

        If the call is cancelled, the message was not sent. Raises `ActorDown` when the actor is stopped, and
        `MailboxFull` when the policy says so.
        """
        inbox = self.mailbox
        if not next(turns) & MASK:  # from here on the same as `Mailbox.send`, but without the call
            await checkpoint()
        entry = (carry(message) if traces.open else message, perf_counter(), None)
        if len(inbox.queue) < inbox.limit:
            inbox.queue.append(entry)
            if inbox.waiter is not None:
                inbox.wake()
        else:
            await inbox.send_to_full(entry)

    async def ask(self, message: Ask[P, R], *, seconds: float = ASK_SECONDS) -> R:
        """Send and wait for the answer, for at most `seconds` in total.

        Raises the handler's refusal, or a `NotAnswered`: `HandlerCrashed`, `AskTimeout`, `ActorDown` when the
        actor is stopped, `CircuitOpen` while its circuit breaker is open, `MailboxFull` when the overflow policy
        says so, and `AskCycle` when a handler asks an actor that waits for the handler's own actor. An ask that
        is cancelled before its message is handled is never handled.

        Raises `ValueError` or `TypeError` for `seconds` that are not a number from 0 to `MOST_SECONDS`, and
        `WrongThread` outside of the system's thread, where `ask_from_thread` works.
        """
        try:
            valid = 0 <= seconds <= MOST_SECONDS
        except TypeError:
            valid = False
        if not valid:
            raise invalid_seconds(self.name, seconds)
        wheel = self.wheel
        if wheel is None:
            raise ActorDown(self.name, NOT_RUNNING)
        if get_ident() != wheel.thread:
            raise WrongThread(self.name, "ask", "use ask_from_thread")
        if self.circuit_until is not None:
            raise self._circuit_open(self.circuit_until)
        asker = handling.get()
        if asker is None or (current_task() is not asker.task and not is_awaited(asker)):
            return await self._ask(wheel, message, seconds)
        begin_wait(asker.waiter, self.mailbox)
        try:
            return await self._ask(wheel, message, seconds)
        finally:
            end_wait(asker.waiter, self.mailbox)

    async def _ask(self, wheel: Wheel, message: Ask[P, R], seconds: float) -> R:
        inbox = self.mailbox
        if len(inbox.queue) >= inbox.limit:
            return await self._ask_full(wheel, message, seconds)
        pending = Pending(current_task(), inbox)
        wheel.add(pending, seconds)  # before queueing: it raises if `seconds` cannot be added to a time
        inbox.queue.append((carry(message) if traces.open else message, perf_counter(), pending))
        if inbox.waiter is not None:
            inbox.wake()
        await wait_task_rescheduled(pending.abort)
        if pending.answered:
            return pending.value
        raise pending.error or AskTimeout(self.name, type(message).__name__, seconds)

    async def _ask_full(self, wheel: Wheel, message: Ask[P, R], seconds: float) -> R:
        """Ask although the mailbox is full: wait in the line for space, or apply another overflow policy."""
        inbox, deadline = self.mailbox, trio.current_time() + seconds
        pending = Pending(None)
        entry: Entry = (carry(message) if traces.open else message, perf_counter(), pending)
        if inbox.overflow is Overflow.BLOCK:
            inbox.join_line(AskTicket(inbox, entry, pending))
        else:
            with trio.move_on_at(deadline) as scope:
                await inbox.send(entry)
            if scope.cancelled_caught:
                raise AskTimeout(self.name, type(message).__name__, seconds)
            if pending.error is not None:
                raise pending.error
            pending.place = inbox
        pending.task = current_task()
        wheel.add(pending, max(0.0, deadline - trio.current_time()))
        await wait_task_rescheduled(pending.abort)
        if pending.answered:
            return pending.value
        raise pending.error or AskTimeout(self.name, type(message).__name__, seconds)

    def tell_from_thread(self, message: Tell[P]) -> None:
        """`tell`, for any thread except that of the actor's system.

        Blocks the thread until the event loop has queued the message. Raises as `tell` does, and `ActorDown` when
        the system is not running or its event loop does not react within `LOOP_SECONDS`; the message was then not
        sent.
        """
        token = self._token("tell_from_thread", "use tell")
        try:
            call_soon(token, partial(self.tell, message))
        except LoopGone as gone:
            raise ActorDown(self.name, str(gone)) from gone

    def ask_from_thread(self, message: Ask[P, R], *, seconds: float = ASK_SECONDS) -> R:
        """`ask`, for any thread except that of the actor's system. Blocks the thread until the ask ends.

        Raises as `ask` does, and `ActorDown` when the system is not running, its run ends, or its event loop does
        not react within `LOOP_SECONDS` after the timeout. An ask that closes a cycle of waits gets `AskCycle` only
        if the handler in the cycle waits for this thread in `trio.to_thread.run_sync` without `abandon_on_cancel`.
        In any other thread, such an ask times out.
        """
        if not isinstance(seconds, int | float) or not 0 <= seconds <= MOST_SECONDS:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise invalid_seconds(self.name, seconds)
        token = self._token("ask_from_thread", "await ask")
        try:
            asker = None if handling.get() is None else in_waiting_task(token, waiting_handler)
            return await_soon(token, partial(self._ask_for, asker, message, seconds), seconds)
        except LoopGone as gone:
            raise ActorDown(self.name, str(gone)) from gone

    async def _ask_for(self, asker: Waiter | None, message: Ask[P, R], seconds: float) -> R:
        """Ask on behalf of a thread. If a handler waits for the thread, `asker` is the mailbox of its actor."""
        if asker is None:
            return await self.ask(message, seconds=seconds)
        begin_wait(asker, self.mailbox)
        try:
            return await self.ask(message, seconds=seconds)
        finally:
            end_wait(asker, self.mailbox)

    def _token(self, operation: str, instead: str) -> TrioToken:
        wheel, token = self.wheel, self.mailbox.token
        if wheel is None or token is None:
            raise ActorDown(self.name, NOT_RUNNING)
        if get_ident() == wheel.thread:
            raise WrongThread(self.name, f"call {operation} of", f"it would block the event loop; {instead}")
        return token

    def open_circuit(self, seconds: float) -> None:
        """Let all asks, also waiting ones, fail at once for `seconds` or until the next instance starts."""
        self.circuit_until = trio.current_time() + seconds
        self.mailbox.fail_asks(self._circuit_open(self.circuit_until))

    def _circuit_open(self, until: float) -> CircuitOpen:
        return CircuitOpen(self.name, "its circuit breaker is open", max(0.0, until - trio.current_time()))

    def resolve_current(self, error: Exception) -> None:
        """Complete the work of an instance that has ended: its message or health check, and its deferred asks.

        The asker of an ask gets a `HandlerCrashed` that contains `error`, never `error` itself, which would crash
        the asker in turn. An `error` that is a `NotAnswered` is passed on unchanged. A tell is handled again or
        becomes a dead letter, according to `on_crash`.
        """
        if self.receiver.urgent is not None:
            self.receiver.clear_urgent("its instance ended")
        passed = error if isinstance(error, NotAnswered) else as_crash(self.name, error)
        if self.deferred is not None:
            fail_deferred(self, passed)
        entry, self.current = self.current, None
        if entry is not None:
            self.give_up(entry, passed, f"crashed its actor: {type(error).__name__}")

    def give_up(self, entry: Entry, error: NotAnswered, reason: str) -> None:
        """End the handling of a message without an answer: an ask fails with `error`.

        A tell is handled again or becomes a dead letter for `reason`, according to `on_crash`.
        """
        message, _, pending = entry
        if isinstance(message, ReturnedMessage):
            entry = message.entry
        if pending is not None:
            pending.fail(error)
        elif self.on_crash is OnCrash.DROP or isinstance(entry, RetriedEntry) or isinstance(entry[0], Signal):
            self.mailbox.drop(entry, reason)
        else:
            self.mailbox.requeue(RetriedEntry(entry))

    def bind(self, wheel: Wheel) -> None:
        """Make the address part of a running system, whose asks have their deadlines in `wheel`."""
        self.wheel = wheel
        self.gone = None
        self.mailbox.token = current_trio_token()

    def release(self) -> None:
        """Take the address out of the system. It can then be bound again."""
        self.wheel = None

    def open(self) -> None:
        """Accept messages: they wait in the mailbox until an instance has started."""
        self.mailbox.reopen()
        self.gone = None

    def shut(self) -> None:
        """Refuse new messages. Those that wait are handled."""
        self.mailbox.close()

    def close(self, reason: str) -> None:
        """Refuse new messages, drop the waiting ones, fail every ask, and tell the watchers."""
        self.circuit_until = None
        self.mailbox.close()
        self.resolve_current(ActorDown(self.name, reason))
        self.mailbox.drop_all(reason)
        self.gone = reason
        close_watches(self, reason)
