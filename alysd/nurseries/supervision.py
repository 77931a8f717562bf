"""A supervisor: one task with a nursery, in which the tasks of its children run.

A child that fails calls `child_failed` in its own task. If only that child has to restart, `child_failed` returns
the seconds after which the child restarts itself. Everything else becomes an event for the supervisor's task: a
group to stop and start again, or a failure that the supervisor cannot handle. In the latter case the supervisor
stops its children in order and fails, and its own supervisor decides.
"""

import logging
from collections import deque
from collections.abc import Sequence

import attrs
import trio

from alysd.nurseries.actor_child import ActorChild, TaskChild
from alysd.nurseries.asks import Pending, handling
from alysd.nurseries.behaviour import Health
from alysd.nurseries.child import TRANSITIONS, UP, Child, Desired, Parent, Runtime, State
from alysd.nurseries.errors import BudgetSpent, WrongState
from alysd.nurseries.failures import Failure
from alysd.nurseries.processes.spec import ProcessSpec
from alysd.nurseries.restart import Decision, Outcome, RestartBudget, decide
from alysd.nurseries.spec import ActorSpec, ChildSpec, SupervisorSpec, TaskSpec, validate

logger = logging.getLogger("alysd.nurseries")


@attrs.frozen
class RestartGroup:
    """The child `failed`, and the siblings that the strategy adds, restart after `delay` seconds."""

    failed: Child
    delay: float


@attrs.frozen
class GiveUp:
    """This supervisor fails, because it cannot handle the failure of `failed`."""

    failed: Child
    error: Exception
    reason: str


@attrs.frozen
class StopNow:
    """The supervisor was asked to stop. Its children keep their messages unless they stop `for_good`."""

    for_good: bool


Event = RestartGroup | GiveUp | StopNow


