"""The parts of the node whose options can change while it runs (`workflows.config_reload.LivePart`)."""

import attrs
import trio

from alysd.api.console_log import ProcessLog
from alysd.api.http.site import HostNames
from alysd.config.model import AlysConfig


@attrs.frozen
class LiveLog:
    """The log of the process."""

    log: ProcessLog
    keys: frozenset[str] = frozenset({"logging.level", "logging.format"})

    async def apply(self, config: AlysConfig) -> None:
        """Write the next line with the new level and format."""
        self.log.use(config.logging)
        await trio.lowlevel.checkpoint()


@attrs.frozen
class LiveHosts:
    """The names by which clients may call the servers."""

    names: HostNames
    keys: frozenset[str] = frozenset({"api.allowed_hosts"})

    async def apply(self, config: AlysConfig) -> None:
        """Allow the new names from the next request on."""
        self.names.use(config.api.allowed_hosts)
        await trio.lowlevel.checkpoint()
