"""The block that would be built on the head now, from the transactions of the pool (the tag `pending`)."""

from collections.abc import Iterator

import attrs

from alysd.embedded.engine.block_execution import BlockExecution
from alysd.embedded.engine.building import Builder
from alysd.embedded.engine.calls import Calls, CallSource
from alysd.embedded.engine.eels import EelsState
from alysd.embedded.engine.environment import AncestorHashes
from alysd.embedded.engine.layered_source import LayeredSource
from alysd.embedded.engine.pending_source import AccountReader, PendingSource
from alysd.embedded.engine.reader import Reader
from alysd.embedded.engine.records import block_size, decode_receipts, encode_receipts
from alysd.embedded.engine.time_budget import TimeBudget
from alysd.embedded.engine.transaction import SignedTransaction
from alysd.embedded.engine.values import ZERO_ADDRESS, ExecutionBlock, ExecutionReceipt
from alysd.types.block import PayloadAttributes
from alysd.types.execution import ExecutionHeader
from alysd.types.hashes import ZERO_HASH


@attrs.frozen
class PendingBlock:
    """The block and its receipts. `reader` and `calls` know its state, which is not in the database."""

    block: ExecutionBlock
    receipts: tuple[ExecutionReceipt, ...]
    reader: Reader
    calls: Calls


class _Offered:
    """The transactions of the pool. Unlike the building of a block, this changes nothing in the pool."""

    def __init__(self, pool: PendingSource) -> None:
        self._pool = pool
        self.seen: dict[bytes, SignedTransaction] = {}

    def best(self, base_fee: int, accounts: AccountReader) -> Iterator[SignedTransaction]:
        """Those that pay `base_fee`, best first."""
        for signed in self._pool.best(base_fee, accounts):
            self.seen[signed.raw] = signed
            yield signed

    def slow(self, base_fee: int, accounts: AccountReader) -> Iterator[SignedTransaction]:
        """None: those that take long wait for turns in blocks, so no one knows which block will have them."""
        del base_fee, accounts
        return iter(())

    def set_back(self, transaction: SignedTransaction) -> None:
        """Leave the transaction where it is."""

    def interrupted(self, transaction: SignedTransaction) -> int:
        """Count nothing: `slow` offers nothing here, so no turn is given."""
        del transaction
        return 0

    def discard(self, transaction: SignedTransaction, reason: str) -> None:
        """Leave the transaction where it is."""


def build_pending(
    source: CallSource, reader: Reader, pool: PendingSource, builder: Builder, timestamp: int | None = None
) -> PendingBlock:
    """Build on the head, as `ExecutionChain.build` does, for at most `builder.seconds`.

    Raises `StatePruned` and `SlowBeaconRoots`.

    By default, the block is a slot after the head. Its fees go to nobody, and it has no withdrawals.
    """
    head = reader.head()
    with reader.state_of(head):
        offered = _Offered(pool)
        time = head.timestamp + max(1, round(2 * builder.seconds)) if timestamp is None else timestamp
        attributes = PayloadAttributes(head.hash, ZERO_HASH, time, bytes(32), ZERO_ADDRESS, ())
        state = EelsState(source.store, head.state_root)
        ancestors = AncestorHashes(head, reader.needed_header)
        frame = builder.frame(head, attributes)
        execution = BlockExecution(frame, state, ancestors, source.chain_id, TimeBudget())
        executed = builder.fill(execution, state, offered, ())
    records = LayeredSource(source.store)
    records.add(executed.changes)
    header: ExecutionHeader = executed.header
    transactions = tuple(offered.seen[raw] for raw in executed.transactions)
    above = reader.over(records)
    return PendingBlock(
        ExecutionBlock(header, transactions, (), block_size(header, executed.transactions, ())),
        decode_receipts(encode_receipts(executed.receipts), transactions, header.base_fee),
        above,
        Calls(records, above, source.chain_id),
    )
