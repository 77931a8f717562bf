"""The transactions, receipts and header of a simulated block."""

from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from alysd.embedded.engine.log_filter import bloom_bits
from alysd.embedded.engine.message import MessageOutcome
from alysd.embedded.engine.records import block_size
from alysd.embedded.engine.simulated_values import SimulatedBlockResult, SimulatedCall, SimulatedCallResult
from alysd.embedded.engine.transaction import FEE_MARKET, LEGACY, SignedTransaction
from alysd.embedded.engine.unsigned_transaction import UnsignedTransaction
from alysd.embedded.engine.values import EvmLog, ExecutionBlock
from alysd.types.block import Withdrawal
from alysd.types.execution import ExecutionHeader
from alysd.types.hashes import EvmAddress
from alysd.wire.execution_header import encode_withdrawal, with_hash
from alysd.wire.keccak import keccak256
from alysd.wire.rlp import RlpInput, encode, encode_integer
from alysd.wire.trie import indexed_root


def transaction_of(call: SimulatedCall, nonce: int, gas: int, chain_id: int) -> SignedTransaction:
    """A call as a transaction without a signature, as geth shows it."""
    request = call.request
    unsigned = UnsignedTransaction(
        type=LEGACY if call.legacy else FEE_MARKET,
        chain_id=chain_id,
        nonce=nonce,
        max_fee=request.max_fee,
        max_priority_fee=request.max_priority_fee,
        gas=gas,
        to=request.to,
        value=request.value,
        data=request.data,
        access_list=() if call.legacy else request.access_list,
    )
    raw = unsigned.encoded()
    return SignedTransaction(
        hash=keccak256(raw),
        raw=raw,
        type=unsigned.type,
        chain_id=None if call.legacy else chain_id,
        sender=request.sender,
        nonce=nonce,
        max_fee=unsigned.max_fee,
        max_priority_fee=unsigned.max_priority_fee,
        gas=gas,
        to=request.to,
        value=request.value,
        data=request.data,
        access_list=unsigned.access_list,
        v=0,
        r=0,
        s=0,
    )


class Assembly:
    """Collects the transactions of one block and their results. `header` has what is known before."""

    def __init__(self, header: ExecutionHeader) -> None:
        self.header = header
        self._gas_used = 0
        self._bloom = 0
        self._transactions: list[SignedTransaction] = []
        self._receipts: list[bytes] = []
        self._results: list[SimulatedCallResult] = []

    @property
    def gas_left(self) -> int:
        """Gas that further transactions may use."""
        return self.header.gas_limit - self._gas_used

    def add(
        self, signed: SignedTransaction, outcome: MessageOutcome, logs: Iterable[EvmLog] | None, *, capped: bool
    ) -> None:
        """Add a transaction. `logs` are those that the caller sees, by default those of its receipt."""
        written = [_log(log) for log in outcome.logs]
        bloom = _bloom(written)
        self._bloom |= bloom
        self._gas_used += outcome.result.gas_used
        receipt = encode(
            [
                encode_integer(int(outcome.result.succeeded)),
                encode_integer(self._gas_used),
                bloom.to_bytes(256, "big"),
                [_encodable(log) for log in written],
            ]
        )
        self._transactions.append(signed)
        self._receipts.append(receipt if signed.type == LEGACY else bytes((signed.type,)) + receipt)
        peak = outcome.result.gas_used + outcome.refund
        shown = tuple(written if logs is None else logs)
        self._results.append(SimulatedCallResult(outcome.result, peak, shown, capped))

    def finish(self, state_root: bytes, withdrawals: tuple[Withdrawal, ...]) -> SimulatedBlockResult:
        """The whole block. Raises `Malformed` for a number that is too large for a header."""
        raws = [signed.raw for signed in self._transactions]
        header = with_hash(
            attrs.evolve(
                self.header,
                state_root=state_root,
                transactions_root=indexed_root(raws),
                receipts_root=indexed_root(self._receipts),
                withdrawals_root=indexed_root([encode_withdrawal(withdrawal) for withdrawal in withdrawals]),
                logs_bloom=self._bloom.to_bytes(256, "big"),
                gas_used=self._gas_used,
            )
        )
        size = block_size(header, raws, withdrawals)
        block = ExecutionBlock(header, tuple(self._transactions), withdrawals, size)
        return SimulatedBlockResult(block, tuple(self._results))


def _log(log: Any) -> EvmLog:
    """A log of the specification's type."""
    return EvmLog(EvmAddress(log.address), tuple(bytes(topic) for topic in log.topics), bytes(log.data))


def _encodable(log: EvmLog) -> RlpInput:
    return [log.address, list(log.topics), log.data]


def _bloom(logs: Sequence[EvmLog]) -> int:
    """The bloom filter of a receipt with these logs, as a number (Yellow Paper 4.4.3)."""
    bits = 0
    for log in logs:
        for value in (log.address, *log.topics):
            bits |= bloom_bits(value)
    return bits
