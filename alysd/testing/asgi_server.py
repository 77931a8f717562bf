"""An ASGI application on a free port of 127.0.0.1, served as the node serves its own.

async with served(application) as running:
async with await running.connect() as stream:
...
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import attrs
import trio
from starlette.types import ASGIApp

from alysd.api.server import LIMITS, ServerLimits, listen, serve


@attrs.frozen
class RunningServer:
    """A running server: its port, the scope that stops it, and an event that is set once it has stopped."""

    port: int
    scope: trio.CancelScope
    stopped: trio.Event = attrs.field(factory=trio.Event)

    @property
    def url(self) -> str:
        """The base URL, with a final slash."""
        return f"http://127.0.0.1:{self.port}/"

    async def connect(self) -> trio.SocketStream:
        """Open a TCP connection."""
        return await trio.open_tcp_stream("127.0.0.1", self.port)


@asynccontextmanager
async def served(app: ASGIApp, limits: ServerLimits = LIMITS) -> AsyncGenerator[RunningServer]:
    """Serve `app` while the block runs."""
    listeners = await listen("127.0.0.1", 0)
    async with trio.open_nursery() as nursery:
        running = RunningServer(listeners[0].socket.getsockname()[1], trio.CancelScope())
        nursery.start_soon(_run, app, listeners, limits, running)
        yield running
        running.scope.cancel()


async def _run(
    app: ASGIApp, listeners: list[trio.SocketListener], limits: ServerLimits, running: RunningServer
) -> None:
    with running.scope:
        await serve(app, listeners, limits)
    running.stopped.set()
