"""The engine and the pool as the Ethereum methods call them: in worker threads, within limits."""

from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

import attrs
import trio

from alysd.api.jsonrpc import SERVER_ERROR, RpcError
from alysd.embedded.engine.calls import CALL_SECONDS, GAS_CAP, Calls
from alysd.embedded.engine.embedded_engine import EmbeddedEngine
from alysd.embedded.engine.pending_block import PendingBlock
from alysd.embedded.engine.reader import Reader
from alysd.embedded.engine.transaction import SignedTransaction, read_transaction
from alysd.embedded.engine.values import AccountState
from alysd.embedded.pool.transaction_pool import TransactionPool
from alysd.embedded.rpc.requests import BlockAtHash, BlockReference
from alysd.nurseries.shared_thread import SharedThread
from alysd.types.execution import ExecutionHeader
from alysd.types.hashes import EvmAddress

T = TypeVar("T")


@attrs.frozen
class RpcLimits:
    """Limits on the resources that the clients of the Ethereum RPC use."""

    readers: int = 8
    """The maximum number of simultaneous database reads, each in a thread. More would compete for the GIL."""

    callers: int = 2
    """The maximum number of simultaneous executions (eth_call, eth_estimateGas).

    They only compute, so more would slow down the execution of blocks.
    """

    searchers: int = 2
    """The maximum number of simultaneous searches for logs. They compute more than they read: see `callers`."""

    admissions: int = 64
    """The maximum number of transactions that a thread adds to the pool before it reports the results: 10 ms."""

    call_gas: int = GAS_CAP
    """The maximum gas of an execution."""

    call_seconds: float = CALL_SECONDS
    """The maximum time of an execution, in seconds."""

    trace_bytes: int = 16 * 1024 * 1024
    """The maximum size of the traces of a request, in bytes of JSON: 100,000 lines with 10 values on the stack."""

    log_blocks: int = 50_000
    """The maximum number of blocks of a log query: more than a day of slots.

    If the bloom filters exclude all of these blocks, the first such query takes 2.5 s and later ones 20 ms.
    """

    logs: int = 10_000
    """The maximum number of logs in an answer: some 5 MB of JSON. Public providers have this limit too."""

    filters: int = 256
    """The maximum number of filters of all clients together."""

    filter_changes: int = 10_000
    """The maximum number of hashes or logs that a filter collects between two polls."""

    filter_seconds: float = 300.0
    """Seconds without a poll after which a filter is dropped, as in geth."""

    subscriptions: int = 64
    """The maximum number of subscriptions per connection. Libraries keep one per event that a page watches."""

    socket_requests: int = 32
    """The maximum number of requests of one WebSocket without an answer. Libraries send some of them at once."""

    events: int = 1024
    """The maximum number of blocks and of reports of the pool of which a connection is still to be told."""

    event_bytes: int = 16 * 1024 * 1024
    """The maximum size of these events: some 8,000 logs. Connections share the events that several of them wait
    for. The event that a connection is being told does not count, and may have any size."""


class DemandHooks(Protocol):
    """The chain whose blocks are made on demand, as the methods of every chain see it."""

    async def sent(self, digest: bytes) -> None:
        """Note that the transaction with this hash is in the pool, and can be executed."""
        ...

    def next_timestamp(self) -> int:
        """The timestamp that a block made now would have, in Unix seconds."""
        ...

    def read(self, raw: bytes) -> SignedTransaction:
        """Read a transaction that a client sends. Raises the errors of `read_transaction`."""
        ...

    def impersonates(self, account: EvmAddress) -> bool:
        """Whether clients may send transactions of this account without its key."""
        ...


@attrs.frozen
class StateAt:
    """The state after a block, with the reader and the calls that know it."""

    header: ExecutionHeader
    reader: Reader
    calls: Calls

    def account(self, address: EvmAddress) -> AccountState:
        """An account. Raises `StatePruned`."""
        return self.reader.account(self.header, address)


@attrs.frozen
class _Pending:
    """The pending block, and the pool, the head and the given timestamp from which it was built."""

    version: int
    head: ExecutionHeader
    timestamp: int | None
    block: PendingBlock


