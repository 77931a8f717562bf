"""A gRPC server that closes its connections when it ends: grpclib's ends the requests, and leaves them open."""

import asyncio
from collections.abc import Sequence
from functools import cached_property

from grpclib.protocol import H2Protocol
from grpclib.server import Server

CLOSE_SECONDS = 2.0
"""The time in which requests end, and after that the time in which the peers close their connections."""


class _Connection(H2Protocol):
    """A connection. After its TLS handshake it is in `all_open`, until it has ended; then `lost` is done."""

    transport: asyncio.Transport
    lost: "asyncio.Future[None]"
    all_open: "set[_Connection]"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  a server's connections are streams of bytes
        self.transport, self.lost = transport, asyncio.get_running_loop().create_future()
        self.all_open.add(self)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self.all_open.discard(self)
        self.lost.set_result(None)


class ClosingServer(Server):
    """A `Server` with the method `end`."""

    async def end(self) -> bool:
        """Cancel all requests and close all connections; returns whether all of this happened in order.

        Connections whose peers do not close them within `CLOSE_SECONDS` are aborted.
        """
        self.close()
        ended = await _all_done([asyncio.ensure_future(one.wait_closed()) for one in self._handlers])
        connections = tuple(self._all_open)
        for one in connections:
            one.transport.close()
        closed = await _all_done([one.lost for one in connections])
        for one in connections:
            one.transport.abort()
        return await _all_done([one.lost for one in connections]) and ended and closed

    def _protocol_factory(self) -> H2Protocol:
        usual = super()._protocol_factory()
        connection = _Connection(usual.handler, usual.config, usual.h2_config)
        connection.all_open = self._all_open
        return connection

    @cached_property
    def _all_open(self) -> set[_Connection]:
        return set()


async def _all_done(futures: "Sequence[asyncio.Future[None]]") -> bool:
    """Wait for the futures, at most `CLOSE_SECONDS`; returns whether all are done."""
    if futures:
        await asyncio.wait(futures, timeout=CLOSE_SECONDS)
    return all(one.done() for one in futures)
