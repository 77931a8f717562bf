"""Calls of a program's observer and of its tracer, whose errors must not affect the tree."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Generic, Protocol, TypeVar

from alysd.nurseries.trace import TraceContext, Tracer

logger = logging.getLogger("alysd.nurseries")


class Named(Protocol):
    """An observed change of the child `name`."""

    @property
    def name(self) -> str:
        """The name of the child."""
        ...


T = TypeVar("T", bound=Named)


class GuardedObserver(Generic[T]):
    """Calls `observer`. Its first error of each type is logged with a traceback, further ones are only counted."""

    def __init__(self, observer: Callable[[T], None]) -> None:
        self._observer = observer
        self.errors: dict[type[Exception], int] = {}

    def __call__(self, change: T) -> None:
        """Report a change to the observer."""
        try:
            self._observer(change)
        except Exception as raised:  # the observer is the program's, and may raise anything
            known = self.errors.get(type(raised), 0)
            self.errors[type(raised)] = known + 1
            if not known:
                logger.error(
                    "the observer failed on %s: %r; further errors of this type are not logged",
                    change.name,
                    raised,
                    exc_info=raised,
                )


class GuardedTracer:
    """Calls `tracer` until its first error, which is logged. From then on, handlers run in the senders' spans."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer: Tracer | None = tracer

    def handling(self, actor: str, message: str, sender: TraceContext) -> AbstractContextManager[TraceContext]:
        """A context manager around that of the tracer. It raises no error of the tracer, only the handler's."""
        return _GuardedSpan(self, self._tracer, actor, message, sender)

    def switch_off(self, actor: str, message: str, raised: Exception) -> None:
        """Log the error of the tracer, and never call the tracer again."""
        if self._tracer is not None:
            self._tracer = None
            logger.error(
                "the tracer failed on %s of %s and is switched off: %r", message, actor, raised, exc_info=raised
            )


class _GuardedSpan:
    """The handling of one message, recorded by a tracer that may raise."""

    __slots__ = ("_actor", "_guard", "_message", "_sender", "_span", "_tracer")

    def __init__(
        self, guard: GuardedTracer, tracer: Tracer | None, actor: str, message: str, sender: TraceContext
    ) -> None:
        self._guard = guard
        self._tracer = tracer
        self._actor = actor
        self._message = message
        self._sender = sender
        self._span: AbstractContextManager[TraceContext] | None = None

    def __enter__(self) -> TraceContext:
        if self._tracer is None:
            return self._sender
        try:
            span = self._tracer.handling(self._actor, self._message, self._sender)
            context = span.__enter__()
            if not isinstance(context, TraceContext):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise TypeError(f"the tracer must give the handler a TraceContext, not {context!r}")
        except Exception as raised:  # the tracer is the program's, and may raise anything
            self._guard.switch_off(self._actor, self._message, raised)
            return self._sender
        self._span = span
        return context

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._span is None:
            return
        try:
            self._span.__exit__(kind, error, traceback)
        except Exception as raised:  # as above; it may pass the handler's own error on
            if raised is not error:
                self._guard.switch_off(self._actor, self._message, raised)
