"""The parts of the node whose options can change while it runs (`workflows.config_reload.LivePart`)."""

from typing import Any

import attrs
import trio

from alysd.api.console_log import ProcessLog
from alysd.api.http.limits import ServerLimits
from alysd.api.http.server import listen
from alysd.api.http.site import HostNames
from alysd.api.servers import ServerPlace, limits_of
from alysd.api.system_handle import SystemHandle
from alysd.config.addresses import ListenAddress
from alysd.config.flags import Flags
from alysd.config.model import AlysConfig
from alysd.config.operation_sections import FlagsConfig
from alysd.config.peer_choice import PeerChoice
from alysd.config.places import collide
from alysd.config.runtime_sections import MonitoringConfig
from alysd.errors import AddressInUse, ConfigRefused
from alysd.integrations.payment_signing import RecordedSigner
from alysd.messages.peer_host import ChangePeers, ConfirmChange, PeerHost
from alysd.nurseries import Address, State
from alysd.types.hashes import EvmAddress
from alysd.types.health_limits import HealthLimits
from alysd.types.latest import Latest
from alysd.types.peers import PeerHostConfig

READ_AT_USE = frozenset({"reload.watch", "reload.trial_seconds", "node.environment", "node.profile"})
"""The live options that have no part: the configuration actor looks them up, or other options follow from them."""

_LOOK_SECONDS = 0.02

_STARTED = (State.STARTING, State.RESTARTING, State.RUNNING)
"""The states of a peer host that was started with earlier options, and handles its messages now or soon.

Its start takes seconds. It need not confirm a change before it is up: nothing comes before the message."""

_PEERS_SECONDS = 5.0
"""The deadline of the peer host, above that of the whole reload (`Timing.config_apply`)."""


@attrs.frozen
class LiveLog:
    """The log of the process."""

    log: ProcessLog
    keys: frozenset[str] = frozenset({"logging.level", "logging.format"})
    children: frozenset[str] = frozenset({"event logger"})

    async def apply(self, config: AlysConfig) -> None:
        """Write the next line with the new level and format."""
        self.log.use(config.logging)
        await trio.lowlevel.checkpoint()


@attrs.frozen
class LiveHosts:
    """The names by which clients may call the servers."""

    names: HostNames
    keys: frozenset[str] = frozenset({"api.allowed_hosts"})
    children: frozenset[str] = frozenset({"alys server", "ethereum server", "operator server"})

    async def apply(self, config: AlysConfig) -> None:
        """Allow the new names from the next request on."""
        self.names.use(config.api.allowed_hosts)
        await trio.lowlevel.checkpoint()


@attrs.frozen
class LiveLimits:
    """The limits of the server of Alys's JSON-RPC."""

    limits: Latest[ServerLimits]
    keys: frozenset[str] = frozenset({"api.max_requests", "api.buffer_mib"})
    children: frozenset[str] = frozenset({"alys server"})

    async def apply(self, config: AlysConfig) -> None:
        """Judge the next request by the new limits."""
        self.limits.value = limits_of(config.api)
        await trio.lowlevel.checkpoint()


@attrs.frozen
class LiveHealth:
    """The limits by which the health of the node is judged."""

    limits: Latest[HealthLimits]
    keys: frozenset[str] = frozenset(f"monitoring.{field.name}" for field in attrs.fields(MonitoringConfig))
    children: frozenset[str] = frozenset()

    async def apply(self, config: AlysConfig) -> None:
        """Judge the health by the new limits from the next request on."""
        self.limits.value = config.monitoring.limits
        await trio.lowlevel.checkpoint()


@attrs.frozen
class LiveFlags:
    """The feature flags."""

    flags: Flags
    keys: frozenset[str] = frozenset(
        {"node.name", *(f"flags.{field.name}" for field in attrs.fields(FlagsConfig))}
    )
    children: frozenset[str] = frozenset({"engine"})

    async def apply(self, config: AlysConfig) -> None:
        """Evaluate the flags by the new configuration."""
        self.flags.use(config)
        await trio.lowlevel.checkpoint()


