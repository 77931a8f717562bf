"""Serving an ASGI application on a TCP port as a trio task: hypercorn's protocol code behind sockets of our own.

hypercorn's own `serve` shields every send from cancellation and gives it no deadline, so one client that stops
reading would block the daemon's shutdown; and it does not count connections. Therefore this module accepts,
counts, bounds and closes the sockets, and hypercorn handles HTTP and WebSocket.
"""

import errno
import logging
from collections.abc import Callable, Sequence
from typing import Any, cast

import attrs
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from starlette.types import ASGIApp

from alysd.api.connections import SEND_SECONDS, BoundedStream, Connection
from alysd.errors import AddressInUse

MAX_BODY = 5 * 1024 * 1024
"""Bytes of a request body or WebSocket message: geth's bound. A transaction of 128 KiB is 256 KiB of hex."""

MAX_CONNECTIONS = 256
"""Open connections per server. Each may hold a body of `MAX_BODY`."""

KEEP_ALIVE_SECONDS = 75.0
"""Until an idle connection is closed, and for a request's headers. Proxies reuse a connection for 60 s."""

DRAIN_SECONDS = 0.8
"""For answers in progress at shutdown, so that a server stops within a second."""


@attrs.frozen
class ServerLimits:
    """What one server grants its clients: open connections, seconds of an idle connection, seconds of one send."""

    connections: int = MAX_CONNECTIONS
    keep_alive: float = KEEP_ALIVE_SECONDS
    send: float = SEND_SECONDS


LIMITS = ServerLimits()

CLOSING = "closing"
"""Key in the connection's state (`scope["state"]`) of the `trio.Event` set when the server begins to drain."""

_log = logging.getLogger(__name__)


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
    app: ASGIApp,
    listeners: Sequence[trio.SocketListener],
    limits: ServerLimits = LIMITS,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve `app` until cancelled; then accept no more connections and give open ones `DRAIN_SECONDS` to finish.

    An error that the application raises is logged and ends its own connection only.
    """
    config, context, closing = _configuration(limits), WorkerContext(None), trio.Event()
    wrapped = ASGIWrapper(cast("Any", app))
    open_streams: set[BoundedStream] = set()

    async def handle(stream: trio.SocketStream) -> None:
        if len(open_streams) >= limits.connections:
            return
        bounded = BoundedStream(stream, limits.send)
        open_streams.add(bounded)
        try:
            state = ConnectionState({CLOSING: closing})
            await Connection(wrapped, config, context, state, cast("Any", bounded))
        finally:
            bounded.abort()  # whatever hypercorn was doing: `_drain` waits for it
            open_streams.discard(bounded)

    async with trio.open_nursery() as outside:
        outside.start_soon(_set_when_cancelled, closing)
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as connections:
                accepting = await connections.start(_accept, handle, listeners, connections)
                task_status.started()
                await closing.wait()
                accepting.cancel()
                await context.terminated.set()
                await _drain(open_streams)
                connections.cancel_scope.cancel()
                for stream in open_streams:
                    stream.abort()
        outside.cancel_scope.cancel()


async def _accept(
    handle: Callable[[trio.SocketStream], Any],
    listeners: Sequence[trio.SocketListener],
    connections: trio.Nursery,
    *,
    task_status: trio.TaskStatus[trio.CancelScope],
) -> None:
    """Accept connections into the nursery `connections` until the scope that is handed out is cancelled."""
    with trio.CancelScope() as accepting:
        task_status.started(accepting)
        await trio.serve_listeners(handle, list(listeners), handler_nursery=connections)


async def _set_when_cancelled(event: trio.Event) -> None:
    try:
        await trio.sleep_forever()
    finally:
        event.set()


async def _drain(open_streams: set[BoundedStream]) -> None:
    """Wait until no connection is open, at most `DRAIN_SECONDS`."""
    with trio.move_on_after(DRAIN_SECONDS):
        for stream in tuple(open_streams):
            await stream.closed.wait()


def _configuration(limits: ServerLimits) -> Config:
    """The limits for hypercorn, and logging of errors only."""
    config = Config()
    config.accesslog = None
    config.errorlog = _log
    config.include_server_header = False
    config.keep_alive_timeout = cast("int", limits.keep_alive)
    config.keep_alive_max_requests = 1_000_000  # hypercorn's 1,000 lasts a busy client half a second
    config.websocket_max_message_size = MAX_BODY
    config.websocket_ping_interval = 20.0  # finds clients that have gone without closing
    config.max_app_queue_size = 4  # waiting messages per connection, each up to MAX_BODY
    config.h2_max_concurrent_streams = 8  # per HTTP/2 connection, as each stream may have a body
    return config
