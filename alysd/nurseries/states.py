"""The states in the life of a child, the changes between them, and the state that is wanted.

Uninitialized -> Starting -> Running <-> Suspended
                    |           |
               StartFailed   Crashed        A requested end: any of them -> Stopping -> Stopped
                    |           |
                    +-> Backoff -> Restarting -> Running
                    +-> Failed                   (for good: policy Never, or the supervisor gave up)

`State` says where a child is in its life, `Desired` where it should be.
"""

from collections.abc import Callable, Mapping
from enum import Enum
from types import MappingProxyType

import attrs


class State(Enum):
    """The stages in the life of a child."""

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

    @property
    def predicate(self) -> str:
        """The state as the predicate of a sentence about a child, for errors."""
        return _PREDICATES.get(self) or f"is {self.value.lower()}"

    # Hashing by identity is safe, because each member exists once, and it makes the check of a transition cheap.
    __hash__ = object.__hash__


_PREDICATES = MappingProxyType(
    {
        State.UNINITIALIZED: "has not been started",
        State.START_FAILED: "has failed to start",
        State.CRASHED: "has crashed",
        State.BACKOFF: "waits for its restart",
        State.FAILED: "has failed for good",
    }
)

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
"""The states that may follow each state. Any other change is an `IllegalTransition`."""

UP = frozenset({State.RUNNING, State.SUSPENDED})
"""States in which an instance has started and has not ended."""

BEING_STARTED = frozenset({State.STARTING, State.RESTARTING})
"""States in which an instance is being started."""

ACTIVE = UP | BEING_STARTED | {State.STOPPING}
"""States in which the child has a task, whether or not the task has run yet."""
FAILURES = frozenset({State.FAILED, State.CRASHED, State.START_FAILED})
"""States of a child whose last instance has failed."""
AWAITING_GROUP = frozenset({State.CRASHED, State.START_FAILED, State.BACKOFF})
"""States that a child without a task can have while its group is being restarted."""


class Desired(Enum):
    """The state into which the supervisor or an operator has put a child."""

    UP = "up"
    """The supervisor starts the child whenever it has no task."""
    SUSPENDED = "suspended"
    """Like `UP`, but the present instance handles no messages. When an instance starts, the value becomes `UP`."""
    DOWN = "down"
    """The supervisor does not start the child: it was stopped by an operator, has failed for good, or is done."""
    GONE = "gone"
    """Like `DOWN`, and the child is taken out of the tree when it has ended."""


WANTED = frozenset({Desired.UP, Desired.SUSPENDED})
"""The child should have an instance."""


@attrs.frozen
class Change:
    """The child `name` changed from state `old` to `new` at the time `at` of trio's clock.

    `error` is the reason if the child failed.
    """

    name: str
    old: State
    new: State
    error: BaseException | None
    at: float


Observer = Callable[[Change], None]
"""A function called with every change, in the task that makes it. It must return quickly and must not raise."""
