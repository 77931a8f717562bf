"""`ports.GovernanceLink` with grpclib: one asyncio task owns a stream, and memory channels join it to trio.

Each connection has an event loop of its own, so that nothing of a failed one is left. Importing this module
changes asyncio for all threads of the process (trio-asyncio), so only the process of the governance host does.
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import trio
import trio_asyncio
from grpclib.client import Channel
from grpclib.config import Configuration
from grpclib.const import Cardinality
from grpclib.exceptions import GRPCError, StreamTerminatedError
from multidict import MultiDict

from alysd.errors import ConfigError, GovernanceUnavailable
from alysd.integrations.governance.guarded_channel import GuardedChannel
from alysd.integrations.governance.raw_codec import CAPABILITIES, STREAM, BoundedStream, RawCodec
from alysd.integrations.payment_link import TlsFiles
from alysd.nurseries import isolated
from alysd.nurseries.errors import leaf_of
from alysd.types.governance import GovernanceEndpoint
from alysd.wire.governance import check_capabilities
from alysd.wire.governance_values import GovernanceRefused
from alysd.wire.plain_text import plain

CONNECT_SECONDS = 10.0
"""Deadline for the connection, the TLS handshake, the capabilities, and the opening of the stream."""

SEND_SECONDS = 20.0
"""Deadline for a message to be taken. Then the governance has not read for so long that the stream is given up."""

CLOSE_SECONDS = 2.0
"""The time for a connection to be closed in order."""

QUEUED = 16
"""Messages of either direction that wait between the two loops: 2 MiB at most. More wait at their sender."""

WINDOW_BYTES = 1 << 18
"""The window of HTTP/2 for what the governance sends: two of the largest messages."""


class GrpcLink:
    """Opens streams with the certificates in `files`, which are read anew for each connection."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files

    @asynccontextmanager
    async def connect(self, endpoint: GovernanceEndpoint) -> AsyncGenerator["GrpcConnection"]:
        """Open a stream to a server that speaks this node's protocol version. Raises `GovernanceUnavailable`."""
        try:
            context = await trio.to_thread.run_sync(self._files.context, ssl.Purpose.SERVER_AUTH)
        except (ConfigError, OSError) as error:
            raise GovernanceUnavailable(str(endpoint), f"the certificates cannot be used: {error}") from None
        context.set_alpn_protocols(["h2"])
        connection = GrpcConnection(endpoint)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.run, context)
            try:
                with trio.move_on_after(CONNECT_SECONDS):
                    await connection.opened.wait()
                failure = connection.failure()
                if failure is None:
                    yield connection
            finally:
                nursery.cancel_scope.cancel()
        if failure is not None:  # not inside of the nursery, which would make a group of it
            raise failure


