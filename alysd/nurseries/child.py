"""The life of a child: its states, and the one task that runs instance after instance.

Uninitialized -> Starting -> Running <-> Suspended
                    |           |
               StartFailed   Crashed ----> Stopping is where every wanted end begins, Stopped where it ends
                    |           |
                    +-> Backoff -> Restarting -> Running
                    +-> Failed                   (for good: policy Never, or the supervisor gave up)

A failure inside an instance is caught here and nowhere else in a program that uses this runtime. The supervisor
decides what follows from it; where only this child is concerned it restarts itself in the same task.
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
from alysd.nurseries.spec import ChildSpec
from alysd.nurseries.trace import Tracer, Unrecorded

logger = logging.getLogger("alysd.nurseries")


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


CRASHES = 16
"""Failures in a row after which others get a turn, even if nothing ever waits between them."""

_FAILURES = frozenset({State.FAILED, State.CRASHED, State.START_FAILED})
_BETWEEN = frozenset({State.CRASHED, State.START_FAILED, State.BACKOFF})
"""Where a child without a task is while its group stops, and waits, to start again."""
_LIVES = UP | {State.STARTING, State.RESTARTING}


@attrs.define
class Runtime:
    """What all children of one system share."""

    wheel: Wheel
    observer: Observer | None
    rng: Random
    refusals: tuple[type[Exception], ...] = (Refusal,)
    fatal: tuple[type[Exception], ...] = (Fatal,)
    failures: FailureLog = attrs.field(factory=lambda: FailureLog(Classifier()))
    tracer: Tracer = attrs.field(factory=Unrecorded)
    children: "dict[str, Child]" = attrs.field(factory=dict[str, "Child"])


class Parent(Protocol):
    """What a child needs of its supervisor."""

    def judge(self, child: "Child", error: Exception) -> float | None:
        """The child failed: seconds after which it restarts itself, or `None` if it must not."""
        ...

    def changed(self) -> None:
        """Some child's state changed, or its task ended."""
        ...

    def forget(self, child: "Child") -> None:
        """A child that was added at run time is over: nothing of it stays."""
        ...


