"""The loop of an actor: take messages from the mailbox, call the handlers, answer the asks.

The speed of the runtime depends on this loop. It therefore executes a checkpoint once per `BATCH` messages or
`SLICE` seconds, not once per message. Handlers can execute checkpoints of their own.
"""

import logging
from collections.abc import Mapping
from time import perf_counter
from typing import Any, Protocol, cast

from trio.lowlevel import checkpoint, checkpoint_if_cancelled, current_task, wait_task_rescheduled

from alysd.nurseries.address import Address
from alysd.nurseries.asks import Pending
from alysd.nurseries.behaviour import Actor, Handler
from alysd.nurseries.deferred import Deferred
from alysd.nurseries.errors import NotAnswered, UnknownMessage, leaf_of
from alysd.nurseries.inbox import Entry, ReturnedMessage, content
from alysd.nurseries.signals import Signal
from alysd.nurseries.states import Desired, State
from alysd.nurseries.trace import TracedMessage, Tracer, traced
from alysd.nurseries.visible_state import STATE_QUERY, show
from alysd.nurseries.watchdog import Watchdog

logger = logging.getLogger("alysd.nurseries")

BATCH = 128
"""The largest number of messages between two checkpoints of a busy actor."""

SAMPLE = 16
"""Messages between two readings of the clock. A reading takes 50 ns, a tenth of the cost of a message."""

SLICE = 0.001
"""Seconds between two checkpoints, checked once per `SAMPLE` messages. No handler may compute for longer."""


HEALTH_CHECK = "health check"
"""The value that the urgent entry of a health check has in place of a message."""

_UNANSWERED = (logging.INFO, logging.WARNING)
"""The log levels of a `NotAnswered` that ends the handling of an ask, whose asker gets it too, and of a tell."""

WAKE: Entry = (None, 0.0, None)
"""The urgent entry that makes an actor read its `state` and `desired` before its next message."""


class Served(Protocol):
    """The part of a child that `serve` uses."""

    address: Address[Any]
    desired: Desired

    @property
    def state(self) -> State:
        """The child's state."""
        ...

    @property
    def tracer(self) -> Tracer:
        """Records the handling of messages that carry a trace."""
        ...

    @property
    def refusals(self) -> tuple[type[Exception], ...]:
        """Types of errors that are answers to the asker, not crashes."""
        ...

    @property
    def fatal(self) -> tuple[type[Exception], ...]:
        """Types of errors that end the system."""
        ...

    @property
    def crashes_unanswered(self) -> bool:
        """Whether a `NotAnswered` that leaves a handler is a crash."""
        ...

    def move(self, new: State) -> None:
        """Change the child's state."""
        ...


async def serve(child: Served, actor: Actor[Any], watchdog: Watchdog | None = None) -> None:
    """Handle messages until the child is asked to stop. If its mailbox is closed, empty it first.

    A refusal or a `NotAnswered` of a handler is sent to the asker. Any other error of a handler is raised; the
    address's `current` is then still the entry that was being handled. With a `watchdog`, the loop runs in
    `Watchdog.watch`.
    """
    address = child.address
    inbox, receiver, handlers = address.mailbox, address.receiver, actor.handlers
    queue, task, abort = inbox.queue, current_task(), receiver.abort_wait
    turn, slice_end, sample = 0, 0.0, SAMPLE
    while True:
        while queue or receiver.urgent:
            if receiver.urgent:
                if await _attend(child, actor, drains=sample == 1):
                    return
                sample = 1 if child.state is State.STOPPING else SAMPLE
                continue
            entry = queue.popleft()
            message, sent_at, pending = entry
            if pending is not None:
                if pending.task is None:
                    inbox.skip()
                    continue
                pending.place = None
            address.current = entry
            handler = handlers.get(type(message))
            if watchdog is not None:
                watchdog.begin()
            try:
                reply = await (handler(actor, message) if handler else _unusual(child, actor, handlers, message))
            except Exception as error:  # handlers may raise anything; only errors that are answers stay here
                if not _is_answer(child, entry, error):
                    raise
            else:
                if pending is not None:
                    _answer(child, pending, reply)
                address.handled += 1
            address.current = None
            if watchdog is not None and watchdog.end():
                return
            turn += 1
            if not turn % sample:
                slice_end = await _pause(address, sent_at, slice_end, must=not turn % BATCH, stops=sample == 1)
        if inbox.line:
            inbox.admit()
            await checkpoint()
        elif inbox.closed:
            return
        else:
            entry = message = pending = reply = None  # an idle actor must not keep its last message alive
            receiver.waiter = task
            if queue:  # from another thread, since it was found empty
                receiver.waiter = None
            else:
                await wait_task_rescheduled(abort)


def _answer(child: Served, pending: Pending, reply: object) -> None:
    if type(reply) is Deferred:
        reply.bind(child.address, pending, child.refusals, child.fatal)
    else:
        pending.reply(reply)


