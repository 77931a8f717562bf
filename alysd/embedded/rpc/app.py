"""The Ethereum JSON-RPC of the embedded engine, whole: methods, HTTP and WebSocket on one port."""

from collections.abc import Sequence

import trio
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route, WebSocketRoute

from alysd.api.jsonrpc import SERVER_ERROR, Dispatcher, Method
from alysd.api.rpc_http import internal_error, rpc_endpoint
from alysd.api.server import serve
from alysd.embedded.engine.engine import EmbeddedEngine
from alysd.embedded.pool.transaction_pool import TransactionPool
from alysd.embedded.rpc.accounts import AccountMethods
from alysd.embedded.rpc.backend import EthBackend, RpcLimits
from alysd.embedded.rpc.blocks import BlockMethods
from alysd.embedded.rpc.calls import CallMethods
from alysd.embedded.rpc.feed import ChainFeed
from alysd.embedded.rpc.fees import FeeMethods
from alysd.embedded.rpc.filters import FilterMethods
from alysd.embedded.rpc.identity import IdentityMethods
from alysd.embedded.rpc.logs import LogMethods
from alysd.embedded.rpc.transactions import TransactionMethods
from alysd.embedded.rpc.websocket import EthSocket
from alysd.errors import Refused

CODES: dict[type[Exception], int] = {Refused: SERVER_ERROR}
"""Everything that the pool or the engine refuses has geth's one code, and geth's words tell them apart."""


def eth_application(
    engine: EmbeddedEngine,
    pool: TransactionPool,
    limits: RpcLimits = RpcLimits(),  # noqa: B008  frozen, shareable
) -> tuple[Starlette, ChainFeed]:
    """Put the application together; its feed must run beside it (`ChainFeed.run`)."""
    backend = EthBackend(engine, pool, limits)
    feed = ChainFeed(backend)
    methods = eth_methods(backend, feed)
    routes = [
        Route("/", rpc_endpoint(Dispatcher(methods, CODES)), methods=["POST"]),
        WebSocketRoute("/", EthSocket(methods, CODES, feed.listen, limits).serve),
    ]
    # Wallets in a browser ask from any page's origin; what they may do here, anybody on this machine may.
    anywhere = Middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["POST"], allow_headers=["*"])
    return Starlette(routes=routes, middleware=[anywhere], exception_handlers={Exception: internal_error}), feed


def eth_methods(backend: EthBackend, feed: ChainFeed) -> dict[str, Method]:
    """List all methods by name, but those that need a WebSocket."""
    logs = LogMethods(backend)
    return {
        **IdentityMethods(backend.engine.chain_id).table(),
        **AccountMethods(backend).table(),
        **BlockMethods(backend).table(),
        **CallMethods(backend).table(),
        **FeeMethods(backend, backend.pool.limits.minimum_tip).table(),
        **TransactionMethods(backend, feed).table(),
        **logs.table(),
        **FilterMethods(feed.listen, logs.find, backend.limits).table(),
    }


async def serve_ethereum(
    engine: EmbeddedEngine,
    pool: TransactionPool,
    listeners: Sequence[trio.SocketListener],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the embedded engine's JSON-RPC until cancelled, and keep `pool` in step with the engine's head."""
    application, feed = eth_application(engine, pool)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(feed.run)
        await nursery.start(serve, application, listeners)
        task_status.started()
