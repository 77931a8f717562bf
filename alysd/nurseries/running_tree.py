"""Runs a tree until it has ended, and keeps how it ended."""

import logging
from threading import get_ident

import trio

from alysd.nurseries.child import Child, Runtime
from alysd.nurseries.errors import BudgetSpent, SystemFailed, WrongThread
from alysd.nurseries.health import HealthMonitor
from alysd.nurseries.spec import SupervisorSpec
from alysd.nurseries.states import State
from alysd.nurseries.supervision import SupervisorChild

logger = logging.getLogger("alysd.nurseries")


class RunningTree:
    """A tree that runs. It is the parent of the root supervisor."""

    def __init__(self, root: SupervisorSpec, runtime: Runtime) -> None:
        self._runtime = runtime
        self._changed = trio.lowlevel.ParkingLot()
        self._failure: SystemFailed | None = None
        self._stop_reason: str | None = None
        self._exit: BaseException | None = None
        runtime.on_exit = self._exit_with
        self._root = SupervisorChild(root, self, runtime)
        self._root.launch()

    @property
    def stop_reason(self) -> str | None:
        """The reason for which the system was asked to stop, or `None` if it was not."""
        return self._stop_reason

    @property
    def failure(self) -> SystemFailed | None:
        """The failure by which the system ended, or `None` if it has not failed."""
        return self._failure

    @property
    def exit(self) -> BaseException | None:
        """The `SystemExit`, `KeyboardInterrupt` or the like that a child raised, or `None`."""
        return self._exit

    def _exit_with(self, name: str, raised: BaseException) -> None:
        if self._exit is None:
            self._exit = raised
        self.request_stop(f"{name} raised {type(raised).__name__}")

    # Starting and stopping the system

    async def started(self) -> None:
        """Wait until the whole tree is up, or has ended."""
        while self._root.alive and not self._root.came_up:
            await self._changed.park()

    async def ended(self) -> None:
        """Wait until the tree has ended, by request or by failure."""
        while self._root.alive:
            await self._changed.park()

    def request_stop(self, reason: str) -> None:
        """Begin an orderly stop and return at once. Signal handlers and children of the system may call this."""
        self._check_thread(self._root.name, "stop")
        if self._stop_reason is None:
            self._stop_reason = reason
            self._runtime.stopping = True
            logger.info("%s stops: %s", self._root.name, reason)
            self._root.begin_stop(for_good=True)

    async def stop(self, reason: str) -> None:
        """Stop the tree, each child within its `stop_seconds`, and wait for the end.

        Returns at once if a child of the system calls this: the system cannot end before that child does.
        """
        self.request_stop(reason)
        if not self._root.runs_caller():
            await self.ended()

    def _check_thread(self, name: str, operation: str) -> None:
        if get_ident() != self._runtime.wheel.thread:
            raise WrongThread(name, operation, "the system runs in another one; use trio.from_thread")

    # As the parent of the root

    def child_failed(self, child: Child, error: Exception, *, stopping: bool) -> None:  # noqa: ARG002
        """Record the failure of the root, which no supervisor can restart."""
        path = [child.name]
        leaf: BaseException = error
        while isinstance(leaf, BudgetSpent) and leaf.__cause__ is not None:
            path.append(leaf.child)
            leaf = leaf.__cause__
        self._failure = SystemFailed(child.name, tuple(path))
        self._failure.__cause__ = leaf
        child.move(State.FAILED)

    def child_changed(self) -> None:
        """Wake the tasks that wait for the start or the end of the system."""
        self._changed.unpark_all()

    def may_restart(self, child: Child) -> bool:  # noqa: ARG002
        """Return false: nobody restarts the root."""
        return False

    def child_restarts(self, child: Child) -> None:
        """Ignore the first start of the root."""

    def child_left(self, child: Child) -> None:  # noqa: ARG002
        """Wake the tasks that wait for the end of the system."""
        self._changed.unpark_all()

    async def run(self, block: trio.CancelScope, monitor: HealthMonitor | None) -> None:
        """Run the tree until it ends; if it fails, cancel the `block` that uses it. Started by `open_system`."""
        try:
            with trio.CancelScope(shield=True):  # the tree stops in order even if the block is cancelled
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._runtime.wheel.run, name="ask deadlines")
                    nursery.start_soon(self._runtime.timers.run, name="timers")
                    nursery.start_soon(self._runtime.failures.run, name="failure log")
                    if monitor is not None:
                        nursery.start_soon(monitor.run, self._runtime, name="health monitor")
                    await self._root.live()
                    nursery.cancel_scope.cancel()
        finally:
            self._runtime.failures.flush()
            self._root.close("the system ended")
            for child in self._runtime.children.values():
                child.release()
        if self._failure is not None or self._exit is not None:
            block.cancel()
