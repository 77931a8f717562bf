"""The bounds of inbound connections: places for handshakes and for strangers, and peers that are kept away."""

import ipaddress
from collections import Counter, OrderedDict
from collections.abc import Mapping

import attrs
import trio

from alysd.integrations.libp2p import limits


@attrs.frozen
class DoorPlace:
    """The place of a peer that was admitted from `network`; one of a stranger, or of a configured peer."""

    network: str
    stranger: bool


class Doors:
    """Counts connections and refuses those above the limits. Configured peers do not use up places of strangers.

    `configured` has the network of each configured peer's address by the peer's id, None for a host name. Before
    the handshake, a connection counts as that of a configured peer if it comes from this network, or from the
    network from which the peer connected last.
    """

    def __init__(self, configured: Mapping[str, str | None], max_inbound: int) -> None:
        self._configured = dict(configured)
        self._last: dict[str, str] = {}
        self._max_inbound = max_inbound
        self._handshakes: Counter[str] = Counter()
        self._strangers: Counter[str] = Counter()
        self._banned: OrderedDict[str, float] = OrderedDict()

    def change(self, configured: Mapping[str, str | None], max_inbound: int) -> None:
        """Use other configured peers and another limit from now on. Peers that are new are no longer banned."""
        for peer in configured.keys() - self._configured.keys():
            self._banned.pop(peer, None)
        self._configured, self._max_inbound = dict(configured), max_inbound
        self._last = {peer: network for peer, network in self._last.items() if peer in configured}

    def enter(self, network: str) -> bool:
        """Take a place for a handshake from `network` (`network_of`). Returns whether there was one."""
        if self._handshakes[network] >= limits.HANDSHAKES_PER_ADDRESS:
            return False
        reserved = {*self._configured.values(), *self._last.values()}
        if network not in reserved:
            strangers = sum(count for other, count in self._handshakes.items() if other not in reserved)
            if strangers >= limits.HANDSHAKES:
                return False
        self._handshakes[network] += 1
        return True

    def leave(self, network: str) -> None:
        """Return the place for a handshake."""
        _decrement(self._handshakes, network)

    def admit(self, peer: str, network: str) -> DoorPlace | None:
        """Give a place to a peer that has proved its id; None if it may not stay. A configured peer always may."""
        if self.is_banned(peer):
            return None
        if peer in self._configured:
            self._last[peer] = network
            return DoorPlace(network, stranger=False)
        if (
            self._strangers.total() >= self._max_inbound
            or self._strangers[network] >= limits.STRANGERS_PER_ADDRESS
        ):
            return None
        self._strangers[network] += 1
        return DoorPlace(network, stranger=True)

    def dismiss(self, place: DoorPlace) -> None:
        """Return the place of a peer that was admitted. The peer may have become a configured one meanwhile."""
        if place.stranger:
            _decrement(self._strangers, place.network)

    def ban(self, peer: str, seconds: float) -> None:
        """Keep a peer away for some time."""
        self._banned[peer] = trio.current_time() + seconds
        self._banned.move_to_end(peer)
        if len(self._banned) > limits.BANS:
            self._banned.popitem(last=False)

    def is_banned(self, peer: str) -> bool:
        """Whether a peer is kept away now."""
        until = self._banned.get(peer)
        if until is not None and until <= trio.current_time():
            del self._banned[peer]
            return False
        return until is not None


def network_of(address: str) -> str:
    """An IPv4 address itself, or the /64 network of an IPv6 address, because one machine can have all of it."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 64), strict=False))


def network_in(host: str) -> str | None:
    """The network of a configured host, or None for a host name."""
    try:
        return network_of(host)
    except ValueError:
        return None


def _decrement(counts: Counter[str], key: str) -> None:
    counts[key] -= 1
    if counts[key] <= 0:
        del counts[key]
