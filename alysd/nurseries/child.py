"""The life of a child: the one task that runs instance after instance. Its states are in `states`.

This module is the only place that catches failures of an instance. The supervisor decides about each of them
(`restart.decide`). If only this child has to restart, it does so by itself, in the same task.

A stop is a request: `begin_stop` returns at once, and the deadline of the stop is the deadline of the instance's
cancel scope. A task that waits for the end can therefore be cancelled without changing what happens to the child.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Iterator
from typing import Protocol, cast

import trio

from alysd.nurseries.asks import MOST_SECONDS, Pending
from alysd.nurseries.behaviour import Health
from alysd.nurseries.dynamic import FirstStart
from alysd.nurseries.errors import (
    ActorDown,
    ChildEnded,
    IllegalTransition,
    exit_in,
    is_fatal,
    leaves_of,
    text_of,
)
from alysd.nurseries.last_deadline import LAST_SECONDS, LastDeadline
from alysd.nurseries.restart import RestartPolicy
from alysd.nurseries.runtime import Runtime
from alysd.nurseries.spec import ChildSpec
from alysd.nurseries.states import (
    ACTIVE,
    AWAITING_GROUP,
    BEING_STARTED,
    FAILURES,
    TRANSITIONS,
    UP,
    WANTED,
    Change,
    Desired,
    State,
)
from alysd.nurseries.trace import forget_trace

logger = logging.getLogger("alysd.nurseries")

CHECKPOINT_FAILURES = 16
"""Failures in a row after which the child's task executes a checkpoint, even if every restart was immediate."""


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
        """Whether the child may start another instance by itself, because an operator asked for a restart."""
        ...

    def child_restarts(self, child: "Child") -> None:
        """Report that the child is about to start another instance in its task."""
        ...

    def child_left(self, child: "Child") -> None:
        """Report that the child's task has ended."""
        ...


