"""The builder of blocks: the frame of a block, and the limits of its transactions."""

from collections.abc import Sequence

import attrs

from alysd.embedded.engine.block_execution import BEACON_ROOTS, BlockExecution, ExecutedPayload
from alysd.embedded.engine.build_time import CLOCKS, BuildTime, Clocks
from alysd.embedded.engine.filling import Filling
from alysd.embedded.engine.pending_source import PendingSource
from alysd.embedded.engine.rules import next_base_fee, next_excess_blob_gas
from alysd.embedded.engine.time_budget import OutOfTime, TimeBudget
from alysd.embedded.engine.trie_state import StateView, TrieState
from alysd.errors import Refused
from alysd.types.block import PayloadAttributes, Withdrawal
from alysd.types.execution import ExecutionHeader
from alysd.types.hashes import PayloadHash
from alysd.wire.execution_header import EMPTY_OMMERS, ZERO_NONCE
from alysd.wire.trie import EMPTY_ROOT

_EXTRA_DATA = b"alysd"


@attrs.frozen(str=False)
class SlowBeaconRoots(Refused):
    """The code at the address of the beacon roots takes more than `seconds`, so no block can be built.

    The contract of EIP-4788 takes a tenth of a millisecond, but on a chain whose blocks are made on demand clients
    can give it other code.
    """

    seconds: float

    def __str__(self) -> str:
        return (
            "the contract of the beacon roots (EIP-4788), which each block calls with 30,000,000 gas, takes more "
            f"than {self.seconds:g} s: no block can be made until 0x{BEACON_ROOTS.hex()} has other code"
        )


@attrs.frozen
class Builder:
    """Builds blocks within three limits.

    `seconds` of processor time limit the execution of a block's transactions (`build_time`). The default is half
    of a slot of 2 s. A single transaction may take three quarters of `seconds`; a longer one is discarded.
    The call of the beacon roots at the beginning has another `seconds`.
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

        Raises `BrokenRule` when the withdrawals cannot be paid, and `SlowBeaconRoots`.
        """
        execution.limit(TimeBudget(self.seconds, clock=self.clocks.processor))
        try:
            execution.begin()
        except OutOfTime:
            raise SlowBeaconRoots(self.seconds) from None
        time = BuildTime(self.seconds, self.clocks)
        Filling(execution, StateView(state), pending, time, self.payload_bytes).run()
        return execution.finish(withdrawals)