@attrs.frozen
class LiveMiner:
    """The address that is paid for blocks that this node lets mine."""

    recipient: Latest[EvmAddress | None]
    keys: frozenset[str] = frozenset({"mining.fee_recipient"})
    children: frozenset[str] = frozenset({"internal miner"})

    async def apply(self, config: AlysConfig) -> None:
        """Offer the next work with the new address."""
        self.recipient.value = config.mining.fee_recipient
        await trio.lowlevel.checkpoint()


@attrs.frozen
class LiveLimit:
    """The limit of the payments that this member signs in an hour; `signer` has its key, None if it has none."""

    signer: RecordedSigner | None
    keys: frozenset[str] = frozenset({"peg.hourly_limit_sat"})
    children: frozenset[str] = frozenset({"federation"})

    async def apply(self, config: AlysConfig) -> None:
        """Judge the next payment by the new limit."""
        if self.signer is not None:
            self.signer.use_limit(config.peg.hourly_limit_sat)
        await trio.lowlevel.checkpoint()


@attrs.define
class LivePeers:
    """The peers to which the node keeps connections; `peers` is None for a node without a network.

    `host` is the address of the peer host. `_told` are the options that it has acknowledged last.
    """

    peers: PeerChoice | None
    host: Address[PeerHost]
    running: SystemHandle
    keys: frozenset[str] = frozenset({"network.peers", "network.max_inbound"})
    children: frozenset[str] = frozenset({"peer host"})
    _told: PeerHostConfig | None = attrs.field(
        init=False, default=attrs.Factory(lambda self: self.peers and self.peers.host.value, takes_self=True)
    )

    async def apply(self, config: AlysConfig) -> None:
        """Connect to new peers and close the connections to removed ones. Raises `NotAnswered`."""
        if self.peers is None:
            await trio.lowlevel.checkpoint()
            return
        self.peers.use(config.network.peers, config.network.max_inbound)
        used = self.peers.host.value
        if used == self._told:
            await trio.lowlevel.checkpoint()
            return
        self._told = None
        child = next((one for one in self.running.snapshot().walk() if one.name == self.host.name), None)
        if child is not None and child.state in _STARTED:  # else its next start uses the options
            self.host.tell(ChangePeers(used.peers, used.max_inbound))
            if child.state is State.RUNNING:
                await self.host.ask(ConfirmChange(), seconds=_PEERS_SECONDS)
        self._told = used


@attrs.frozen
class LiveAddress:
    """The address of one server, which a restart of its child `server` changes."""

    key: str
    server: str
    place: ServerPlace
    running: SystemHandle

    @property
    def keys(self) -> frozenset[str]:
        """The only option."""
        return frozenset({self.key})

    @property
    def children(self) -> frozenset[str]:
        """The only child."""
        return frozenset({self.server})

    async def apply(self, config: AlysConfig) -> None:
        """Let the server listen at the new address. Raises `ConfigRefused` if that address cannot be used."""
        section, _, name = self.key.partition(".")
        address: Any = getattr(getattr(config, section), name)
        if address == self.place.wanted:
            await trio.lowlevel.checkpoint()
            return
        system = self.running.up()
        child = next((one for one in system.snapshot().walk() if one.name == self.server), None)
        if child is None:  # the execution client has another server than the embedded engine
            self.place.wanted = address
            return
        if not collide(address, self.place.wanted):  # else the server itself is in the way until its restart
            await _check_free(address)
        begun, self.place.wanted, self.place.bound = trio.current_time(), address, self.place.wanted
        await system.restart(self.server)
        while True:
            child = next(one for one in system.snapshot().walk() if one.name == self.server)
            if self.place.bound == address:
                return
            if child.last_error_at is not None and child.last_error_at >= begun:
                raise ConfigRefused(f"{address} cannot be used: {child.last_error}")
            await trio.sleep(_LOOK_SECONDS)


async def _check_free(address: ListenAddress) -> None:
    """Raise `ConfigRefused` unless a server can listen at the address now."""
    try:
        for listener in await listen(address.host, address.port):
            await listener.aclose()
    except (AddressInUse, OSError) as error:
        raise ConfigRefused(f"{address} cannot be used: {error}") from None
