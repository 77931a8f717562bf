"""A pool at run time: a supervisor of workers that share one mailbox (see `pools`)."""

from collections.abc import Collection, Iterator

from alysd.nurseries.actor_child import ActorChild
from alysd.nurseries.child import Child, Parent, Runtime
from alysd.nurseries.errors import WrongState
from alysd.nurseries.pools import PoolSpec, WorkerSpec
from alysd.nurseries.signals import Signal
from alysd.nurseries.spec import ChildSpec
from alysd.nurseries.states import WANTED
from alysd.nurseries.supervision import SupervisorChild
from alysd.nurseries.watch import WatchedAddress


class WorkerChild(ActorChild):
    """A worker. The other workers handle the messages that it leaves waiting."""

    __slots__ = ("_crew",)

    def __init__(self, spec: WorkerSpec, parent: Parent, runtime: Runtime) -> None:
        super().__init__(spec, parent, runtime)
        self._crew = spec.crew

    @property
    def watched(self) -> WatchedAddress:
        """The address of the pool."""
        return self._crew.address

    def waiting(self) -> bool:
        """Whether messages wait that no other worker will handle."""
        return self._crew.accepting <= {self.address} and super().waiting()

    async def _end_instance(self, failure: Exception | None) -> None:
        """End the instance. It may have been woken for a message, which is now for another worker."""
        self.address.mailbox.wake_for_waiting()  # first, because the hooks of the instance may take long
        await super()._end_instance(failure)

    def unregister(self) -> None:
        """Remove the worker from the system's tables. The pool's counts keep the messages that it has handled."""
        super().unregister()
        self._crew.address.handled += self.address.handled
        self._crew.address.refused += self.address.refused

    def _owned_signals(self) -> set[Signal]:
        raise RuntimeError(
            f"{self.name} is a worker of a pool and cannot use timers or watches: "
            "another worker could take their messages"
        )


class PoolChild(SupervisorChild):
    """A pool. It opens and closes the address together with its workers."""

    __slots__ = ("_crew", "address")

    def __init__(self, spec: PoolSpec, parent: Parent, runtime: Runtime, *, planned: bool = True) -> None:
        super().__init__(spec, parent, runtime, planned=planned)
        self.address = spec.address
        self._crew = spec.crew
        self.address.bind(runtime.wheel)
        self.address.mailbox.share(child.address.receiver for child in self._workers())

    def _workers(self) -> Iterator[WorkerChild]:
        return (child for child in self.children.values() if isinstance(child, WorkerChild))

    def add(self, spec: ChildSpec) -> Child:
        """Raise `WrongState`: all children of a pool are its workers."""
        raise WrongState(self.name, "add a child to", f"it is a pool, and {spec.name} is not one of its workers")

    def reopen(self) -> None:
        """Accept messages, unless operators have stopped all workers. Messages wait until a worker has started."""
        if any(child.desired in WANTED for child in self.children.values()):
            self.address.open()

    def why_not_restart(self) -> str | None:
        """The reason why an operator cannot restart the pool: all its workers were removed. Otherwise `None`."""
        return None if self.children else "all its workers were removed; remove it too, and add it again"

    def waiting(self) -> bool:
        """Whether messages wait for the next instances of the workers."""
        return bool(self.address.mailbox.queue)

    async def _stop(self, children: Collection[Child], *, for_good: bool) -> None:
        """Stop workers. If all stop for good, they handle the rest of the queue side by side."""
        if for_good:
            self._crew.shut()
        await super()._stop(children, for_good=for_good)

    def _drop(self, child: Child) -> None:
        super()._drop(child)
        self.address.mailbox.share(worker.address.receiver for worker in self._workers())

    def unregister(self) -> None:
        """Remove the pool from the system's tables. The address can then be bound to another actor."""
        super().unregister()
        self.release()

    def release(self) -> None:
        """Take the address out of the system."""
        self.address.release()
        self.address.mailbox.unshare()