async def _pause(address: Address[Any], sent_at: float, slice_end: float, *, must: bool, stops: bool) -> float:
    """Measure how long a message waited, let senders in, and execute a checkpoint if it is time for one.

    Returns the end of the slice of time until the next checkpoint.
    """
    now, inbox = perf_counter(), address.mailbox
    if now - sent_at > address.longest_wait:
        address.longest_wait = now - sent_at
    if inbox.line and len(inbox.queue) <= inbox.capacity // 2:
        inbox.admit()
    if must or now > slice_end:
        await checkpoint()
        return perf_counter() + SLICE
    if stops:  # when its time is over, it handles no further message
        await checkpoint_if_cancelled()
    return slice_end


async def _unusual(
    child: Served, actor: Actor[Any], handlers: Mapping[type[Any], Handler], message: object
) -> Any:
    """Handle a signal, a message that carries a trace, or one that has returned to a full queue.

    Raises `UnknownMessage` if there is no handler for its type.
    """
    if isinstance(message, ReturnedMessage):
        entry = child.address.current = child.address.mailbox.take_again(message)
        message = entry[0]
        if type(message) in handlers:
            return await handlers[type(message)](actor, message)
    if isinstance(message, Signal) and not message.active:
        child.address.handled -= 1  # the loop counts it, although nothing is handled
        return None
    inner: object = message.message if isinstance(message, TracedMessage) else message
    if isinstance(message, Signal):
        inner = message.take()
    name, kind = child.address.name, type(inner)
    handler = handlers.get(kind)
    if handler is None or inner is message:
        raise UnknownMessage(name, kind.__name__)
    if not isinstance(message, TracedMessage):
        return await handler(actor, inner)
    with child.tracer.handling(name, kind.__name__, message.context) as context, traced(context):
        return await handler(actor, inner)


def _is_answer(child: Served, entry: Entry, error: Exception) -> bool:
    """Whether the error that left a handler is a refusal, or a `NotAnswered`, and not a crash.

    A refusal answers the message. So does a `NotAnswered`, because another actor failed and this one need not
    restart too. Raises the other errors of a group that contains any.
    """
    address, refusals = child.address, child.refusals
    answers = refusals if child.crashes_unanswered else (*refusals, NotAnswered)
    answer = leaf_of(error)
    if isinstance(error, ExceptionGroup):
        crashes = cast("ExceptionGroup[Exception]", error).split(answers)[1]
        if crashes is not None:
            raise crashes
    if not isinstance(answer, answers):
        return False
    if isinstance(answer, NotAnswered) and not isinstance(answer, refusals):
        not_answered(address, entry, answer)
    else:
        refused(address, entry, answer)
    return True


def _kind(message: object) -> str:
    return type(content(message)).__name__


def not_answered(address: Address[Any], entry: Entry, error: NotAnswered) -> None:
    """Count and log a message whose handler needed another actor, and gets no answer. End it with the error."""
    message, _, pending = entry
    address.refused += 1
    logger.log(_UNANSWERED[pending is None], "%s gave up %s: %s", address.name, _kind(message), error)
    address.give_up(entry, error, f"not answered: {type(error).__name__}")


def refused(address: Address[Any], entry: Entry, refusal: Exception) -> None:
    """Count the refusal of a message, and give it to the asker. The refusal of a tell is logged."""
    message, _, pending = entry
    address.refused += 1
    if pending is not None:
        pending.fail(refusal)
    else:
        logger.warning("%s refused %s: %s", address.name, _kind(message), refusal)


async def _attend(child: Served, actor: Actor[Any], *, drains: bool) -> bool:
    """Answer health checks and state queries; suspend, resume or stop the actor.

    `drains` says whether the actor has already begun to stop, and handles the messages that are left. Returns
    whether the instance ends now.
    """
    inbox, receiver = child.address.mailbox, child.address.receiver
    inbox.wake_for_waiting()  # a worker may have been woken for a message; the others take it during a long check
    await checkpoint_if_cancelled()  # a handler that shields itself can outlast the deadline of a stop
    while True:
        while receiver.urgent:
            entry = receiver.urgent.popleft()
            what, _, check = entry
            if check is not None and what is STATE_QUERY:
                show(actor, check)
            elif check is not None:
                child.address.current = entry  # a crash during the health check then fails the check
                check.reply(await actor.health_check())
                child.address.current = None
        if child.state is State.STOPPING:
            if not drains and "pre_stop" in actor.overridden:
                await actor.pre_stop()
                await checkpoint_if_cancelled()
            receiver.urgent = None
            return not inbox.closed
        if child.desired is not Desired.SUSPENDED:
            if child.state is State.SUSPENDED:
                child.move(State.RUNNING)
            receiver.urgent = None  # saves the 600 bytes of an empty deque while the actor is idle
            return False
        if child.state is State.RUNNING:
            child.move(State.SUSPENDED)
        await receiver.wait()
