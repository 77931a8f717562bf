"""The embedded engine as a whole chain of its own, whose blocks are made on demand, with its Ethereum JSON-RPC."""

import gc
from collections.abc import AsyncGenerator, Container, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import attrs
import trio

from alysd.api.jsonrpc import Method
from alysd.embedded.engine.embedded_engine import EmbeddedEngine
from alysd.embedded.on_demand.demand_chain import DemandChain
from alysd.embedded.on_demand.demand_clock import DemandClock
from alysd.embedded.pool.transaction_pool import TransactionPool
from alysd.embedded.rpc.app import CLIENT, serve_ethereum
from alysd.embedded.rpc.backend import EthBackend
from alysd.embedded.rpc.demand_methods import DemandMethods
from alysd.embedded.rpc.feed import ChainFeed
from alysd.messages.metrics import PortCounts
from alysd.ports import Clock
from alysd.types.chain import ChainState
from alysd.types.chain_spec import ChainContext
from alysd.types.hashes import EvmAddress

_MEMORY = next((folder for folder in ("/dev/shm",) if Path(folder).is_dir()), None)  # noqa: S108
"""A folder whose files are kept in memory, on Linux; None uses the folder for temporary files."""


@attrs.frozen
class DemandExecution:
    """An open chain, whose data ends with the process."""

    chain: DemandChain
    engine: EmbeddedEngine
    pool: TransactionPool
    keys: Mapping[EvmAddress, bytes]
    """The private keys of the accounts that clients may use."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        context: ChainContext,
        genesis: ChainState,
        clock: Clock,
        build_seconds: float,
        keys: Mapping[EvmAddress, bytes],
    ) -> "AsyncGenerator[DemandExecution]":
        """Open the chain with the state `genesis` of the chain `context`.

        Its files are removed as soon as they are open, so nothing is left of them if the process is killed.
        Transactions of a block execute for at most `build_seconds`. Raises the errors of `EmbeddedEngine.open`.
        """
        spec = context.spec
        pool = TransactionPool(spec.chain_id)
        with TemporaryDirectory(prefix="alysd-", dir=_MEMORY) as folder:
            engine = await EmbeddedEngine.open(
                Path(folder), spec.execution_genesis, pool, build_seconds, None, synced=False
            )
        try:
            yield cls(DemandChain(context, genesis, engine, pool, DemandClock(clock)), engine, pool, keys)
        finally:
            await engine.aclose()

    async def serve(
        self, listeners: Sequence[trio.SocketListener], names: Container[str], counts: PortCounts
    ) -> None:
        """Serve Ethereum's JSON-RPC with the methods of hardhat and anvil, and make blocks, until cancelled."""
        gc.freeze()  # as in `EmbeddedExecution.serve`
        await serve_ethereum(self.engine, self.pool, listeners, names, counts, self.keys, self._join)

    def _join(self, backend: EthBackend, feed: ChainFeed) -> dict[str, Method]:
        backend.demand = self.chain
        self.chain.follow = feed.caught_up
        return DemandMethods(self.chain, self.pool, CLIENT).table()
