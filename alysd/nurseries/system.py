"""A running tree. The methods of `System` show it and change it: they add, stop, restart and suspend children.

`running_tree` runs it, `opening` makes the system and stops it.
"""

from collections.abc import Mapping
from typing import Any, TypeVar, overload

import trio

from alysd.nurseries.actor_child import ActorChild
from alysd.nurseries.address import Address
from alysd.nurseries.child import Child
from alysd.nurseries.dynamic import START_SECONDS, Operation
from alysd.nurseries.errors import UnknownChild, WrongState
from alysd.nurseries.failures import FailureLog
from alysd.nurseries.patterns import Pattern, find_patterns
from alysd.nurseries.pools import PoolSpec
from alysd.nurseries.registry import ChildSnapshot, Registry, take_snapshot
from alysd.nurseries.running_tree import RunningTree
from alysd.nurseries.spec import ActorSpec, ChildSpec, TaskSpec
from alysd.nurseries.states import UP, Desired, State
from alysd.nurseries.supervision import SupervisorChild
from alysd.nurseries.task_child import TaskChild
from alysd.nurseries.visible_state import ask_state

T = TypeVar("T")

STATE_SECONDS = 2.0
"""The default of the seconds that an actor has to show its state: far more than a handler should take."""


class System(RunningTree):
    """A running tree, as operators see it. Made by `open_system`."""

    # Observing the system

    @property
    def failures(self) -> FailureLog:
        """The log of all failures so far and of the reactions to them."""
        return self._runtime.failures

    @property
    def registry(self) -> Registry:
        """The registry, which finds children by name and other properties."""
        return Registry(self._runtime.children)

    def patterns(self) -> tuple[Pattern, ...]:
        """Patterns in the failures of the last minutes."""
        return find_patterns(self.failures.recent, trio.current_time())

    def snapshot(self) -> ChildSnapshot:
        """The whole tree as it is now."""
        return take_snapshot(self._root)

    async def get_state(self, name: str, *, seconds: float = STATE_SECONDS) -> Mapping[str, object]:
        """The state that the actor `name` shows (`Actor.visible_state`), as a copy of plain data of bounded size.

        The actor answers between two messages, ahead of the waiting ones. Raises `UnknownChild`; `WrongState` when
        the child is not an actor, or not running; `AskTimeout` when no handler ends within `seconds`; `ActorDown`
        when the instance ends first; and the errors of `visible_state`, such as `NotImplementedError`.
        """
        child = self._actor(name, "get the state of")
        if child.state not in UP:
            raise WrongState(name, "get the state of", f"it {child.state.predicate}")
        return await ask_state(child.address, seconds)

    # Changing one child. These methods raise `UnknownChild` for a name that is not in the tree, and `WrongThread`
    # in a thread in which the system does not run.
    #
    # Operators may call them at the same time. `stop_child`, `restart` and `remove` take effect at the call: what
    # they began goes on if the caller is cancelled, which only ends its wait. The calls for one child take effect
    # in the order in which they were made. They do not wait if they are called below the task of the child that
    # they concern: they return at once, and the rest happens after the handler has returned. If they are called by
    # a handler of another actor, for which the child waits, they raise `AskCycle` and do nothing.

    def add(self, parent: str, spec: ChildSpec) -> None:
        """Add a child to the supervisor `parent` and start it, without waiting until it is up.

        The child is supervised like the others. Unlike with `start_child`, its policy restarts it even if its
        first start fails. A child that ends for good leaves the tree. Raises `SpecError`, and `WrongState` when
        `parent` is not a supervisor or not up.
        """
        self._supervisor(parent).add(spec)

    def _supervisor(self, name: str) -> SupervisorChild:
        child = self._child(name)
        if not isinstance(child, SupervisorChild):
            raise WrongState(name, "add a child to", "it is not a supervisor")
        return child

    @overload
    async def start_child(self, parent: str, spec: ActorSpec, *, seconds: float = ...) -> Address[Any]: ...
    @overload
    async def start_child(self, parent: str, spec: TaskSpec[T], *, seconds: float = ...) -> Operation[T]: ...
    @overload
    async def start_child(self, parent: str, spec: ChildSpec, *, seconds: float = ...) -> object: ...
    async def start_child(self, parent: str, spec: ChildSpec, *, seconds: float = START_SECONDS) -> Any:
        """Add a child to the supervisor `parent` and wait until it is up, at most `seconds` (see `dynamic`).

        Returns the address of an actor or a pool, and for a task its `Operation`, whose `result` waits for its
        value. Raises `StartFailed`, `TooManyChildren` and `SpecError`, and `WrongState` when `parent` is not a
        supervisor or not up.
        """
        child = await self._supervisor(parent).start_child(spec, seconds)
        return child.operation if isinstance(child, TaskChild) else child.spec.bound()

    async def stop_child(self, name: str) -> None:
        """Stop a child for good, within its `stop_seconds`, and wait for its end. `restart` starts it again.

        An actor first handles the messages in its mailbox. This also holds if it is just being restarted, alone or
        with its group. If another operator calls `restart` during the stop, the stop returns and the child runs.
        Raises `WrongState` for the root.
        """
        child, supervisor = self._supervised(name, "stop")
        await supervisor.stop_child(child)

    async def restart(self, name: str) -> None:
        """Stop a child's instance, if there is one, and start a new one. Does not wait until this one is up.

        The child's messages are kept. A child that stops with its group starts with its group. Raises
        `WrongState` for the root, when the child is being removed, when it is a pool without workers, and when its
        supervisor is not up or ends before the restart.
        """
        child, supervisor = self._supervised(name, "restart")
        await supervisor.restart(child)

    async def remove(self, name: str) -> None:
        """Stop a child for good and take it out of the tree; then its name and its address are free again.

        No other operation can undo this. Raises `WrongState` for the root.
        """
        child, supervisor = self._supervised(name, "remove")
        await supervisor.remove(child)

    def suspend(self, name: str) -> None:
        """Suspend the actor `name`: messages wait in its mailbox until `resume`, or until the actor restarts.

        If it is a pool, all workers that run are suspended. Raises `WrongState` when the child is neither an actor
        nor a pool, when it is not running, and when a supervisor above it stops.
        """
        actors = [child for child in self._actors(name, "suspend") if child.state is State.RUNNING]
        if not actors:
            raise WrongState(name, "suspend", f"it {self._child(name).state.predicate}")
        above = actors[0].parent
        while isinstance(above, SupervisorChild):
            if above.stopping:
                raise WrongState(name, "suspend", f"{above.name} is stopping")
            above = above.parent
        for child in actors:
            child.want(Desired.SUSPENDED)

    def resume(self, name: str) -> None:
        """Let a suspended actor, or the suspended workers of a pool, handle messages again.

        Raises `WrongState` when the child is not suspended.
        """
        actors = [child for child in self._actors(name, "resume") if child.desired is Desired.SUSPENDED]
        actors = [child for child in actors if child.state in UP]
        if not actors:
            raise WrongState(name, "resume", f"it {self._child(name).state.predicate}")
        for child in actors:
            child.want(Desired.UP)

    def inject(self, name: str, error: Exception) -> None:
        """Make the child `name` fail at its next checkpoint, as if it had raised `error`.

        Raises `WrongState` when no instance of the child is up, and `TypeError` when `error` is no `Exception`.
        """
        child = self._child(name)
        if not isinstance(error, Exception):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"cannot inject {error!r} into {name}: it is not an Exception")
        if child.state not in UP:
            raise WrongState(name, "inject a failure into", f"it {child.state.predicate}")
        child.inject(error)

    def _child(self, name: str) -> Child:
        self._check_thread(name, "change")
        try:
            return self._runtime.children[name]
        except KeyError:
            raise UnknownChild(name) from None

    def _actor(self, name: str, operation: str) -> ActorChild:
        child = self._child(name)
        if not isinstance(child, ActorChild):
            raise WrongState(name, operation, "it is not an actor")
        return child

    def _actors(self, name: str, operation: str) -> list[ActorChild]:
        """The actor `name`, or the workers of the pool `name`."""
        child = self._child(name)
        if isinstance(child.spec, PoolSpec):
            return [worker for worker in child.walk() if isinstance(worker, ActorChild)]
        return [self._actor(name, operation)]

    def _supervised(self, name: str, operation: str) -> tuple[Child, SupervisorChild]:
        child = self._child(name)
        if not isinstance(child.parent, SupervisorChild):
            raise WrongState(name, operation, "it is the root; stop the system instead")
        return child, child.parent
