"""A supervisor: one task with a nursery, in which its children's tasks run.

A failing child asks `judge`, in its own task. Where only that child is concerned it gets the seconds after
which it restarts itself. All else is an event for the supervisor's task: a group to stop and start again, or
the end of its patience, which it raises, after an orderly stop of its children, to its own supervisor.
"""

import logging
from collections import deque
from collections.abc import Sequence

import attrs
import trio

from alysd.nurseries.actor_child import ActorChild, TaskChild
from alysd.nurseries.asks import Pending, handling
from alysd.nurseries.behaviour import Health
from alysd.nurseries.child import TRANSITIONS, UP, Child, Parent, Runtime, State
from alysd.nurseries.errors import BudgetSpent, WrongState
from alysd.nurseries.failures import Failure, Outcome, root_cause
from alysd.nurseries.spec import ActorSpec, ChildSpec, SupervisorSpec, TaskSpec, validate

logger = logging.getLogger("alysd.nurseries")


@attrs.frozen
class Regroup:
    """`failed` takes others with it: restart the group after `delay` seconds."""

    failed: Child
    delay: float


@attrs.frozen
class GiveUp:
    """`failed` is more than this supervisor can mend."""

    failed: Child
    error: Exception
    reason: str


@attrs.frozen
class StopNow:
    """The supervisor was asked to stop."""


Event = Regroup | GiveUp | StopNow


