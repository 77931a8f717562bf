"""What a transaction offers for its gas, read from its EIP-2718 bytes without decoding the rest."""

from alysd.errors import Malformed
from alysd.types.fees import FeeFields
from alysd.types.units import Wei

_FEE_PLACES = {
    1: (2, 2),  # EIP-2930: chain id, nonce, gas price
    2: (3, 2),  # EIP-1559: chain id, nonce, max priority fee, max fee
    3: (3, 2),  # EIP-4844: as EIP-1559
}
"""By transaction type: the places of max fee and max priority fee among the fields."""

_LEGACY_PLACES = (1, 1)
"""Nonce, gas price."""

_FIRST_LIST_BYTE = 0xC0


def fee_fields(raw: bytes) -> FeeFields:
    """The fee fields of a transaction as it stands in a payload; raises `Malformed` when it is no known one."""
    if not raw:
        raise Malformed("an empty transaction")
    if raw[0] >= _FIRST_LIST_BYTE:
        places, at = _LEGACY_PLACES, 0
    elif raw[0] in _FEE_PLACES:
        places, at = _FEE_PLACES[raw[0]], 1
    else:
        raise Malformed(f"transaction type {raw[0]} is not known")
    start, end = _list_bounds(raw, at)
    fields: list[bytes] = []
    while len(fields) <= max(places):
        item, start = _string(raw, start, end)
        fields.append(item)
    most, priority = (Wei(int.from_bytes(fields[place], "big")) for place in places)
    return FeeFields(max_fee_per_gas=most, max_priority_fee_per_gas=priority)


def _list_bounds(raw: bytes, at: int) -> tuple[int, int]:
    """Where the payload of the RLP list at `at` begins and ends."""
    if at >= len(raw) or raw[at] < _FIRST_LIST_BYTE:
        raise Malformed("a transaction whose fields are not a list")
    start, length = _length(raw, at, _FIRST_LIST_BYTE)
    if start + length != len(raw):
        raise Malformed(f"a transaction of {len(raw)} bytes whose list ends at {start + length}")
    return start, start + length


def _string(raw: bytes, at: int, end: int) -> tuple[bytes, int]:
    """The RLP string at `at`, and where the next item begins."""
    if at >= end or raw[at] >= _FIRST_LIST_BYTE:
        raise Malformed("a transaction with too few fields before its first list")
    if raw[at] < 0x80:
        return raw[at : at + 1], at + 1
    start, length = _length(raw, at, 0x80)
    if start + length > end:
        raise Malformed("a field that is longer than its transaction")
    return raw[start : start + length], start + length


def _length(raw: bytes, at: int, base: int) -> tuple[int, int]:
    """Where the RLP item at `at` has its payload, and how long that is; `base` is the first byte of its kind."""
    short = raw[at] - base
    if short <= 55:
        return at + 1, short
    start = at + 1 + short - 55
    return start, int.from_bytes(raw[at + 1 : start], "big")
