"""A tree of children as data. `actor`, `task` and `supervisor` build the tree, `open_system` runs it."""

import math
from collections.abc import Awaitable, Callable, Container, Iterator, Sequence
from enum import IntEnum
from typing import Any, Generic, TypeVar

import attrs
from attrs.validators import ge, gt, le, optional

from alysd.nurseries.address import Address
from alysd.nurseries.asks import MOST_SECONDS
from alysd.nurseries.behaviour import Actor
from alysd.nurseries.errors import SpecError
from alysd.nurseries.restart import ExponentialBackoff, Immediate, Intensity, RestartPolicy, Strategy

P = TypeVar("P")
T = TypeVar("T")

START_SECONDS = 60.0
"""The default of `start_seconds`, the time for the hooks `pre_start` and `post_restart`."""

STOP_SECONDS = 5.0
"""The default of `stop_seconds`, the time that a child has to stop before it is cancelled."""


NO_TAGS: frozenset[str] = frozenset()
"""One empty set for all children without tags: each empty set would have 216 bytes."""

DEFAULT_RESTART = ExponentialBackoff()
"""The restart policy of children without one. All share it, because making one takes as long as an address."""

Sibling = str | Address[Any]
"""An argument that identifies a child: its name, or its address."""


class Priority(IntEnum):
    """The importance of a child. The monitor checks the health of children with lower numbers more often."""

    CRITICAL = 0
    HIGH = 1
    NORMAL = 2
    BACKGROUND = 3


@attrs.frozen(kw_only=True)
class ChildSpec:
    """The fields that all kinds of children have. A name is unique in its system."""

    name: str
    restart: RestartPolicy
    priority: Priority = Priority.NORMAL
    stop_seconds: float = attrs.field(default=STOP_SECONDS, validator=ge(0.0))
    depends_on: tuple[str, ...] = ()
    """Children, anywhere in the tree, that start before this one."""
    linked_to: tuple[str, ...] = ()
    """Siblings with which this child restarts or stops when they fail (see `links`)."""
    tags: frozenset[str] = frozenset()
    awaited: bool = True
    """Whether the children after this one start only when it is up. If not, the program starts without it."""

    def bound(self) -> Address[Any] | None:
        """The address at which senders reach this child; `None` if there is none."""
        return None


@attrs.frozen(kw_only=True)
class ActorSpec(ChildSpec):
    """An actor. `factory` makes each instance; `handle_seconds` bounds the handling of each message.

    `start_seconds` bounds the start of each instance: its hooks `pre_start` and `post_restart`.
    `crash_on_not_answered` says whether a `NotAnswered` that leaves a handler restarts the actor.
    """

    address: Address[Any]
    factory: Callable[[], Actor[Any]]
    handle_seconds: float | None = attrs.field(default=None, validator=optional([gt(0.0), le(MOST_SECONDS)]))
    start_seconds: float = attrs.field(default=START_SECONDS, validator=[gt(0.0), le(MOST_SECONDS)])
    crash_on_not_answered: bool = False

    def bound(self) -> Address[Any] | None:
        """The actor's address."""
        return self.address


@attrs.frozen(kw_only=True)
class TaskSpec(ChildSpec, Generic[T]):
    """A plain async function that runs until it is cancelled; with `may_end` it may also return."""

    run: Callable[[], Awaitable[T]]
    may_end: bool = False


@attrs.frozen(kw_only=True)
class SupervisorSpec(ChildSpec):
    """A supervisor of `children`, in start order.

    A finite `stop_seconds` bounds the stop of all its children together. If it is infinite, the bound is the
    time that its children at that moment need, plus one second.
    """

    strategy: Strategy
    children: tuple[ChildSpec, ...]
    intensity: Intensity
    max_children: int | None = attrs.field(default=None, validator=optional(ge(1)))
    """The largest number of children, those of run time included; `None` for no bound."""


def actor(
    address: Address[P],
    factory: Callable[[], Actor[P]],
    *,
    restart: RestartPolicy | None = None,
    priority: Priority = Priority.NORMAL,
    stop_seconds: float = STOP_SECONDS,
    start_seconds: float = START_SECONDS,
    handle_seconds: float | None = None,
    crash_on_not_answered: bool = False,
    depends_on: Sequence[Sibling] = (),
    linked_to: Sequence[Sibling] = (),
    tags: Sequence[str] = (),
) -> ActorSpec:
    """An actor child with the name of its address. By default it restarts with exponential backoff.

    An instance whose `pre_start` and `post_restart` together take longer than `start_seconds` has failed to start,
    with `StartTooSlow`. A handler that takes longer than `handle_seconds` is cancelled, and the actor crashes with
    `HandlerTooSlow`; `None` means no bound. `depends_on` has the names or addresses of children, anywhere in the
    tree, that have to start before this one. `linked_to` has those of earlier siblings: if one of them fails, this
    child restarts or stops with it.
    """
    return ActorSpec(
        name=address.name,
        address=address,
        factory=factory,
        restart=restart or DEFAULT_RESTART,
        priority=priority,
        stop_seconds=stop_seconds,
        handle_seconds=handle_seconds,
        start_seconds=start_seconds,
        crash_on_not_answered=crash_on_not_answered,
        depends_on=names(*depends_on, *linked_to),
        linked_to=names(*linked_to),
        tags=frozenset(tags) if tags else NO_TAGS,
    )


