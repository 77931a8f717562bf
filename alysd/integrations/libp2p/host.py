"""The connections of this node by peer, as libp2p's pubsub sees its host and its network.

It has at most one connection per peer. It keeps no addresses of peers, and dials none that a peer names.
"""

from collections.abc import Awaitable, Callable, Sequence

import attrs
import trio
from libp2p.abc import INotifee
from libp2p.crypto.keys import PrivateKey, PublicKey
from libp2p.custom_types import TProtocol
from libp2p.io.exceptions import IOException
from libp2p.network.exceptions import SwarmException
from libp2p.peer.envelope import Envelope  # pyright: ignore[reportMissingTypeStubs]
from libp2p.peer.peerstore import (  # pyright: ignore[reportMissingTypeStubs]
    PeerStore,
    create_signed_peer_record,
)
from multiaddr import Multiaddr  # pyright: ignore[reportMissingTypeStubs]

from alysd.integrations.libp2p import limits
from alysd.integrations.libp2p.connection import PeerConnection, Stream
from alysd.integrations.libp2p.keys import ID, Identity
from alysd.integrations.libp2p.multistream import NegotiationFailed

StreamHandler = Callable[[Stream], Awaitable[None]]


class OwnRecord(PeerStore):
    """Keeps the signed record of this node, which pubsub sends along. Records of peers are not kept."""

    def consume_peer_record(self, envelope: Envelope, ttl: int) -> bool:  # noqa: ARG002  the base class has them
        """Accept the record and forget it: an attacker makes new ids for nothing, and could fill the memory."""
        return True


@attrs.define(eq=False)
class Host:
    """The parts of libp2p's `IHost` and `INetworkService` that pubsub uses, over this package's connections."""

    identity: Identity
    connections: dict[ID, PeerConnection] = attrs.field(factory=dict[ID, PeerConnection])
    handlers: dict[str, StreamHandler] = attrs.field(factory=dict[str, StreamHandler])
    forget: Callable[[ID], None] = attrs.field(default=lambda _: None)  # pubsub's, once there is one
    _notifees: list[INotifee] = attrs.field(factory=list[INotifee])
    _records: OwnRecord = attrs.field(factory=OwnRecord)

    def __attrs_post_init__(self) -> None:
        record = create_signed_peer_record(self.identity.id, [], self.identity.pair.private_key)
        self._records.set_local_record(record)

    async def register(self, connection: PeerConnection) -> bool:
        """Make `connection` the peer's only one: close an older one, or return false if that one must stay."""
        while (old := self.connections.get(connection.id)) is not None:
            if not self._replaces(connection, old):
                return False
            old.scope.cancel()
            await old.closed.wait()
        self.connections[connection.id] = connection
        return True

    async def announce(self, connection: PeerConnection) -> None:
        """Tell pubsub of a connection, which then opens its stream."""
        for notifee in self._notifees:
            await notifee.connected(self, connection)  # pyright: ignore[reportArgumentType]  it takes the id only

    def unregister(self, connection: PeerConnection) -> None:
        """Forget a closed connection, and let pubsub forget it before the peer's next connection."""
        del self.connections[connection.id]
        self.forget(connection.id)
        connection.closed.set()

    def _replaces(self, new: PeerConnection, old: PeerConnection) -> bool:
        """Whether the new connection of a peer replaces the old one.

        Of two simultaneous dials, both sides keep the connection that the node with the smaller id has dialled.
        Otherwise the new one replaces the old one: the side that has dialled again must have lost the old one.
        """
        if new.inbound == old.inbound or new.opened - old.opened > limits.SIMULTANEOUS_SECONDS:
            return True
        ours_is_smaller = self.identity.id.to_bytes() < new.id.to_bytes()
        return new.inbound != ours_is_smaller

    # What pubsub calls

    def get_id(self) -> ID:
        """This node's id."""
        return self.identity.id

    def get_private_key(self) -> PrivateKey:
        """The key that signs gossip."""
        return self.identity.pair.private_key

    def get_public_key(self) -> PublicKey:
        """Its public key."""
        return self.identity.pair.public_key

    def get_addrs(self) -> list[Multiaddr]:
        """Return no addresses: peers know each other's addresses from their configurations."""
        return []

    def get_peerstore(self) -> OwnRecord:
        """The store of records, which has only this node's."""
        return self._records

    def get_network(self) -> "Host":
        """The network is the host itself."""
        return self

    def register_notifee(self, notifee: INotifee) -> None:
        """Call `notifee` when a peer connects or is lost."""
        self._notifees.append(notifee)

    def get_connections(self, peer: ID) -> list[PeerConnection]:
        """The connection to a peer, if there is one."""
        found = self.connections.get(peer)
        return [] if found is None else [found]

    def set_stream_handler(self, protocol: TProtocol, handler: StreamHandler) -> None:
        """Let `handler` run the streams of a protocol that peers open."""
        self.handlers[protocol] = handler

    async def new_stream(self, peer: ID, protocols: Sequence[TProtocol]) -> Stream:
        """Open a stream to a peer. Raises `SwarmException`."""
        connection = self.connections.get(peer)
        if connection is None:
            raise SwarmException("the peer is not connected")
        try:
            return await connection.open_stream(protocols[0])
        except (IOException, NegotiationFailed, trio.TooSlowError) as error:
            raise SwarmException(f"the peer does not open a stream: {error}") from error
