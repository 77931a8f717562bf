"""The loop of an actor: take messages, hand them to the handlers, answer the asks.

It drains what is there and executes a checkpoint by budget, every `BATCH` messages or `SLICE` seconds, not
one a message; the handlers' own awaits come on top. This loop is what the speed of the runtime hangs on.
"""

import logging
from collections.abc import Mapping
from enum import Enum
from time import perf_counter
from typing import Any, Protocol

import trio
from trio.lowlevel import checkpoint, current_task, wait_task_rescheduled

from alysd.nurseries.address import Address
from alysd.nurseries.asks import Pending
from alysd.nurseries.behaviour import Actor, Handler
from alysd.nurseries.child import State
from alysd.nurseries.errors import HandlerTooSlow, UnknownMessage, leaf_of
from alysd.nurseries.trace import TracedMessage, Tracer, traced

logger = logging.getLogger("alysd.nurseries")

BATCH = 128
"""Messages between two checkpoints of a busy actor, at most."""

SAMPLE = 16
"""Messages between two looks at the clock: 50 ns each would be a tenth of a message's cost."""

SLICE = 0.001
"""Seconds between two checkpoints, to within `SAMPLE` messages: handlers may not compute for longer."""


class Signal(Enum):
    """What the runtime itself tells an actor, ahead of its messages."""

    STOP = "stop"
    SUSPEND = "suspend"
    RESUME = "resume"
    CHECK = "check health"


class Served(Protocol):
    """What the loop needs of the child whose instance it runs."""

    address: Address[Any]

    @property
    def tracer(self) -> Tracer:
        """Records messages that carry a trace."""
        ...

    @property
    def refusals(self) -> tuple[type[Exception], ...]:
        """Errors that are answers, not crashes."""
        ...

    def handlers(self, actor: Actor[Any]) -> Mapping[type[Any], Handler]:
        """The instance's handlers, each within the time it may take."""
        ...

    def move(self, new: State) -> None:
        """Change the child's state."""
        ...


async def serve(child: Served, actor: Actor[Any]) -> None:
    """Handle messages until told to stop; then, if the mailbox was closed for good, what is left in it.

    Raises what a handler raises unless it is a refusal; the entry is then still the address's `current`.
    """
    address = child.address
    inbox, handlers, refusals = address.mailbox, child.handlers(actor), child.refusals
    queue, low = inbox.queue, inbox.capacity // 2
    task, abort = current_task(), inbox.abort_wait
    turn, slice_end = 0, 0.0
    while True:
        while queue or inbox.urgent:
            if inbox.urgent:
                if await _obey(child, actor):
                    return
                continue
            entry = queue.popleft()
            inbox.taken += 1
            message, sent_at, pending = entry
            if pending is not None and pending.task is None:
                address.abandoned += 1
                continue
            address.current = entry
            handler = handlers.get(type(message))
            try:
                reply = await (handler(actor, message) if handler else _unusual(child, actor, handlers, message))
            except Exception as error:  # a handler may raise anything; only refusals end here
                refusal = leaf_of(error)
                if not isinstance(refusal, refusals):
                    raise
                _refused(address, message, pending, refusal)
            else:
                if pending is not None:
                    pending.reply(reply)
                address.handled += 1
            address.current = None
            turn += 1
            if not turn % SAMPLE:
                now = perf_counter()
                if now - sent_at > address.longest_wait:
                    address.longest_wait = now - sent_at
                if inbox.line and len(queue) <= low:
                    inbox.admit()
                if now > slice_end or not turn % BATCH:
                    await checkpoint()
                    slice_end = perf_counter() + SLICE
        if inbox.line:
            inbox.admit()
            await checkpoint()
        elif inbox.closed:
            return
        else:
            inbox.waiter = task
            await wait_task_rescheduled(abort)


async def _unusual(
    child: Served, actor: Actor[Any], handlers: Mapping[type[Any], Handler], message: object
) -> Any:
    """A message without a handler: one that carries a trace, or a mistake."""
    inner: object = message.message if isinstance(message, TracedMessage) else message
    name, kind = child.address.name, type(inner)
    handler = handlers.get(kind)
    if handler is None or not isinstance(message, TracedMessage):
        raise UnknownMessage(name, kind.__name__)
    with child.tracer.handling(name, kind.__name__, message.context) as context, traced(context):
        return await handler(actor, inner)


def within(seconds: float, name: str, handler: Handler) -> Handler:
    """The handler, which is cancelled and fails with `HandlerTooSlow` when it takes longer."""

    async def bounded(actor: Any, message: Any) -> Any:
        with trio.move_on_after(seconds):
            return await handler(actor, message)
        raise HandlerTooSlow(name, type(message).__name__, seconds)

    return bounded


def _refused(address: Address[Any], message: object, pending: Pending | None, refusal: Exception) -> None:
    address.refused += 1
    if pending is not None:
        pending.fail(refusal)
    else:
        logger.warning("%s refused %s: %s", address.name, type(message).__name__, refusal)


async def _obey(child: Served, actor: Actor[Any]) -> bool:
    """Obey the signals that wait, staying here while suspended. True when the instance must end now."""
    inbox = child.address.mailbox
    suspended = False
    while True:
        while inbox.urgent:
            entry = inbox.urgent.popleft()
            signal, _, pending = entry
            if signal is Signal.STOP:
                if "pre_stop" in actor.overridden:
                    await actor.pre_stop()
                child.move(State.STOPPING)
                return not inbox.closed
            if signal is Signal.CHECK and pending is not None:
                child.address.current = entry  # so that a crash in the check answers for it
                pending.reply(await actor.health_check())
                child.address.current = None
            elif (signal is Signal.SUSPEND) is not suspended:
                suspended = not suspended
                child.move(State.SUSPENDED if suspended else State.RUNNING)
        if not suspended:
            inbox.urgent = None  # an empty deque is 600 bytes, which an idle actor need not keep
            return False
        await inbox.wait()