class SupervisorChild(Child):
    """A supervisor at run time; itself a child of another, or of the system."""

    __slots__ = (
        "_arrived",
        "_changes",
        "_checks",
        "_closing",
        "_events",
        "_for_good",
        "_intensity",
        "_nursery",
        "_restarted_at",
        "children",
        "strategy",
    )
    _nursery: trio.Nursery

    def __init__(self, spec: SupervisorSpec, parent: Parent, runtime: Runtime) -> None:
        super().__init__(spec, parent, runtime)
        self.children: list[Child] = [make_child(child, self, runtime) for child in spec.children]
        self.strategy = spec.strategy
        self._intensity = spec.intensity
        self._events: deque[Event] = deque()
        self._checks: deque[Pending] = deque()
        # Two lots, so that a child's restart in its own task does not wake the supervisor's.
        self._arrived = trio.lowlevel.ParkingLot()
        self._changes = trio.lowlevel.ParkingLot()
        self._restarted_at: deque[float] = deque()
        self._for_good = False

    # What children call, in their own tasks

    def judge(self, child: Child, error: Exception) -> float | None:
        """Decide what follows from a child's failure, by its policy, the strategy and the intensity."""
        if self.stopping or self._closing or child.stopping:
            self._record(child, error, Outcome.STOPPED)
            child.move(State.STOPPED)
            return None
        if isinstance(root_cause(error), self.runtime.fatal):
            return self._give_up(child, error, "no restart can mend this")
        delay = child.spec.restart.delay(child.failures, self.runtime.rng)
        if delay is None:
            self._record(child, error, Outcome.LEFT)
            child.wanted = False
            child.move(State.FAILED)
            child.close("it failed")
            return None
        if not self._within_budget(child.failed_at):
            budget = self._intensity
            return self._give_up(child, error, f"more than {budget.restarts} restarts in {budget.seconds:g} s")
        if len(self.strategy.affected(self.children, child)) == 1:
            self._record(child, error, Outcome.RESTARTED, delay)
            return delay
        self._record(child, error, Outcome.GROUP_RESTARTED, delay)
        self._post(Regroup(child, delay))
        return None

    def changed(self) -> None:
        """Wake the supervisor's task if it waits for a change."""
        if self._changes:
            self._changes.unpark_all()

    def _give_up(self, child: Child, error: Exception, reason: str) -> None:
        self._record(child, error, Outcome.ESCALATED)
        child.move(State.FAILED)
        self._post(GiveUp(child, error, reason))

    def _record(self, child: Child, error: Exception, outcome: Outcome, delay: float = 0.0) -> None:
        self.runtime.failures.add(Failure(child.name, error, child.failed_at, child.lived, outcome, delay))

    def _post(self, event: Event) -> None:
        self._events.append(event)
        self._arrived.unpark_all()
        self._changes.unpark_all()

    def _within_budget(self, now: float) -> bool:
        times, budget = self._restarted_at, self._intensity
        times.append(now)
        while times[0] <= now - budget.seconds:
            times.popleft()
        return len(times) <= budget.restarts

    # The supervisor's own task

    async def _work(self) -> None:
        handling.set(None)  # a handler that added this supervisor does not wait for it
        self._events.clear()
        self._restarted_at.clear()
        self._closing = False
        for child in self.children:
            if child.state is State.FAILED:
                child.wanted = True  # a new supervisor is a new beginning
        async with trio.open_nursery() as self._nursery:
            await self._supervise()

    async def _supervise(self) -> None:
        while True:
            await self._start_missing()
            if not self._pressing():
                if self.state not in UP:
                    self.move(State.RUNNING)
                while not self._pressing():
                    await self._arrived.park()
            event = self._events.popleft()
            if isinstance(event, Regroup):
                await self._regroup(event.failed, event.delay)
            elif isinstance(event, GiveUp):
                logger.error("%s gives up on %s: %s", self.name, event.failed.name, event.reason)
                self._closing = True
                await self._stop(self.children, for_good=False)
                raise BudgetSpent(self.name, event.failed.name, event.reason) from event.error
            else:
                if self.state in UP:
                    self.move(State.STOPPING)
                await self._stop(self.children, for_good=self._for_good)
                return

    async def _start_missing(self) -> None:
        """Start every wanted child that is not alive, each once the one before is up, until an event comes."""
        for child in tuple(self.children):
            if child.wanted and not child.alive and not self._pressing():
                self._launch(child)
            while child.alive and not child.came_up and not self._pressing():
                await self._changes.park()

    def _launch(self, child: Child) -> None:
        child.alive = True
        child.launches += 1
        child.came_up = False
        child.stopping = False
        child.injected = None
        child.open()
        self._nursery.start_soon(child.live, name=child.name)

    def _pressing(self) -> bool:
        """Whether an event waits to be dealt with. Who asks for the supervisor's health is answered here."""
        while self._checks:
            self._checks.popleft().reply(Health.HEALTHY)
        return bool(self._events)

    async def _regroup(self, failed: Child, delay: float) -> None:
        if failed not in self.children:
            return  # removed meanwhile
        affected = self.strategy.affected(self.children, failed)
        await self._stop(affected, for_good=False)
        # An operator may have stopped, or restarted, the one that failed meanwhile: nobody waits for it then.
        if delay > 0 and State.BACKOFF in TRANSITIONS[failed.state]:
            failed.backs_off(delay)
            with trio.move_on_after(delay):
                while not self._pressing():
                    await self._arrived.park()

    async def _stop(self, children: Sequence[Child], *, for_good: bool) -> None:
        """Stop the children in reverse order: ask, wait for at most `stop_seconds`, cancel."""
        for child in reversed(tuple(children)):
            launch = child.launches
            if child.alive:
                child.begin_stop(for_good=for_good)
                with trio.move_on_after(child.spec.stop_seconds):
                    await self._gone(child, launch)
                if child.alive and child.launches == launch and child.scope is not None:
                    logger.error("%s did not stop within %g s", child.name, child.spec.stop_seconds)
                    child.scope.cancel()
                    await self._gone(child, launch)
            if for_good and child.launches == launch:
                child.close("stopped")

    async def _gone(self, child: Child, launch: int) -> None:
        """Wait for the end of what was launched as number `launch`; it may have a successor by then."""
        while child.alive and child.launches == launch:
            await self._changes.park()

    # What an operator calls, through the system, in a task of theirs

    def add(self, spec: ChildSpec) -> None:
        """Add a child and start it; nobody waits for its start. It is the last in start order from now on.

        Raises `SpecError`, and `WrongState` when this supervisor is not up.
        """
        if not self._may_start():
            raise WrongState(self.name, "add a child to", f"it is {self.state.value}")
        validate(spec, self.runtime.children)
        child = make_child(spec, self, self.runtime)
        child.added = True
        self.children.append(child)
        self._launch(child)

    async def halt(self, child: Child) -> None:
        """Stop a child for good: it stays in the tree, stopped, until it is restarted."""
        child.wanted = False
        await self._stop((child,), for_good=True)

    async def renew(self, child: Child) -> None:
        """Stop the instance of a child, if there is one, and start another. Its messages are kept.

        Raises `WrongState` when this supervisor is not up; what runs then goes on.
        """
        if self._may_start():
            await self._stop((child,), for_good=False)
        if not self._may_start():
            raise WrongState(child.name, "restart", f"{self.name} is {self.state.value}")
        child.wanted = True
        if not child.alive:  # else somebody else has started a successor meanwhile: that is what was asked for
            self._launch(child)

    def _may_start(self) -> bool:
        return self.state in UP and not self._closing

    def forget(self, child: Child) -> None:
        """Take a child that has ended out of the tree."""
        if child in self.children:
            self.children.remove(child)
            child.close("removed")
            child.unregister()

    def ask_health(self, check: Pending) -> None:
        """Ask the supervisor's task; while it does nothing but wait for a child to stop it does not answer."""
        if self.state in UP:
            self._checks.append(check)
            self._arrived.unpark_all()
            self._changes.unpark_all()

    # What the supervisor's own supervisor calls

    def begin_stop(self, *, for_good: bool) -> None:
        """Ask to stop all children, last first, and end."""
        self.stopping = True
        self._for_good = for_good
        if self.state is State.BACKOFF and self.scope is not None:
            self.scope.cancel()
        self._post(StopNow())

    def close(self, reason: str) -> None:
        """Close all below, last first."""
        for child in reversed(self.children):
            child.close(reason)
        super().close(reason)

    def unregister(self) -> None:
        """Leave the system's books, with all below."""
        for child in self.children:
            child.unregister()
        super().unregister()


def make_child(spec: ChildSpec, parent: Parent, runtime: Runtime) -> Child:
    """The child at run time that `spec` describes."""
    match spec:
        case ActorSpec():
            return ActorChild(spec, parent, runtime)
        case TaskSpec():
            return TaskChild(spec, parent, runtime)
        case SupervisorSpec():
            return SupervisorChild(spec, parent, runtime)
        case _:
            raise TypeError(f"not a kind of child: {type(spec).__name__}")
