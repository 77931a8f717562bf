"""A child at run time: its state, and the methods that its supervisor, operators and monitors call.

`states` defines its states, and `life` its task.

A stop is a request: `begin_stop` returns at once, and the deadline of the stop is the deadline of the instance's
cancel scope. A task that waits for the end can therefore be cancelled without changing what happens to the child.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Protocol

import trio

from alysd.nurseries.asks import MOST_SECONDS, Pending
from alysd.nurseries.behaviour import Health
from alysd.nurseries.dynamic import FirstStart
from alysd.nurseries.errors import IllegalTransition
from alysd.nurseries.last_deadline import LAST_SECONDS, LastDeadline
from alysd.nurseries.restart import RestartPolicy
from alysd.nurseries.runtime import Runtime
from alysd.nurseries.spec import ChildSpec
from alysd.nurseries.states import (
    ACTIVE,
    AWAITING_GROUP,
    BEING_STARTED,
    TRANSITIONS,
    UP,
    WANTED,
    Change,
    Desired,
    State,
)


class Parent(Protocol):
    """The methods of a supervisor that its children call."""

    def child_failed(self, child: "Child", error: Exception, *, stopping: bool) -> float | None:
        """Report that the child failed; `stopping` says whether it had been asked to stop.

        Returns the seconds after which the child restarts itself, or `None` if it must not.
        """
        ...

    def child_changed(self) -> None:
        """Report that the state of a child changed."""
        ...

    def may_restart(self, child: "Child") -> bool:
        """Whether the child may restart now, as an operator has asked."""
        ...

    def child_restarts(self, child: "Child") -> None:
        """Report that the child is about to start another instance in its task."""
        ...

    def child_left(self, child: "Child") -> None:
        """Report that the child's task has ended."""
        ...


