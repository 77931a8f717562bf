"""Transaction receipts: converts the JSON of `eth_getBlockReceipts` to the bytes that the receipts root covers.

The fees that the chain mints are computed from the gas in the receipts. A block's approvals cover its receipts
root, so `proven_gas` accepts receipts only if they have this root (docs/protocol.md, "Fees").
"""

from collections.abc import Sequence
from typing import Any

from alysd.errors import Malformed
from alysd.types.block import ExecutionPayload
from alysd.types.hashes import PayloadHash
from alysd.wire.block_ssz import MAX_TRANSACTIONS
from alysd.wire.engine_json import MAX_TRANSACTION_BYTES
from alysd.wire.json_input import bytes_field, data_field, list_field, object_of, quantity_field, text_field
from alysd.wire.rlp import (
    FIRST_LIST_BYTE,
    RlpInput,
    as_bytes,
    as_list,
    decode,
    decode_integer,
    encode,
    encode_integer,
)
from alysd.wire.trie import indexed_root

MAX_LOGS = 262_144
"""The maximum number of logs in a receipt. 60 million gas pay for 160,000 (375 gas each, Yellow Paper)."""

_MAX_TOPICS = 4


def receipts_from_json(value: object, payload: ExecutionPayload) -> tuple[bytes, ...]:
    """Read the answer to `eth_getBlockReceipts`. The result has each receipt as in the receipts' trie (EIP-2718).

    Raises `Malformed` unless there is one receipt for each transaction of `payload`, in order.
    """
    receipts = list_field({"receipts": value}, "receipts", MAX_TRANSACTIONS)
    if len(receipts) != len(payload.transactions):
        raise Malformed(f"expected {len(payload.transactions)} receipts, found {len(receipts)}")
    return tuple(_receipt(receipt, at, payload.block_hash) for at, receipt in enumerate(receipts))


def encode_receipt(kind: int, status: int, cumulative: int, bloom: bytes, logs: Sequence[RlpInput]) -> bytes:
    """Encode a receipt of a transaction of type `kind` as in the receipts' trie (EIP-2718, EIP-658).

    `cumulative` is the gas that the block used up to and including this transaction.
    """
    fields = encode([encode_integer(status), encode_integer(cumulative), bloom, logs])
    return bytes((kind,)) + fields if kind else fields


def proven_gas(receipts: Sequence[bytes], payload: ExecutionPayload) -> tuple[int, ...]:
    """The gas used by each transaction of `payload`, in order, from receipts that its receipts root covers.

    Takes about 20 µs per receipt. Raises `Malformed` for receipts that are not the payload's.
    """
    if len(receipts) != len(payload.transactions):
        raise Malformed(f"expected {len(payload.transactions)} receipts, found {len(receipts)}")
    root = indexed_root(receipts)
    if root != payload.receipts_root:
        raise Malformed(f"receipts root: expected {payload.receipts_root.hex()}, found {root.hex()}")
    cumulative = [_cumulative_gas(receipt) for receipt in receipts]
    gas = tuple(now - before for before, now in zip([0, *cumulative], cumulative, strict=False))
    if any(used < 0 for used in gas):
        raise Malformed(f"the cumulative gas of the receipts decreases by {-min(gas)}")
    return gas


def _receipt(value: object, at: int, payload: PayloadHash) -> bytes:
    what = f"receipts[{at}]"
    fields = object_of(value, what)
    if data_field(fields, "blockHash", 32) != payload or quantity_field(fields, "transactionIndex") != at:
        raise Malformed(
            f"{what}: the receipt must have blockHash {payload.hex()} and transactionIndex {at}, found "
            f"{text_field(fields, 'blockHash')[:66]} and {text_field(fields, 'transactionIndex')[:18]}"
        )
    return encode_receipt(
        quantity_field(fields, "type", bits=4),
        quantity_field(fields, "status", bits=4),
        quantity_field(fields, "cumulativeGasUsed"),
        data_field(fields, "logsBloom", 256),
        [_log(each, what) for each in list_field(fields, "logs", MAX_LOGS)],
    )


def _log(value: Any, what: str) -> RlpInput:
    fields = object_of(value, f"{what}.logs")
    topics = list_field(fields, "topics", _MAX_TOPICS)
    return [
        data_field(fields, "address", 20),
        [data_field({"topics": topic}, "topics", 32) for topic in topics],
        bytes_field(fields, "data", MAX_TRANSACTION_BYTES),
    ]


def _cumulative_gas(receipt: bytes) -> int:
    body = receipt if receipt[0] >= FIRST_LIST_BYTE else receipt[1:]
    return decode_integer(as_bytes(as_list(decode(body), 4)[1]), 64)
