"""The life of a child: one task that runs instance after instance until it is stopped or given up.

What fails inside an instance is caught here and nowhere else in a program that uses this runtime. The
supervisor judges each failure; where only this child is concerned it restarts itself in the same task.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable
from random import Random
from typing import Protocol

import attrs
import trio

from alysd.nurseries.errors import ChildEnded, Fatal, IllegalTransition, Refusal, leaf_of
from alysd.nurseries.failure_log import FailureLog
from alysd.nurseries.failures import Classifier
from alysd.nurseries.health import Health
from alysd.nurseries.lifecycle import TRANSITIONS, UP, Change, Observer, State
from alysd.nurseries.probe import Probe
from alysd.nurseries.snapshot import ChildSnapshot, MailboxSnapshot
from alysd.nurseries.spec import ChildSpec
from alysd.nurseries.trace import Tracer, Unrecorded
from alysd.nurseries.wheel import Wheel

logger = logging.getLogger("alysd.nurseries")

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
    def ask_health(self, probe: Probe) -> None:
        """Have the instance answer `probe` as soon as it can. Returns at once."""

    @abstractmethod
    def snapshot(self) -> ChildSnapshot:
        """How the child is now."""

    def _snapshot(
        self,
        kind: str,
        *,
        strategy: str | None = None,
        mailbox: MailboxSnapshot | None = None,
        children: tuple[ChildSnapshot, ...] = (),
    ) -> ChildSnapshot:
        error = self.last_error
        return ChildSnapshot(
            name=self.name,
            kind=kind,
            state=self.state,
            health=self.health,
            priority=self.spec.priority,
            restart=type(self.spec.restart).__name__,
            strategy=strategy,
            restarts=self.restarts,
            last_error=None if error is None else f"{type(error).__name__}: {error}",
            last_error_at=None if error is None else self.failed_at,
            uptime=self.uptime(),
            mailbox=mailbox,
            children=children,
        )

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