class Child(ABC):
    """A child at run time. Its task runs `live`. The kinds of children derive from `LivingChild`."""

    __slots__ = (
        "_injected",
        "_last_deadline",
        "_stop_by",
        "again",
        "desired",
        "failed_at",
        "failures",
        "for_good",
        "health",
        "instance_type",
        "last_error",
        "lived",
        "parent",
        "planned",
        "restarts",
        "runtime",
        "scope",
        "spec",
        "start",
        "state",
        "stuck",
        "task",
        "up_since",
    )

    def __init__(self, spec: ChildSpec, parent: Parent, runtime: Runtime, *, planned: bool = True) -> None:
        self.spec = spec
        # Whether the child is part of its supervisor's spec, and not added at run time.
        self.planned = planned
        self.parent = parent
        self.runtime = runtime
        self.state = State.UNINITIALIZED
        self.desired = Desired.UP
        # The cancel scope of the instance, or of the wait for the next one; None before and after the task.
        self.scope: trio.CancelScope | None = None
        self.task: trio.lowlevel.Task | None = None
        # Whether another instance follows the present one because an operator asked for a restart.
        self.again = False
        # Whether the present stop is for good: the waiting messages are handled first.
        self.for_good = False
        # When the newest instance came up; None if none has come up since the supervisor started the child.
        self.up_since: float | None = None
        # The first start, until it is over, if the child was started at run time.
        self.start: FirstStart | None = None
        # The error given to `inject`, for which the instance is being cancelled.
        self._injected: Exception | None = None
        self._last_deadline: LastDeadline | None = None
        # When the time for the present stop is over, on trio's clock.
        self._stop_by = 0.0
        # Whether the present instance was reported as one that does not end.
        self.stuck = False
        # Failures in a row, as the restart policy counts them, and restarts since the system started.
        self.failures = 0
        self.restarts: int = 0
        self.last_error: str | None = None
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
        return self.scope is not None or self.state in ACTIVE

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
            self.end_start(None)
        observer = self.runtime.observer
        try:
            if observer is not None:
                observer(Change(self.name, old, new, error, trio.current_time()))
        except BaseException as raised:  # `GuardedObserver` lets only an exit of the program through
            self.runtime.on_exit(self.name, raised)
        finally:
            self.parent.child_changed()

    def end_start(self, error: Exception | None) -> None:
        """End the wait of the operator that started the child at run time, if it still waits for the start."""
        if self.start is not None:
            self.start.end(error)
            self.start = None

    # Called by the supervisor

    def launch(self) -> None:
        """Prepare the start of the child's task. The caller has to start `live` right afterwards."""
        self.up_since = None
        self._injected = None
        self._start_anew()

    def begin_stop(self, *, for_good: bool) -> None:
        """Ask the child to end within its `stop_seconds`, and return at once.

        With `for_good`, the child first handles the messages that wait. If its instance ends or crashes before
        that, another instance handles the rest, if `may_drain` allows it.
        """
        upgraded = for_good and not self.for_good
        self.for_good |= for_good
        if self.state in UP:
            self.move(State.STOPPING)
            self._stop_instance()
        elif self.state in BEING_STARTED:
            self.move(State.STOPPING)
            self._stop_start()
        elif self.state is State.BACKOFF and self.scope is not None:
            self.scope.cancel()
            return
        elif not upgraded:
            return
        self._stop_by = trio.current_time() + self.stop_budget()
        if self.scope is not None:
            self.scope.deadline = self._stop_by
        self._expect_end()

    def _expect_end(self) -> None:
        """Set the last deadline of the present instance: `stop_seconds` to stop, and again for its last hooks."""
        self._cancel_last_deadline()
        seconds = min(2 * self.stop_budget() + LAST_SECONDS, MOST_SECONDS)
        self._last_deadline = LastDeadline(self, seconds, self.runtime.wheel, self.runtime.on_stuck)

    def _cancel_last_deadline(self) -> None:
        if self._last_deadline is not None:
            self._last_deadline.cancel()
            self._last_deadline = None

    def handles(self) -> str | None:
        """The type of the message that the child handles; `None` if it handles none."""
        return None

    def stop_budget(self) -> float:
        """Seconds that the child has to stop before it is cancelled."""
        return self.spec.stop_seconds

    def waiting(self) -> bool:
        """Whether messages are waiting that must be handled before the child stops for good."""
        return False

    def kept_messages(self) -> bool:
        """Whether the child was stopped so that it can start again, and messages wait until it does."""
        return self.state is State.STOPPED and self.desired in WANTED and self.waiting()

    def enter_backoff(self, seconds: float) -> None:  # noqa: ARG002  an actor tells its askers
        """Change to BACKOFF. The caller, in the task of this child or of its supervisor, then waits `seconds`."""
        self.move(State.BACKOFF)

    def why_not_restart(self) -> str | None:
        """The reason why an operator cannot restart the child; `None` if there is none."""
        return None

    def reopen(self) -> None:  # noqa: B027
        """Undo `close`, because the supervisor is about to start the child."""

    def close(self, reason: str) -> None:  # noqa: ARG002  an actor tells its askers
        """Release the resources that the child kept for a restart, because it has ended and will not restart."""
        if self.state in AWAITING_GROUP and not self.alive:
            self.move(State.STOPPED)

    def walk(self) -> "Iterator[Child]":
        """This child and all children below it, in start order."""
        yield self

    def runs_caller(self) -> bool:
        """Whether the current task is this child's, or was started below it."""
        task: trio.lowlevel.Task | None = trio.lowlevel.current_task()
        while task is not None and task is not self.task:
            nursery = task.parent_nursery
            task = None if nursery is None else nursery.parent_task
        return task is not None

    def unregister(self) -> None:
        """Remove the child from the system's tables."""
        self.runtime.children.pop(self.name, None)
        self.runtime.failures.forget(self.name)

    def release(self) -> None:  # noqa: B027
        """Take the objects of the program that the child uses, such as an address, out of the system."""

    # Called by monitors and operators

    @abstractmethod
    def ask_health(self, check: Pending) -> None:
        """Have the instance reply to `check` with its `Health` as soon as it can. Returns at once."""

    def inject(self, error: Exception) -> None:
        """Make the instance fail at its next checkpoint, as if it had raised `error`."""
        self._injected = error
        if self.scope is not None:
            self.scope.cancel()
            self._expect_end()

    # Its own task, in `life`

    @abstractmethod
    async def live(self) -> None:
        """Run instances until the child is stopped, ends, fails for good, or its supervisor takes over."""

    @abstractmethod
    def may_drain(self) -> bool:
        """Whether another instance may handle the waiting messages after this one failed in a stop for good."""

    @abstractmethod
    def _start_anew(self) -> None:
        """Prepare the start of an instance that is not asked to stop."""

    @abstractmethod
    def _stop_instance(self) -> None:
        """Ask the instance, which is up, to end. Returns at once."""

    @abstractmethod
    def _stop_start(self) -> None:
        """Cancel a start that has not finished. No message is lost, because the instance has handled none."""
