"""The Ethereum JSON-RPC of the embedded engine: all methods, over HTTP and WebSocket on one port."""

import platform
from collections.abc import Callable, Container, Mapping, Sequence

import attrs
import trio

from alysd import __version__
from alysd.api.hex_values import data, to_data, to_quantity
from alysd.api.http.limits import LIMITS
from alysd.api.http.server import serve
from alysd.api.http.site import Site
from alysd.api.jsonrpc import SERVER_ERROR, THREADS, Dispatcher, Method, Params, rpc_route
from alysd.embedded.engine.embedded_engine import EmbeddedEngine
from alysd.embedded.pool.transaction_pool import TransactionPool
from alysd.embedded.rpc.backend import EthBackend, RpcLimits
from alysd.embedded.rpc.call_methods import CallMethods
from alysd.embedded.rpc.chain_methods import AccountMethods, BlockMethods
from alysd.embedded.rpc.config_methods import ConfigMethods
from alysd.embedded.rpc.debug_methods import DebugMethods
from alysd.embedded.rpc.fee_methods import FeeMethods
from alysd.embedded.rpc.feed import ChainFeed
from alysd.embedded.rpc.log_methods import FilterMethods, LogMethods
from alysd.embedded.rpc.pool_methods import TransactionMethods
from alysd.embedded.rpc.proof_methods import ProofMethods
from alysd.embedded.rpc.raw_methods import RawMethods
from alysd.embedded.rpc.sending_methods import SyncMethods
from alysd.embedded.rpc.signing_methods import SigningMethods
from alysd.embedded.rpc.simulate_methods import SimulateMethods
from alysd.embedded.rpc.websocket import EthSocket
from alysd.errors import Refused
from alysd.messages.metrics import PortCounts
from alysd.types.hashes import EvmAddress
from alysd.wire.keccak import keccak256

CODES: dict[type[Exception], int] = {Refused: SERVER_ERROR}
"""The error codes of refusals. As in geth, all refusals of the pool and the engine have one code."""


MAX_BATCH = 1_000
"""The maximum number of requests in a batch, as in geth, and as viem sends.

The requests of a batch are answered one after the other. Together they have the time of one request and the bytes
of one answer; those for which nothing is left are refused.
"""


_SYSTEM = f"{platform.system().lower()}-{platform.machine()}"

CLIENT = f"alysd/v{__version__}/{_SYSTEM}/python{platform.python_version()}"
"""The answer of web3_clientVersion: program, version, system and language."""

MoreMethods = Callable[[EthBackend, ChainFeed], Mapping[str, Method]]
"""The methods that a chain has besides, or instead of, those of `eth_methods`."""


def eth_site(
    engine: EmbeddedEngine,
    pool: TransactionPool,
    limits: RpcLimits = RpcLimits(),  # noqa: B008  frozen, shareable
    keys: Mapping[EvmAddress, bytes] | None = None,
    join: MoreMethods | None = None,
) -> tuple[Site, ChainFeed]:
    """Compose the site and its feed, which must run while the site is served (`ChainFeed.run`).

    The site accepts requests from any origin, because a wallet in a browser sends the origin of the page that uses
    it. So a web page can send the same requests as any program on this machine. `keys` are the private keys of the
    accounts that clients may use: those of a development chain. `join` adds and replaces methods.
    """
    backend = EthBackend(engine, pool, limits, keys)
    feed = ChainFeed(backend)
    methods = eth_methods(backend, feed)
    if join is not None:
        methods.update(join(backend, feed))
    threads = trio.CapacityLimiter(THREADS)
    socket = EthSocket(methods, CODES, feed.listen, limits, MAX_BATCH, threads)
    dispatcher = Dispatcher(methods, CODES, max_batch=MAX_BATCH, threads=threads)
    site = Site({"/": rpc_route(dispatcher)}, {"/": socket.serve}, any_origin=True)
    return site, feed


def eth_methods(backend: EthBackend, feed: ChainFeed) -> dict[str, Method]:
    """All methods by name, except those that need a WebSocket."""
    logs, blocks, sending = LogMethods(backend), BlockMethods(backend), TransactionMethods(backend, feed)
    calls, fees = CallMethods(backend), FeeMethods(backend, backend.pool.limits.minimum_tip)
    return {
        **IdentityMethods(backend.engine.chain_id).table(),
        **AccountMethods(backend).table(),
        **blocks.table(),
        **RawMethods(backend, blocks.raw_transaction).table(),
        **calls.table(),
        **SimulateMethods(backend).table(),
        **DebugMethods(backend).table(),
        **fees.table(),
        **ConfigMethods(backend).table(),
        **ProofMethods(backend).table(),
        **sending.table(),
        **SigningMethods(backend, calls, fees, sending).table(),
        **SyncMethods(backend, feed, sending).table(),
        **logs.table(),
        **FilterMethods(feed.listen, logs.find, backend.limits, feed.caught_up, backend.search).table(),
    }


async def serve_ethereum(
    engine: EmbeddedEngine,
    pool: TransactionPool,
    listeners: Sequence[trio.SocketListener],
    names: Container[str] = (),
    counts: PortCounts | None = None,
    keys: Mapping[EvmAddress, bytes] | None = None,
    join: MoreMethods | None = None,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the embedded engine's JSON-RPC until cancelled, and let `pool` follow the engine's head.

    `keys` and `join` are those of `eth_site`.
    """
    site, feed = eth_site(engine, pool, keys=keys, join=join)
    site = attrs.evolve(site, names=names)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(feed.run)
        await nursery.start(serve, site, listeners, LIMITS, counts or PortCounts("ethereum"))
        task_status.started()


@attrs.frozen
class IdentityMethods:
    """Methods about the chain and the program: part of the namespaces eth, net and web3."""

    chain_id: int

    def table(self) -> dict[str, Method]:
        """The methods by name."""
        return {
            "eth_chainId": Method(self.chain),
            "eth_syncing": Method(self.syncing),
            "net_version": Method(self.network),
            "net_listening": Method(self.listening),
            "net_peerCount": Method(self.peers),
            "rpc_modules": Method(self.modules),
            "web3_clientVersion": Method(self.client),
            "web3_sha3": Method(self.keccak, 1),
        }

    async def chain(self, _params: Params) -> str:
        """The chain id (EIP-695)."""
        return to_quantity(self.chain_id)

    async def syncing(self, _params: Params) -> bool:
        """Always false: the engine does not sync by itself, the node gives it each block."""
        return False

    async def network(self, _params: Params) -> str:
        """The network id, which is the chain id, in decimal."""
        return str(self.chain_id)

    async def listening(self, _params: Params) -> bool:
        """Always true, as on geth: some tools take false for a node that is down."""
        return True

    async def modules(self, _params: Params) -> dict[str, str]:
        """The namespaces and their versions, as geth has them."""
        return dict.fromkeys(("debug", "eth", "net", "rpc", "txpool", "web3"), "1.0")

    async def peers(self, _params: Params) -> str:
        """Always 0: the engine has no peers, only the node has."""
        return to_quantity(0)

    async def client(self, _params: Params) -> str:
        """Program, version, system and language."""
        return CLIENT

    async def keccak(self, params: Params) -> str:
        """Hash data with Keccak-256."""
        return await params.decoded(lambda given: to_data(keccak256(given.required(0, data))))
