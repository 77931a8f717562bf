"""`ports.Gossip` on libp2p: keeps the connections, and joins gossip, requests and the node's sink.

Topics and protocols have the first 8 hex digits of the genesis hash in their names, so nodes of different chains
exchange nothing but their statuses, which tell them to part.
"""

import random
from collections.abc import Sequence
from functools import partial
from typing import cast

import trio
from libp2p.io.exceptions import IOException
from libp2p.stream_muxer.exceptions import MuxedConnUnavailable
from libp2p.stream_muxer.yamux.yamux import YamuxStream
from libp2p.tools.anyio_service import background_trio_service

from alysd.errors import PeerUnavailable
from alysd.integrations.libp2p import limits, multistream, requests
from alysd.integrations.libp2p.connection import PeerConnection, Stream, WrongPeer, upgrade
from alysd.integrations.libp2p.doors import Doors, network_in, network_of
from alysd.integrations.libp2p.frames import configure_yamux
from alysd.integrations.libp2p.host import Host
from alysd.integrations.libp2p.keys import ID, Identity, peer_id, peer_text
from alysd.integrations.libp2p.notes import SUMMARY_SECONDS, Notes, say
from alysd.integrations.libp2p.pubsub import GossipPubsub, Router
from alysd.integrations.libp2p.rates import TokenBucket
from alysd.ports import GossipSink
from alysd.types.configured_peers import ConfiguredPeers
from alysd.types.peers import PeerAddress, PeerHostConfig, StreamKind, Topic


