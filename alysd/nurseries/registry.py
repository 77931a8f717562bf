"""Snapshots of a running tree, and the registry that finds its children.

A snapshot is a plain value that describes one moment and never changes. The registry finds children by name
pattern, kind, actor type, tag, priority, state and health, and follows their dependencies.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import attrs

from alysd.nurseries.actor_child import ActorChild
from alysd.nurseries.address import Address
from alysd.nurseries.behaviour import Health
from alysd.nurseries.child import Child
from alysd.nurseries.errors import UnknownChild
from alysd.nurseries.spec import Priority
from alysd.nurseries.states import State
from alysd.nurseries.supervision import SupervisorChild


@attrs.frozen
class MailboxSnapshot:
    """The mailbox of one actor or pool: its queued messages, and counts since the address was created.

    The counts of a pool are those of all its workers, which share the mailbox.
    """

    depth: int
    capacity: int
    handled: int
    refused: int
    dropped: int
    abandoned: int
    """Asks that were not handled because their asker no longer waited."""
    longest_wait: float
    """The longest wait of a message, in seconds. Only one message in 16 is measured."""


@attrs.frozen
class ChildSnapshot:
    """One child and all children below it."""

    name: str
    kind: str
    """`actor`, `task`, `supervisor`, or `pool`, which is a supervisor with a mailbox."""
    state: State
    health: Health
    """The result of the monitor's last check; Unknown if no monitor runs."""
    priority: Priority
    restart: str
    """The name of the restart policy."""
    strategy: str | None
    """The name of the supervisor's strategy; `None` for other children."""
    restarts: int
    last_error: str | None
    """The type and the text of the last failure."""
    last_error_at: float | None
    """The time of the last failure on trio's clock."""
    uptime: float
    """Seconds since the present instance came up; 0 when none is up."""
    mailbox: MailboxSnapshot | None
    children: tuple["ChildSnapshot", ...] = ()

    def walk(self) -> Iterator["ChildSnapshot"]:
        """This snapshot and the snapshots of all children below, in start order."""
        yield self
        for child in self.children:
            yield from child.walk()


def take_snapshot(child: Child) -> ChildSnapshot:
    """The child as it is now, with all children below it."""
    kind, strategy, mailbox, children = "task", None, None, ()
    if isinstance(child, ActorChild):
        kind = "actor"
        mailbox = None if child.spec.bound() is None else _mailbox_snapshot(child.address, [child.address])
    elif isinstance(child, SupervisorChild):
        kind, strategy = "supervisor", type(child.strategy).__name__
        children = tuple(map(take_snapshot, child.children.values()))
        pooled = child.spec.bound()
        if pooled is not None:
            workers = [worker.address for worker in child.children.values() if isinstance(worker, ActorChild)]
            kind, mailbox = "pool", _mailbox_snapshot(pooled, [pooled, *workers])
    return ChildSnapshot(
        name=child.name,
        kind=kind,
        state=child.state,
        health=child.health,
        priority=child.spec.priority,
        restart=type(child.spec.restart).__name__,
        strategy=strategy,
        restarts=child.restarts,
        last_error=child.last_error,
        last_error_at=None if child.last_error is None else child.failed_at,
        uptime=child.uptime(),
        mailbox=mailbox,
        children=children,
    )


def _mailbox_snapshot(address: Address[Any], counted: Sequence[Address[Any]]) -> MailboxSnapshot:
    return MailboxSnapshot(
        depth=address.depth,
        capacity=address.mailbox.capacity,
        handled=sum(each.handled for each in counted),
        refused=sum(each.refused for each in counted),
        dropped=address.mailbox.dropped,
        abandoned=address.abandoned,
        longest_wait=max(each.longest_wait for each in counted),
    )


class Registry:
    """A live view of all children of a running system."""

    def __init__(self, children: Mapping[str, Child]) -> None:
        self._children = children

    def __len__(self) -> int:
        return len(self._children)

    def __contains__(self, name: object) -> bool:
        return name in self._children

    def address(self, name: str) -> Address[Any]:
        """The address of the actor or pool `name`. The caller has to know the protocol.

        Raises `UnknownChild` when there is none: a worker of a pool has no address of its own.
        """
        child = self._children.get(name)
        address = None if child is None else child.spec.bound()
        if address is None:
            raise UnknownChild(name)
        return address

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
        """The children that match all arguments, in start order. `pattern` is a shell pattern, such as `peg-*`."""
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
                snapshot = take_snapshot(child)
                if kind is None or kind == snapshot.kind:
                    yield snapshot

    def dependencies(self, name: str) -> tuple[str, ...]:
        """The children on which `name` depends, directly or indirectly, nearest first. Raises `UnknownChild`."""
        return self._closure(name, self._needs)

    def dependents(self, name: str) -> tuple[str, ...]:
        """The children that depend on `name`, directly or indirectly, nearest first. Raises `UnknownChild`."""
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
