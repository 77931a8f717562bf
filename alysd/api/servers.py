"""The node's servers, as tasks of the tree: each binds its port when it starts and closes it when it stops."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import trio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from alysd.api.alys_rpc import CODES, AlysRpc
from alysd.api.jsonrpc import Dispatcher
from alysd.api.operator import OperatorPages
from alysd.api.rpc_http import internal_error, rpc_endpoint
from alysd.api.server import listen, serve
from alysd.config.model import ApiConfig, ListenAddress
from alysd.errors import Refused
from alysd.nurseries import ChildSpec, Priority, task
from alysd.timing import Timing

Serve = Callable[[Sequence[trio.SocketListener]], Awaitable[None]]
"""A server: serves connections of the listeners until it is cancelled."""


def server_tasks(
    config: ApiConfig,
    rpc: AlysRpc,
    pages: OperatorPages,
    ethereum: Serve | None,
    timing: Timing,
) -> list[ChildSpec]:
    """One task per port: Alys's JSON-RPC and the operator's pages, on one or on two, and Ethereum's RPC.

    `ethereum` serves the RPC of an embedded engine; without one there is none.
    """
    methods: list[BaseRoute] = [Route("/", rpc_endpoint(Dispatcher(rpc.methods(), CODES)), methods=["POST"])]
    operator: list[BaseRoute] = [*pages.routes()]
    tasks: list[ChildSpec] = []
    if config.operator_address is None:
        methods += operator
    else:
        tasks.append(_server("operator server", config.operator_address, operator, timing))
    tasks.append(_server("alys server", config.address, methods, timing))
    if ethereum is not None:
        run = partial(_on, config.ethereum_address, ethereum)
        tasks.append(task("ethereum server", run, priority=Priority.NORMAL, stop_seconds=timing.server_stop))
    return tasks


def _server(name: str, address: ListenAddress, routes: list[BaseRoute], timing: Timing) -> ChildSpec:
    handlers: dict[type[Exception], Any] = {Refused: _not_now, Exception: internal_error}
    application = Starlette(routes=routes, exception_handlers=handlers)
    return task(
        name,
        partial(_on, address, partial(serve, application)),
        priority=Priority.NORMAL,
        stop_seconds=timing.server_stop,
    )


async def _not_now(_request: Request, error: Exception) -> Response:
    return PlainTextResponse(f"{error}\n", 503)


async def _on(address: ListenAddress, serve_on: Serve) -> None:
    """Bind `address` and serve on it. Raises `AddressInUse`, which the operator has to resolve."""
    await serve_on(await listen(address.host, address.port))