def task(
    name: str,
    run: Callable[[], Awaitable[T]],
    *,
    restart: RestartPolicy | None = None,
    priority: Priority = Priority.NORMAL,
    stop_seconds: float = STOP_SECONDS,
    depends_on: Sequence[Sibling] = (),
    linked_to: Sequence[Sibling] = (),
    tags: Sequence[str] = (),
    may_end: bool = False,
) -> TaskSpec[T]:
    """A task child. Each instance is a call of `run`, and is stopped by cancelling it.

    A return of `run` is a failure (`ChildEnded`), unless `may_end` is true.
    """
    return TaskSpec(
        name=name,
        run=run,
        restart=restart or DEFAULT_RESTART,
        priority=priority,
        stop_seconds=stop_seconds,
        depends_on=names(*depends_on, *linked_to),
        linked_to=names(*linked_to),
        tags=frozenset(tags) if tags else NO_TAGS,
        may_end=may_end,
    )


def supervisor(
    name: str,
    strategy: Strategy,
    children: Sequence[ChildSpec],
    *,
    max_children: int | None = None,
    intensity: Intensity | None = None,
    restart: RestartPolicy | None = None,
    priority: Priority = Priority.NORMAL,
    stop_seconds: float | None = None,
    depends_on: Sequence[Sibling] = (),
    linked_to: Sequence[Sibling] = (),
    tags: Sequence[str] = (),
    awaited: bool = True,
) -> SupervisorSpec:
    """A supervisor child. When it gives up, its own supervisor restarts it, by default at once.

    By default, the time that a supervisor has to stop is that which its children at that moment need, plus one
    second. With `awaited=False` the children after it start at once, and not only when it is up.
    """
    for child in children:
        if not isinstance(child, ChildSpec):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise SpecError(f"{name} cannot supervise {child!r}: use actor(), task() or supervisor()")
    return SupervisorSpec(
        name=name,
        strategy=strategy,
        children=tuple(children),
        max_children=max_children,
        intensity=intensity or Intensity(),
        restart=restart or Immediate(),
        priority=priority,
        stop_seconds=math.inf if stop_seconds is None else stop_seconds,
        depends_on=names(*depends_on, *linked_to),
        linked_to=names(*linked_to),
        tags=frozenset(tags) if tags else NO_TAGS,
        awaited=awaited,
    )


def names(*children: Sibling) -> tuple[str, ...]:
    """The names of these children, each once."""
    if not children:
        return ()
    return tuple(dict.fromkeys(child if isinstance(child, str) else child.name for child in children))


def walk(spec: ChildSpec) -> Iterator[ChildSpec]:
    """The spec and all specs below it, in start order."""
    yield spec
    if isinstance(spec, SupervisorSpec):
        for child in spec.children:
            yield from walk(child)


def validate(spec: ChildSpec, running: Container[str] = (), siblings: Container[str] = ()) -> None:
    """Check a tree before it starts.

    `running` has the names of the children that run already, `siblings` those of them under the same supervisor.

    Raises `SpecError` for a name or an address that is used twice, for a dependency that does not start before the
    child that needs it, and for a part of a wrong type.
    """
    started: set[str] = set()
    addresses: set[int] = set()
    for child in walk(spec):
        _check_types(child)
        if child.name in started or child.name in running:
            raise SpecError(f"two children are named {child.name}; names are unique in a system")
        address = child.bound()
        if address is not None:
            if address.wheel is not None:
                raise SpecError(f"the address {child.name} already has an actor in a running system")
            if id(address) in addresses:
                raise SpecError(f"the address {address.name} of {child.name} already has an actor in this tree")
            addresses.add(id(address))
        if isinstance(child, SupervisorSpec):
            most, number = child.max_children, len(child.children)
            if most is not None and number > most:
                raise SpecError(f"{child.name} has {number} children, but max_children is {most}")
        for needed in child.depends_on:
            if needed not in started and needed not in running:
                raise SpecError(f"{child.name} depends on {needed}, which is not started before it")
        started.add(child.name)
    _check_links(spec, siblings)


def _check_types(spec: ChildSpec) -> None:
    """Repeat checks of pyright: a wrong object would otherwise crash the child at each start."""
    if not isinstance(spec, ChildSpec):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise SpecError(f"{spec!r} is no child: use actor(), task() or supervisor()")
    _check_part(spec.name, "restart", spec.restart, RestartPolicy)
    if isinstance(spec, ActorSpec):
        _check_part(spec.name, "address", spec.address, Address)
        _check_callable(spec.name, "factory", spec.factory)
    elif isinstance(spec, TaskSpec):
        _check_callable(spec.name, "run", spec.run)
    elif isinstance(spec, SupervisorSpec):
        _check_part(spec.name, "strategy", spec.strategy, Strategy)
        _check_part(spec.name, "intensity", spec.intensity, Intensity)


def _check_part(child: str, part: str, value: object, expected: type[Any]) -> None:
    if not isinstance(value, expected):
        raise SpecError(f"{part} of {child} must be a {expected.__name__}, not {value!r}")


def _check_callable(child: str, part: str, value: object) -> None:
    if not callable(value):
        made = "a function or a class that makes the actor" if part == "factory" else "an async function"
        raise SpecError(f"{part} of {child} must be {made}, not {value!r}")


def _check_links(spec: ChildSpec, siblings: Container[str]) -> None:
    """Raise `SpecError` for a link that does not name an earlier child of the same supervisor."""
    for name in spec.linked_to:
        if name not in siblings:
            raise SpecError(f"{spec.name} is linked to {name}, which is no earlier child of the same supervisor")
    if isinstance(spec, SupervisorSpec):
        earlier: set[str] = set()
        for child in spec.children:
            _check_links(child, earlier)
            earlier.add(child.name)
