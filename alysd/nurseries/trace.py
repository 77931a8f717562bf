"""Trace contexts (W3C Trace Context), which messages carry while a trace is open.

    with traced(TraceContext.parse(header)):
        await chain.ask(GetHead())        # the handler runs with the same current_trace()

A message is wrapped in a `TracedMessage` only while a trace is open; otherwise tracing costs a sender one
attribute lookup.
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
    """The id of a trace, and the id of the span in which the work runs."""

    trace_id: str
    """32 lower-case hexadecimal digits, not all zero."""
    span_id: str
    """16 lower-case hexadecimal digits, not all zero."""
    sampled: bool = True

    @classmethod
    def parse(cls, header: str) -> "TraceContext | None":
        """The context in a `traceparent` header. `None` if it is invalid; the receiver then starts a new trace."""
        match = _HEADER.fullmatch(header)
        if match is None:
            return None
        version, trace_id, span_id, flags, rest = match.groups()
        if version == "ff" or not int(trace_id, 16) or not int(span_id, 16) or (version == "00" and rest):
            return None
        return cls(trace_id, span_id, bool(int(flags, 16) & 1))

    def header(self) -> str:
        """The `traceparent` header for this context."""
        return f"00-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}"


@attrs.define
class Traces:
    """The number of open traces in the process. Every send reads it first."""

    open: int = 0


traces = Traces()

_current: ContextVar[TraceContext | None] = ContextVar("trace", default=None)


def current_trace() -> TraceContext | None:
    """The context of the trace in which this code runs, or `None`."""
    return _current.get()


@contextmanager
def traced(context: TraceContext) -> Generator[None]:
    """Inside the `with` block, the current trace is this one. Messages sent there are handled in this trace."""
    token = _current.set(context)
    traces.open += 1
    try:
        yield
    finally:
        traces.open -= 1
        _current.reset(token)


@contextmanager
def untraced() -> Generator[None]:
    """Inside the `with` block, there is no current trace: for work that continues after the traced work."""
    token = _current.set(None)
    try:
        yield
    finally:
        _current.reset(token)


def forget_trace() -> None:
    """Leave the trace that this task inherited: a child works for all, not for the trace in which it was added."""
    _current.set(None)


@attrs.frozen
class TracedMessage:
    """A message in a mailbox, with the context of the trace in which it was sent."""

    message: Any
    context: TraceContext


class Tracer(Protocol):
    """Records the handling of messages that carry a trace."""

    def handling(self, actor: str, message: str, sender: TraceContext) -> AbstractContextManager[TraceContext]:
        """Return a context manager in which `actor` handles a message of type `message`.

        The context manager yields the trace context for the handler.
        """
        ...


class Unrecorded:
    """The default tracer. It records nothing; handlers run in the spans of their senders."""

    def handling(self, actor: str, message: str, sender: TraceContext) -> AbstractContextManager[TraceContext]:  # noqa: ARG002
        """Return a context manager that records nothing and yields the sender's context."""
        return nullcontext(sender)


def carry(message: object) -> object:
    """The message, wrapped in a `TracedMessage` with the context of the current trace, if there is one."""
    context = _current.get()
    return message if context is None else TracedMessage(message, context)
