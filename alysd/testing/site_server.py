"""Serves a site on a free port of 127.0.0.1, with the code that serves the node's sites.

async with served(site) as running:
async with await running.connect() as stream:
...
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import attrs
import httpx
import trio

from alysd.api.http.limits import LIMITS, ServerLimits
from alysd.api.http.messages import HttpRefused, Request, Response
from alysd.api.http.server import listen, serve
from alysd.api.http.site import Site
from alysd.messages.metrics import PortCounts


@attrs.frozen
class RunningServer:
    """A running server: its port, its counts, the scope that stops it, and an event that its stop sets."""

    port: int
    scope: trio.CancelScope
    counts: PortCounts = attrs.field(factory=lambda: PortCounts("alys"))
    stopped: trio.Event = attrs.field(factory=trio.Event)

    @property
    def url(self) -> str:
        """The base URL, with a final slash."""
        return f"http://127.0.0.1:{self.port}/"

    async def connect(self) -> trio.SocketStream:
        """Open a TCP connection."""
        return await trio.open_tcp_stream("127.0.0.1", self.port)


@asynccontextmanager
async def served(site: Site, limits: ServerLimits = LIMITS) -> AsyncGenerator[RunningServer]:
    """Serve `site` while the `with` block runs."""
    listeners = await listen("127.0.0.1", 0)
    async with trio.open_nursery() as nursery:
        running = RunningServer(listeners[0].socket.getsockname()[1], trio.CancelScope())
        nursery.start_soon(_run, site, listeners, limits, running)
        yield running
        running.scope.cancel()


async def _run(
    site: Site, listeners: list[trio.SocketListener], limits: ServerLimits, running: RunningServer
) -> None:
    with running.scope:
        await serve(site, listeners, limits, running.counts)
    running.stopped.set()


@attrs.frozen
class SiteTransport(httpx.AsyncBaseTransport):
    """Lets an httpx client call the routes of a site without a server, so that tests may use virtual time."""

    site: Site

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Run one request."""
        asked = Request(request.method, request.url.path, {}, await request.aread())
        try:
            response = await self.site.find(asked.method, asked.path, asked.headers).call(asked)
        except HttpRefused as refused:
            response = Response.text(str(refused), refused.status)
        headers = {"content-type": response.media_type, **response.headers}
        return httpx.Response(response.status, headers=headers, content=response.body)