class Libp2pGossip:
    """The network of one node. `run` may be called once."""

    def __init__(self, config: PeerHostConfig) -> None:
        self._config = config
        self._identity = Identity.of(config.secret)
        self._host = Host(self._identity)
        self._names = {f"/alys/{config.chain}/{topic.value}": topic for topic in Topic}
        self._topics = {topic: name for name, topic in self._names.items()}
        self._peers = config.peers
        self._changed = trio.Event()
        # The tasks that dial, by the addresses of their peers; the ids of these peers, for gossip and answers.
        self._dialled: dict[PeerAddress, trio.CancelScope] = {}
        self._ids = {peer_id(address.peer) for address in config.peers}
        self._members = ConfiguredPeers(address.peer for address in config.peers)
        self._doors = Doors(_networks(config.peers), config.max_inbound)
        self._notes = Notes()
        self._rejections: dict[ID, TokenBucket] = {}
        self._gossip: GossipPubsub | None = None
        configure_yamux()

    async def run(self, sink: GossipSink) -> None:
        """Listen, keep connections to the configured peers, and call `sink`, until cancelled.

        Raises `OSError` if the address cannot be used.
        """
        gossip = GossipPubsub(self._host, self._names, self._ids, sink.judge, self._blame, self._notes)
        answers = requests.AnswerService(sink, self._members)
        for kind in StreamKind:
            self._host.handlers[requests.protocol_of(self._config.chain, kind)] = partial(answers.serve, kind=kind)
        async with background_trio_service(gossip), background_trio_service(cast("Router", gossip.router)):
            await gossip.wait_until_ready()
            for name in self._names:
                await gossip.subscribe(name)
            self._gossip = gossip
            try:
                await self._serve(sink)
            finally:
                self._gossip = None

    async def publish(self, topic: Topic, data: bytes) -> None:
        """Send `data` to the mesh of the topic. Without a running network, the data is dropped."""
        if self._gossip is not None:
            await self._gossip.publish(self._topics[topic], data)

    async def request(self, peer: str, kind: StreamKind, request: bytes, max_bytes: int, seconds: float) -> bytes:
        """Send a request to a connected peer and return its answer. Raises `PeerUnavailable`."""
        connection = self._connection_of(peer)
        if connection is None:
            raise PeerUnavailable(peer, "not connected")
        protocol = requests.protocol_of(self._config.chain, kind)
        return await requests.ask(connection, protocol, request, max_bytes, seconds)

    async def disconnect(self, peer: str, seconds: float) -> None:
        """Close the connection to `peer`, and accept none from it for `seconds`."""
        self._doors.ban(peer, seconds)
        connection = self._connection_of(peer)
        if connection is not None:
            connection.scope.cancel()

    async def change_peers(self, peers: Sequence[PeerAddress], max_inbound: int) -> None:
        """Keep connections to exactly these peers from now on, and let at most `max_inbound` others connect.

        Connections to peers that are no longer named are closed; such a peer may come back as a stranger.
        """
        ids = {address.peer for address in peers}
        removed = [address.peer for address in self._peers if address.peer not in ids]
        self._peers = tuple(peers)
        self._ids.clear()
        self._ids.update(peer_id(peer) for peer in ids)
        self._members.use(ids)
        self._doors.change(_networks(peers), max_inbound)
        self._changed.set()
        self._changed = trio.Event()
        for connection in [found for peer in removed if (found := self._connection_of(peer)) is not None]:
            connection.scope.cancel()
        await trio.lowlevel.checkpoint()

    def _connection_of(self, peer: str) -> PeerConnection | None:
        return next((each for each in self._host.connections.values() if each.peer == peer), None)

    async def _serve(self, sink: GossipSink) -> None:
        config = self._config
        listeners = await trio.open_tcp_listeners(config.port, host=config.host)
        say(f"INFO peers reach this node at {config.host}:{config.port} as {peer_text(self._identity.id)}")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._notes.summarize)
            nursery.start_soon(self._dial_all, sink)
            await trio.serve_listeners(partial(self._accept, sink=sink), listeners)

    # Connections

    async def _accept(self, stream: trio.SocketStream, *, sink: GossipSink) -> None:
        """Run an inbound connection, if there is a place for it."""
        async with stream:
            await self._notes.contained("inbound connection", self._welcome, stream, sink)

    async def _welcome(self, stream: trio.SocketStream, sink: GossipSink) -> None:
        network = network_of(stream.socket.getpeername()[0])
        if not self._doors.enter(network):
            self._notes.count("inbound connection: no place for a handshake")
            await trio.aclose_forcefully(stream)
            return
        try:
            connection = await upgrade(stream, self._identity, None)
        finally:
            self._doors.leave(network)
        place = self._doors.admit(connection.peer, network)
        if place is None:
            self._notes.count("inbound connection: banned, or no place for a stranger")
            await trio.aclose_forcefully(stream)
            return
        try:
            await self._run(connection, sink)
        finally:
            self._doors.dismiss(place)

    async def _dial_all(self, sink: GossipSink) -> None:
        """Run a task per address of a configured peer, which dials it.

        If a peer has got another address, the task of the old one ends with its connection.
        """
        async with trio.open_nursery() as nursery:
            while True:
                changed = self._changed
                for address in self._dialled.keys() - set(self._peers):
                    scope = self._dialled.pop(address)
                    if address.peer not in self._members:
                        scope.cancel()
                for address in self._peers:
                    if address not in self._dialled:
                        scope = self._dialled[address] = trio.CancelScope()
                        nursery.start_soon(self._keep_connected, address, scope, sink)
                await changed.wait()

    async def _keep_connected(self, address: PeerAddress, scope: trio.CancelScope, sink: GossipSink) -> None:
        with scope:
            await self._redial(address, scope, sink)

    async def _redial(self, address: PeerAddress, scope: trio.CancelScope, sink: GossipSink) -> None:
        """Dial a configured peer whenever it is not connected, as long as this is its address.

        Says why it cannot be reached, and again at most once per minute if the reason changes.
        """
        pause, reason, said = limits.REDIAL_SECONDS, "", trio.current_time()
        while self._dialled.get(address) is scope:
            connection = self._connection_of(address.peer)
            if connection is not None:
                await connection.closed.wait()
            elif not self._doors.is_banned(address.peer):
                failed, now = await self._dial(address, sink), trio.current_time()
                if failed and (not reason or (failed != reason and now - said >= SUMMARY_SECONDS)):
                    say(f"WARNING the peer {address} cannot be reached: {failed}; it is dialled again and again")
                    reason, said = failed, now
                reason = failed and reason
                pause = min(pause * 1.25, limits.REDIAL_SECONDS_MOST) if failed else limits.REDIAL_SECONDS
            await trio.sleep(pause * random.uniform(1.0, 1.25))  # noqa: S311  so that two nodes do not dial in step

    async def _dial(self, address: PeerAddress, sink: GossipSink) -> str:
        """Dial a peer and run the connection. Returns why there was none, or an empty text."""
        failed = "nothing answers there"

        async def dial() -> None:
            nonlocal failed
            with trio.fail_after(limits.DIAL_SECONDS):
                stream = await trio.open_tcp_stream(address.host, address.port)
            failed = "the handshake failed"
            async with stream:
                try:
                    connection = await upgrade(stream, self._identity, peer_id(address.peer))
                except WrongPeer as error:
                    failed = str(error)
                    raise
                failed = ""
                await self._run(connection, sink)

        await self._notes.contained("outbound connection", dial)
        return failed

    async def _run(self, connection: PeerConnection, sink: GossipSink) -> None:
        """Run an authenticated connection until it ends, as the only one of its peer."""
        try:
            with connection.scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(connection.muxed.start)
                    await connection.muxed.event_started.wait()
                    if await self._host.register(connection):
                        await self._attend(connection, sink, nursery)
                    nursery.cancel_scope.cancel()
        finally:
            await connection.close()

    async def _attend(self, connection: PeerConnection, sink: GossipSink, nursery: trio.Nursery) -> None:
        """Report the registered connection, run the streams that the peer opens, and report the end."""
        try:
            await sink.connected(connection.peer, connection.address, inbound=connection.inbound)
            await self._host.announce(connection)
            while True:
                try:
                    stream = await connection.muxed.accept_stream()
                except MuxedConnUnavailable:
                    return
                nursery.start_soon(self._run_stream, Stream(cast("YamuxStream", stream), connection))
        finally:
            self._host.unregister(connection)
            self._rejections.pop(connection.id, None)
            with trio.CancelScope(shield=True, deadline=trio.current_time() + limits.CLOSE_SECONDS):
                await sink.lost(connection.peer)

    async def _run_stream(self, stream: Stream) -> None:
        """Negotiate the protocol of a stream that the peer opened, and run its handler."""
        connection = stream.connection
        connection.streams_inbound += 1
        try:
            if connection.streams_inbound <= limits.STREAMS_INBOUND:
                await self._notes.contained("stream", self._handle, stream)
        finally:
            await stream.reset()
            connection.streams_inbound -= 1

    async def _handle(self, stream: Stream) -> None:
        handlers = self._host.handlers
        with trio.fail_after(limits.NEGOTIATION_SECONDS):
            stream.protocol = await multistream.select(stream, handlers)
        await handlers[stream.protocol](stream)
        await _await_end(stream)

    def _blame(self, peer: ID, reason: str) -> None:
        """Disconnect a peer that broke a protocol (`reason`), or whose messages are rejected again and again."""
        bucket = self._rejections.setdefault(peer, TokenBucket(0.2, limits.REJECTIONS))
        if reason or not bucket.try_take(1):
            self._notes.count(reason or "gossip: rejected messages")
            self._doors.ban(peer_text(peer), limits.BAN_SECONDS)
            connection = self._host.connections.get(peer)
            if connection is not None:
                connection.scope.cancel()


def _networks(peers: Sequence[PeerAddress]) -> dict[str, str | None]:
    return {address.peer: network_in(address.host) for address in peers}


async def _await_end(stream: Stream) -> None:
    """Wait for the peer to close its side, for a moment: a reset at once would drop an answer on its way."""
    try:
        with trio.move_on_after(limits.CLOSE_SECONDS):
            while not stream.muxed.recv_closed:
                await stream.read_exactly(1)
    except IOException:
        return  # the end that it waits for, or that of the connection
