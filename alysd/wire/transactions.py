"""Decodes the fields of transactions, and reads the gas limit and the prices per gas from EIP-2718 bytes."""

from alysd.errors import Malformed
from alysd.types.fees import FeeFields
from alysd.types.units import Wei
from alysd.wire.rlp import FIRST_LIST_BYTE, RlpItem, as_list, decode_bounded, decode_integer

_FEE_PLACES = {
    1: (2, 2, 3),  # EIP-2930: chain id, nonce, gas price, gas limit
    2: (3, 2, 4),  # EIP-1559: chain id, nonce, max priority fee, max fee, gas limit
    3: (3, 2, 4),  # EIP-4844: as EIP-1559
}
"""For each transaction type, the indices of the fields max fee, max priority fee and gas limit, in this order."""

_LEGACY_PLACES = (1, 1, 2)
"""The indices for a legacy transaction: nonce, gas price, gas limit. The gas price serves as both fees."""


_MOST_FIELDS = 16
"""The maximum number of items outside the access list: the list of fields, and 14 fields (EIP-4844)."""

_BYTES_PER_ITEM = 7
"""The minimum number of bytes per item of an access list (EIP-2930), rounded down.

The smallest entry has an address and no keys: 3 items in 23 bytes. A key or a blob's hash has 33 bytes."""


def transaction_fields(encoded: bytes) -> list[RlpItem]:
    """Decode the list of a transaction's fields, which for typed transactions follows the byte of the type.

    Raises `Malformed`. A transaction with more items than a valid one of its size can have is not decoded.
    """
    return as_list(decode_bounded(encoded, len(encoded) // _BYTES_PER_ITEM + _MOST_FIELDS))


def fee_fields(raw: bytes) -> FeeFields:
    """The fee fields of an encoded transaction. Raises `Malformed` for unknown types and missing fields."""
    if not raw:
        raise Malformed("the transaction is empty")
    if raw[0] >= FIRST_LIST_BYTE:
        places, body = _LEGACY_PLACES, raw
    elif raw[0] in _FEE_PLACES:
        places, body = _FEE_PLACES[raw[0]], raw[1:]
    else:
        raise Malformed(f"transaction type {raw[0]} is not known")
    fields = transaction_fields(body)
    if len(fields) <= max(places):
        raise Malformed(f"the transaction of type {raw[0]} has only {len(fields)} fields")
    most, priority, gas_limit = (decode_integer(fields[place]) for place in places)
    return FeeFields(max_fee_per_gas=Wei(most), max_priority_fee_per_gas=Wei(priority), gas_limit=gas_limit)
