"""What the Ethereum methods work on: the engine, its pool, and a bound on how much of the machine they take."""

from collections.abc import Callable
from typing import TypeVar

import attrs
import trio

from alysd.api.jsonrpc import SERVER_ERROR, RpcError
from alysd.embedded.engine.engine import EmbeddedEngine
from alysd.embedded.pool.transaction_pool import TransactionPool
from alysd.embedded.rpc.requests import BlockAtHash, BlockReference
from alysd.types.execution import ExecutionHeader

T = TypeVar("T")

READERS = 8
"""Reads at a time, a thread each. They are short: enough to keep the database busy, not the interpreter."""

CALLERS = 2
"""Executions (eth_call, eth_estimateGas) at a time: pure computing, so more would only slow the blocks down."""

GAS_CAP = 50_000_000
"""Gas that an execution may use: geth's bound."""

CALL_SECONDS = 5.0
"""Time that an execution may take: geth's bound."""


@attrs.frozen
class EthBackend:
    """The embedded engine and its pool, asked in threads."""

    engine: EmbeddedEngine
    pool: TransactionPool
    _reading: trio.CapacityLimiter = attrs.field(factory=lambda: trio.CapacityLimiter(READERS))
    _calling: trio.CapacityLimiter = attrs.field(factory=lambda: trio.CapacityLimiter(CALLERS))

    async def read(self, work: Callable[[], T]) -> T:
        """Do what reads the database in a thread."""
        return await trio.to_thread.run_sync(work, limiter=self._reading)

    async def execute(self, work: Callable[[], T]) -> T:
        """Do what executes EVM code in a thread, after those that came before."""
        return await trio.to_thread.run_sync(work, limiter=self._calling)

    def find(self, reference: BlockReference) -> ExecutionHeader | None:
        """Find the block that is meant (call in a thread). There is no pending block: that is the latest.

        Raises `RpcError` for a block on an abandoned branch when a canonical one is asked for (EIP-1898).
        """
        reader = self.engine.reader
        match reference:
            case BlockAtHash(hash_, canonical):
                header = reader.header(hash_)
                if header is not None and canonical and not reader.is_canonical(header):
                    raise RpcError(SERVER_ERROR, "hash is not currently canonical")
                return header
            case "latest" | "pending":
                return reader.head()
            case "safe":
                return reader.safe()
            case "finalized":
                return reader.final()
            case int():
                return reader.canonical_header(reference)
            case _:
                return reader.canonical_header(0)

    def state_at(self, reference: BlockReference) -> ExecutionHeader:
        """Find the block whose state is meant (call in a thread). Raises `RpcError` when there is none."""
        header = self.find(reference)
        if header is None:
            words = "header for hash not found" if isinstance(reference, BlockAtHash) else "header not found"
            raise RpcError(SERVER_ERROR, words)
        return header
