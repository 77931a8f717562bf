"""Gives the node's servers access to its running tree, and stops the node in order."""

import signal
from collections.abc import AsyncIterator, Callable

import trio

from alysd.errors import NotNow
from alysd.integrations.systemd import Notifier
from alysd.messages.log.base import log
from alysd.messages.log.process import NodeStopping
from alysd.nurseries import ChildSnapshot, HealthMonitor, System


class SystemHandle:
    """Holds the health monitor of a system, and the system itself once it is up.

    `ready` is true once the execution client has followed the node's head.
    """

    def __init__(self, monitor: HealthMonitor) -> None:
        self.monitor = monitor
        self.system: System | None = None
        self.ready = False

    def up(self) -> System:
        """The system. Raises `NotNow` while it is being started."""
        if self.system is None:
            raise NotNow("the node is starting")
        return self.system

    def snapshot(self) -> ChildSnapshot:
        """A snapshot of the tree. Raises `NotNow` while the tree is being started."""
        return self.up().snapshot()


class Stop:
    """The orderly stop of the node. `scope` encloses the whole node; a stop signal cancels it.

    `asked_at` is the time of the signal on trio's clock. `manager`, the service manager, is informed first, so
    that it does not treat the end as a failure. `reload` begins a reload of the configuration, without waiting.
    """

    def __init__(self, manager: Notifier, reload: Callable[[], object]) -> None:
        self._reload = reload
        self.scope = trio.CancelScope()
        self.manager = manager
        self.asked_at = 0.0

    async def on(self, signals: AsyncIterator[int]) -> None:
        """Call `take` with each signal that arrives. Never returns."""
        async for number in signals:
            self.take(number)

    def take(self, number: int) -> None:
        """Stop the node at the first signal. Later signals have no effect.

        SIGHUP also stops the node, because it means that the terminal was closed. From a service manager, however,
        SIGHUP asks for a reload of the configuration.
        """
        if number == signal.SIGHUP and self.manager.present:
            self._reload()
        elif not self.scope.cancel_called:
            self.asked_at = trio.current_time()
            self.manager.stopping()
            log(NodeStopping(signal.Signals(number).name))
            self.scope.cancel()
