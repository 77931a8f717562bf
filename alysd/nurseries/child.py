"""The life of a child: its states, and the one task that runs instance after instance.

Uninitialized -> Starting -> Running <-> Suspended
                    |           |
               StartFailed   Crashed        A requested end: any of them -> Stopping -> Stopped
                    |           |
                    +-> Backoff -> Restarting -> Running
                    +-> Failed                   (for good: policy Never, or the supervisor gave up)

`state` says where a child is in its life, `desired` where it should be. Everything else about its life is derived:
`alive` (its task runs), `came_up` (an instance has been up), `stopping` (it was asked to stop).

This module is the only place that catches failures of an instance. The supervisor decides about each of them
(`restart.decide`). If only this child has to restart, it does so by itself, in the same task.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from random import Random
from types import MappingProxyType
from typing import Protocol

import attrs
import trio

from alysd.nurseries.asks import Pending, Wheel
from alysd.nurseries.behaviour import Health
from alysd.nurseries.errors import ChildEnded, Fatal, IllegalTransition, Refusal, leaf_of
from alysd.nurseries.failures import Classifier, FailureLog
from alysd.nurseries.restart import RestartPolicy
from alysd.nurseries.spec import ChildSpec
from alysd.nurseries.timers import TimerHeap
from alysd.nurseries.trace import Tracer, Unrecorded, forget_trace

logger = logging.getLogger("alysd.nurseries")

CHECKPOINT_FAILURES = 16
"""Failures in a row after which the child's task executes a checkpoint, even if every restart was immediate."""


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

    # Hashing by identity is safe, because each member exists once, and it makes the check of a transition cheap.
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
"""The states that may follow each state. Any other change is an `IllegalTransition`."""

UP = frozenset({State.RUNNING, State.SUSPENDED})
"""States in which an instance has started and has not ended."""

_STARTING = frozenset({State.STARTING, State.RESTARTING})
_ACTIVE = UP | _STARTING | {State.STOPPING}
"""States in which the child has a task, whether or not the task has run yet."""
_FAILURES = frozenset({State.FAILED, State.CRASHED, State.START_FAILED})
_AWAITING_GROUP = frozenset({State.CRASHED, State.START_FAILED, State.BACKOFF})
"""States that a child without a task can have while its group is being restarted."""


class Desired(Enum):
    """The state in which the supervisor or an operator wants a child to be."""

    UP = "up"
    """The supervisor starts the child whenever it has no task."""
    SUSPENDED = "suspended"
    """As `UP`, but the present instance handles no messages. The value changes to `UP` when an instance starts."""
    DOWN = "down"
    """The supervisor does not start the child: it was stopped by an operator, has failed for good, or is done."""


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


@attrs.define
class Runtime:
    """The parts of a system that all its children share. `stopping` is set when an orderly stop begins."""

    wheel: Wheel
    observer: Observer | None
    rng: Random
    refusals: tuple[type[Exception], ...] = (Refusal,)
    fatal: tuple[type[Exception], ...] = (Fatal,)
    failures: FailureLog = attrs.field(factory=lambda: FailureLog(Classifier()))
    tracer: Tracer = attrs.field(factory=Unrecorded)
    timers: TimerHeap = attrs.field(factory=TimerHeap)
    children: "dict[str, Child]" = attrs.field(factory=dict[str, "Child"])
    stopping: bool = False


class Parent(Protocol):
    """The methods of a supervisor that its children call."""

    def child_failed(self, child: "Child", error: Exception, *, stopping: bool) -> float | None:
        """Report that the child failed; `stopping` says whether it had been asked to stop.

        Returns the seconds after which the child restarts itself, or `None` if it must not.
        """
        ...

    def child_changed(self) -> None:
        """Report that the state of a child changed, or that its task ended."""
        ...

    def child_finished(self, child: "Child") -> None:
        """Report that the child, a task with `may_end`, has ended by itself."""
        ...


