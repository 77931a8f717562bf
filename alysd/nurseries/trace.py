"""Trace context, as W3C Trace Context has it, carried with messages while a trace is open.

    with traced(TraceContext.parse(header)):
        await chain.ask(GetHead())        # the handler runs with the same current_trace()

A message is wrapped in a `TracedMessage` only then: while no trace is open, tracing costs one attribute.
"""

import re
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, Protocol

import attrs

_HEADER = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


@attrs.frozen
class TraceContext:
    """Which trace a piece of work belongs to, and which span of it is its parent."""

    trace_id: str
    """32 lower-case hexadecimal digits, not all zero."""
    span_id: str
    """16 lower-case hexadecimal digits, not all zero."""
    sampled: bool = True

    @classmethod
    def parse(cls, header: str) -> "TraceContext | None":
        """The context in a `traceparent` header, or `None` when it is not one (then a trace starts anew)."""
        match = _HEADER.fullmatch(header)
        if match is None:
            return None
        version, trace_id, span_id, flags, rest = match.groups()
        if version == "ff" or not int(trace_id, 16) or not int(span_id, 16) or (version == "00" and rest):
            return None
        return cls(trace_id, span_id, bool(int(flags, 16) & 1))

    def header(self) -> str:
        """The `traceparent` header that says this."""
        return f"00-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}"


@attrs.define
class Traces:
    """How many traces are open in the process: what senders look at before anything else."""

    open: int = 0


traces = Traces()

_current: ContextVar[TraceContext | None] = ContextVar("trace", default=None)


def current_trace() -> TraceContext | None:
    """The trace that this code runs in, if it does."""
    return _current.get()


@contextmanager
def traced(context: TraceContext) -> Generator[None]:
    """Run the block, and the handlers of what it sends, in this trace."""
    token = _current.set(context)
    traces.open += 1
    try:
        yield
    finally:
        traces.open -= 1
        _current.reset(token)


@contextmanager
def untraced() -> Generator[None]:
    """Run the block outside of any trace: for what goes on after the work that the trace is of."""
    token = _current.set(None)
    try:
        yield
    finally:
        _current.reset(token)


@attrs.frozen
class TracedMessage:
    """A message and the trace it was sent in, as they wait in a mailbox."""

    message: Any
    context: TraceContext


class Tracer(Protocol):
    """Records what is done in a trace. Only messages that carry one ever come to it."""

    def handling(self, actor: str, message: str, sender: TraceContext) -> AbstractContextManager[TraceContext]:
        """Around the handling of a message (its type) by `actor`: the context is what the handler runs in."""
        ...


class Unrecorded:
    """The tracer of a system that was given none: handlers run in their senders' span."""

    def handling(self, actor: str, message: str, sender: TraceContext) -> AbstractContextManager[TraceContext]:  # noqa: ARG002
        """Record nothing."""
        return nullcontext(sender)


def carry(message: object) -> object:
    """The message with the trace that is open here, or as it is."""
    context = _current.get()
    return message if context is None else TracedMessage(message, context)
