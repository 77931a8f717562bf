"""Serving an application on a free port of the loopback for one test."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import attrs
import trio
from starlette.types import ASGIApp

from alysd.api.server import listen, serve


@attrs.frozen
class Served:
    """A server that runs: where, and the scope that stops it."""

    port: int
    scope: trio.CancelScope
    stopped: trio.Event = attrs.field(factory=trio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    async def connect(self) -> trio.SocketStream:
        """Open a bare connection."""
        return await trio.open_tcp_stream("127.0.0.1", self.port)


@asynccontextmanager
async def served(app: ASGIApp) -> AsyncGenerator[Served]:
    """Serve `app` as long as the context is open."""
    listeners = await listen("127.0.0.1", 0)
    async with trio.open_nursery() as nursery:
        running = Served(listeners[0].socket.getsockname()[1], trio.CancelScope())
        nursery.start_soon(_run, app, listeners, running)
        yield running
        running.scope.cancel()


async def _run(app: ASGIApp, listeners: list[trio.SocketListener], running: Served) -> None:
    with running.scope:
        await serve(app, listeners)
    running.stopped.set()
