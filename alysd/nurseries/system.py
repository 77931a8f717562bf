"""Running a tree: `open_system` for a block of code, `run_system` for the last line of a daemon.

    async with open_system(supervisor("Root", OneForAll(), [actor(counter, CounterActor)])) as system:
        await counter.send(Add(1))

Leaving the block stops the tree, last child first. If the root gives up, the block is cancelled and
`SystemFailed` is raised; its `__cause__` is the error of the child that failed first. The `System` shows the
tree and changes it: children are added, stopped, restarted, removed, suspended.
"""

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from random import Random

import trio

from alysd.nurseries.actor_child import ActorChild
from alysd.nurseries.asks import Wheel
from alysd.nurseries.child import UP, Child, Observer, Runtime, State
from alysd.nurseries.errors import BudgetSpent, Fatal, Refusal, SystemFailed, UnknownChild, WrongState
from alysd.nurseries.failures import Classifier, FailureLog
from alysd.nurseries.health import HealthMonitor
from alysd.nurseries.patterns import Pattern, find_patterns
from alysd.nurseries.registry import ChildSnapshot, Registry, take_snapshot
from alysd.nurseries.serve import Signal
from alysd.nurseries.spec import ChildSpec, SupervisorSpec, validate
from alysd.nurseries.supervision import SupervisorChild
from alysd.nurseries.trace import Tracer, Unrecorded

logger = logging.getLogger("alysd.nurseries")


class System:
    """A running tree. Made by `open_system`."""

    def __init__(self, root: SupervisorSpec, runtime: Runtime) -> None:
        self._runtime = runtime
        self._root = SupervisorChild(root, self, runtime)
        self._changed = trio.lowlevel.ParkingLot()
        self._failure: SystemFailed | None = None
        self._stop_reason: str | None = None
        self._root.alive = True

    @property
    def stop_reason(self) -> str | None:
        """Why the system was asked to stop, or `None` if it was not."""
        return self._stop_reason

    @property
    def failures(self) -> FailureLog:
        """What failed so far, and what was done."""
        return self._runtime.failures

    def patterns(self) -> tuple[Pattern, ...]:
        """What the failures of the last minutes have in common."""
        return find_patterns(self.failures.recent, trio.current_time())

    def snapshot(self) -> ChildSnapshot:
        """The whole tree as it is now."""
        return take_snapshot(self._root)

    def request_stop(self, reason: str) -> None:
        """Begin an orderly stop and return; for a signal handler, or a child that ends the system it is in."""
        if self._stop_reason is None:
            self._stop_reason = reason
            logger.info("%s stops: %s", self._root.name, reason)
            self._root.begin_stop(for_good=True)

    async def stop(self, reason: str) -> None:
        """Stop the tree, last child first, each within its `stop_seconds`, and wait for the end."""
        self.request_stop(reason)
        with trio.move_on_after(self._root.spec.stop_seconds):
            await self.ended()
        if self._root.alive and self._root.scope is not None:
            self._root.scope.cancel()
        await self.ended()

    async def started(self) -> None:
        """Wait until the whole tree is up. Returns as well when it ends without having been."""
        while self._root.alive and not self._root.came_up:
            await self._changed.park()

    async def ended(self) -> None:
        """Wait until the tree has ended, by request or failure."""
        while self._root.alive:
            await self._changed.park()

    def inject(self, name: str, error: Exception) -> None:
        """Make the child `name` fail with `error` at its next checkpoint, as if it had raised it itself.

        Raises `UnknownChild`, and `WrongState` when no instance of it runs.
        """
        child = self._child(name)
        if child.state not in UP:
            raise WrongState(name, "inject a failure into", f"it is {child.state.value}")
        child.inject(error)

    @property
    def registry(self) -> Registry:
        """All children, to be found by what they are."""
        return Registry(self._runtime.children)

    def add(self, parent: str, spec: ChildSpec) -> None:
        """Add a child to the supervisor `parent` and start it, without waiting for that.

        It is supervised like the others; if it is a task that may end, nothing is left of it when it has.
        Raises `UnknownChild`, `SpecError`, and `WrongState` when `parent` is no supervisor, or not up.
        """
        supervisor = self._child(parent)
        if not isinstance(supervisor, SupervisorChild):
            raise WrongState(parent, "add a child to", "it is not a supervisor")
        supervisor.add(spec)

    async def stop_child(self, name: str) -> None:
        """Stop a child for good, drained and with its deadline, and wait for that. `restart` brings it back."""
        child = self._child(name)
        await self._supervisor_of(child, "stop").halt(child)

    async def restart(self, name: str) -> None:
        """Stop a child's instance, if there is one, and start another. Waits for the end, not for the start."""
        child = self._child(name)
        await self._supervisor_of(child, "restart").renew(child)

    async def remove(self, name: str) -> None:
        """Stop a child for good and take it out of the tree."""
        child = self._child(name)
        supervisor = self._supervisor_of(child, "remove")
        await supervisor.halt(child)
        supervisor.forget(child)

    def _supervisor_of(self, child: Child, operation: str) -> SupervisorChild:
        if not isinstance(child.parent, SupervisorChild):
            raise WrongState(child.name, operation, "it is the root; stop the system instead")
        return child.parent

    def suspend(self, name: str) -> None:
        """Let the actor `name` handle no messages until `resume`; they wait in its mailbox."""
        self._actor(name, "suspend", State.RUNNING).signal(Signal.SUSPEND)

    def resume(self, name: str) -> None:
        """Let a suspended actor go on."""
        self._actor(name, "resume", State.SUSPENDED).signal(Signal.RESUME)

    def _actor(self, name: str, operation: str, state: State) -> ActorChild:
        child = self._child(name)
        if not isinstance(child, ActorChild):
            raise WrongState(name, operation, "it is not an actor")
        if child.state is not state:
            raise WrongState(name, operation, f"it is {child.state.value}")
        return child

    def _child(self, name: str) -> Child:
        try:
            return self._runtime.children[name]
        except KeyError:
            raise UnknownChild(name) from None

    # As the parent of the root

    def judge(self, child: Child, error: Exception) -> None:
        """The root failed: nobody is left to restart it."""
        path = [child.name]
        leaf: BaseException = error
        while isinstance(leaf, BudgetSpent) and leaf.__cause__ is not None:
            path.append(leaf.child)
            leaf = leaf.__cause__
        self._failure = SystemFailed(child.name, tuple(path))
        self._failure.__cause__ = leaf
        child.move(State.FAILED)

    def changed(self) -> None:
        """Wake who waits for the system's state."""
        self._changed.unpark_all()

    def forget(self, child: Child) -> None:
        """The root is never added at run time, so it is never forgotten."""

    @property
    def failure(self) -> SystemFailed | None:
        """Why the system ended by itself, or `None`."""
        return self._failure

    async def run(self, block: trio.CancelScope, monitor: HealthMonitor | None) -> None:
        """Run the tree to its end; if it fails, cancel the `block` that uses it. The task of `open_system`."""
        try:
            with trio.CancelScope(shield=True):  # when the block is cancelled the tree still stops in order
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._runtime.wheel.run, name="ask deadlines")
                    nursery.start_soon(self._runtime.failures.run, name="failure log")
                    if monitor is not None:
                        nursery.start_soon(monitor.run, self._runtime, name="health monitor")
                    await self._root.live()
                    nursery.cancel_scope.cancel()
        finally:
            self._runtime.failures.flush()
            self._root.close("the system ended")
            for child in self._runtime.children.values():
                if isinstance(child, ActorChild):
                    child.address.wheel = None
        if self._failure is not None:
            block.cancel()


