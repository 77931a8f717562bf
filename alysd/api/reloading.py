"""The child of the tree that reloads the configuration, and the signal that asks it to."""

from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, Self

import attrs

from alysd.actors.configuration import ConfigurationActor
from alysd.api.console_log import ProcessLog
from alysd.api.http.site import HostNames
from alysd.api.live_parts import LiveHosts, LiveLog
from alysd.api.system_handle import SystemHandle
from alysd.config.model import AlysConfig
from alysd.messages.configuration import Configuration, ReloadSignalled
from alysd.messages.events import ReloadEnded
from alysd.nurseries import Address, ChildSpec, ExponentialBackoff, NotAnswered, Priority, actor
from alysd.ports import Clock
from alysd.timing import Timing
from alysd.workflows.config_reload import ConfigMemory, ConfigReload


class ReloadManager(Protocol):
    """The service manager: systemd, by `alysd.integrations.systemd.Notifier`."""

    def reloading(self) -> object:
        """Report that a reload begins."""
        ...

    def ready(self) -> object:
        """Report that the reload has ended."""
        ...


@attrs.frozen
class Reloading:
    """The configuration in force, the parts of the node that can change it, and its actor's address."""

    memory: ConfigMemory
    names: HostNames
    reload: ConfigReload
    address: Address[Configuration]
    timing: Timing

    @classmethod
    def of(
        cls,
        address: Address[Configuration],
        config: AlysConfig,
        process_log: ProcessLog,
        load: Callable[[], AlysConfig],
        clock: Clock,
        timing: Timing,
    ) -> Self:
        """Return those of a node that starts with `config`. `load` reads and validates it again."""
        memory, names = ConfigMemory(config), HostNames(config.api.allowed_hosts)
        parts = [LiveLog(process_log), LiveHosts(names)]
        return cls(memory, names, ConfigReload(memory, load, parts, clock, timing), address, timing)

    def child(
        self, publish: Callable[[ReloadEnded], object], manager: ReloadManager, running: SystemHandle
    ) -> ChildSpec:
        """Return the actor that changes options of the running node."""

        def announce(begins: bool) -> None:
            if running.ready:  # else the service manager would take the end of the reload for that of the start
                (manager.reloading if begins else manager.ready)()

        return actor(
            self.address,
            lambda: ConfigurationActor(self.memory, self.reload, publish, announce, self.timing),
            restart=ExponentialBackoff(),
            priority=Priority.BACKGROUND,
        )


def signal_reload(configuration: Address[Configuration]) -> None:
    """Ask for a reload. If the mailbox is full, a reload that waits in it will read the same files."""
    with suppress(NotAnswered):
        configuration.tell(ReloadSignalled())
