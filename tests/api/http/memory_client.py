"""Clients over streams in memory, so that a test sends exactly the bytes that it wants, in virtual time."""

import trio
import trio.testing

from alysd.api.http.connection_places import Port
from alysd.api.http.limits import LIMITS, ServerLimits
from alysd.api.http.messages import Request, Response
from alysd.api.http.server import serve_stream
from alysd.api.http.site import Route, Site
from alysd.api.http.websocket import WebSocket
from alysd.api.jsonrpc import Dispatcher, Method, Params, rpc_route
from alysd.messages.metrics import PortCounts


async def _echo(params: Params) -> object:
    return list(params.values)


async def _hello(request: Request) -> Response:
    return Response.text("hello")


async def _echo_socket(socket: WebSocket) -> None:
    while (request := await socket.receive()) is not None:
        request.answering(len(request.body))
        await socket.send(request.body.decode(errors="replace").encode())
        request.end()


SITE = Site(
    {"/": rpc_route(Dispatcher({"echo": Method(_echo, 9)}, {})), "/page": Route("GET", _hello, operator=True)},
    {"/": _echo_socket},
    any_origin=True,
    names=frozenset({"node.example"}),
)
"""JSON-RPC and an echoing WebSocket at /, a page at /page."""


def new_port(limits: ServerLimits = LIMITS) -> Port:
    """A port without connections."""
    return Port(limits, PortCounts("test"))


async def converse(pieces: list[bytes], port: Port, site: Site = SITE, *, end: bool = True) -> bytes:
    """Send pieces, each once the server waits for it, then the `end`; return all that comes back."""
    client, server = trio.testing.memory_stream_pair()
    received = bytearray()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(port.watch)
        nursery.start_soon(serve_stream, server, port, site)
        try:
            for piece in pieces:
                await client.send_all(piece)
                await trio.testing.wait_all_tasks_blocked()
            if end:
                await client.send_eof()
        except trio.BrokenResourceError:
            pass  # the server has closed; what it sent is still there
        while data := await client.receive_some():
            received += data
        nursery.cancel_scope.cancel()
    return bytes(received)
