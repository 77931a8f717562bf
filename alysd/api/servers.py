"""The node's servers, as tasks of the tree: each binds its port when it starts and gives it up when it stops."""

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
from alysd.integrations.resources import EmbeddedExecution
from alysd.nurseries import ChildSpec, Priority, task

STOP_SECONDS = 2.0
"""A server gives answers in progress 0.8 s; the rest is for closing."""


def server_tasks(
    config: ApiConfig,
    rpc: AlysRpc,
    pages: OperatorPages,
    embedded: EmbeddedExecution | None,
) -> list[ChildSpec]:
    """One task a port: Alys's JSON-RPC and the operator's pages, on one or on two, and Ethereum's RPC."""
    methods: list[BaseRoute] = [Route("/", rpc_endpoint(Dispatcher(rpc.methods(), CODES)), methods=["POST"])]
    operator: list[BaseRoute] = [*pages.routes()]
    tasks: list[ChildSpec] = []
    if config.operator_address is None:
        methods += operator
    else:
        tasks.append(_server("operator server", config.operator_address, operator))
    tasks.append(_server("alys server", config.address, methods))
    if embedded is not None:
        from alysd.api.eth.app import serve_ethereum  # half a second that a node beside geth does not need

        serve_it = partial(serve_ethereum, embedded.engine, embedded.pool)
        ethereum = partial(_on, config.ethereum_address, serve_it)

        tasks.append(task("ethereum server", ethereum, priority=Priority.NORMAL, stop_seconds=STOP_SECONDS))
    return tasks


def _server(name: str, address: ListenAddress, routes: list[BaseRoute]) -> ChildSpec:
    handlers: dict[type[Exception], Any] = {Refused: _not_now, Exception: internal_error}
    application = Starlette(routes=routes, exception_handlers=handlers)
    return task(
        name,
        partial(_on, address, partial(serve, application)),
        priority=Priority.NORMAL,
        stop_seconds=STOP_SECONDS,
    )


async def _not_now(_request: Request, error: Exception) -> Response:
    return PlainTextResponse(f"{error}\n", 503)


async def _on(address: ListenAddress, run: Callable[[Sequence[trio.SocketListener]], Awaitable[None]]) -> None:
    """Bind `address` and run the server on it. Raises `AddressInUse`, which a person has to mend."""
    await run(await listen(address.host, address.port))
