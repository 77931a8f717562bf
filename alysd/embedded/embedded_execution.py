"""The embedded engine with its transaction pool, and the Ethereum JSON-RPC that serves both."""

import gc
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs
import trio

from alysd.embedded.engine.embedded_engine import EmbeddedEngine
from alysd.embedded.engine.pruning import KEPT_STATES
from alysd.embedded.pool.transaction_pool import Restored, TransactionPool
from alysd.embedded.rpc.app import serve_ethereum
from alysd.messages.log.base import log
from alysd.messages.log.chain import PoolRestored
from alysd.messages.metrics import PortCounts
from alysd.types.hashes import EvmAddress

JOURNAL = "pool.journal"
"""The name of the pool's journal in the folder of the engine's database."""


@attrs.frozen
class EmbeddedExecution:
    """An open engine, and the pool that supplies the transactions of its blocks."""

    engine: EmbeddedEngine
    pool: TransactionPool
    keys: Mapping[EvmAddress, bytes] = attrs.Factory(dict[EvmAddress, bytes])
    """The private keys of the accounts that every client of the RPC may use: those of a development chain."""

    @classmethod
    async def open(
        cls,
        path: Path,
        execution_genesis: Mapping[str, Any],
        chain_id: int,
        build_seconds: float,
        keep_states: Literal["recent", "all"],
        keys: Mapping[EvmAddress, bytes] | None = None,
    ) -> "EmbeddedExecution":
        """Open the engine's database in the folder `path`, with an empty pool, which `serve` fills.

        `keep_states` is the option `engine.keep_states`. Raises the errors of `EmbeddedEngine.open`.
        """
        pool = TransactionPool(chain_id, journal=path / JOURNAL)
        kept = None if keep_states == "all" else KEPT_STATES
        engine = await EmbeddedEngine.open(path, execution_genesis, pool, build_seconds, kept)
        return cls(engine, pool, keys or {})

    async def serve(
        self, listeners: Sequence[trio.SocketListener], names: Container[str], counts: PortCounts
    ) -> None:
        """Fill the pool from its journal, then serve Ethereum's JSON-RPC until cancelled.

        The pool follows the head only during this call. So it is filled here and not in `open`: between the two,
        the node may set another head. Clients may address the server by an IP address, by `localhost`, or by one
        of `names`.
        """
        if not sum(self.pool.counts()):
            await trio.to_thread.run_sync(self._restore, trio.current_time())
        gc.freeze()  # later collections do not examine the modules of the engine, which would take 30 ms
        await serve_ethereum(self.engine, self.pool, listeners, names, counts, self.keys)

    def _restore(self, now: float) -> None:
        reader = self.engine.reader
        restored = self.pool.restore(
            lambda sender: reader.account(reader.head(), sender), reader.head().gas_limit, now
        )
        if restored != Restored(0, 0, 0):
            log(PoolRestored(restored.waiting, restored.refused, restored.unreadable_bytes))
