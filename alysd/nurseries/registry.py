"""Finding children: by name, pattern, kind, type, tag, priority, state, health; and what depends on what."""

from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from alysd.nurseries.address import Address
from alysd.nurseries.child import Child
from alysd.nurseries.errors import UnknownChild
from alysd.nurseries.health import Health
from alysd.nurseries.lifecycle import State
from alysd.nurseries.snapshot import ChildSnapshot
from alysd.nurseries.spec import ActorSpec, Priority


class Registry:
    """A view of all children of a running system: it is never out of date."""

    def __init__(self, children: Mapping[str, Child]) -> None:
        self._children = children

    def __len__(self) -> int:
        return len(self._children)

    def __contains__(self, name: object) -> bool:
        return name in self._children

    def address(self, name: str) -> Address[Any]:
        """The address of the actor `name`. Its protocol is not known here: who looks it up must know.

        Raises `UnknownChild` when there is no such actor.
        """
        child = self._children.get(name)
        if child is None or not isinstance(child.spec, ActorSpec):
            raise UnknownChild(name)
        return child.spec.address

    def find(
        self,
        pattern: str = "*",
        *,
        kind: str | None = None,
        actor_type: type[Any] | None = None,
        tag: str | None = None,
        priority: Priority | None = None,
        state: State | None = None,
        health: Health | None = None,
    ) -> Iterator[ChildSnapshot]:
        """The children that fit everything given, in start order. `pattern` is that of a shell: `peg-*`."""
        for name, child in self._children.items():
            spec = child.spec
            if (
                fnmatchcase(name, pattern)
                and (tag is None or tag in spec.tags)
                and (priority is None or priority is spec.priority)
                and (state is None or state is child.state)
                and (health is None or health is child.health)
                and (actor_type is None or issubclass(child.instance_type, actor_type))
            ):
                snapshot = child.snapshot()
                if kind is None or kind == snapshot.kind:
                    yield snapshot

    def dependencies(self, name: str) -> tuple[str, ...]:
        """All that the child `name` needs, directly or not, the nearest first. Raises `UnknownChild`."""
        return self._closure(name, self._needs)

    def dependents(self, name: str) -> tuple[str, ...]:
        """All that needs the child `name`, directly or not, the nearest first. Raises `UnknownChild`."""
        return self._closure(name, self._needed_by)

    def _needs(self, name: str) -> tuple[str, ...]:
        child = self._children.get(name)
        return child.spec.depends_on if child is not None else ()

    def _needed_by(self, name: str) -> tuple[str, ...]:
        return tuple(other for other, child in self._children.items() if name in child.spec.depends_on)

    def _closure(self, name: str, step: Callable[[str], tuple[str, ...]]) -> tuple[str, ...]:
        if name not in self._children:
            raise UnknownChild(name)
        found: dict[str, None] = {}
        frontier = [name]
        while frontier:
            nearest = [other for current in frontier for other in step(current) if other not in found]
            found.update(dict.fromkeys(nearest))
            frontier = nearest
        return tuple(found)
