"""A supervisor: one task with a nursery, in which the tasks of its children run.

A child that fails calls `child_failed` in its own task. If only that child has to restart, `child_failed` returns
the seconds after which the child restarts itself. Everything else becomes an event for the supervisor's task: a
group to stop and start again, or a failure that the supervisor cannot handle. In the latter case the supervisor
stops its children in order and fails, and its own supervisor decides.
"""

import logging
from collections import deque
from collections.abc import Collection

import trio

from alysd.nurseries.actor_child import ActorChild
from alysd.nurseries.asks import Pending, handling
from alysd.nurseries.behaviour import Health
from alysd.nurseries.child import Child, Parent, Runtime
from alysd.nurseries.children import WithChildren
from alysd.nurseries.errors import BudgetSpent, is_fatal
from alysd.nurseries.failures import Failure
from alysd.nurseries.links import linked_group
from alysd.nurseries.restart import Decision, Outcome, RestartBudget, decide
from alysd.nurseries.spec import SupervisorSpec
from alysd.nurseries.states import TRANSITIONS, UP, WANTED, Desired, State
from alysd.nurseries.supervisor_events import Event, GiveUp, RestartGroup, StopNow

logger = logging.getLogger("alysd.nurseries")


class Supervising(WithChildren):
    """The task of a supervisor, and its reactions to its children. `SupervisorChild` adds the operators' part."""

    __slots__ = (
        "_arrived",
        "_budget",
        "_checks",
        "_events",
        "_fatal",
        "_links",
        "_max_children",
    )

    def __init__(self, spec: SupervisorSpec, parent: Parent, runtime: Runtime, *, planned: bool = True) -> None:
        super().__init__(spec, parent, runtime, planned=planned)
        self._max_children = spec.max_children
        # Whether any child is linked to another one.
        self._links = any(child.linked_to for child in spec.children)
        self._budget = RestartBudget(spec.intensity)
        self._events: deque[Event] = deque()
        # The first fatal failure of a child, with which this instance then ends in any case.
        self._fatal: GiveUp | None = None
        self._checks: deque[Pending] = deque()
        # Apart from `_changes`, so that a child that restarts in its own task does not wake the supervisor's task.
        self._arrived = trio.lowlevel.ParkingLot()

    # Called by children, in their own tasks

    def child_failed(self, child: Child, error: Exception, *, stopping: bool) -> float | None:
        """Record the failure and act on the decision about it.

        Returns the seconds until the child restarts itself, or `None` if it must not.
        """
        # While a child or the system stops, no child is restarted, except to handle the messages that wait, and
        # only a fatal error makes a supervisor fail.
        ends = stopping or self.stopping or self._giving_up or self.runtime.stopping
        if ends and not is_fatal(error, self.runtime.fatal):
            decision = self._decide_while_stopping(child)
        elif child.start is not None and not is_fatal(error, self.runtime.fatal):
            decision = Decision(Outcome.LEFT)  # the operator who wanted this child decides, not its policy
        else:
            decision = decide(
                child,
                error,
                siblings=self.children.values(),
                strategy=self.strategy,
                budget=self._budget,
                fatal=self.runtime.fatal,
                rng=self.runtime.rng,
            )
        outcome, delay, reason = decision
        if outcome is Outcome.RESTARTED and not ends and self._links and len(self._group(child)) > 1:
            outcome = Outcome.GROUP_RESTARTED
        child.end_start(error)
        self.runtime.failures.add(Failure(child.name, error, child.failed_at, child.lived, outcome, delay))
        if outcome is Outcome.RESTARTED:
            return delay
        if outcome is Outcome.GROUP_RESTARTED:
            self._post(RestartGroup(child, delay))
        elif outcome is Outcome.STOPPED:
            child.move(State.STOPPED)
            if self.runtime.stopping:
                child.close("stopped")
        elif outcome is Outcome.LEFT:
            child.desired = Desired.DOWN if child.planned else Desired.GONE
            child.move(State.FAILED)
            child.close("it failed")
            if self._links:
                self._stop_linked(child)
        else:
            child.move(State.FAILED)
            give_up = GiveUp(child, error, reason)
            if self._fatal is None and is_fatal(error, self.runtime.fatal):
                self._fatal = give_up
            self._post(give_up)
        return None

    def _decide_while_stopping(self, child: Child) -> Decision:
        """Let another instance handle the messages that wait, if the child stops for good and this is possible."""
        if (self.runtime.stopping or self.for_good) and not child.for_good:
            child.begin_stop(for_good=True)  # before its turn, because it is down already
        return Decision(Outcome.RESTARTED if child.may_drain() else Outcome.STOPPED)

    def _post(self, event: Event) -> None:
        self._events.append(event)
        self._arrived.unpark_all()
        self._changes.unpark_all()

    # The supervisor's own task

    async def _work(self) -> None:
        handling.set(None)  # a handler that added this supervisor does not wait for it
        self._events.clear()
        if self.stopping:  # this instance exists only to handle the messages that its children kept
            self._events.append(StopNow())
        self._giving_up, self._fatal = False, None
        self._budget.clear()
        for child in self.children.values():
            if child.state is State.FAILED:
                child.desired = Desired.UP  # a new instance of the supervisor starts every child that had failed
        async with trio.open_nursery() as self._nursery:
            self._open = True
            try:
                await self._supervise()
            finally:
                self._open = False

    async def _supervise(self) -> None:
        while True:
            await self._start_missing()
            if not self._has_event():
                if self.state not in UP:
                    self.move(State.RUNNING)
                while not self._has_event():
                    await self._arrived.park()
            event = self._events.popleft()
            if isinstance(event, RestartGroup):
                await self._stop_group(event.failed, event.delay)
            elif isinstance(event, GiveUp):
                self._giving_up = True
                logger.error("%s gives up on %s: %s", self.name, event.failed.name, event.reason)
                await self._stop(self.children.values(), for_good=False)
                raise self._given_up(event)
            else:
                if not self.for_good:
                    await self._stop(self.children.values(), for_good=False)
                if self.for_good:  # it may have been asked for meanwhile
                    await self._stop(self.children.values(), for_good=True)
                return

    def _given_up(self, event: GiveUp) -> BudgetSpent:
        error = BudgetSpent(self.name, event.failed.name, event.reason)
        error.__cause__ = event.error
        return error

    def _failure(self, raised: BaseException) -> Exception | None:
        """The fatal failure of a child if there is one, otherwise the failure in `raised`."""
        return super()._failure(raised) if self._fatal is None else self._given_up(self._fatal)

    def _unexpected_end(self, *, cancelled: bool) -> Exception | None:
        """The fatal failure of a child, even if the supervisor ended as it was asked to."""
        ended = super()._unexpected_end(cancelled=cancelled)
        return ended if self._fatal is None else self._given_up(self._fatal)

    async def _start_missing(self) -> None:
        """Start the children that should be up and have no task, each when the awaited ones before it are up.

        Returns early when an event arrives.
        """
        for child in tuple(self.children.values()):
            if child.state is not State.UNINITIALIZED:
                await self._wait_for_permission(child)
            if child.desired in WANTED and not child.alive and not self._has_event():
                self._launch(child)
            while child.spec.awaited and child.alive and not child.came_up and not self._has_event():
                await self._changes.park()

    async def _wait_for_permission(self, child: Child) -> None:
        """Wait until the child's policy allows a restart, or something happens to the child or this supervisor."""
        if child.alive or child.desired not in WANTED or (seconds := child.policy.allowed_in()) <= 0:
            return
        with trio.move_on_after(seconds):
            while not self._has_event() and not child.alive and child.desired in WANTED:
                await self._changes.park()

    def _has_event(self) -> bool:
        """Answer the health checks of this supervisor, and return whether an event waits."""
        while self._checks:
            self._checks.popleft().reply(Health.HEALTHY)
        return bool(self._events)

    def _group(self, failed: Child) -> Collection[Child]:
        """The children that restart with `failed`, because of the strategy or of links, in start order."""
        affected = self.strategy.affected(self.children.values(), failed)
        return linked_group(self.children.values(), affected) if self._links else affected

    def _stop_linked(self, failed: Child) -> None:
        """Stop the children for good that are linked to one which failed for good."""
        for child in reversed(linked_group(self.children.values(), (failed,))):
            if child is not failed and child.desired in WANTED:
                self._end(child, Desired.DOWN if child.planned else Desired.GONE)

    async def _stop_group(self, failed: Child, delay: float) -> None:
        """Stop the children that restart with `failed`, then wait `delay` seconds or until an event arrives."""
        if self.children.get(failed.name) is not failed:
            return  # an operator has removed it meanwhile
        await self._stop(self._group(failed), for_good=False)
        # There is no wait if an operator has stopped or restarted the failed child meanwhile.
        if delay > 0 and State.BACKOFF in TRANSITIONS[failed.state]:
            failed.enter_backoff(delay)
            with trio.move_on_after(delay):
                while not self._has_event():
                    await self._arrived.park()

    def ask_health(self, check: Pending) -> None:
        """Ask the supervisor's task, which does not answer while it waits for a child to stop."""
        if self.state in UP:
            self._checks.append(check)
            self._arrived.unpark_all()
            self._changes.unpark_all()

    # Called by the supervisor's own supervisor

    def begin_stop(self, *, for_good: bool) -> None:
        """Ask the supervisor to stop all children and to end.

        Suspended actors are resumed, because a child that stops may wait for their answer to its last message.
        """
        for child in self.walk():
            if isinstance(child, ActorChild) and child.desired is Desired.SUSPENDED:
                child.want(Desired.UP)
        self._post(StopNow())
        super().begin_stop(for_good=for_good)

    def _stop_instance(self) -> None:
        """Do nothing: `begin_stop` has posted an event."""

    def _stop_start(self) -> None:
        """Do nothing: between the starts of two children the supervisor sees the event of `begin_stop`."""
