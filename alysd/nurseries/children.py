"""The children of a supervisor: how they start, stop in order, and leave the tree.

These are the methods that need no decision about a failure; `supervising` has the methods that decide.
"""

import math
from abc import abstractmethod
from collections import deque
from collections.abc import Collection, Iterable, Iterator

import trio

from alysd.nurseries.child import Child, Parent, Runtime
from alysd.nurseries.life import LivingChild
from alysd.nurseries.spec import ChildSpec, SupervisorSpec
from alysd.nurseries.states import UP, Desired
from alysd.nurseries.stop_order import StopOrder


class WithChildren(LivingChild):
    """A child that has children, which run in its nursery."""

    __slots__ = (
        "_awaited",
        "_changes",
        "_giving_up",
        "_nursery",
        "_open",
        "_order",
        "children",
        "strategy",
    )
    _nursery: trio.Nursery

    def __init__(self, spec: SupervisorSpec, parent: Parent, runtime: Runtime, *, planned: bool = True) -> None:
        super().__init__(spec, parent, runtime, planned=planned)
        self.children: dict[str, Child] = {child.name: self._make(child) for child in spec.children}
        self.strategy = spec.strategy
        # Whether the nursery accepts the tasks of children.
        self._open = False
        # Whether the present instance is about to fail, because a child did: it then only stops its children.
        self._giving_up = False
        # The children that this supervisor is stopping, while it does so.
        self._order: StopOrder | None = None
        # Operators that wait until a child has left, or has another instance.
        self._awaited: dict[Child, trio.lowlevel.ParkingLot] = {}
        # The supervisor's task, while it waits for a child.
        self._changes = trio.lowlevel.ParkingLot()

    @abstractmethod
    def _make(self, spec: ChildSpec, *, planned: bool = True) -> Child:
        """Make the run-time child of a spec. `planned` says whether the spec of this supervisor contains it."""

    # Called by children, in their own tasks

    def child_changed(self) -> None:
        """Wake the supervisor's task if it waits for a change."""
        if self._changes:
            self._changes.unpark_all()

    def may_restart(self, child: Child) -> bool:
        """Whether the child may restart now, as an operator has asked.

        A child that stops together with its group starts again with its group.
        """
        return self._may_start() and (self._order is None or child not in self._order)

    def child_restarts(self, child: Child) -> None:
        """Wake the operators that wait for the restart."""
        self._release(child)

    def child_left(self, child: Child) -> None:
        """Complete the removal, stop or restart that was asked of the child, and wake the waiting tasks."""
        if child.again and self.may_restart(child):
            self._launch(child)
            return
        if child.again and not self._may_start():
            child.again = False
        self._settle(child)
        if self._order is not None:
            self._stop_next(self._order, self._ended(self._order, child))
        self._release(child)
        self.child_changed()

    # Starting and stopping them

    def _may_start(self) -> bool:
        return self._open and self.state in UP and not self._giving_up

    def _launch(self, child: Child) -> None:
        child.reopen()
        child.launch()
        self._nursery.start_soon(child.live, name=child.name)

    async def _stop(self, children: Collection[Child], *, for_good: bool) -> None:
        """Stop the children in the order of `StopOrder`. Each has its `stop_seconds`, then it is cancelled."""
        order = self._order = StopOrder(children, in_turn=self.strategy.in_turn, for_good=for_good)
        try:
            self._stop_next(order, order.first())
            while order.left:
                await self._changes.park()
        finally:
            self._order = None

    def _stop_next(self, order: StopOrder, children: Iterable[Child]) -> None:
        """Ask these children to stop. If one of them has no task, go on with those that may stop after it."""
        ready = deque(children)
        while ready:
            child = ready.popleft()
            if order.for_good and not child.alive and child.kept_messages():
                self._launch(child)
            if child.alive:
                child.begin_stop(for_good=order.for_good)
            else:
                ready.extend(self._ended(order, child))

    def _ended(self, order: StopOrder, child: Child) -> list[Child]:
        """Record the end of the child; close it if it stopped for good. Returns the children that may stop now."""
        if order.for_good and child in order:
            child.close("stopped")
        return order.ended(child)

    def _end(self, child: Child, desired: Desired) -> None:
        """Begin to stop a child for good. `desired` says whether it stays in the tree."""
        if not child.alive and child.kept_messages() and self.may_restart(child):
            self._launch(child)  # an instance that handles them
        child.desired = desired
        if child.alive:
            child.begin_stop(for_good=True)
        else:
            child.again = False
            self._settle(child)
            self._release(child)
            self.child_changed()  # the supervisor may be waiting until the child may start

    def _settle(self, child: Child) -> None:
        """Close the child, which has no task, if it is not wanted, and take it out of the tree if it must go."""
        if child.desired is Desired.GONE:
            self._drop(child)
        elif child.desired is Desired.DOWN:
            child.close("stopped")

    def _release(self, child: Child) -> None:
        waiting = self._awaited.pop(child, None)
        if waiting is not None:
            waiting.unpark_all()

    def _drop(self, child: Child) -> None:
        del self.children[child.name]
        child.close("removed")
        child.unregister()

    # The whole subtree

    def stop_budget(self) -> float:
        """The spec's `stop_seconds` if finite, otherwise one second more than the present children need."""
        if self.spec.stop_seconds < math.inf:
            return self.spec.stop_seconds
        return self._order_of_all().seconds() + 1.0

    def _order_of_all(self) -> StopOrder:
        return StopOrder(self.children.values(), in_turn=self.strategy.in_turn, for_good=True)

    def waiting(self) -> bool:
        """Whether messages wait that a child has kept for its next instance."""
        return any(child.kept_messages() for child in self.children.values())

    def walk(self) -> Iterator[Child]:
        """This supervisor and all children below it, in start order."""
        yield self
        for child in self.children.values():
            yield from child.walk()

    async def _end_instance(self, failure: Exception | None) -> None:  # noqa: ARG002
        """Wake the operators whose restart of a child can no longer happen."""
        for child in tuple(self._awaited):
            child.again = False
            self._release(child)

    def close(self, reason: str) -> None:
        """Close all children, last first, then this supervisor."""
        for child in reversed(self.children.values()):
            child.close(reason)
        super().close(reason)

    def unregister(self) -> None:
        """Remove this supervisor and all children below it from the system's tables."""
        for child in self.children.values():
            child.unregister()
        super().unregister()