@asynccontextmanager
async def open_system(
    root: SupervisorSpec,
    *,
    observer: Observer | None = None,
    rng: Random | None = None,
    refusals: Sequence[type[Exception]] = (),
    fatal: Sequence[type[Exception]] = (),
    classifier: Classifier | None = None,
    monitor: HealthMonitor | None = None,
    tracer: Tracer | None = None,
) -> AsyncGenerator[System]:
    """Start the tree and enter the block once all of it is up; stop it when the block is left.

    `observer` is told of every lifecycle change. `rng` is where restart jitter comes from. `refusals` and
    `fatal` name error types that count as `Refusal` and `Fatal` besides those two. `classifier` knows the
    program's own errors. `monitor` checks every child's health beside the tree. `tracer` records the handling of
    messages sent in a trace (`traced`).

    Raises `SpecError` for a tree that cannot be, `SystemFailed` when the root gives up.
    """
    validate(root)
    runtime = Runtime(
        wheel=Wheel(),
        observer=observer,
        rng=rng or Random(),  # noqa: S311  jitter is no secret
        refusals=(Refusal, *refusals),
        fatal=(Fatal, *fatal),
        failures=FailureLog(classifier or Classifier()),
        tracer=tracer or Unrecorded(),
    )
    system = System(root, runtime)
    raised: BaseException | None = None
    async with trio.open_nursery() as nursery:
        block = trio.CancelScope()
        nursery.start_soon(system.run, block, monitor, name=root.name)
        try:
            with block:
                await system.started()
                if system.failure is None:
                    yield system
        except trio.Cancelled:
            raise
        except BaseException as error:  # carried past the nursery, which would wrap it in a group
            raised = error
        finally:
            with trio.CancelScope(shield=True):  # bounded by the children's stop_seconds
                await system.stop("its block was left")
    if system.failure is not None:
        if raised is not None:
            logger.error("besides the system's failure its block raised %r", raised, exc_info=raised)
        raise system.failure
    if raised is not None:
        raise raised


async def run_system(
    root: SupervisorSpec,
    *,
    observer: Observer | None = None,
    refusals: Sequence[type[Exception]] = (),
    fatal: Sequence[type[Exception]] = (),
    classifier: Classifier | None = None,
    monitor: HealthMonitor | None = None,
    tracer: Tracer | None = None,
    task_status: trio.TaskStatus[System] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run the tree until it is asked to stop (`System.request_stop`) or fails (`SystemFailed`).

    `task_status` is given the `System` once the whole tree is up.
    """
    async with open_system(
        root,
        observer=observer,
        refusals=refusals,
        fatal=fatal,
        classifier=classifier,
        monitor=monitor,
        tracer=tracer,
    ) as system:
        task_status.started(system)
        await system.ended()