class SupervisorChild(Child):
    """A supervisor at run time; itself a child of another supervisor, or of the system."""

    __slots__ = (
        "_arrived",
        "_budget",
        "_changes",
        "_checks",
        "_events",
        "_handling",
        "_nursery",
        "_planned",
        "children",
        "strategy",
    )
    _nursery: trio.Nursery

    def __init__(self, spec: SupervisorSpec, parent: Parent, runtime: Runtime) -> None:
        super().__init__(spec, parent, runtime)
        self.children: list[Child] = [make_child(child, self, runtime) for child in spec.children]
        self._planned = spec.children
        self.strategy = spec.strategy
        self._budget = RestartBudget(spec.intensity)
        self._events: deque[Event] = deque()
        self._handling: Event | None = None
        self._checks: deque[Pending] = deque()
        # Two parking lots, so that a child that restarts in its own task does not wake the supervisor's task.
        self._arrived = trio.lowlevel.ParkingLot()
        self._changes = trio.lowlevel.ParkingLot()

    # Called by children, in their own tasks

    def child_failed(self, child: Child, error: Exception, *, stopping: bool) -> float | None:
        """Record the failure and act on the decision about it.

        Returns the seconds until the child restarts itself, or `None` if it must not.
        """
        # While the system stops, no child is restarted, and no crash makes its supervisor fail.
        ends = self.runtime.stopping and not isinstance(error, self.runtime.fatal)
        if stopping or self.stopping or self._giving_up or ends:
            decision = Decision(Outcome.STOPPED)
        else:
            decision = decide(
                child,
                error,
                siblings=self.children,
                strategy=self.strategy,
                budget=self._budget,
                fatal=self.runtime.fatal,
                rng=self.runtime.rng,
            )
        outcome, delay, reason = decision
        self.runtime.failures.add(Failure(child.name, error, child.failed_at, child.lived, outcome, delay))
        if outcome is Outcome.RESTARTED:
            return delay
        if outcome is Outcome.GROUP_RESTARTED:
            self._post(RestartGroup(child, delay))
        elif outcome is Outcome.STOPPED:
            child.move(State.STOPPED)
        elif outcome is Outcome.LEFT:
            child.desired = Desired.DOWN
            child.move(State.FAILED)
            child.close("it failed")
        else:
            child.move(State.FAILED)
            self._post(GiveUp(child, error, reason))
        return None

    def child_changed(self) -> None:
        """Wake the supervisor's task if it waits for a change."""
        if self._changes:
            self._changes.unpark_all()

    def child_finished(self, child: Child) -> None:
        """Remove the child if it was added at run time. A child of the spec stays in the tree, stopped."""
        if not any(child.spec is spec for spec in self._planned):
            self._drop(child)

    @property
    def _giving_up(self) -> bool:
        return isinstance(self._handling, GiveUp)

    def _post(self, event: Event) -> None:
        self._events.append(event)
        self._arrived.unpark_all()
        self._changes.unpark_all()

    # The supervisor's own task

    async def _work(self) -> None:
        handling.set(None)  # a handler that added this supervisor does not wait for it
        self._events.clear()
        self._handling = None
        self._budget.clear()
        for child in self.children:
            if child.state is State.FAILED:
                child.desired = Desired.UP  # a new instance of the supervisor starts every child that had failed
        async with trio.open_nursery() as self._nursery:
            await self._supervise()

    async def _supervise(self) -> None:
        while True:
            await self._start_missing()
            if not self._has_event():
                if self.state not in UP:
                    self.move(State.RUNNING)
                while not self._has_event():
                    await self._arrived.park()
            event = self._handling = self._events.popleft()
            if isinstance(event, RestartGroup):
                await self._stop_group(event.failed, event.delay)
            elif isinstance(event, GiveUp):
                logger.error("%s gives up on %s: %s", self.name, event.failed.name, event.reason)
                await self._stop(self.children, for_good=False)
                raise BudgetSpent(self.name, event.failed.name, event.reason) from event.error
            else:
                later = any(isinstance(other, StopNow) and other.for_good for other in self._events)
                await self._stop(self.children, for_good=event.for_good or later)
                return
            self._handling = None

    async def _start_missing(self) -> None:
        """Start the children that should be up and have no task. Each starts when the previous one is up.

        Returns early when an event arrives.
        """
        for child in tuple(self.children):
            if child.desired is not Desired.DOWN and not child.alive and not self._has_event():
                self._launch(child)
            while child.alive and not child.came_up and not self._has_event():
                await self._changes.park()

    def _launch(self, child: Child) -> None:
        child.reopen()
        child.launch()
        self._nursery.start_soon(child.live, name=child.name)

    def _has_event(self) -> bool:
        """Answer the health checks of this supervisor, and return whether an event waits."""
        while self._checks:
            self._checks.popleft().reply(Health.HEALTHY)
        return bool(self._events)

    async def _stop_group(self, failed: Child, delay: float) -> None:
        """Stop the children that restart with `failed`, then wait `delay` seconds or until an event arrives."""
        if failed not in self.children:
            return  # an operator has removed it meanwhile
        await self._stop(self.strategy.affected(self.children, failed), for_good=False)
        # There is no wait if an operator has stopped or restarted the failed child meanwhile.
        if delay > 0 and State.BACKOFF in TRANSITIONS[failed.state]:
            failed.enter_backoff(delay)
            with trio.move_on_after(delay):
                while not self._has_event():
                    await self._arrived.park()

    async def _stop(self, children: Sequence[Child], *, for_good: bool) -> None:
        """Stop the children in reverse order.

        Ask each to stop, wait at most its `stop_seconds`, then cancel it.
        """
        for child in reversed(tuple(children)):
            run = child.restarts  # a stopping child does not restart itself, so a changed number means a new task
            if child.alive:
                child.begin_stop(for_good=for_good)
                with trio.move_on_after(child.spec.stop_seconds):
                    await self._ended(child, run)
                if child.alive and child.restarts == run and child.scope is not None:
                    logger.error(
                        "%s did not stop within %g s; it is cancelled", child.name, child.spec.stop_seconds
                    )
                    child.scope.cancel()
                    await self._ended(child, run)
            if for_good and child.restarts == run:
                child.close("stopped")

    async def _ended(self, child: Child, run: int) -> None:
        """Wait until the task of instance `run` has ended, even if the child has another task by then."""
        while child.alive and child.restarts == run:
            await self._changes.park()

    # Called by an operator, through the system, in the operator's task

    def add(self, spec: ChildSpec) -> None:
        """Add a child as the last in start order and start it, without waiting until it is up.

        Raises `SpecError`, and `WrongState` when this supervisor is not up.
        """
        if not self._may_start():
            raise WrongState(self.name, "add a child to", f"it is {self.state.value}")
        validate(spec, self.runtime.children)
        child = make_child(spec, self, self.runtime)
        self.children.append(child)
        self._launch(child)

    async def stop_child(self, child: Child) -> None:
        """Stop a child for good. It stays in the tree, stopped, until an operator restarts it."""
        child.desired = Desired.DOWN
        await self._stop((child,), for_good=True)

    async def restart(self, child: Child) -> None:
        """Stop the instance of a child, if there is one, and start another. The child's messages are kept.

        When this supervisor is not up, raises `WrongState` and does not stop the child.
        """
        if self._may_start():
            await self._stop((child,), for_good=False)
        if not self._may_start():
            raise WrongState(child.name, "restart", f"{self.name} is {self.state.value}")
        child.desired = Desired.UP
        if not child.alive:  # false if another operator has started it meanwhile
            self._launch(child)

    async def remove(self, child: Child) -> None:
        """Stop a child for good and take it out of the tree."""
        await self.stop_child(child)
        self._drop(child)

    def _may_start(self) -> bool:
        return self.state in UP and not self._giving_up

    def _drop(self, child: Child) -> None:
        if child in self.children:
            self.children.remove(child)
            child.close("removed")
            child.unregister()

    def ask_health(self, check: Pending) -> None:
        """Ask the supervisor's task, which does not answer while it waits for a child to stop."""
        if self.state in UP:
            self._checks.append(check)
            self._arrived.unpark_all()
            self._changes.unpark_all()

    # Called by the supervisor's own supervisor

    def begin_stop(self, *, for_good: bool) -> None:
        """Ask the supervisor to stop all children, last first, and to end."""
        self._post(StopNow(for_good))
        super().begin_stop(for_good=for_good)

    def _stop_instance(self) -> None:
        """Do nothing: `begin_stop` has posted an event."""

    def _stop_start(self) -> None:
        """Do nothing: between the starts of two children the supervisor sees the event of `begin_stop`."""

    def close(self, reason: str) -> None:
        """Close all children, last first, then this supervisor."""
        for child in reversed(self.children):
            child.close(reason)
        super().close(reason)

    def unregister(self) -> None:
        """Remove this supervisor and all children below it from the system's tables."""
        for child in self.children:
            child.unregister()
        super().unregister()


def make_child(spec: ChildSpec, parent: Parent, runtime: Runtime) -> Child:
    """Create the run-time child that `spec` describes."""
    match spec:
        case ProcessSpec():
            from alysd.nurseries.processes.child import ProcessChild  # only a program with such a child loads it

            return ProcessChild(spec, parent, runtime)
        case ActorSpec():
            return ActorChild(spec, parent, runtime)
        case TaskSpec():
            return TaskChild(spec, parent, runtime)
        case SupervisorSpec():
            return SupervisorChild(spec, parent, runtime)
        case _:
            raise TypeError(f"not a kind of child: {type(spec).__name__}")
