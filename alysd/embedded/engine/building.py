"""The builder of blocks: the frame of a block, and the limits of its transactions."""

from collections.abc import Sequence

import attrs

from alysd.embedded.engine.block_execution import BlockExecution, ExecutedPayload
from alysd.embedded.engine.build_time import CLOCKS, BuildTime, Clocks
from alysd.embedded.engine.filling import Filling
from alysd.embedded.engine.pending_source import PendingSource
from alysd.embedded.engine.rules import next_base_fee, next_excess_blob_gas
from alysd.embedded.engine.trie_state import StateView, TrieState
from alysd.types.block import PayloadAttributes, Withdrawal
from alysd.types.execution import ExecutionHeader
from alysd.types.hashes import PayloadHash
from alysd.wire.execution_header import EMPTY_OMMERS, ZERO_NONCE
from alysd.wire.trie import EMPTY_ROOT

_EXTRA_DATA = b"alysd"


@attrs.frozen
class Builder:
    """Builds blocks within two limits.

    `seconds` of processor time limit the execution of a block's transactions (`build_time`). The default is half
    of a slot of 2 s. A single transaction may take three quarters of `seconds`; a longer one is discarded.
    `payload_bytes` limits the total size of the transactions. Gas alone would allow 7.5 MB of zero bytes.
    """

    seconds: float = 1.0
    payload_bytes: int = 2**20
    clocks: Clocks = CLOCKS

    def frame(self, parent: ExecutionHeader, attributes: PayloadAttributes) -> ExecutionHeader:
        """The header of `parent`'s child, with the fields that are known before execution."""
        return ExecutionHeader(
            hash=PayloadHash(b""),
            parent_hash=parent.hash,
            ommers_hash=EMPTY_OMMERS,
            coinbase=attributes.fee_recipient,
            state_root=bytes(32),
            transactions_root=EMPTY_ROOT,
            receipts_root=EMPTY_ROOT,
            logs_bloom=bytes(256),
            difficulty=0,
            number=parent.number + 1,
            gas_limit=parent.gas_limit,
            gas_used=0,
            timestamp=attributes.timestamp,
            extra_data=_EXTRA_DATA,
            prev_randao=attributes.prev_randao,
            nonce=ZERO_NONCE,
            base_fee=next_base_fee(parent),
            withdrawals_root=EMPTY_ROOT,
            blob_gas_used=0,
            excess_blob_gas=next_excess_blob_gas(parent),
            parent_beacon_block_root=attributes.parent_beacon_block_root,
        )

    def fill(
        self,
        execution: BlockExecution,
        state: TrieState,
        pending: PendingSource,
        withdrawals: Sequence[Withdrawal],
    ) -> ExecutedPayload:
        """Execute pending transactions until gas, bytes or time are used up, and finish the block.

        Raises `BrokenRule` when the withdrawals cannot be paid.
        """
        execution.begin()
        time = BuildTime(self.seconds, self.clocks)
        Filling(execution, StateView(state), pending, time, self.payload_bytes).run()
        return execution.finish(withdrawals)
