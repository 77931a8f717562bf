"""The child of the tree that reloads the configuration, and the signal that asks it to."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Protocol

import attrs

from alysd.actors.configuration import ConfigurationActor, ReloadHistory, ReloadReports
from alysd.api.system_handle import SystemHandle
from alysd.config.config_source import ConfigSource
from alysd.messages.configuration import Configuration, ReloadSignalled
from alysd.messages.events import ReloadEnded
from alysd.nurseries import Address, ChildSpec, ExponentialBackoff, NotAnswered, Priority, actor
from alysd.ports import Clock
from alysd.timing import Timing
from alysd.types.units import Height
from alysd.workflows.config_reload import ConfigMemory, ConfigReload, LivePart
from alysd.workflows.config_trial import NodeView


class ReloadManager(Protocol):
    """The service manager: systemd, by `alysd.integrations.systemd.Notifier`."""

    def reloading(self) -> object:
        """Report that a reload begins."""
        ...

    def ready(self) -> object:
        """Report that the reload has ended."""
        ...


class WatchedNode(NodeView, Protocol):
    """The running node, as reloads see it: `alysd.api.node_view.RunningNode`."""

    async def head(self) -> Height | None:
        """Return the height of the head; None if it is not known."""
        ...


@attrs.frozen
class Reloading:
    """The configuration in force, its source, and the parts of the node that can change it."""

    memory: ConfigMemory
    source: ConfigSource
    parts: Sequence[LivePart]
    view: WatchedNode
    history: ReloadHistory
    clock: Clock
    timing: Timing

    def child(
        self,
        address: Address[Configuration],
        publish: Callable[[ReloadEnded], object],
        manager: ReloadManager,
        running: SystemHandle,
    ) -> ChildSpec:
        """Return the actor that changes options of the running node."""
        head: Callable[[], Awaitable[Height | None]] = self.view.head
        reload = ConfigReload(self.memory, self.source, self.parts, self.view, self.clock, self.timing)

        def announce(begins: bool) -> None:
            if running.ready:  # else the service manager would take the end of the reload for that of the start
                (manager.reloading if begins else manager.ready)()

        reports = ReloadReports(publish, announce, self.history)
        return actor(
            address,
            lambda: ConfigurationActor(self.memory, reload, self.source, head, reports, self.timing),
            restart=ExponentialBackoff(),
            priority=Priority.BACKGROUND,
        )


def signal_reload(configuration: Address[Configuration]) -> None:
    """Ask for a reload. If the mailbox is full, a reload that waits in it will read the same files."""
    with suppress(NotAnswered):
        configuration.tell(ReloadSignalled())
