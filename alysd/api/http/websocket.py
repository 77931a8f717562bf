"""One WebSocket connection (RFC 6455). It has no extensions, so that no compressed message exceeds the limits."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import trio
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage
from wsproto.utilities import generate_accept_token

from alysd.api.http.connection_places import Part, Place
from alysd.api.http.messages import HttpRefused

GOING_AWAY, TOO_BIG, TRY_AGAIN_LATER, POLICY = 1001, 1009, 1013, 1008
"""Close codes (RFC 6455, 7.4.1; 1013 is in IANA's registry of WebSocket close codes).

Their meanings, in this order: the server stops; a message has too many bytes or frames; the client is slow, or the
server has no room for it or for its message; the client does not finish a message in time."""

READ = 16 * 1024
"""The maximum number of bytes received at once, so that many short frames do not block the event loop for long."""

PIECE = 64 * 1024
"""The maximum number of bytes that are sent at once. Before each further piece of a message, others get a turn."""

EVENTS_PER_TURN = 32
"""Other tasks get a turn after this many frames, which take about one millisecond."""


def accepting(headers: Mapping[bytes, bytes]) -> bytes:
    """The server's part of the handshake. Raises `HttpRefused` if the request is not a handshake."""
    key = headers.get(b"sec-websocket-key")
    if headers.get(b"sec-websocket-version") != b"13":
        raise HttpRefused(426, "only version 13 of WebSocket is served", {"sec-websocket-version": "13"})
    if key is None or b"upgrade" not in headers.get(b"connection", b"").lower():
        raise HttpRefused(400, "a WebSocket handshake needs Sec-WebSocket-Key and Connection: Upgrade")
    token = generate_accept_token(key)
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        b"sec-websocket-accept: " + token + b"\r\n\r\n"
    )


class SocketRequest:
    """A message of the client, and the room that it has in the server until `end`.

    Several requests of one client run at the same time. `pause` is that of `Request`.
    """

    def __init__(self, body: bytes, part: Part) -> None:
        self.body = body
        self.pause = part.pause
        self.end = part.end
        self.answering = part.send
        """Note that an answer of some bytes waits to be sent, so that the request no longer runs."""


class WebSocket:
    """Sends and receives complete messages, after the handshake. Only one task may receive; any task may send.

    `received` are bytes that came with the handshake. `closing` is set when the server begins to stop.
    """

    def __init__(self, stream: trio.abc.HalfCloseableStream, received: bytes, place: Place) -> None:
        self.closing = place.port.closing
        self._stream = stream
        self._place = place
        self._limits = place.port.limits
        self._protocol = Connection(ConnectionType.SERVER, [], received)
        self._events: Iterator[Event] = self._protocol.events()
        self._turns = 0
        self._sending = trio.Lock()
        self._cut_off = False
        self._pinged = False

    async def receive(self) -> SocketRequest | None:
        """Wait for a complete message, text or binary, and for its turn. None once the connection has ended."""
        self._place.rest()
        try:
            message = await self._message()
        except HttpRefused as refused:
            self._place.port.refused(refused)
            return await self.close(TRY_AGAIN_LATER)
        if message is None:
            return None
        part = self._place.begin_part()
        await part.run_when_free()
        return SocketRequest(message, part)

    async def turn(self) -> None:
        """Wait in line with the requests of all clients of the port, before a part of the work of a message."""
        await self._place.port.turn()

    async def send(self, *messages: bytes) -> None:
        """Send text messages, each a text in UTF-8. Small ones leave together; large ones are not copied.

        Raises `trio.BrokenResourceError` when the client does not receive them in time.
        """
        parts = [part for message in messages for part in (_text_head(len(message)), message)]
        if sum(map(len, parts)) <= PIECE:
            parts = [b"".join(parts)]
        async with self._sending:
            if not self._cut_off and self._protocol.state is ConnectionState.OPEN:
                await self._write(parts)

    async def close(self, code: int) -> None:
        """Send a close frame, for a bounded time."""
        with trio.move_on_after(self._limits.linger):
            await self._send(CloseConnection(code))

    async def drop(self) -> None:
        """Close, and count a client that does not read its messages fast enough."""
        self._place.port.slow()
        await self.close(TRY_AGAIN_LATER)

    async def _message(self) -> bytes | None:
        message, pieces, deadline = bytearray(), 0, math.inf
        while True:
            event = await self._next(deadline)
            if isinstance(event, Ping):
                await self._send(event.response())
            elif isinstance(event, CloseConnection):
                return await self.close(event.code)
            elif event is None:
                return None
            elif isinstance(event, TextMessage | BytesMessage):
                data = cast("bytes | str", event.data)
                piece = data.encode() if isinstance(data, str) else data
                message += piece
                self._place.grow(len(piece))
                pieces += 1
                if len(message) > self._limits.body or pieces > self._limits.pieces:
                    return await self.close(TOO_BIG)
                if event.message_finished:
                    return bytes(message)
                deadline = min(deadline, trio.current_time() + self._limits.request)

    async def _next(self, deadline: float) -> Event | None:
        """The next event. None once the client has closed the connection or the deadline has passed."""
        while (event := next(self._events, None)) is None:
            data = await self._more(deadline)
            if not data:
                return None
            self._protocol.receive_data(bytes(data))
            self._events = self._protocol.events()
        self._turns += 1
        if not self._turns % EVENTS_PER_TURN:
            await trio.lowlevel.checkpoint()
        return event

    async def _more(self, deadline: float) -> bytes | bytearray:
        """Receive bytes. Ping the client when it has sent nothing for `ServerLimits.ping`.

        Returns no bytes when the client has gone, does not answer a ping, or misses the deadline.
        """
        while True:
            with trio.move_on_at(min(deadline, trio.current_time() + self._limits.ping)):
                data = await self._stream.receive_some(READ)
                self._pinged = False
                return data
            if trio.current_time() >= deadline:
                await self.close(POLICY)
                return b""
            if self._pinged:
                return b""
            self._pinged = True
            await self._send(Ping())

    async def _send(self, event: Event) -> None:
        async with self._sending:
            if self._cut_off or self._protocol.state not in (ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING):
                return
            if self._protocol.state is ConnectionState.REMOTE_CLOSING and not isinstance(event, CloseConnection):
                return
            await self._write([self._protocol.send(event)])

    async def _write(self, parts: Sequence[bytes]) -> None:
        """Send the bytes of frames, in as much time as a response of that size has over HTTP."""
        self._cut_off = True  # until the frames are complete, because nothing may follow half of a frame
        with trio.move_on_after(self._limits.send + sum(map(len, parts)) / self._limits.send_rate):
            for part in parts:
                await self._stream.send_all(memoryview(part)[:PIECE])
                for begin in range(PIECE, len(part), PIECE):
                    await self.turn()
                    await self._stream.send_all(memoryview(part)[begin : begin + PIECE])
            self._cut_off = False
            return
        self._place.port.slow()
        raise trio.BrokenResourceError("the client does not read its messages fast enough")


def _text_head(size: int) -> bytes:
    """The head of a frame with a whole text message of `size` bytes, unmasked (RFC 6455, 5.2)."""
    if size < 126:
        return bytes((0x81, size))
    return b"\x81\x7e" + size.to_bytes(2, "big") if size < 1 << 16 else b"\x81\x7f" + size.to_bytes(8, "big")
