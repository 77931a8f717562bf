"""A supervisor as operators see it: they add, start, stop, restart and remove its children through the system.

The supervisor's task and its reactions to failures are in `supervising`.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import trio

from alysd.nurseries.actor_child import ActorChild
from alysd.nurseries.asks import waits_of_handler
from alysd.nurseries.child import Child, Parent, Runtime
from alysd.nurseries.dynamic import FirstStart, Operation
from alysd.nurseries.errors import StartFailed, TooManyChildren, WrongState
from alysd.nurseries.pools import PoolSpec, WorkerSpec
from alysd.nurseries.processes.spec import ProcessSpec
from alysd.nurseries.spec import ActorSpec, ChildSpec, SupervisorSpec, TaskSpec, validate
from alysd.nurseries.states import UP, WANTED, Desired
from alysd.nurseries.supervising import Supervising
from alysd.nurseries.task_child import TaskChild


class SupervisorChild(Supervising):
    """A supervisor at run time; itself a child of another supervisor, or of the system.

    Its public methods are called by operators, in the operator's task.
    """

    __slots__ = ()

    def _make(self, spec: ChildSpec, *, planned: bool = True) -> Child:
        return make_child(spec, self, self.runtime, planned=planned)

    def add(self, spec: ChildSpec) -> Child:
        """Add a child as the last in start order and start it, without waiting until it is up.

        Raises `SpecError`, `WrongState` when this supervisor is not up, and `TooManyChildren`.
        """
        if self._max_children is not None and len(self.children) >= self._max_children:
            raise TooManyChildren(self.name, self._max_children)
        if not self._may_start():
            raise WrongState(self.name, "add a child to", f"it {self._condition()}")
        validate(spec, self.runtime.children, self.children)
        child = self._make(spec, planned=False)
        self._links |= bool(spec.linked_to)
        self.children[child.name] = child
        if self._order is None:  # otherwise it starts after the children that stop now
            self._launch(child)
        return child

    async def start_child(self, spec: ChildSpec, seconds: float) -> Child:
        """Add a child, and wait until it is up. If that fails, it leaves the tree, and `StartFailed` is raised."""
        child = self.add(spec)
        if isinstance(child, TaskChild):
            child.operation = Operation(child.name)
        start = child.start = FirstStart()
        with self._caller_waits_for(child), trio.move_on_after(seconds):
            await start.wait()
        if start.up:
            return child
        error, child.start = start.error, None
        if self.children.get(child.name) is child:
            self._end(child, Desired.GONE)
        reason = f"it was not up within {seconds:g} s" if error is None else str(error) or type(error).__name__
        raise StartFailed(child.name, reason) from error

    async def stop_child(self, child: Child) -> None:
        """Stop a child for good. It stays in the tree, stopped, until an operator restarts it.

        Raises `AskCycle`, and does not stop the child, if the caller is a handler that the child waits for. So do
        `remove` and `restart`.
        """
        with self._caller_waits_for(child):
            self._end(child, Desired.GONE if child.desired is Desired.GONE else Desired.DOWN)
            await self._until(child, lambda: not child.alive or child.desired in WANTED)

    async def remove(self, child: Child) -> None:
        """Stop a child for good and take it out of the tree."""
        with self._caller_waits_for(child):
            self._end(child, Desired.GONE)
            await self._until(child, lambda: self.children.get(child.name) is not child)

    async def restart(self, child: Child) -> None:
        """Stop the instance of a child, if there is one, and start another. The child's messages are kept.

        Raises `WrongState`, and does not stop the child, when this supervisor is not up, when the child is being
        removed, and when it is a pool without workers. Also raises it when this supervisor ends before the other
        instance has started.
        """
        if child.desired is Desired.GONE:
            raise WrongState(child.name, "restart", "it is being removed")
        if not self._may_start():
            raise WrongState(child.name, "restart", f"{self.name} {self._condition()}")
        if (reason := child.why_not_restart()) is not None:
            raise WrongState(child.name, "restart", reason)
        with self._caller_waits_for(child):
            await self._restart(child)

    async def _restart(self, child: Child) -> None:
        child.desired = Desired.UP
        self._release(child)  # another operator may wait for its stop, which a restart now replaces
        if not child.alive and self.may_restart(child):
            self._launch(child)
            return
        child.again, run = True, child.restarts
        if child.alive:
            child.begin_stop(for_good=False)
        await self._until(child, lambda: not child.again)
        if child.restarts == run and not child.again:
            raise WrongState(child.name, "restart", f"{self.name} {self._condition()}")

    def _caller_waits_for(self, child: Child) -> AbstractContextManager[None]:
        """In the `with` block, record that the calling handler, if any, waits for `child` and all below it."""
        if child.runs_caller():
            return nullcontext()  # it does not wait: see `_until`
        return waits_of_handler(
            [below.address.receiver for below in child.walk() if isinstance(below, ActorChild)]
        )

    async def _until(self, child: Child, done: Callable[[], bool]) -> None:
        """Wait until `done()`. Returns at once in the child's own task, which would wait for itself."""
        while not child.runs_caller() and not done():
            await self._awaited.setdefault(child, trio.lowlevel.ParkingLot()).park()

    def _condition(self) -> str:
        return "is about to end" if self.state in UP else self.state.predicate


def make_child(spec: ChildSpec, parent: Parent, runtime: Runtime, *, planned: bool = True) -> Child:
    """Create the run-time child of a spec. `planned` says whether the spec of its supervisor contains it."""
    match spec:
        case ProcessSpec():
            from alysd.nurseries.processes.child import ProcessChild  # only a program with such a child loads it

            return ProcessChild(spec, parent, runtime, planned=planned)
        case PoolSpec():
            from alysd.nurseries.pool_child import PoolChild  # a pool is a supervisor, and derives from it

            return PoolChild(spec, parent, runtime, planned=planned)
        case WorkerSpec():
            from alysd.nurseries.pool_child import WorkerChild

            return WorkerChild(spec, parent, runtime)
        case ActorSpec():
            return ActorChild(spec, parent, runtime, planned=planned)
        case TaskSpec():
            return TaskChild(cast("TaskSpec[Any]", spec), parent, runtime, planned=planned)
        case SupervisorSpec():
            return SupervisorChild(spec, parent, runtime, planned=planned)
        case _:
            raise TypeError(f"not a kind of child: {type(spec).__name__}")
