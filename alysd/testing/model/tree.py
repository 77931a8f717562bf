"""The model of a tree, without tasks and with virtual time: a root, one supervisor, and its actors.

The model does immediately what the runtime does in tasks. A child that starts handles its whole mailbox before any
other child runs, because no handler waits. Delays, strategies and intensity are implemented a second time, from
the documentation of the policies instead of their code.
"""

from collections import deque

import attrs

from alysd.nurseries import (
    CircuitBreaker,
    ExponentialBackoff,
    FixedDelay,
    Immediate,
    Never,
    OneForAll,
    OneForOne,
    RestForOne,
    State,
)
from alysd.nurseries.child import UP
from alysd.testing.model.commands import (
    ASK_SECONDS,
    TIMER_SECONDS,
    Action,
    ChildPlan,
    Operation,
    RemoveChild,
    RestartChild,
    ResumeChild,
    SendMode,
    SpawnChild,
    StopChild,
    SuspendChild,
    TreePlan,
)
from alysd.testing.model.mailbox import MailboxModel, Message, SendOutcome

TICK = 0.01
"""The resolution of ask deadlines in seconds: they are rounded up to the next multiple."""


@attrs.define(eq=False)
class ChildModel:
    """The model of one actor."""

    name: str
    plan: ChildPlan
    box: MailboxModel
    state: State = State.UNINITIALIZED
    failures: int = 0
    restarts: int = 0
    alive: bool = False
    wanted: bool = True
    added: bool = False
    """Whether it was added at run time: it leaves the tree when it fails for good."""
    removed: bool = False
    circuit_open: bool = False
    wakes_at: float | None = None
    handled_before: int = 0
    timers: list[tuple[float, Message]] = attrs.field(factory=list[tuple[float, Message]])
    """The due time and the message of each timer of the present instance."""

    @property
    def up(self) -> bool:
        """Whether the child has an instance."""
        return self.state in UP

    @property
    def backgrounds(self) -> int:
        """The number of backgrounds that run."""
        return int(self.up and self.plan.background)

    def counts(self) -> dict[object, object]:
        """Return the expected counters of the runtime, and the expected recorded messages."""
        box = self.box
        return {
            "backgrounds": self.backgrounds,
            "written": box.written,
            "waiting": box.waiting,
            "handled": box.handled,
            "refused": box.refused,
            "dropped": box.dropped,
            "abandoned": box.abandoned,
        }

    def delay(self) -> float | None:
        """Return the seconds until the next instance starts, after counting a failure; `None` if none starts."""
        match self.plan.restart:
            case Immediate():
                return 0.0
            case FixedDelay() as policy:
                return min(policy.seconds + policy.increment * (self.failures - 1), policy.max_seconds)
            case ExponentialBackoff() as policy:
                return min(policy.first_seconds * policy.factor ** (self.failures - 1), policy.max_seconds)
            case CircuitBreaker() as policy:
                return policy.open_seconds if self.failures >= policy.failures else policy.delay_seconds
            case Never():
                return None
            case other:
                raise TypeError(f"the model does not know the policy {other!r}")

    def drains_after_crash(self) -> bool:
        """Whether another instance handles the rest of the mailbox after an instance crashed during its stop."""
        policy = self.plan.restart
        opens = isinstance(policy, CircuitBreaker) and self.failures >= policy.failures
        return self.box.keeps and not opens and not isinstance(policy, Never)

    def back_off(self) -> None:
        """Wait for the next instance. Until then, an open circuit breaker refuses asks."""
        policy = self.plan.restart
        self.state = State.BACKOFF
        self.circuit_open = isinstance(policy, CircuitBreaker) and self.failures >= policy.failures
        if self.circuit_open:
            self.box.open_circuit()

    def shut(self) -> None:
        """Accept no more messages, permanently."""
        self.circuit_open = False
        if self.state in (State.CRASHED, State.BACKOFF):
            self.state = State.STOPPED
        self.box.shut()

    def end_instance(self, outcome: SendOutcome) -> None:
        """End the timers and the deferred asks of the instance. The asks end with `outcome`."""
        self.timers.clear()
        self.box.end_instance(outcome)

    def count_failure(self) -> None:
        """Count a failure. For a circuit breaker, start a new count if the instance had enough successes."""
        policy = self.plan.restart
        if isinstance(policy, CircuitBreaker) and self.box.handled - self.handled_before >= policy.successes:
            self.failures = 0
        self.failures += 1


