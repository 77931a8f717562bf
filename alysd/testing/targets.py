"""Whom chaos strikes, and how many at most."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from random import Random

import attrs
from attrs.validators import ge, gt, le

from alysd.nurseries import ChildSnapshot, Priority


@attrs.frozen
class Target(ABC):
    """A way to choose among the children of a system."""

    @abstractmethod
    def pick(self, children: Sequence[ChildSnapshot], rng: Random) -> tuple[str, ...]:
        """The names chosen, in start order."""


@attrs.frozen
class AtRandom(Target):
    """Any `count` of them."""

    count: int = attrs.field(default=1, validator=ge(1))

    def pick(self, children: Sequence[ChildSnapshot], rng: Random) -> tuple[str, ...]:
        """As chance has it."""
        return _some(children, self.count, rng)


@attrs.frozen
class OfPriority(Target):
    """Any `count` of those with this priority; without a count all of them."""

    priority: Priority
    count: int | None = None

    def pick(self, children: Sequence[ChildSnapshot], rng: Random) -> tuple[str, ...]:
        """Among these alone."""
        fitting = [child for child in children if child.priority is self.priority]
        return _some(fitting, len(fitting) if self.count is None else self.count, rng)


@attrs.frozen
class TheCritical(Target):
    """Any `count` of those on which everything hangs."""

    count: int = attrs.field(default=1, validator=ge(1))

    def pick(self, children: Sequence[ChildSnapshot], rng: Random) -> tuple[str, ...]:
        """Among the children of priority Critical."""
        return OfPriority(Priority.CRITICAL, self.count).pick(children, rng)


@attrs.frozen
class Named(Target):
    """These, as far as they are there."""

    names: frozenset[str] = attrs.field(converter=frozenset[str])

    def pick(self, children: Sequence[ChildSnapshot], rng: Random) -> tuple[str, ...]:  # noqa: ARG002
        """Nothing is left to chance."""
        return tuple(child.name for child in children if child.name in self.names)


@attrs.frozen
class Percentage(Target):
    """So many of a hundred, rounded down, but one at least."""

    percent: float = attrs.field(validator=[gt(0.0), le(100.0)])

    def pick(self, children: Sequence[ChildSnapshot], rng: Random) -> tuple[str, ...]:
        """As chance has it."""
        return _some(children, max(1, int(len(children) * self.percent / 100)), rng)


@attrs.frozen
class BlastRadius:
    """At most `share` of all children are struck or still down at a time, and never the `protected` ones."""

    share: float = attrs.field(default=0.34, validator=[gt(0.0), le(1.0)])
    protected: frozenset[str] = frozenset()

    def limit(self, children: int) -> int:
        """How many of so many children, at most: rounded down, but one at least."""
        return max(1, int(children * self.share))

    def exposed(self, children: Sequence[ChildSnapshot]) -> list[ChildSnapshot]:
        """The children that may be struck: leaves of the tree that nobody protects."""
        return [child for child in children if child.kind != "supervisor" and child.name not in self.protected]


def _some(children: Sequence[ChildSnapshot], count: int, rng: Random) -> tuple[str, ...]:
    chosen = set(rng.sample(range(len(children)), min(count, len(children))))
    return tuple(child.name for index, child in enumerate(children) if index in chosen)