class Child(ABC):
    """A child at run time. Its task runs `live`."""

    __slots__ = (
        "_injected",
        "desired",
        "failed_at",
        "failures",
        "health",
        "instance_type",
        "last_error",
        "lived",
        "parent",
        "restarts",
        "runtime",
        "scope",
        "spec",
        "state",
        "up_since",
    )

    def __init__(self, spec: ChildSpec, parent: Parent, runtime: Runtime) -> None:
        self.spec = spec
        self.parent = parent
        self.runtime = runtime
        self.state = State.UNINITIALIZED
        self.desired = Desired.UP
        # The cancel scope of the instance, or of the wait for the next one; None before and after the task.
        self.scope: trio.CancelScope | None = None
        # When the newest instance came up; None if none has come up since the supervisor started the child.
        self.up_since: float | None = None
        # The error given to `inject`, for which the instance is being cancelled.
        self._injected: Exception | None = None
        # Failures in a row, as the restart policy counts them, and restarts since the system started.
        self.failures = 0
        self.restarts = 0
        self.last_error: Exception | None = None
        self.failed_at = 0.0
        # Seconds for which the last failed instance had been up.
        self.lived = 0.0
        self.health = Health.UNKNOWN
        self.instance_type: type[object] = type(None)
        runtime.children[spec.name] = self

    @property
    def name(self) -> str:
        """The child's name, unique in its system."""
        return self.spec.name

    @property
    def policy(self) -> RestartPolicy:
        """The child's restart policy."""
        return self.spec.restart

    @property
    def alive(self) -> bool:
        """Whether the child has a task, which may not have run yet."""
        return self.scope is not None or self.state in _ACTIVE

    @property
    def came_up(self) -> bool:
        """Whether any instance came up since the supervisor started the child, even if it has failed again."""
        return self.up_since is not None

    @property
    def stopping(self) -> bool:
        """Whether the child was asked to stop and has not ended yet."""
        return self.state is State.STOPPING

    def uptime(self) -> float:
        """Seconds since the present instance came up; 0 when none is up."""
        if self.state not in UP or self.up_since is None:
            return 0.0
        return trio.current_time() - self.up_since

    def move(self, new: State, error: BaseException | None = None) -> None:
        """Change the state and tell the observer. Raises `IllegalTransition` for a change not in `TRANSITIONS`."""
        old = self.state
        if new not in TRANSITIONS[old]:
            raise IllegalTransition(self.name, old.value, new.value)
        self.state = new
        if new is State.RUNNING and old is not State.SUSPENDED:
            self.up_since = trio.current_time()
        observer = self.runtime.observer
        if observer is not None:
            try:
                observer(Change(self.name, old, new, error, trio.current_time()))
            except Exception as raised:  # an observer must not change what happens
                logger.error("the observer failed on %s: %r", self.name, raised, exc_info=raised)
        self.parent.child_changed()

    # Called by the supervisor

    def launch(self) -> None:
        """Prepare the start of the child's task. The caller has to start `live` right afterwards."""
        self.up_since = None
        self._injected = None
        self._next_instance()

    def begin_stop(self, *, for_good: bool) -> None:  # noqa: ARG002  only a child that keeps messages cares
        """Ask the child to end, and return at once. If `for_good` is false, another instance will follow."""
        if self.state in UP:
            self.move(State.STOPPING)
            self._stop_instance()
        elif self.state in _STARTING:
            self.move(State.STOPPING)
            self._stop_start()
        elif self.state is State.BACKOFF and self.scope is not None:
            self.scope.cancel()

    def enter_backoff(self, seconds: float) -> None:  # noqa: ARG002  an actor tells its askers
        """Change to BACKOFF for `seconds`. The caller, this child's task or the supervisor's, does the waiting."""
        self.move(State.BACKOFF)

    def reopen(self) -> None:  # noqa: B027
        """Undo `close`, because the supervisor is about to start the child."""

    def close(self, reason: str) -> None:  # noqa: ARG002  an actor tells its askers
        """Release the resources that the child kept for a restart, because it has ended and will not restart."""
        if self.state in _AWAITING_GROUP and not self.alive:
            self.move(State.STOPPED)

    def unregister(self) -> None:
        """Remove the child from the system's tables."""
        self.runtime.children.pop(self.name, None)
        self.runtime.failures.forget(self.name)

    # Called by monitors and operators

    @abstractmethod
    def ask_health(self, check: Pending) -> None:
        """Have the instance reply to `check` with its `Health` as soon as it can. Returns at once."""

    def inject(self, error: Exception) -> None:
        """Make the instance fail at its next checkpoint, as if it had raised `error`."""
        self._injected = error
        if self.scope is not None:
            self.scope.cancel()

    # The child's own task

    async def live(self) -> None:
        """Run instances until the child is stopped, ends, fails for good, or its supervisor takes over."""
        forget_trace()
        try:
            while not self.stopping:
                error: Exception | None = None
                try:
                    with trio.CancelScope() as self.scope:
                        try:
                            await self._start()
                            await self._work()
                        except BaseException as raised:  # cancellation too: every instance gets to clean up
                            await self._end_instance(self._cause(raised))
                            raise
                        else:
                            await self._end_instance(None)
                    error = self._unexpected_end(cancelled=self.scope.cancelled_caught)
                except Exception as raised:  # the one place where every failure of a child is caught
                    error = _unwrapped(raised)
                if error is None:
                    return
                delay = self._failed(error)
                if delay is None or (delay > 0 and not await self._back_off(delay)):
                    return
                self._next_instance()
                if not self.failures % CHECKPOINT_FAILURES:
                    await trio.lowlevel.checkpoint()
        finally:
            self._leave()

    def _next_instance(self) -> None:
        self.desired = Desired.UP
        if self.state is State.UNINITIALIZED:
            self.move(State.STARTING)
        else:
            self.restarts += 1
            self.move(State.RESTARTING)

    async def _start(self) -> None:  # noqa: B027  a supervisor's start is the first part of its work
        """Make an instance, and move to RUNNING once it is up."""

    @abstractmethod
    def _work(self) -> Awaitable[None]:
        """Run the instance until it was asked to stop and has stopped."""

    async def _end_instance(self, failure: Exception | None) -> None:  # noqa: B027
        """Let the ended instance release its resources. `failure` is `None` if it ended as it was asked to."""

    @abstractmethod
    def _stop_instance(self) -> None:
        """Ask the instance, which is up, to end. Returns at once."""

    def _stop_start(self) -> None:
        """Cancel a start that has not finished, which loses nothing."""
        if self.scope is not None:
            self.scope.cancel()

    def _cause(self, raised: BaseException) -> Exception | None:
        """The failure that ended the instance, or `None` if it was asked to stop or cancelled from above."""
        if isinstance(raised, Exception):
            return _unwrapped(raised)
        return None if self.stopping else self._injected

    def _unexpected_end(self, *, cancelled: bool) -> Exception | None:
        """The failure of an instance that ended without an exception, or `None` if its end was requested."""
        if self.stopping:
            return None
        if cancelled and self._injected is not None:
            error, self._injected = self._injected, None
            return error
        return ChildEnded(self.name)

    def _failed(self, error: Exception) -> float | None:
        """Count the failure and ask the supervisor. Returns the seconds until the restart, or `None`."""
        self.last_error, self.failed_at = error, trio.current_time()
        self.lived = self.uptime()
        if self.state in UP and self.policy.proved(self.lived, self.handled()):
            self.failures = 0
        self.failures += 1
        stopping, starting = self.stopping, self.state in _STARTING
        self.move(State.START_FAILED if starting else State.CRASHED, error)
        return self.parent.child_failed(self, error, stopping=stopping)

    def handled(self) -> int:
        """The number of messages that this instance has handled, which the restart policy asks for."""
        return 0

    async def _back_off(self, seconds: float) -> bool:
        """Wait `seconds` before the next instance. Returns false if the child was asked to stop meanwhile."""
        self.enter_backoff(seconds)
        with trio.CancelScope() as self.scope:
            await trio.sleep(seconds)
        return not self.scope.cancel_called

    def _leave(self) -> None:
        """Set the final state at the end of the task: a failed child keeps its state, any other becomes STOPPED.

        This also covers a child that was cancelled from above.
        """
        finished = self.state in UP and self.desired is Desired.DOWN  # ended by itself
        if self.state not in _FAILURES:
            if self.state in UP or self.state in _STARTING:
                self.move(State.STOPPING)
            if self.state is not State.STOPPED:
                self.move(State.STOPPED)
        self.scope = None
        if finished:
            self.parent.child_finished(self)
        self.parent.child_changed()


def _unwrapped(raised: Exception) -> Exception:
    error = leaf_of(raised)
    return error if isinstance(error, Exception) else raised