class Child(ABC):
    """A child at run time. Its task runs `live`."""

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
        self.restarts = 0
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
        """Tell the operator who waits for the first start, if there is one, that it is over."""
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

        With `for_good`, the child first handles the messages that wait. If it has no instance that can handle
        them, because that one has ended or crashed, it starts another one for this purpose.
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
        """Set the last deadline of the present instance. Its last hooks have as long as the stop before them."""
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

    def _limit(self, seconds: float) -> None:
        """Cancel the present instance after `seconds`."""
        if self.scope is not None:
            self.scope.deadline = trio.current_time() + seconds

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
        """Change to BACKOFF for `seconds`. The caller, this child's task or the supervisor's, does the waiting."""
        self.move(State.BACKOFF)

    def why_not_restart(self) -> str | None:
        """Why an operator cannot restart the child; `None` if the child does not object."""
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
        """Take what the child was given for the system, such as an address, out of the system."""

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

    # The child's own task

    async def live(self) -> None:
        """Run instances until the child is stopped, ends, fails for good, or its supervisor takes over."""
        forget_trace()
        self.task = trio.lowlevel.current_task()
        try:
            while not self.stopping or self._unfinished():
                error: Exception | None = None
                try:
                    with trio.CancelScope() as self.scope:
                        if self.stopping:
                            self.scope.deadline = self._stop_by
                        try:
                            await self._start()
                            await self._work()
                        except BaseException as raised:  # cancellation too: every instance gets to clean up
                            await self._end_instance(self._cause(raised))
                            raise
                        else:
                            await self._end_instance(None)
                    error = self._unexpected_end(cancelled=self.scope.cancelled_caught)
                except BaseException as raised:  # the one place where every failure of a child is caught
                    if self._exits(raised):
                        return
                    error = self._failure(raised)
                    if error is None:
                        raise
                self._cancel_last_deadline()
                failed = error is not None
                delay = None if error is None else self._failed(error)
                error = None  # its traceback would keep the failed instance alive
                if (delay is None or (delay > 0 and not await self._back_off(delay))) and not self._follows(
                    failed=failed
                ):
                    return
                self._next_instance()
                if not self.failures % CHECKPOINT_FAILURES:
                    await trio.lowlevel.checkpoint()
        finally:
            self._leave()

    def _exits(self, raised: BaseException) -> bool:
        """Whether the instance raised an exit of the program, which then stops the system in order."""
        leaves = exit_in(raised)
        if leaves is not None:
            self.runtime.on_exit(self.name, leaves)
        return leaves is not None

    def _failure(self, raised: BaseException) -> Exception | None:
        """The failure in `raised` that the supervisor has to handle; `None` if it is only a cancellation.

        A fatal error comes before all others that were raised with it.
        """
        if not isinstance(raised, BaseExceptionGroup):
            return raised if isinstance(raised, Exception) else None
        leaves = [leaf for leaf in leaves_of(cast("BaseException", raised)) if isinstance(leaf, Exception)]
        for leaf in leaves:
            if is_fatal(leaf, self.runtime.fatal):
                return leaf
        return leaves[0] if isinstance(raised, Exception) else None

    def _unfinished(self) -> bool:
        return self.for_good and self.waiting()

    def _follows(self, *, failed: bool) -> bool:
        """Whether an instance follows although the supervisor restarts none, because someone asked for it."""
        if self._restarts_now():
            return True
        return not failed and self._has_time() and self._unfinished()

    def _has_time(self) -> bool:
        return trio.current_time() < self._stop_by

    def may_drain(self) -> bool:
        """Whether another instance can handle what waits before a stop for good, now that this one has failed."""
        return (
            self._unfinished()
            and self._has_time()
            and self._took_messages()
            and self.policy.permits_now(self.failures, self.runtime.rng)
        )

    def _took_messages(self) -> bool:
        """Whether the failed instance had taken a message. If not, another one would fail in the same way."""
        return True

    def _restarts_now(self) -> bool:
        return self.parent.may_restart(self) and self.again

    def _next_instance(self) -> None:
        """Prepare the next instance: one that runs, or one that only handles what waits before a stop for good."""
        drains = self.for_good and not self._restarts_now()
        if self.stopping:
            self.move(State.STOPPED)
        if not drains:
            self._start_anew()
            return
        self._change_to_start()
        self.move(State.STOPPING)
        self._expect_end()
        self._stop_start()

    def _start_anew(self) -> None:
        if self.for_good:
            self.reopen()
        self.again = self.for_good = False
        self._change_to_start()
        self.parent.child_restarts(self)
        if self.desired in WANTED:
            self.desired = Desired.UP
        else:  # someone has asked for a stop after the restart
            self.begin_stop(for_good=True)

    def _change_to_start(self) -> None:
        self.stuck = False
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
        if (failure := self._failure(raised)) is not None:
            return failure
        return None if self.stopping or exit_in(raised) is not None else self._injected

    def _unexpected_end(self, *, cancelled: bool) -> Exception | None:
        """The failure of an instance that ended without an exception, or `None` if its end was requested."""
        injected = self._injected if cancelled else None
        if injected is not None and (not self.stopping or is_fatal(injected, self.runtime.fatal)):
            self._injected = None
            return injected
        if self.stopping:
            if cancelled and self.scope is not None and trio.current_time() >= self.scope.deadline:
                logger.error("%s did not stop within %g s; it was cancelled", self.name, self.stop_budget())
            return None
        return ChildEnded(self.name)

    def _failed(self, error: Exception) -> float | None:
        """Count the failure and ask the supervisor. Returns the seconds until the restart, or `None`."""
        # Only the text is kept: the traceback of the error would keep the failed instance alive.
        self.last_error = f"{type(error).__name__}: {text_of(error)}"
        self.failed_at = trio.current_time()
        self.lived = self.uptime()
        if self.state in UP and self.policy.proved(self.lived, self.handled()):
            self.failures = 0
        self.failures += 1
        stopping, starting = self.stopping, self.state in BEING_STARTED
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
        if self.state not in FAILURES:
            if self.state in UP or self.state in BEING_STARTED:
                self.move(State.STOPPING)
            if self.state is not State.STOPPED:
                self.move(State.STOPPED)
        self.scope = self.task = None
        self._cancel_last_deadline()
        self.end_start(ActorDown(self.name, "stopped while it started"))
        self.parent.child_left(self)