class Child(ABC):
    """A child at run time. Its task is `live`."""

    __slots__ = (
        "added",
        "alive",
        "came_up",
        "failed_at",
        "failures",
        "health",
        "injected",
        "instance_type",
        "last_error",
        "launches",
        "lived",
        "parent",
        "restarts",
        "runtime",
        "scope",
        "spec",
        "state",
        "stopping",
        "up_since",
        "wanted",
    )

    def __init__(self, spec: ChildSpec, parent: Parent, runtime: Runtime) -> None:
        self.spec = spec
        self.parent = parent
        self.runtime = runtime
        self.state = State.UNINITIALIZED
        self.scope: trio.CancelScope | None = None
        # Failures in a row, as the restart policy counts them; restarts, since the beginning.
        self.failures = 0
        self.restarts = 0
        self.last_error: Exception | None = None
        self.failed_at = 0.0
        self.up_since = 0.0
        self.lived = 0.0  # seconds that the last instance was up
        # alive: its task runs. wanted: its supervisor starts it when it is not alive. stopping: asked to end.
        # came_up: has been up since its supervisor started it; it may have failed again before anyone looked.
        self.alive = False
        self.launches = 0
        self.came_up = False
        self.wanted = True
        self.stopping = False
        self.injected: Exception | None = None
        # added: at run time, so that nothing is left of it when it has ended by itself.
        self.added = False
        self.health = Health.UNKNOWN
        self.instance_type: type[object] = type(None)
        runtime.children[spec.name] = self

    @property
    def name(self) -> str:
        """The child's name, unique in its system."""
        return self.spec.name

    def move(self, new: State, error: BaseException | None = None) -> None:
        """Change the state, by the table, and tell the observer. Raises `IllegalTransition`."""
        old = self.state
        if new not in TRANSITIONS[old]:
            raise IllegalTransition(self.name, old.value, new.value)
        self.state = new
        if new is State.RUNNING and old is not State.SUSPENDED:
            self.up_since = trio.current_time()
            self.came_up = True
        observer = self.runtime.observer
        if observer is not None:
            try:
                observer(Change(self.name, old, new, error, trio.current_time()))
            except Exception as raised:  # who watches must not change what happens
                logger.error("the observer failed on %s: %r", self.name, raised, exc_info=raised)
        self.parent.changed()

    async def live(self) -> None:
        """Run instances until the child is stopped, ends, fails for good, or its supervisor takes over."""
        try:
            while not self.stopping:
                if self.state is State.UNINITIALIZED:
                    self.move(State.STARTING)
                else:
                    self.restarts += 1
                    self.move(State.RESTARTING)
                error: Exception | None = None
                try:
                    with trio.CancelScope() as self.scope:
                        try:
                            await self._start()
                            await self._work()
                        except BaseException as raised:  # cancellation too: each instance is wound up
                            await self._wind_up(self._cause(raised))
                            raise
                        else:
                            await self._wind_up(None)
                    error = self._verdict(self.scope.cancelled_caught)
                except Exception as raised:  # the one place where any failure of a child ends up
                    error = _as_failure(raised)
                if error is None:
                    return
                delay = self._failed(error)
                if delay is None or (delay > 0 and not await self._back_off(delay)):
                    return
                if not self.failures % CRASHES:
                    await trio.lowlevel.checkpoint()
        finally:
            self._leave()

    async def _start(self) -> None:  # noqa: B027  a supervisor's start is the first part of its work
        """Make an instance, and move to RUNNING once it is up."""

    @abstractmethod
    def _work(self) -> Awaitable[None]:
        """Run the instance: what is returned ends when it has stopped as asked."""

    async def _wind_up(self, failure: Exception | None) -> None:  # noqa: B027
        """The instance ended, of `failure` or as it was asked to: let it close what it has."""

    @abstractmethod
    def begin_stop(self, *, for_good: bool) -> None:
        """Ask the instance to end; not `for_good` means that another will follow. Returns at once."""

    @abstractmethod
    def ask_health(self, check: Pending) -> None:
        """Have the instance reply to `check` with its `Health` as soon as it can. Returns at once."""

    def open(self) -> None:  # noqa: B027
        """The child is started by its supervisor: the opposite of `close`."""

    def close(self, reason: str) -> None:  # noqa: ARG002  children with addresses tell it
        """The child has ended and will not be back: let go of what stays over restarts."""
        if self.state in _BETWEEN and not self.alive:
            self.move(State.STOPPED)

    def unregister(self) -> None:
        """Leave the system's books."""
        self.runtime.children.pop(self.name, None)
        self.runtime.failures.forget(self.name)

    def proof(self) -> int:
        """Messages handled so far, for the restart policy."""
        return 0

    def _cause(self, raised: BaseException) -> Exception | None:
        """What the instance failed of, or `None` if it was made to stop."""
        if isinstance(raised, Exception):
            return _as_failure(raised)
        return None if self.stopping else self.injected

    def _verdict(self, cancelled: bool) -> Exception | None:
        """What an instance's end without an exception means: `None` is a wanted end."""
        if self.stopping:
            return None
        if cancelled and self.injected is not None:
            error, self.injected = self.injected, None
            return error
        return ChildEnded(self.name)

    def _leave(self) -> None:
        """The task ends: a child that failed keeps that state, any other has stopped.

        Here also comes what was cut off by a cancellation from above.
        """
        if self.stopping or self.state not in _FAILURES:
            if self.state in _LIVES:
                self.move(State.STOPPING)
            if self.state is not State.STOPPED:
                self.move(State.STOPPED)
        self.alive = False
        self.scope = None
        if self.added and not (self.wanted or self.stopping) and self.state is State.STOPPED:
            self.parent.forget(self)
        self.parent.changed()

    def _failed(self, error: Exception) -> float | None:
        self.last_error, self.failed_at = error, trio.current_time()
        self.lived = self.failed_at - self.up_since if self.state in UP else 0.0
        if self.state in UP and self.spec.restart.proved(self.lived, self.proof()):
            self.failures = 0
        self.failures += 1
        starting = self.state in (State.STARTING, State.RESTARTING)
        self.move(State.START_FAILED if starting else State.CRASHED, error)
        return self.parent.judge(self, error)

    def backs_off(self, seconds: float) -> None:  # noqa: ARG002  a breaker tells it to who asks
        """The next instance is `seconds` away, whoever waits for that: this task, or the supervisor's."""
        self.move(State.BACKOFF)

    async def _back_off(self, seconds: float) -> bool:
        """Wait before the next instance; false when told to stop meanwhile."""
        self.backs_off(seconds)
        with trio.CancelScope() as self.scope:
            await trio.sleep(seconds)
        return not self.stopping

    def inject(self, error: Exception) -> None:
        """Make the instance fail with `error` at its next checkpoint, as if it had raised it."""
        self.injected = error
        if self.scope is not None:
            self.scope.cancel()

    def uptime(self) -> float:
        """Seconds since the present instance started; 0 when none runs."""
        return trio.current_time() - self.up_since if self.state in UP else 0.0


def _as_failure(raised: Exception) -> Exception:
    error = leaf_of(raised)
    return error if isinstance(error, Exception) else raised
