"""The RLP of execution block headers, and the computation of a payload's header and hash."""

from alysd.errors import Malformed
from alysd.types.block import ExecutionPayload, Withdrawal
from alysd.types.execution import ExecutionHeader
from alysd.types.hashes import BlockHash, EvmAddress, PayloadHash
from alysd.types.units import Wei
from alysd.wire.keccak import keccak256
from alysd.wire.rlp import RlpInput, as_bytes, as_list, decode, decode_integer, encode, encode_integer
from alysd.wire.trie import indexed_root

EMPTY_OMMERS = keccak256(encode([]))
"""The hash of the empty list of ommers, which every header contains since the merge (EIP-3675)."""

ZERO_NONCE = bytes(8)
"""The nonce of every header since the merge (EIP-3675)."""

_FIELDS = 20


def header_of(payload: ExecutionPayload, parent_beacon_block_root: BlockHash) -> ExecutionHeader:
    """Make a header from the fields of the payload, and compute its hash. `payload.block_hash` is not used.

    Computing the roots takes about 20 µs per transaction or withdrawal. Raises `Malformed` for a number that is
    too large for a header.
    """
    header = ExecutionHeader(
        hash=PayloadHash(b""),
        parent_hash=payload.parent_hash,
        ommers_hash=EMPTY_OMMERS,
        coinbase=payload.fee_recipient,
        state_root=payload.state_root,
        transactions_root=indexed_root(payload.transactions),
        receipts_root=payload.receipts_root,
        logs_bloom=payload.logs_bloom,
        difficulty=0,
        number=payload.block_number,
        gas_limit=payload.gas_limit,
        gas_used=payload.gas_used,
        timestamp=payload.timestamp,
        extra_data=payload.extra_data,
        prev_randao=payload.prev_randao,
        nonce=ZERO_NONCE,
        base_fee=payload.base_fee_per_gas,
        withdrawals_root=indexed_root([encode_withdrawal(withdrawal) for withdrawal in payload.withdrawals]),
        blob_gas_used=payload.blob_gas_used,
        excess_blob_gas=payload.excess_blob_gas,
        parent_beacon_block_root=parent_beacon_block_root,
    )
    return with_hash(header)


def with_hash(header: ExecutionHeader) -> ExecutionHeader:
    """The header with `hash` computed from the other fields. Raises `Malformed` for a negative number."""
    return decode_header(encode_header(header))


def block_hash_of(payload: ExecutionPayload, parent_beacon_block_root: BlockHash) -> PayloadHash:
    """The hash of the payload's header, which `block_hash` must equal (Engine API, "Payload validation")."""
    return header_of(payload, parent_beacon_block_root).hash


def encode_header(header: ExecutionHeader) -> bytes:
    """The header's RLP, whose Keccak-256 is the block's hash. Raises `Malformed` for a negative number."""
    fields: list[RlpInput] = [
        header.parent_hash,
        header.ommers_hash,
        header.coinbase,
        header.state_root,
        header.transactions_root,
        header.receipts_root,
        header.logs_bloom,
        _natural(header.difficulty),
        _natural(header.number),
        _natural(header.gas_limit),
        _natural(header.gas_used),
        _natural(header.timestamp),
        header.extra_data,
        header.prev_randao,
        header.nonce,
        _natural(header.base_fee),
        header.withdrawals_root,
        _natural(header.blob_gas_used),
        _natural(header.excess_blob_gas),
        header.parent_beacon_block_root,
    ]
    return encode(fields)


def decode_header(data: bytes) -> ExecutionHeader:
    """Decode a header and compute its hash. Raises `Malformed`."""
    items = as_list(decode(data), _FIELDS)
    parent, ommers, coinbase, state, transactions, receipts, bloom, *rest = items
    difficulty, number, gas_limit, gas_used, timestamp, extra, randao, nonce, base_fee, *newer = rest
    withdrawals, blob_gas, excess_blob_gas, beacon_root = newer
    return ExecutionHeader(
        hash=PayloadHash(keccak256(data)),
        parent_hash=PayloadHash(as_bytes(parent, 32)),
        ommers_hash=as_bytes(ommers, 32),
        coinbase=EvmAddress(as_bytes(coinbase, 20)),
        state_root=as_bytes(state, 32),
        transactions_root=as_bytes(transactions, 32),
        receipts_root=as_bytes(receipts, 32),
        logs_bloom=as_bytes(bloom, 256),
        difficulty=decode_integer(difficulty),
        number=decode_integer(number, 64),
        gas_limit=decode_integer(gas_limit, 64),
        gas_used=decode_integer(gas_used, 64),
        timestamp=decode_integer(timestamp, 64),
        extra_data=as_bytes(extra),
        prev_randao=as_bytes(randao, 32),
        nonce=as_bytes(nonce, 8),
        base_fee=Wei(decode_integer(base_fee)),
        withdrawals_root=as_bytes(withdrawals, 32),
        blob_gas_used=decode_integer(blob_gas, 64),
        excess_blob_gas=decode_integer(excess_blob_gas, 64),
        parent_beacon_block_root=BlockHash(as_bytes(beacon_root, 32)),
    )


def encode_withdrawal(withdrawal: Withdrawal) -> bytes:
    """The withdrawal's RLP, as in the withdrawals' trie (EIP-4895)."""
    return encode(
        [
            _natural(withdrawal.index),
            _natural(withdrawal.validator_index),
            withdrawal.address,
            _natural(withdrawal.amount),
        ]
    )


def _natural(value: int) -> bytes:
    if value < 0:
        raise Malformed(f"a number in a header is negative: {value}")
    return encode_integer(value)
