"""The check of each yamux frame that a peer sends, before libp2p's yamux acts on it (yamux specification).

libp2p 0.8.1 bounds neither the number of streams nor the bytes that were received and not read.
"""

import struct
from collections.abc import Generator
from contextlib import contextmanager
from typing import cast

from libp2p.abc import ISecureConn
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.stream_muxer.yamux import yamux

from alysd.integrations.libp2p import limits
from alysd.integrations.libp2p.keys import ID
from alysd.integrations.libp2p.rates import TokenBucket
from alysd.integrations.libp2p.tcp import TcpConnection

_HEADER = struct.Struct("!BBHII")
_DATA, _WINDOW_UPDATE, _GO_AWAY = 0, 1, 3
_SYN = 1


def open_yamux(session: ISecureConn, peer: ID, tcp: TcpConnection) -> yamux.Yamux:
    """A yamux connection over `session`, whose frames are checked. Its caller runs `start`."""
    guard = FrameGuard(session, tcp)
    guard.muxed = yamux.Yamux(cast("ISecureConn", guard), peer, is_initiator=session.is_initiator)
    return guard.muxed


def configure_yamux() -> None:
    """Set the bounds that libp2p's yamux has as constants of its module."""
    yamux.MAX_WINDOW_SIZE = limits.WINDOW_BYTES
    yamux.RTT_MEASURE_INTERVAL = limits.PING_SECONDS


class FrameGuard:
    """Stands between yamux and the encrypted session. yamux reads a header of 12 bytes, then the frame's body.

    A frame that breaks a bound closes the connection, because every honest peer keeps the bounds. After a failed
    read or write, every further one fails at once. Otherwise yamux would try to reply to each of the thousands of
    frames that a Noise message can hold, wait 10 ms each time, and so keep a closed connection for minutes.
    """

    def __init__(self, session: ISecureConn, tcp: TcpConnection) -> None:
        self.muxed: yamux.Yamux
        self.is_initiator = session.is_initiator
        self._session = session
        self._tcp = tcp
        self._body = 0
        self._failed = False
        self._frames = TokenBucket(limits.FRAMES_PER_SECOND, limits.FRAMES_BURST)
        self._streams = TokenBucket(limits.STREAMS_PER_SECOND, limits.STREAMS_BURST)

    async def read(self, n: int | None = None) -> bytes:
        """Read exactly `n` bytes: a header, or a part of the body that it announced."""
        with self._last_if_it_fails():
            data = await self._session.read(n)
            if self._body:
                self._body = max(0, self._body - len(data))
            else:
                self._check(data)
            return data

    async def write(self, data: bytes) -> None:
        """Write a frame."""
        with self._last_if_it_fails():
            await self._session.write(data)

    async def close(self) -> None:
        """Close the TCP connection at once."""
        await self._tcp.close()

    def get_remote_address(self) -> tuple[str, int] | None:
        """The peer's IP address and port."""
        return self._tcp.get_remote_address()

    @contextmanager
    def _last_if_it_fails(self) -> Generator[None]:
        if self._failed:
            raise ConnectionClosedError("the connection is closed, because an earlier read or write has failed")
        done = False
        try:
            yield
            done = True
        finally:
            self._failed = self._failed or not done

    def _check(self, header: bytes) -> None:
        if len(header) != _HEADER.size:
            raise ConnectionClosedError(f"the connection ended after {len(header)} of the 12 bytes of a header")
        version, kind, flags, stream, length = _HEADER.unpack(header)
        if version != 0 or kind > _GO_AWAY:
            raise ConnectionClosedError(f"not a yamux frame: it has version {version} and type {kind}")
        if not self._frames.try_take(1):
            raise ConnectionClosedError(f"the peer sends more than {limits.FRAMES_PER_SECOND} frames per second")
        opens = flags & _SYN and kind <= _WINDOW_UPDATE
        if opens and (len(self.muxed.streams) >= limits.STREAMS or not self._streams.try_take(1)):
            raise ConnectionClosedError(
                f"the peer has more than {limits.STREAMS} open streams, or opens more than "
                f"{limits.STREAMS_PER_SECOND} per second"
            )
        if kind == _DATA:
            unread = sum(map(len, self.muxed.stream_buffers.values()))
            if length > limits.FRAME_BYTES or unread + length > limits.CONNECTION_UNREAD:
                raise ConnectionClosedError(
                    f"the peer sends {length} bytes for stream {stream}, beside {unread} unread: at most "
                    f"{limits.FRAME_BYTES} per frame and {limits.CONNECTION_UNREAD} unread are accepted"
                )
            self._body = length
