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
    entry in the configuration is not one of the peers.
    """

    host: Latest[PeerHostConfig]
    configured: ConfiguredPeers
    own: str

    @classmethod
    def of(cls, config: PeerHostConfig, own: str) -> Self:
        """The choice at the start of a node."""
        return cls(Latest(config), ConfiguredPeers(address.peer for address in config.peers), own)

    def use(self, peers: Iterable[PeerAddress], max_inbound: int) -> None:
        """Choose other peers. A running peer host has to be told of them."""
        others = tuple(address for address in peers if address.peer != self.own)
        self.host.value = attrs.evolve(self.host.value, peers=others, max_inbound=max_inbound)
        self.configured.use(address.peer for address in others)
