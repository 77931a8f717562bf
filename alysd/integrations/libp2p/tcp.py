"""A TCP connection to a peer as libp2p's raw connection: exact reads, each with a deadline, at a bounded rate."""

import trio
from libp2p.abc import IRawConnection
from libp2p.connection_types import ConnectionType
from libp2p.io.exceptions import ConnectionClosedError
from multiaddr import Multiaddr  # pyright: ignore[reportMissingTypeStubs]

from alysd.integrations.libp2p import limits
from alysd.integrations.libp2p.rates import TokenBucket

_RECEIVE_BYTES = 1 << 16


class TcpConnection(IRawConnection):
    """Reads and writes a TCP stream, which it owns. Until `trust` it reads no more than a handshake needs.

    Every failure is libp2p's `ConnectionClosedError`, after which the connection is of no more use.
    """

    def __init__(self, stream: trio.SocketStream, *, is_initiator: bool) -> None:
        self.is_initiator = is_initiator
        self._stream = stream
        self._received = bytearray()
        self._allowed: int | None = limits.HANDSHAKE_BYTES
        self._bytes = TokenBucket(limits.BYTES_PER_SECOND, limits.BYTES_PER_SECOND)
        self._reads = TokenBucket(limits.READS_PER_SECOND, limits.READS_PER_SECOND)
        self._broken = False

    def trust(self) -> None:
        """Lift the bound of the handshake: from now on only the rates bound the peer's bytes."""
        self._allowed = None

    async def read(self, n: int | None = None) -> bytes:
        """Read exactly `n` bytes, not fewer: libp2p gives up after a hundred partial reads of a message."""
        if n is None:
            raise ConnectionClosedError("a read needs a number of bytes")
        if self._allowed is not None:
            self._allowed -= n
            if self._allowed < 0:
                raise ConnectionClosedError(f"the handshake has more than {limits.HANDSHAKE_BYTES} bytes")
        await self._reads.take(1)
        await self._bytes.take(n)
        with trio.move_on_after(limits.READ_SECONDS):
            while len(self._received) < n:
                await self._receive()
            data = bytes(self._received[:n])
            del self._received[:n]
            return data
        raise ConnectionClosedError(f"the peer has not sent {n} bytes within {limits.READ_SECONDS:g} s")

    async def write(self, data: bytes) -> None:
        """Write all bytes, even if the task is cancelled, because half a frame would break the encryption.

        If that fails, the connection is closed, which also ends a read that waits.
        """
        if self._broken:
            raise ConnectionClosedError("the connection is closed, because an earlier write has failed")
        self._broken = True  # until all bytes are written
        try:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + limits.WRITE_SECONDS):
                await self._stream.send_all(data)
                self._broken = False
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            await self.close()
            raise ConnectionClosedError(str(error)) from error
        if self._broken:
            await self.close()
            raise ConnectionClosedError(
                f"the peer has not taken {len(data)} bytes within {limits.WRITE_SECONDS:g} s"
            )

    async def close(self) -> None:
        """Close the connection at once."""
        self._broken = True
        await trio.aclose_forcefully(self._stream)

    def get_remote_address(self) -> tuple[str, int] | None:
        """The peer's IP address and port, or None if the connection is closed."""
        try:
            found = self._stream.socket.getpeername()
        except OSError:
            return None
        return found[0], found[1]

    def get_transport_addresses(self) -> list[Multiaddr]:
        """Return no addresses: no address of a peer is passed on to others."""
        return []

    def get_connection_type(self) -> ConnectionType:
        """Always direct."""
        return ConnectionType.DIRECT

    async def _receive(self) -> None:
        try:
            data = await self._stream.receive_some(_RECEIVE_BYTES)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionClosedError(str(error)) from error
        if not data:
            raise ConnectionClosedError("the peer closed the connection")
        self._received += data
