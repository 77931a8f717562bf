"""A server: it serves each connection of one port in its own task, whose errors do not affect other tasks."""

import errno
from collections.abc import Sequence
from functools import partial

import trio

from alysd.api.http.connection import Connection
from alysd.api.http.connection_places import Phase, Port
from alysd.api.http.limits import LIMITS, ServerLimits
from alysd.api.http.site import Site
from alysd.errors import AddressInUse
from alysd.messages.metrics import PortCounts
from alysd.nurseries import isolated
from alysd.types.latest import Latest


async def listen(host: str, port: int) -> list[trio.SocketListener]:
    """Bind a TCP port (0: any free one) on every address of `host`. Raises `AddressInUse`."""
    try:
        return await trio.open_tcp_listeners(port, host=host)
    except OSError as error:
        raise AddressInUse(_why_not(host, port, error)) from error


def _why_not(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"{host}:{port} is in use by another process; stop it, or configure another port"
    if error.errno == errno.EACCES:
        return f"{host}:{port} may not be opened by this user; choose a port above 1023"
    return f"{host}:{port} cannot be opened: {error.strerror or error}"


async def serve(
    site: Site,
    listeners: Sequence[trio.SocketListener],
    limits: ServerLimits | Latest[ServerLimits] = LIMITS,
    counts: PortCounts | None = None,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve `site` until cancelled. Then accept no more connections, and let running requests finish."""
    port = Port(limits, counts or PortCounts("alys"))

    async def handle(stream: trio.SocketStream) -> None:
        await serve_stream(stream, port, site)

    async with trio.open_nursery() as outside:
        outside.start_soon(_set_when_cancelled, port.closing)
        outside.start_soon(port.watch)
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as connections:
                async with trio.open_nursery() as accepting:
                    accept = partial(trio.serve_listeners, handle, [*listeners], handler_nursery=connections)
                    accepting.start_soon(accept)
                    task_status.started()
                    await port.closing.wait()
                    accepting.cancel_scope.cancel()
                for place in tuple(port.places):
                    if place.phase is Phase.IDLE and not place.websocket:
                        place.scope.cancel()
                connections.cancel_scope.deadline = trio.current_time() + port.limits.drain
        outside.cancel_scope.cancel()


async def serve_stream(stream: trio.abc.HalfCloseableStream, port: Port, site: Site) -> None:
    """Serve one connection until it ends. Raises nothing: an error in this program is logged and counted."""
    descriptor = stream.socket.fileno() if isinstance(stream, trio.SocketStream) else None
    await isolated(port.failed, Connection(stream, port.enter(descriptor), site).run)


async def _set_when_cancelled(event: trio.Event) -> None:
    try:
        await trio.sleep_forever()
    finally:
        event.set()