class TreeModel:
    """The model of a running tree. `failed` is true after the root has exceeded its restart intensity."""

    def __init__(self, plan: TreePlan) -> None:
        self.plan = plan
        self.now = 0.0
        self.children: list[ChildModel] = []
        self.removed: list[ChildModel] = []
        self.messages: list[Message] = []
        self.supervisor_up = True
        self.supervisor_restarts = 0
        self.failed = False
        self._restarted_at: list[float] = []
        self._root_restarted_at: list[float] = []
        self._regroups: deque[tuple[ChildModel, float]] = deque()
        self._gave_up = False
        self._starting = False
        self._group_wakes_at: float | None = None
        self._links = {child_name(number): child_name(number - 1) for number in plan.linked}
        for number, child in enumerate(plan.children):
            self.spawn(child, child_name(number)).added = False

    def __repr__(self) -> str:
        """Everything that the model knows. Two models with the same text behave in the same way."""
        return repr(vars(self))

    def child(self, name: str) -> ChildModel:
        """Return the child `name`, which may have been removed. Raises `StopIteration` when there is none."""
        return next(child for child in (*self.children, *self.removed) if child.name == name)

    @property
    def one_for_one(self) -> bool:
        """Whether a failure affects no other child."""
        return not self.plan.grouped

    # Commands

    def spawn(self, plan: ChildPlan, name: str) -> ChildModel:
        """Add a child and start it."""
        child = ChildModel(name, plan, MailboxModel(plan), added=True)
        self.children.append(child)
        self._launch(child)
        return child

    def operate(self, operation: Operation, name: str) -> None:
        """Execute an operator's command for a child. An operation that the runtime refuses has no effect."""
        if isinstance(operation, SpawnChild):
            self.spawn(operation.plan, name)
            return
        child = self.child(name)
        if child.removed:
            return
        match operation:
            case SuspendChild():
                if child.state is State.RUNNING:
                    self.suspend(child)
            case ResumeChild():
                if child.state is State.SUSPENDED:
                    self.resume(child)
            case RestartChild():
                self.restart(child)
            case StopChild():
                self.stop(child)
            case RemoveChild():
                self.remove(child)

    def send(self, child: ChildModel, message: Message) -> None:
        """Send a message to a child."""
        self.messages.append(message)
        if child.circuit_open and message.asked:
            message.end(SendOutcome.OPEN)
            return
        child.box.offer(message)
        if child.state is State.RUNNING:
            self._serve(child)
            self._supervise()

    def cancel(self, message: Message) -> None:
        """Cancel the sender of a message."""
        self._leave(message, SendOutcome.CANCELLED)

    def panic(self, child: ChildModel) -> None:
        """Make the instance of a child fail between two messages."""
        self._crashed(child)
        self._supervise()

    def collapse(self) -> None:
        """Make the supervisor fail; its children are cancelled immediately."""
        for child in self.children:
            self._cancel(child)
        self._supervisor_failed()
        self._supervise()

    def suspend(self, child: ChildModel) -> None:
        """Suspend a running child."""
        child.state = State.SUSPENDED

    def resume(self, child: ChildModel) -> None:
        """Resume a suspended child; it handles the waiting messages."""
        child.state = State.RUNNING
        self._serve(child)
        self._supervise()

    def restart(self, child: ChildModel) -> None:
        """End the instance of a child, if it has one, and start another."""
        self._cancel(child)
        child.wanted = True
        self._launch(child)
        self._supervise()

    def stop(self, child: ChildModel) -> None:
        """Stop a child permanently, after it has handled the messages in its mailbox."""
        self._drain(child)
        child.wanted = False
        self._supervise()

    def remove(self, child: ChildModel) -> None:
        """Stop a child permanently and take it out of the tree."""
        self.stop(child)
        self._drop(child)

    def _drop(self, child: ChildModel) -> None:
        self.children.remove(child)
        self.removed.append(child)
        child.removed = True

    def pass_time(self, seconds: float) -> None:
        """Let time pass; events that become due happen in order."""
        end = self.now + seconds
        while (moment := self._next_moment()) <= end:
            self.now = moment
            self._at_moment()
        self.now = end

    def shut_down(self) -> None:
        """Stop all children in reverse order."""
        if not self.failed:
            for child in reversed(self.children):
                self._drain(child)

    # The life of a child

    def _launch(self, child: ChildModel) -> None:
        if child.state is not State.UNINITIALIZED:
            child.restarts += 1
        child.alive = True
        child.wakes_at = None
        child.circuit_open = False
        child.box.closed = False
        child.handled_before = child.box.handled
        child.state = State.RUNNING
        self._serve(child)

    def _serve(self, child: ChildModel) -> None:
        crashed = child.box.serve()
        for message in child.box.take_timers_set():
            due = self.now + TIMER_SECONDS
            child.timers.append((due, Message(message.number, SendMode.TELL, Action.DUE, due, SendOutcome.SENT)))
        if crashed:
            self._crashed(child)

    def _crashed(self, child: ChildModel) -> None:
        child.end_instance(SendOutcome.CRASHED)
        child.count_failure()
        delay = child.delay()
        if delay is None:
            child.alive, child.wanted, child.state = False, False, State.FAILED
            child.shut()
            for linked in reversed(self._with_linked([child])):
                if linked is not child and linked.wanted:
                    self._drain(linked)
                    linked.wanted = False
            if child.added:
                self._drop(child)
        elif not self._within(self._restarted_at, self.plan.restarts):
            child.alive, child.state = False, State.FAILED
            self._gave_up = True
        elif len(self._group(child)) > 1:
            child.alive, child.state = False, State.CRASHED
            self._regroups.append((child, delay))
        elif delay > 0:
            child.back_off()
            child.wakes_at = self.now + delay
        else:
            self._launch(child)

    def _cancel(self, child: ChildModel) -> None:
        """End the instance; its messages stay queued."""
        if child.alive:
            child.end_instance(SendOutcome.DOWN)
            child.alive, child.state, child.wakes_at = False, State.STOPPED, None

    def _drain(self, child: ChildModel) -> None:
        """Stop the child permanently. If an instance is up, it handles the queued messages.

        If it crashes, another instance handles the rest at once, if the policy permits one. If the child was
        stopped with its group and kept messages, another instance handles these. Others are dropped.
        """
        if not child.alive and child.state is State.STOPPED and child.wanted and child.box.keeps:
            child.restarts += 1
            child.alive, child.state, child.circuit_open = True, State.RUNNING, False
            child.handled_before = child.box.handled
        if child.alive:
            child.box.close()
            while child.up and child.box.serve():
                child.end_instance(SendOutcome.CRASHED)
                child.failures += 1
                if not child.drains_after_crash():
                    break
                child.restarts += 1
            child.box.take_timers_set()  # they end with the instance
            self._cancel(child)
        child.shut()

    @property
    def crash_waits(self) -> bool:
        """Whether a message that will crash its actor waits in some mailbox."""
        return any(message.action is Action.CRASH for child in self.children for message in child.box.queue)

    @property
    def process_crash_waits(self) -> bool:
        """Whether a message waits that will crash an actor in a process. The parent notices such a crash later."""
        return any(
            child.plan.process and message.action is Action.CRASH
            for child in self.children
            for message in child.box.queue
        )

    @property
    def line_stands(self) -> bool:
        """Whether a sender waits for room in some mailbox."""
        return any(child.box.line for child in self.children)

    def _affected(self, child: ChildModel) -> list[ChildModel]:
        match self.plan.strategy:
            case OneForOne():
                return [child]
            case OneForAll():
                return self.children
            case RestForOne():
                return self.children[self.children.index(child) :]
            case other:
                raise TypeError(f"the model does not know the strategy {other!r}")

    def _group(self, child: ChildModel) -> list[ChildModel]:
        """The children that restart with `child`."""
        return self._with_linked(self._affected(child))

    def _with_linked(self, children: list[ChildModel]) -> list[ChildModel]:
        """These children, and those linked to one of them, directly or through others."""
        names = {child.name for child in children}
        for child in self.children:  # a link names an earlier child
            if self._links.get(child.name) in names:
                names.add(child.name)
        return [child for child in self.children if child.name in names]

    def _within(self, times: list[float], restarts: int) -> bool:
        times.append(self.now)
        times[:] = [at for at in times if at > self.now - self.plan.window]
        return len(times) <= restarts

    # The supervisor

    def _supervise(self) -> None:
        """Do the work of the supervisor's task that is due now."""
        while not self.failed:
            if self._gave_up:
                for child in reversed(self.children):
                    self._cancel(child)
                self._supervisor_failed()
            elif self._regroups:
                self._regroup(*self._regroups.popleft())
            elif self._starting and self._group_wakes_at is None:
                self._start_missing()
                if not self._gave_up and not self._regroups:
                    return
            else:
                return

    def _regroup(self, failed: ChildModel, delay: float) -> None:
        self._starting = True
        self._group_wakes_at = None
        if failed.removed:
            return
        for child in reversed(self._group(failed)):
            self._cancel(child)
        if delay > 0:
            failed.back_off()
            self._group_wakes_at = self.now + delay

    def _start_missing(self) -> None:
        """Start the children that are wanted and not running, until one of them fails."""
        for child in tuple(self.children):
            if child.wanted and not child.alive:
                self._launch(child)
            if self._gave_up or self._regroups:
                return
        self._starting = False
        self.supervisor_up = True

    def _supervisor_failed(self) -> None:
        self._gave_up = False
        self._regroups.clear()
        self._restarted_at.clear()
        self._group_wakes_at = None
        self.supervisor_up = False
        if not self._within(self._root_restarted_at, self.plan.root_restarts):
            self.failed = True
            for child in self.children:
                child.shut()
            return
        self.supervisor_restarts += 1
        self._starting = True
        for child in self.children:
            child.wanted = child.wanted or child.state is State.FAILED

    # Time

    def _next_moment(self) -> float:
        moments = [child.wakes_at for child in self.children if child.wakes_at is not None]
        moments += [due for child in self.children for due, _ in child.timers]
        moments += [message.deadline for message in self.messages if message.awaits_answer]
        if self._group_wakes_at is not None:
            moments.append(self._group_wakes_at)
        return min(moments, default=float("inf"))

    def _leave(self, message: Message, outcome: SendOutcome) -> None:
        for child in (*self.children, *self.removed):
            child.box.leave(message, outcome)

    def _at_moment(self) -> None:
        for message in self.messages:
            if message.awaits_answer and message.deadline <= self.now:
                self._leave(message, SendOutcome.TIMEOUT)
        if self._group_wakes_at is not None and self._group_wakes_at <= self.now:
            self._group_wakes_at = None
        for child in tuple(self.children):
            while child.timers and child.timers[0][0] <= self.now:
                child.box.queue.append(child.timers.pop(0)[1])
                if child.state is State.RUNNING:
                    self._serve(child)
        for child in tuple(self.children):
            if child.wakes_at is not None and child.wakes_at <= self.now:
                self._launch(child)
        self._supervise()


def ask_deadline(now: float) -> float:
    """Return the time at which an ask times out: now plus its timeout, rounded up to the next tick."""
    return (int((now + ASK_SECONDS) / TICK) + 1) * TICK


def child_name(number: int) -> str:
    """Return the name of the child with this number, counted from 0 in the order in which children are added."""
    return f"child {number}"
