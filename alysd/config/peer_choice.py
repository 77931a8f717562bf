"""The peers of a node, which a reload of the configuration changes, as the parts of the node share them."""

from collections.abc import Iterable
from typing import Self

import attrs

from alysd.types.configured_peers import ConfiguredPeers
from alysd.types.latest import Latest
from alysd.types.peers import PeerAddress, PeerHostConfig


@attrs.frozen
class PeerChoice:
    """The options of the peer host that a reload changes, as the parts of the node share them.

    The peer host starts with `host`. The other parts have only the ids, `configured`. `own` is this node's id: its
    entry in the configuration is not one of the peers. If the configuration names no peers, they are the
    `bootnodes` of the chain.
    """

    host: Latest[PeerHostConfig]
    configured: ConfiguredPeers
    own: str
    bootnodes: tuple[PeerAddress, ...] = ()

    @classmethod
    def of(cls, config: PeerHostConfig, own: str, bootnodes: tuple[PeerAddress, ...] = ()) -> Self:
        """The choice at the start of a node, with the peers of `config`."""
        return cls(Latest(config), ConfiguredPeers(address.peer for address in config.peers), own, bootnodes)

    def use(self, peers: Iterable[PeerAddress], max_inbound: int) -> None:
        """Choose other peers. A running peer host has to be told of them."""
        others = tuple(address for address in tuple(peers) or self.bootnodes if address.peer != self.own)
        self.host.value = attrs.evolve(self.host.value, peers=others, max_inbound=max_inbound)
        self.configured.use(address.peer for address in others)
