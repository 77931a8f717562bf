"""The node's servers, as tasks of the tree: each binds its port when it starts and closes it when it stops."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

import trio

from alysd.api.alys_rpc import CODES, AlysRpc
from alysd.api.http.server import listen, serve
from alysd.api.http.site import Route, Site
from alysd.api.jsonrpc import Dispatcher, rpc_route
from alysd.api.operator import OperatorPages
from alysd.config.model import ApiConfig, ListenAddress
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
    methods = {"/": rpc_route(Dispatcher(rpc.methods(), CODES))}
    tasks: list[ChildSpec] = []
    if config.operator_address is None:
        methods |= pages.routes()
    else:
        tasks.append(_server("operator server", config.operator_address, pages.routes(), timing))
    tasks.append(_server("alys server", config.address, methods, timing))
    if ethereum is not None:
        run = partial(_on, config.ethereum_address, ethereum)
        tasks.append(task("ethereum server", run, priority=Priority.NORMAL, stop_seconds=timing.server_stop))
    return tasks


def _server(name: str, address: ListenAddress, routes: Mapping[str, Route], timing: Timing) -> ChildSpec:
    return task(
        name,
        partial(_on, address, partial(serve, Site(routes))),
        priority=Priority.NORMAL,
        stop_seconds=timing.server_stop,
    )


async def _on(address: ListenAddress, serve_on: Serve) -> None:
    """Bind `address` and serve on it. Raises `AddressInUse`, which the operator has to resolve."""
    await serve_on(await listen(address.host, address.port))
