"""The builder of blocks, which selects pending transactions until the block is full."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import attrs

from alysd.embedded.engine.block_execution import BlockExecution, ExecutedPayload
from alysd.embedded.engine.rules import BrokenRule, next_base_fee, next_excess_blob_gas
from alysd.embedded.engine.time_budget import OutOfTime, TimeBudget
from alysd.embedded.engine.transaction import BLOB, SignedTransaction
from alysd.embedded.engine.trie_state import StateView, TrieState
from alysd.embedded.engine.values import AccountState
from alysd.messages.log.base import log
from alysd.messages.log.chain import TransactionDropped
from alysd.types.block import PayloadAttributes, Withdrawal
from alysd.types.execution import ExecutionHeader
from alysd.types.hashes import EvmAddress, PayloadHash
from alysd.wire.execution_header import EMPTY_OMMERS, ZERO_NONCE
from alysd.wire.trie import EMPTY_ROOT

_LEAST_GAS = 21_000
"""Gas of the cheapest transaction: a block with less gas left is full."""

_EXTRA_DATA = b"alysd"


class AccountReader(Protocol):
    """Reads accounts as they are before the execution of a block."""

    def account(self, address: EvmAddress) -> AccountState:
        """The account, or the empty account if it does not exist."""
        ...


class PendingSource(Protocol):
    """The source of a block's transactions. The engine calls it in a worker thread, one call at a time."""

    def best(self, base_fee: int, accounts: AccountReader) -> Iterable[SignedTransaction]:
        """The transactions that pay `base_fee` (wei per gas), best first; those of one sender ordered by nonce.

        The engine checks each of them again, and stops reading when the block is full or its time is used up.
        """
        ...

    def discard(self, transaction: SignedTransaction, reason: str) -> None:
        """Remove a transaction that can never be included, or that takes too long to execute.

        The engine does not discard a transaction that only has to wait (nonce gap, base fee too high, block full).
        """
        ...


@attrs.frozen
class Builder:
    """Builds blocks within two limits.

    `seconds`, measured by `clock`, limit the execution of a block's transactions. The default is half of a slot of
    2 s. A single transaction may take half of `seconds`; a longer one is discarded, because it would delay
    every block.
    `payload_bytes` limits the total size of the transactions. Gas alone would allow 7.5 MB of zero bytes.
    """

    seconds: float = 1.0
    payload_bytes: int = 2**20
    clock: Callable[[], float] = time.monotonic

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
        block = TimeBudget(self.seconds, clock=self.clock)
        room = self.payload_bytes
        waiting: set[EvmAddress] = set()
        for signed in pending.best(execution.base_fee, StateView(state)):
            if block.left() <= 0 or execution.gas_left < _LEAST_GAS:
                break
            if signed.sender in waiting:
                continue
            if len(signed.raw) <= room and self._include(execution, signed, pending, block):
                room -= len(signed.raw)
            else:
                waiting.add(signed.sender)
        return execution.finish(withdrawals)

    def _include(
        self, execution: BlockExecution, signed: SignedTransaction, pending: PendingSource, block: TimeBudget
    ) -> bool:
        """Execute one transaction and return whether it is in the block. Discard it if no block can include it."""
        if signed.type == BLOB:
            pending.discard(signed, "blob transactions are not supported on this chain")
            return False
        if signed.gas > execution.gas_limit:
            pending.discard(signed, "exceeds block gas limit")
            return False
        if signed.gas > execution.gas_left or signed.nonce > execution.nonce_of(signed.sender):
            return False
        if signed.tip(execution.base_fee) < 0:
            return False
        own = min(self.seconds / 2, block.left())
        execution.limit(TimeBudget(own, clock=self.clock))
        try:
            execution.add(signed)
        except OutOfTime:
            if (
                own == self.seconds / 2
            ):  # it had its full share of the time, and would get no more in another block
                reason = f"takes longer than {own:g} s to execute"
                log(TransactionDropped(f"0x{signed.hash.hex()}", reason))
                pending.discard(signed, reason)
            return False
        except BrokenRule as error:
            pending.discard(signed, str(error))
            return False
        return True
