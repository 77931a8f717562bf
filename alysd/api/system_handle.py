"""A running node as its servers see it: its tree, and the way to stop it."""

import signal
from collections.abc import AsyncIterator

import trio

from alysd.errors import NotNow
from alysd.integrations.systemd import Notifier
from alysd.messages.log.base import log
from alysd.messages.log.process import NodeStopping, NothingToReload
from alysd.nurseries import ChildSnapshot, HealthMonitor, System


class SystemHandle:
    """The system once it is up, and its health monitor. It exists before the system does."""

    def __init__(self, monitor: HealthMonitor) -> None:
        self.monitor = monitor
        self.system: System | None = None

    def up(self) -> System:
        """The system; raises `NotNow` while it is being started."""
        if self.system is None:
            raise NotNow("the node is starting")
        return self.system

    def snapshot(self) -> ChildSnapshot:
        """The tree as it is now; raises `NotNow` while it is being started."""
        return self.up().snapshot()


class Stop:
    """An orderly end of the node: `scope` encloses the whole node, and a stop signal cancels it.

    `asked_at` is when, on trio's clock; `manager` is told first, so that it does not take the end for a failure.
    """

    def __init__(self, manager: Notifier) -> None:
        self.scope = trio.CancelScope()
        self.manager = manager
        self.asked_at = 0.0

    async def on(self, signals: AsyncIterator[int]) -> None:
        """Wait for signals and take each. Never returns."""
        async for number in signals:
            self.take(number)

    def take(self, number: int) -> None:
        """Stop the node at the first signal; further ones change nothing.

        SIGHUP stops it too, because the terminal was closed; but a service manager means a reload by it.
        """
        if number == signal.SIGHUP and self.manager.present:
            log(NothingToReload())
        elif not self.scope.cancel_called:
            self.asked_at = trio.current_time()
            self.manager.stopping()
            log(NodeStopping(signal.Signals(number).name))
            self.scope.cancel()
