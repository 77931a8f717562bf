"""Calls of a program's observer, whose errors must not change what happens."""

import logging
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

logger = logging.getLogger("alysd.nurseries")


class Named(Protocol):
    """An observed change: it concerns the child `name`."""

    @property
    def name(self) -> str:
        """The name of the child."""
        ...


T = TypeVar("T", bound=Named)


class GuardedObserver(Generic[T]):
    """Calls `observer`. Its first error of each type is logged with a traceback; others are only counted."""

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
