"""Fee fields of real signed transactions of every type, and of bytes that are none."""

from typing import Any

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from alysd.errors import Malformed
from alysd.types.fees import FeeFields
from alysd.types.units import Wei
from alysd.wire.rlp import encode
from alysd.wire.transactions import fee_fields

KEY = "0x" + "11" * 32
COMMON = {"nonce": 5, "gas": 21_000, "to": "0x" + "22" * 20, "value": 10**18, "chainId": 121212}
ACCESS = [{"address": "0x" + "33" * 20, "storageKeys": ["0x" + "44" * 32]}]


def signed(**fields: Any) -> bytes:
    account: Any = Account
    return bytes(account.sign_transaction({**COMMON, **fields}, KEY).raw_transaction)


def fees(most: int, priority: int, gas_limit: int = 21_000) -> FeeFields:
    return FeeFields(Wei(most), Wei(priority), gas_limit)


def test_legacy_transactions_offer_one_price_for_both() -> None:
    assert fee_fields(signed(gasPrice=123_456)) == fees(123_456, 123_456)
    assert fee_fields(signed(gasPrice=0)) == fees(0, 0)


def test_transactions_with_an_access_list_offer_one_price_for_both() -> None:
    assert fee_fields(signed(gasPrice=7, accessList=ACCESS, type=1)) == fees(7, 7)


@given(st.integers(0, 10**18), st.integers(0, 10**18), st.binary(max_size=200))
def test_dynamic_fees_are_read_in_their_order(one: int, other: int, data: bytes) -> None:
    """Swapped, the chain's fee sum would differ from that of every other node."""
    priority, most = sorted((one, other))
    raw = signed(maxFeePerGas=most, maxPriorityFeePerGas=priority, accessList=ACCESS, data=data)
    assert fee_fields(raw) == fees(most, priority)


def test_blob_transactions_offer_dynamic_fees() -> None:
    head = [b"\x01", b"", b"\x03", b"\x09", b"\x52\x08", b"\x22" * 20, b"", b""]
    blobs = [[], b"\x4d", [b"\x01" * 32], b"", b"\x01", b"\x01"]
    assert fee_fields(b"\x03" + encode([*head, *blobs])) == fees(9, 3)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00",
        b"\x04\xc0",
        b"\x7f" + encode([b"\x01"] * 3),
        b"\x02",
        b"\x02\x80",
        b"\xc0",
        encode([b"\x01"]),
        b"\x02" + encode([b"\x01"] * 3),
        b"\x02" + encode([b"\x01", b"\x02", [], b"\x03"]),
        b"\x02" + encode([b"\x01", b"\x02", b"\x00\x01", b"\x03"]),
        encode([b"\x01"] * 2) + b"\x00",
        b"\x02" + b"\xc1" * 2000,
        b"\xff" * 9,
    ],
)
def test_what_is_no_transaction_is_malformed(raw: bytes) -> None:
    with pytest.raises(Malformed):
        fee_fields(raw)


@given(st.binary(max_size=100))
def test_any_bytes_have_fee_fields_or_are_malformed(raw: bytes) -> None:
    try:
        found = fee_fields(raw)
    except Malformed:
        return
    assert 0 <= found.max_priority_fee_per_gas < 2**256
