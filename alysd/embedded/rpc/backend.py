"""The engine and the pool as the Ethereum methods call them: in worker threads, within limits."""

from collections.abc import Callable
from typing import TypeVar

import attrs
import trio

from alysd.api.jsonrpc import SERVER_ERROR, RpcError
from alysd.embedded.engine.calls import CALL_SECONDS, GAS_CAP
from alysd.embedded.engine.embedded_engine import EmbeddedEngine
from alysd.embedded.pool.transaction_pool import TransactionPool
from alysd.embedded.rpc.requests import BlockAtHash, BlockReference
from alysd.types.execution import ExecutionHeader

T = TypeVar("T")


@attrs.frozen
class RpcLimits:
    """Limits on the resources that the clients of the Ethereum RPC use."""

    readers: int = 8
    """Database reads at a time, each in a thread. More would compete for the interpreter."""

    callers: int = 2
    """Executions (eth_call, eth_estimateGas) at a time. They only compute, so more would slow the blocks down."""

    call_gas: int = GAS_CAP
    """Gas that one execution may use."""

    call_seconds: float = CALL_SECONDS
    """Time that one execution may take."""

    log_blocks: int = 50_000
    """Blocks that one log query may cover, more than a day of slots. Skipping them by bloom filter takes 2.5 s."""

    logs: int = 10_000
    """Logs in one answer, some 5 MB of JSON. Public providers use the same limit."""

    filters: int = 256
    """Filters of all clients together; each may collect `filter_changes`."""

    filter_changes: int = 10_000
    """Hashes or logs that a filter collects between two polls."""

    filter_seconds: float = 300.0
    """Time without a poll after which a filter is dropped, as in geth."""

    subscriptions: int = 64
    """Subscriptions per connection. Libraries keep one for each event that a page watches."""

    notifications: int = 1024
    """Notifications that wait per connection: the logs of a few full blocks."""

    notification_bytes: int = 4 * 1024 * 1024
    """Size of the notifications that wait per connection. A single log may have megabytes (8 gas per byte)."""


class EthBackend:
    """The embedded engine and its pool, called from worker threads."""

    def __init__(
        self,
        engine: EmbeddedEngine,
        pool: TransactionPool,
        limits: RpcLimits = RpcLimits(),
    ) -> None:
        self.engine = engine
        self.pool = pool
        self.limits = limits
        self._reading = trio.CapacityLimiter(limits.readers)
        self._calling = trio.CapacityLimiter(limits.callers)

    async def read(self, work: Callable[[], T]) -> T:
        """Run `work`, which reads the database, in a worker thread."""
        return await trio.to_thread.run_sync(work, limiter=self._reading)

    async def execute(self, work: Callable[[], T]) -> T:
        """Run `work`, which executes EVM code, in a worker thread; at most `limits.callers` run at a time."""
        return await trio.to_thread.run_sync(work, limiter=self._calling)

    def find(self, reference: BlockReference) -> ExecutionHeader | None:
        """The header of a block, or None (call in a worker thread). The pending block is the latest one.

        Raises `RpcError` when a canonical block is asked for and this one is on an abandoned branch (EIP-1898).
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
                return reader.finalized()
            case int():
                return reader.canonical_header(reference)
            case _:
                return reader.canonical_header(0)

    def state_at(self, reference: BlockReference) -> ExecutionHeader:
        """Like `find`, but raises `RpcError` when there is no such block."""
        header = self.find(reference)
        if header is None:
            words = "header for hash not found" if isinstance(reference, BlockAtHash) else "header not found"
            raise RpcError(SERVER_ERROR, words)
        return header
