"""Which children of a supervisor restart when one fails: its group strategy."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TypeVar

import attrs

C = TypeVar("C")


@attrs.frozen
class Strategy(ABC):
    """A group strategy."""

    @abstractmethod
    def affected(self, children: Sequence[C], failed: C) -> Sequence[C]:
        """The children to restart when `failed` failed, in start order, itself included."""


@attrs.frozen
class OneForOne(Strategy):
    """Only the child that failed."""

    def affected(self, children: Sequence[C], failed: C) -> Sequence[C]:  # noqa: ARG002
        """Itself alone."""
        return (failed,)


@attrs.frozen
class OneForAll(Strategy):
    """All children: none can do without any other."""

    def affected(self, children: Sequence[C], failed: C) -> Sequence[C]:  # noqa: ARG002
        """Everyone."""
        return tuple(children)


@attrs.frozen
class RestForOne(Strategy):
    """The child that failed and those started after it, which depend on it."""

    def affected(self, children: Sequence[C], failed: C) -> Sequence[C]:
        """From itself to the end."""
        return tuple(children[children.index(failed) :])
