"""The node's servers, as tasks of the tree: each binds its port when it starts and closes it when it stops."""

from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from functools import partial

import trio

from alysd.api.alys_rpc import CODES
from alysd.api.http.server import listen, serve
from alysd.api.http.site import Site
from alysd.api.jsonrpc import Dispatcher, Method, rpc_route
from alysd.api.operator import OperatorPages
from alysd.config.addresses import ListenAddress
from alysd.config.model import ApiConfig
from alysd.messages.metrics import PortCounts
from alysd.nurseries import ChildSpec, Priority, task
from alysd.timing import Timing

Serve = Callable[[Sequence[trio.SocketListener]], Awaitable[None]]
"""A server: serves connections of the listeners until it is cancelled."""

ServeEthereum = Callable[[Sequence[trio.SocketListener], Container[str], PortCounts], Awaitable[None]]
"""The server of an embedded engine. Its arguments are listeners, the allowed host names, and the port's counts."""


def server_tasks(
    config: ApiConfig,
    methods: Mapping[str, Method],
    pages: OperatorPages,
    ethereum: ServeEthereum | None,
    timing: Timing,
    names: Container[str],
) -> list[ChildSpec]:
    """Return one task per port, which clients may call by `names`.

    `methods` are those of Alys's JSON-RPC. The JSON-RPC and the operator's pages have one port, or two if the
    configuration has an operator address. `ethereum` serves the RPC of an embedded engine on a further port; it is
    None without such an engine.
    """
    routes = {"/": rpc_route(Dispatcher(methods, CODES))}
    tasks: list[ChildSpec] = []
    if config.operator_address is None:
        routes |= pages.routes()
    else:
        serve_pages = partial(serve, Site(pages.routes(), names=names), counts=pages.port("operator"))
        tasks.append(_server("operator server", config.operator_address, serve_pages, timing))
    serve_methods = partial(serve, Site(routes, names=names), counts=pages.port("alys"))
    tasks.append(_server("alys server", config.address, serve_methods, timing))
    if ethereum is not None:
        counts = pages.port("ethereum")
        tasks.append(
            _server("ethereum server", config.ethereum_address, lambda on: ethereum(on, names, counts), timing)
        )
    return tasks


def _server(name: str, address: ListenAddress, serve_on: Serve, timing: Timing) -> ChildSpec:
    run = partial(_on, address, serve_on)
    return task(name, run, priority=Priority.NORMAL, stop_seconds=timing.server_stop)


async def _on(address: ListenAddress, serve_on: Serve) -> None:
    """Bind `address` and serve on it. Raises `AddressInUse`, which the operator has to resolve."""
    await serve_on(await listen(address.host, address.port))
