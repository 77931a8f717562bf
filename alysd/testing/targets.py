"""Targets select the children that an experiment affects; the blast radius limits how many."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from random import Random

import attrs
from attrs.validators import ge, gt, le

from alysd.nurseries import ChildSnapshot, Priority


@attrs.frozen
class Target(ABC):
    """A way to select children of a system."""

    @abstractmethod
    def select(self, children: Sequence[ChildSnapshot], rng: Random) -> tuple[str, ...]:
        """The names of the children selected, in start order."""


@attrs.frozen
class AnyChildren(Target):
    """`count` children at random."""

    count: int = attrs.field(default=1, validator=ge(1))

    def select(self, children: Sequence[ChildSnapshot], rng: Random) -> tuple[str, ...]:
        """A random sample of all children."""
        return _sample(children, self.count, rng)


@attrs.frozen
class ByPriority(Target):
    """`count` children with this priority at random; without a count, all of them."""

    priority: Priority
    count: int | None = None

    def select(self, children: Sequence[ChildSnapshot], rng: Random) -> tuple[str, ...]:
        """A random sample of the children with the priority."""
        matching = [child for child in children if child.priority is self.priority]
        return _sample(matching, len(matching) if self.count is None else self.count, rng)


@attrs.frozen
class ByName(Target):
    """The existing children among those with the given names."""

    names: frozenset[str] = attrs.field(converter=frozenset[str])

    def select(self, children: Sequence[ChildSnapshot], rng: Random) -> tuple[str, ...]:
        """The existing children."""
        return tuple(child.name for child in children if child.name in self.names)


@attrs.frozen
class Percentage(Target):
    """A random `percent` of the children, rounded down, but at least one child."""

    percent: float = attrs.field(validator=[gt(0.0), le(100.0)])

    def select(self, children: Sequence[ChildSnapshot], rng: Random) -> tuple[str, ...]:
        """A random sample of all children."""
        return _sample(children, max(1, int(len(children) * self.percent / 100)), rng)


@attrs.frozen
class BlastRadius:
    """The limit of an experiment: at most a `share` of all children at a time, and never the `protected` ones.

    Children that are still down count as affected.
    """

    share: float = attrs.field(default=0.34, validator=[gt(0.0), le(1.0)])
    protected: frozenset[str] = frozenset()

    def limit(self, children: int) -> int:
        """The largest number of `children` that may be affected at a time: rounded down, but at least one."""
        return max(1, int(children * self.share))

    def eligible(self, children: Sequence[ChildSnapshot]) -> list[ChildSnapshot]:
        """The children that may be targets: no supervisors, and none that is protected."""
        return [child for child in children if child.kind != "supervisor" and child.name not in self.protected]


def _sample(children: Sequence[ChildSnapshot], count: int, rng: Random) -> tuple[str, ...]:
    chosen = set(rng.sample(range(len(children)), min(count, len(children))))
    return tuple(child.name for index, child in enumerate(children) if index in chosen)
