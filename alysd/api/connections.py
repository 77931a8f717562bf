"""A TCP connection that ends when it should: a deadline for every send, no life after the client's."""

import trio
from hypercorn.trio.tcp_server import TCPServer

SEND_SECONDS = 10.0
"""A send that takes longer ends the connection. Loopback and LAN take the largest answer in under a second."""


class BoundedStream:
    """A trio stream whose sends have a deadline, and which can be ended at once from another task."""

    def __init__(self, stream: trio.SocketStream, send_seconds: float = SEND_SECONDS) -> None:
        self._stream = stream
        self._send_seconds = send_seconds
        self.socket = stream.socket
        self.closed = trio.Event()

    async def send_all(self, data: bytes) -> None:
        """Send all of `data`. Raises `BrokenResourceError` when the peer does not take it in time."""
        try:
            with trio.fail_after(self._send_seconds):
                await self._stream.send_all(data)
        except trio.TooSlowError as error:
            self.abort()
            raise trio.BrokenResourceError("the peer does not read") from error

    async def receive_some(self, max_bytes: int) -> bytes | bytearray:
        """Receive what is there, at most `max_bytes`; empty at the end."""
        return await self._stream.receive_some(max_bytes)

    async def send_eof(self) -> None:
        """Say that nothing more will be sent."""
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """Close the connection."""
        self.closed.set()
        await self._stream.aclose()

    def abort(self) -> None:
        """Close the socket under whoever waits for it: they get `ClosedResourceError`."""
        self.closed.set()
        self.socket.close()


class Connection(TCPServer):
    """hypercorn's protocol code for one connection, over when the client leaves.

    hypercorn itself keeps a connection that the client has closed until the keep-alive time has passed, or the
    next ping is due, and the connections are counted. What still works on an answer is cancelled: nobody would get
    it.
    """

    async def run(self) -> None:
        """Serve until either side closes."""
        with trio.CancelScope() as self._scope:
            await super().run()

    async def _read_data(self) -> None:
        await super()._read_data()
        self._scope.cancel()
