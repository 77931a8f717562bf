"""A connection to a peer, and its streams, after Noise and yamux have been negotiated."""

from typing import Any

import attrs
import trio
from libp2p.custom_types import TProtocol
from libp2p.io.exceptions import ConnectionClosedError, IOException
from libp2p.network.stream.exceptions import StreamClosed, StreamEOF, StreamReset
from libp2p.security.noise.patterns import PatternXX
from libp2p.stream_muxer.exceptions import MuxedStreamEOF, MuxedStreamError, MuxedStreamReset
from libp2p.stream_muxer.yamux.yamux import Yamux, YamuxStream

from alysd.integrations.libp2p import limits, multistream
from alysd.integrations.libp2p.frames import open_yamux
from alysd.integrations.libp2p.keys import ID, Identity, peer_text
from alysd.integrations.libp2p.rates import TokenBucket
from alysd.integrations.libp2p.tcp import TcpConnection

_READ_BYTES = 1 << 16

NOISE, YAMUX = "/noise", "/yamux/1.0.0"


@attrs.frozen(str=False)
class WrongPeer(Exception):
    """The node at an address has proved the id `found`, and not that of the peer that was dialled, `expected`."""

    expected: ID
    found: ID

    def __str__(self) -> str:
        return f"the node there has the id {peer_text(self.found)}: correct the id in the address, or the address"


@attrs.define(eq=False)
class PeerConnection:
    """An authenticated connection, until `scope` is cancelled or the peer leaves.

    The task that made it also runs it.
    """

    id: ID
    address: str
    inbound: bool
    muxed: Yamux
    tcp: TcpConnection
    opened: float = attrs.field(factory=trio.current_time)
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    closed: trio.Event = attrs.field(factory=trio.Event)
    streams_inbound: int = 0
    answers: int = 0
    requests: TokenBucket = attrs.field(
        factory=lambda: TokenBucket(limits.REQUESTS_PER_SECOND, limits.REQUESTS_BURST)
    )

    @property
    def peer(self) -> str:
        """The peer's id as text."""
        return peer_text(self.id)

    @property
    def muxed_conn(self) -> Yamux:
        """Another name of `muxed`, which libp2p's pubsub uses."""
        return self.muxed

    async def open_stream(self, protocol: str) -> "Stream":
        """Open a stream and negotiate its protocol. Raises `NegotiationFailed`, or the errors of `Stream`."""
        try:
            stream = Stream(await self.muxed.open_stream(), self)
        except MuxedStreamError as error:
            raise StreamClosed(str(error)) from error
        negotiated = False
        try:
            with trio.fail_after(limits.NEGOTIATION_SECONDS):
                await multistream.offer(stream, [protocol])
            negotiated = True
        finally:
            if not negotiated:
                await stream.reset()
        stream.protocol = protocol
        return stream

    async def close(self) -> None:
        """Close yamux, within `CLOSE_SECONDS`, and then the TCP connection."""
        try:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + limits.CLOSE_SECONDS):
                await self.muxed.close()
        finally:
            await self.tcp.close()


async def upgrade(stream: trio.SocketStream, identity: Identity, expected: ID | None) -> PeerConnection:
    """Negotiate Noise and yamux on a new TCP connection. `expected` is the peer that was dialled, else None.

    Raises `WrongPeer`, `trio.TooSlowError`, `NegotiationFailed`, or any error of libp2p. The caller closes the
    stream then.
    """
    tcp = TcpConnection(stream, is_initiator=expected is not None)
    address = tcp.get_remote_address()
    if address is None:
        raise ConnectionClosedError("the peer closed the connection")
    pattern = PatternXX(identity.id, identity.pair.private_key, identity.noise)
    with trio.fail_after(limits.HANDSHAKE_SECONDS):
        if expected is None:
            await multistream.select(_Exact(tcp), [NOISE])
            session = await pattern.handshake_inbound(tcp)
            await multistream.select(_Exact(session), [YAMUX])
        else:
            await multistream.offer(_Exact(tcp), [NOISE])
            # libp2p's own comparison of the ids would hide the one that was found.
            session = await pattern.handshake_outbound(tcp, None)
            if (found := session.get_remote_peer()) != expected:
                raise WrongPeer(expected, found)
            await multistream.offer(_Exact(session), [YAMUX])
    tcp.trust()
    peer = session.get_remote_peer()
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return PeerConnection(peer, f"{host}:{address[1]}", expected is None, open_yamux(session, peer, tcp), tcp)


@attrs.frozen
class _Exact:
    """A TCP connection or a session, whose reads are exact already, for `multistream`."""

    connection: Any

    async def read_exactly(self, n: int) -> bytes:
        """Read exactly `n` bytes."""
        data: bytes = await self.connection.read(n)
        return data

    async def write(self, data: bytes) -> None:
        """Write all bytes."""
        await self.connection.write(data)


@attrs.define(eq=False)
class Stream:
    """A stream of a connection, in the shape that libp2p's pubsub expects.

    Failures are libp2p's `StreamEOF`, `StreamReset` and `StreamClosed`, or the `ConnectionClosedError` of the
    connection.
    """

    muxed: YamuxStream
    connection: PeerConnection
    protocol: str = ""
    metric_send_channel: None = None
    _received: bytearray = attrs.field(factory=bytearray)

    @property
    def muxed_conn(self) -> Yamux:
        """The connection's yamux."""
        return self.connection.muxed

    def get_protocol(self) -> TProtocol | None:
        """The negotiated protocol."""
        return TProtocol(self.protocol) if self.protocol else None

    async def read_exactly(self, n: int) -> bytes:
        """Return the next `n` bytes. A read takes all that has arrived, because yamux sends a frame per read."""
        while len(self._received) < n:
            self._received += await self.read(_READ_BYTES)
        data = bytes(self._received[:n])
        del self._received[:n]
        return data

    async def read(self, n: int | None = None) -> bytes:
        """Read at least one and at most `n` bytes that `read_exactly` has not taken."""
        try:
            return await self.muxed.read(n)
        except MuxedStreamEOF as error:
            raise StreamEOF(str(error)) from error
        except MuxedStreamReset as error:
            raise StreamReset(str(error)) from error

    async def write(self, data: bytes) -> None:
        """Write all bytes; wait up to 5 s when the peer's window is full. Raises `StreamClosed`."""
        try:
            await self.muxed.write(data)
        except (MuxedStreamError, IOException) as error:
            raise StreamClosed(str(error)) from error

    async def close(self) -> None:
        """Close this side: the peer reads the end of the stream."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + limits.CLOSE_SECONDS):
            await self.muxed.close()

    async def reset(self) -> None:
        """Drop the stream on both sides, unless both have ended it. Never fails."""
        if self.muxed.closed:
            return
        try:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + limits.CLOSE_SECONDS):
                await self.muxed.reset()
        except IOException:
            return  # the connection is closed, and the stream with it
