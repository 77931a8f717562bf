"""The node's servers, as tasks of the tree: each binds its port when it starts and closes it when it stops."""

from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from functools import partial

import attrs
import trio

from alysd.api.alys_rpc import CODES
from alysd.api.http.limits import LIMITS, ServerLimits
from alysd.api.http.server import listen, serve
from alysd.api.http.site import Site
from alysd.api.jsonrpc import Dispatcher, Method, rpc_route
from alysd.api.operator import OperatorPages
from alysd.config.addresses import ListenAddress
from alysd.config.connection_sections import ApiConfig
from alysd.errors import AddressInUse
from alysd.messages.metrics import PortCounts
from alysd.nurseries import ChildSpec, Priority, task
from alysd.timing import Timing
from alysd.types.latest import Latest

Serve = Callable[[Sequence[trio.SocketListener]], Awaitable[None]]
"""A server: serves connections of the listeners until it is cancelled."""

ServeEthereum = Callable[[Sequence[trio.SocketListener], Container[str], PortCounts], Awaitable[None]]
"""The server of an embedded engine. Its arguments are listeners, the allowed host names, and the port's counts."""


@attrs.define
class ServerPlace:
    """The address of a server: the `wanted` one, which it reads at each start, and the one it `bound` last."""

    wanted: ListenAddress
    bound: ListenAddress | None = None


@attrs.frozen
class ServerAddresses:
    """The addresses of the servers that a reload can move, and the limits of the first."""

    alys: ServerPlace
    limits: Latest[ServerLimits]
    ethereum: ServerPlace

    @classmethod
    def of(cls, config: ApiConfig) -> "ServerAddresses":
        """The addresses at the start of a node."""
        return cls(ServerPlace(config.address), Latest(limits_of(config)), ServerPlace(config.ethereum_address))


def limits_of(config: ApiConfig) -> ServerLimits:
    """The limits of the server of Alys's JSON-RPC."""
    size = config.buffer_mib << 20
    return attrs.evolve(LIMITS, rpc=config.max_requests, bodies=size, responses=size)


def server_tasks(
    config: ApiConfig,
    methods: Mapping[str, Method],
    pages: OperatorPages,
    ethereum: ServeEthereum | None,
    timing: Timing,
    names: Container[str],
    addresses: ServerAddresses,
) -> list[ChildSpec]:
    """Return one task per port of `addresses`, which clients may call by `names`.

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
        tasks.append(_server("operator server", ServerPlace(config.operator_address), serve_pages, timing))
    serve_methods = partial(serve, Site(routes, names=names), limits=addresses.limits, counts=pages.port("alys"))
    tasks.append(_server("alys server", addresses.alys, serve_methods, timing))
    if ethereum is not None:
        counts = pages.port("ethereum")
        tasks.append(
            _server("ethereum server", addresses.ethereum, lambda on: ethereum(on, names, counts), timing)
        )
    return tasks


def _server(name: str, place: ServerPlace, serve_on: Serve, timing: Timing) -> ChildSpec:
    run = partial(_on, place, serve_on)
    return task(name, run, priority=Priority.NORMAL, stop_seconds=timing.server_stop)


async def _on(place: ServerPlace, serve_on: Serve) -> None:
    """Bind the wanted address and serve on it.

    Raises `AddressInUse` at the start of the node, which stops it, because the operator has to resolve this. Later
    the same failure concerns only this server: the node goes on, and the server tries again.
    """
    now = place.wanted
    try:
        listeners = await listen(now.host, now.port)
    except AddressInUse as error:
        if place.bound is None:
            raise
        raise OSError(str(error)) from error
    place.bound = now
    await serve_on(listeners)
