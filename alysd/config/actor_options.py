"""Options of single actors of the node: the room of their mailboxes, and the wait before their restarts."""

import difflib
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import attrs

from alysd.nurseries import Aligned, ChildSpec, FixedDelay, Never, RestartPolicy, SupervisorSpec

CAPACITIES: Mapping[str, int] = MappingProxyType(
    {
        "storage": 1024,
        "evidence": 64,
        "reader": 64,
        "metrics": 1024,
        "engine": 64,
        "first client": 64,
        "second client": 64,
        "chain": 1024,
        "auxpow": 256,
        "block import": 64,
        "approval": 256,
        "bridge": 64,
        "bitcoin watch": 64,
        "peer host": 256,
        "network": 1024,
        "peer requests": 64,
        "federation": 256,
        "federation updates": 64,
        "sync": 64,
        "governance host": 64,
        "governance stream": 64,
        "configuration": 8,
    }
)
"""The room of each actor's mailbox, in messages, by the actor's name."""

LEAST_MESSAGES, MOST_MESSAGES = 8, 65_536
"""The bounds of a mailbox's room."""

RESTARTABLE = (
    "bitcoin watch", "bridge", "evidence", "federation", "federation updates", "governance host",
    "governance stream", "metrics", "peer requests",
)  # fmt: skip
"""The actors whose restarts an operator may delay or forbid. Blocks, sync and reloads need the others."""

LEAST_SECONDS, MOST_SECONDS = 5, 86_400
"""The bounds of a wait before a restart. With shorter ones, a supervisor could give up, and the node stop."""


@attrs.frozen
class ActorCapacity:
    """The room of the mailbox of the actor `name`, in messages."""

    name: str
    messages: int

    def __str__(self) -> str:
        return f"{self.name}={self.messages}"


@attrs.frozen
class ActorRestart:
    """The wait before each restart of the actor `name`, in seconds; None: it stays down after a failure."""

    name: str
    seconds: int | None

    def __str__(self) -> str:
        return f"{self.name}={'never' if self.seconds is None else self.seconds}"

    @property
    def policy(self) -> RestartPolicy:
        """The restart policy."""
        return Never() if self.seconds is None else FixedDelay(float(self.seconds))


def parse_capacity(value: object) -> ActorCapacity:
    """Convert `NAME=MESSAGES`. Raises `ValueError` with what is allowed."""
    name, number = _parts(value, CAPACITIES, "NAME=MESSAGES")
    if (count := _number(number, LEAST_MESSAGES, MOST_MESSAGES)) is None:
        raise ValueError(f"the number of messages must be from {LEAST_MESSAGES} to {MOST_MESSAGES}")
    return ActorCapacity(name, count)


def parse_restart(value: object) -> ActorRestart:
    """Convert `NAME=SECONDS` or `NAME=never`. Raises `ValueError` with what is allowed."""
    name, wait = _parts(value, CAPACITIES, "NAME=SECONDS or NAME=never")
    if name not in RESTARTABLE:
        raise ValueError(f"the name must be one of {', '.join(RESTARTABLE)}: blocks, sync or reloads need {name}")
    if wait == "never":
        return ActorRestart(name, None)
    if (seconds := _number(wait, LEAST_SECONDS, MOST_SECONDS)) is None:
        raise ValueError(f'the wait must be "never", or from {LEAST_SECONDS} to {MOST_SECONDS} seconds')
    return ActorRestart(name, seconds)


def twice(names: Iterable[str]) -> str | None:
    """Return the first name that occurs a second time, or None."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def with_restarts(root: SupervisorSpec, restarts: Iterable[ActorRestart]) -> SupervisorSpec:
    """Return the tree `root` with these restart policies. An actor that the tree does not have is left out.

    An actor whose restarts are aligned to the slots (`Aligned`) keeps that.
    """
    return _changed(root, {one.name: one.policy for one in restarts})


def _changed(spec: SupervisorSpec, policies: Mapping[str, RestartPolicy]) -> SupervisorSpec:
    return attrs.evolve(spec, children=tuple(_child(one, policies) for one in spec.children))


def _child(child: ChildSpec, policies: Mapping[str, RestartPolicy]) -> ChildSpec:
    if isinstance(child, SupervisorSpec):
        return _changed(child, policies)
    new = policies.get(child.name)
    return child if new is None else attrs.evolve(child, restart=_within(child.restart, new))


def _within(old: RestartPolicy, new: RestartPolicy) -> RestartPolicy:
    return attrs.evolve(old, policy=new) if isinstance(old, Aligned) else new


def _parts(value: object, names: Iterable[str], form: str) -> tuple[str, str]:
    name, equals, rest = (value if isinstance(value, str) else "").partition("=")
    name, known = name.strip(), list(names)
    if not equals:
        raise ValueError(f"must be {form}")
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"the name must be one of {', '.join(sorted(known))}{hint}")
    return name, rest.strip()


def _number(text: str, low: int, high: int) -> int | None:
    if not re.fullmatch(r"[0-9]{1,6}", text) or not low <= int(text) <= high:
        return None
    return int(text)
