"""The states of a child and the one table of the ways between them.

Uninitialized -> Starting -> Running <-> Suspended
                    |           |
               StartFailed   Crashed ----> Stopping is where every wanted end begins, Stopped where it ends
                    |           |
                    +-> Backoff -> Restarting -> Running
                    +-> Failed                   (for good: policy Never, or the supervisor gave up)
"""

from collections.abc import Callable, Mapping
from enum import Enum
from types import MappingProxyType

import attrs


class State(Enum):
    """Where a child is in its life."""

    UNINITIALIZED = "Uninitialized"
    STARTING = "Starting"
    RUNNING = "Running"
    STOPPING = "Stopping"
    STOPPED = "Stopped"
    START_FAILED = "StartFailed"
    CRASHED = "Crashed"
    BACKOFF = "Backoff"
    RESTARTING = "Restarting"
    FAILED = "Failed"
    SUSPENDED = "Suspended"

    # Members are one of a kind: identity hashes them, and the transition check stays cheap.
    __hash__ = object.__hash__


_AFTER_FAILURE = frozenset({State.BACKOFF, State.RESTARTING, State.FAILED, State.STOPPED})

TRANSITIONS: Mapping[State, frozenset[State]] = MappingProxyType(
    {
        State.UNINITIALIZED: frozenset({State.STARTING, State.STOPPED}),
        State.STARTING: frozenset({State.RUNNING, State.START_FAILED, State.STOPPING}),
        State.RUNNING: frozenset({State.STOPPING, State.CRASHED, State.SUSPENDED}),
        State.SUSPENDED: frozenset({State.RUNNING, State.STOPPING, State.CRASHED}),
        State.STOPPING: frozenset({State.STOPPED, State.CRASHED}),
        State.STOPPED: frozenset({State.RESTARTING}),
        State.START_FAILED: _AFTER_FAILURE,
        State.CRASHED: _AFTER_FAILURE,
        State.BACKOFF: frozenset({State.RESTARTING, State.STOPPED}),
        State.RESTARTING: frozenset({State.RUNNING, State.START_FAILED, State.STOPPING}),
        State.FAILED: frozenset({State.RESTARTING, State.STOPPED}),
    }
)
"""Where a child may go from each state. Anything else is an `IllegalTransition`."""

UP = frozenset({State.RUNNING, State.SUSPENDED})
"""States in which an instance has started and lives."""


@attrs.frozen
class Change:
    """One child `name` went from `old` to `new` `at` seconds of trio's clock; `error` says why it failed."""

    name: str
    old: State
    new: State
    error: BaseException | None
    at: float


Observer = Callable[[Change], None]
"""Is called with every change, in the task where it happens: it must be quick, and must not raise."""