class EthBackend:
    """The embedded engine and its pool, called from worker threads."""

    def __init__(
        self,
        engine: EmbeddedEngine,
        pool: TransactionPool,
        limits: RpcLimits = RpcLimits(),
        keys: Mapping[EvmAddress, bytes] | None = None,
    ) -> None:
        """`keys` are the private keys of the accounts that clients may use, by address: none by default."""
        self.engine = engine
        self.pool = pool
        self.limits = limits
        self.keys: Mapping[EvmAddress, bytes] = keys or {}
        self.demand: DemandHooks | None = None
        self._reading = trio.CapacityLimiter(limits.readers)
        self._calling = trio.CapacityLimiter(limits.callers)
        self._searching = trio.CapacityLimiter(limits.searchers)
        self._admitting = SharedThread(limits.admissions)
        self._building = trio.Lock()
        self._pending: _Pending | None = None

    def read_transaction(self, raw: bytes) -> SignedTransaction:
        """Read a transaction that a client sends. Raises the errors of `read_transaction`."""
        return read_transaction(raw, self.engine.chain_id) if self.demand is None else self.demand.read(raw)

    async def read(self, work: Callable[[], T]) -> T:
        """Run `work`, which reads the database, in a worker thread."""
        return await trio.to_thread.run_sync(work, limiter=self._reading)

    async def search(self, work: Callable[[], T]) -> T:
        """Run `work`, which searches for logs and shows them, in a worker thread.

        At most `limits.searchers` run at a time. They have threads of their own, so that clients get logs while
        the threads for executions are taken.
        """
        return await trio.to_thread.run_sync(work, limiter=self._searching)

    async def admit(self, work: Callable[[], T]) -> T:
        """Run `work`, which adds a transaction to the pool, in the thread that does so for all clients.

        Transactions are added in the order in which they arrive.
        """
        return await self._admitting.run(work)

    async def execute(self, work: Callable[[], T]) -> T:
        """Run `work`, which executes EVM code or computes in another way, in a worker thread.

        At most `limits.callers` run at a time.
        """
        return await trio.to_thread.run_sync(work, limiter=self._calling)

    async def pending(self) -> PendingBlock:
        """The block that would follow the head now.

        It is built when somebody asks, and again only if the head or the pool has changed. Callers that ask at the
        same time get the same block. Raises `StatePruned`.
        """
        asked = self.pool.version
        async with self._building:
            found = self._pending
            now = (self.engine.reader.head(), self._next_timestamp())
            if found is None or found.version < asked or (found.head, found.timestamp) != now:
                self._pending = found = await self.execute(self._build_pending)
        return found.block

    def _build_pending(self) -> "_Pending":
        version, head = self.pool.version, self.engine.reader.head()
        timestamp = self._next_timestamp()
        return _Pending(version, head, timestamp, self.engine.pending_block(timestamp))

    def _next_timestamp(self) -> int | None:
        return None if self.demand is None else self.demand.next_timestamp()

    async def state(self, reference: BlockReference) -> "Callable[[], StateAt]":
        """A function that finds the state after a block. Call it in a worker thread. It raises `RpcError`."""
        if reference == "pending":
            found = await self.pending()
            return lambda: StateAt(found.block.header, found.reader, found.calls)
        return lambda: StateAt(self.state_at(reference), self.engine.reader, self.engine.calls)

    async def account(self, address: EvmAddress, at: BlockReference) -> AccountState:
        """An account after a block. Raises `RpcError` for an unknown block, and `StatePruned`.

        Wallets ask for the same accounts again and again: one that was read since the newest block is answered in
        the event loop, which costs a fifth of the time of a call in a thread.
        """
        if at == "pending" and not self.pool.counts()[0]:
            at = "latest"  # no transaction waits that could change an account
        if at == "latest" and (known := self.engine.reader.known_account(address)) is not None:
            return known
        state = await self.state(at)
        return await self.read(lambda: state().account(address))

    def find(self, reference: BlockReference) -> ExecutionHeader | None:
        """The header of a block, or None. For `pending` it is the latest one. Call this in a worker thread.

        Raises `RpcError` when `reference` requires a canonical block, but the block is not canonical (EIP-1898).
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