class GrpcConnection:
    """`ports.GovernanceConnection`. `run` owns the stream; the other methods are called beside it."""

    def __init__(self, endpoint: GovernanceEndpoint) -> None:
        self.opened = trio.Event()
        self._endpoint = endpoint
        self._to_stream, self._outgoing = trio.open_memory_channel[bytes](QUEUED)
        self._arriving, self._from_stream = trio.open_memory_channel[bytes](QUEUED)
        self._up = False
        self._reason = ""

    async def send(self, data: bytes) -> None:
        """Hand a message to the stream. Raises `GovernanceUnavailable`."""
        try:
            with trio.move_on_after(SEND_SECONDS) as waiting:
                await self._to_stream.send(data)
        except trio.BrokenResourceError:
            raise self._lost() from None
        if waiting.cancelled_caught:
            raise GovernanceUnavailable(
                str(self._endpoint), f"it has not read this node's messages for {SEND_SECONDS:g} s"
            )

    async def receive(self) -> bytes:
        """The next message. Raises `GovernanceUnavailable` at the end of the stream."""
        try:
            return await self._from_stream.receive()
        except trio.EndOfChannel:
            raise self._lost() from None

    def failure(self) -> GovernanceUnavailable | None:
        """Why the stream is not open; None if it is."""
        if not self.opened.is_set():
            return GovernanceUnavailable(str(self._endpoint), f"no connection within {CONNECT_SECONDS:g} s")
        return None if self._up else self._lost()

    async def run(self, context: ssl.SSLContext) -> None:
        """Run the stream to its end, which closes both channels. No error of the stream gets out of here."""
        try:
            await isolated(self._failed, self._loop, context)
        finally:
            self.opened.set()
            self._arriving.close()
            self._outgoing.close()

    def _lost(self) -> GovernanceUnavailable:
        return GovernanceUnavailable(str(self._endpoint), self._reason or "it has ended the stream")

    def _failed(self, error: Exception) -> None:
        self._reason = _words(leaf_of(error))

    async def _loop(self, context: ssl.SSLContext) -> None:
        async with trio_asyncio.open_loop():
            await trio_asyncio.aio_as_trio(partial(self._talk, context))()

    async def _talk(self, context: ssl.SSLContext) -> None:
        """Run the stream in asyncio. trio's cancellation arrives as that of this task."""
        channel = GuardedChannel(
            self._endpoint.host,
            self._endpoint.port,
            codec=RawCodec(),
            ssl=context,
            config=Configuration(http2_connection_window_size=WINDOW_BYTES, http2_stream_window_size=WINDOW_BYTES),
        )
        try:
            check_capabilities(await _capabilities(channel))
            stream = _stream(channel, STREAM, Cardinality.STREAM_STREAM)
            async with stream:
                await stream.send_request()  # before the first receive, which grpclib otherwise refuses
                self._up = True
                self.opened.set()
                await self._pump(stream)
        finally:
            channel.close()

    async def _pump(self, stream: BoundedStream) -> None:
        """Carry messages both ways, until one way ends."""
        ways = [asyncio.ensure_future(self._carry_out(stream)), asyncio.ensure_future(self._carry_in(stream))]
        try:
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in done:
                if way.cancelled():  # grpclib does so when the connection ends, which is no cancellation of ours
                    raise StreamTerminatedError("the connection has ended")
                way.result()
            await stream.cancel()
        finally:
            for way in ways:
                way.cancel()
            await asyncio.wait(ways, timeout=CLOSE_SECONDS)

    async def _carry_out(self, stream: BoundedStream) -> None:
        receive = trio_asyncio.trio_as_aio(self._outgoing.receive)
        while True:
            try:
                data = self._outgoing.receive_nowait()  # without a change of loops while there is more
            except trio.WouldBlock:
                data = await receive()
            await stream.send_message(data)

    async def _carry_in(self, stream: BoundedStream) -> None:
        send = trio_asyncio.trio_as_aio(self._arriving.send)
        while (data := await stream.recv_message()) is not None:
            try:
                self._arriving.send_nowait(data)
            except trio.WouldBlock:
                await send(data)


def _stream(channel: Channel, method: str, cardinality: Cardinality) -> BoundedStream:
    metadata: Any = MultiDict[str]()  # grpclib declares a type of its own for it
    return BoundedStream(
        channel,
        method,
        metadata,
        cardinality,
        bytes,
        bytes,
        codec=RawCodec(),
        status_details_codec=None,
        dispatch=channel.__dispatch__,
    )


async def _capabilities(channel: Channel) -> bytes:
    """The answer to `GetCapabilities`. Raises `GovernanceRefused` for a server that has no answer."""
    async with _stream(channel, CAPABILITIES, Cardinality.UNARY_UNARY) as call:
        await call.send_message(b"", end=True)
        answer = await call.recv_message()
    if answer is None:
        raise GovernanceRefused("no capabilities")
    return answer


def _words(error: BaseException) -> str:
    """The reason for which a stream ended, for a person."""
    match error:
        case GRPCError():
            return plain(f"it answers {error.status.name}: {error.message or 'without a message'}")
        case ssl.SSLCertVerificationError():
            return plain(f"its certificate is refused: {error.verify_message}")
        case ssl.SSLError():
            return plain(f"TLS failed: {error.reason or error}")
        case OSError():
            return plain(f"no connection: {error.strerror or error}")
        case GovernanceRefused():
            return str(error)
        case StreamTerminatedError():
            return plain(f"the stream broke: {error}")
        case _:
            return plain(f"the stream broke: {type(error).__name__}: {error}")
