"""Reading signed transactions, compared with eth-account, which signs, and the specification, which decodes."""

from typing import Any

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount
from hypothesis import given
from hypothesis import strategies as st

from alysd.embedded.engine.specification import U64, Bytes, rlp, transactions
from alysd.embedded.engine.transaction import (
    BLOB,
    FEE_MARKET,
    InvalidSender,
    TransactionRefused,
    UnsupportedType,
    read_transaction,
)
from alysd.errors import Malformed
from alysd.wire.rlp import RlpItem, as_list, decode, encode

CHAIN_ID = 7
SIGNER: LocalAccount = Account.from_key(b"\x05" * 32)
TO, KEY = "0x" + "11" * 20, "0x" + "22" * 32

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Of secp256k1's group (SEC 2)."""

AMOUNT = st.integers(0, 2**96)


def of_price(price: int) -> dict[str, Any]:
    return {"gasPrice": price}


def with_keys(price: int, keys: int) -> dict[str, Any]:
    return {"type": 1, "gasPrice": price, "accessList": [{"address": TO, "storageKeys": [KEY] * keys}]}


def with_fees(fee: int, tip: int) -> dict[str, Any]:
    return {"type": 2, "maxFeePerGas": fee, "maxPriorityFeePerGas": tip}


PRICES = st.one_of(
    st.builds(of_price, AMOUNT),
    st.builds(with_keys, AMOUNT, st.integers(0, 2)),
    st.builds(with_fees, AMOUNT, AMOUNT),
)


def signed(signer: LocalAccount = SIGNER, **fields: Any) -> bytes:
    filled: dict[str, Any] = {"chainId": CHAIN_ID, "nonce": 3, "gas": 21_000, "to": TO, "value": 5, **fields}
    if "gasPrice" not in filled:
        filled = {"maxFeePerGas": 100, "maxPriorityFeePerGas": 10, **filled}
    return bytes(signer.sign_transaction(filled).raw_transaction)


@given(
    prices=PRICES,
    nonce=st.integers(0, 2**64 - 2),
    gas=st.integers(0, 2**63),
    value=st.integers(0, 2**128),
    data=st.binary(max_size=100),
    to=st.sampled_from([TO, ""]),
)
def test_what_was_signed_is_read(
    prices: dict[str, Any], nonce: int, gas: int, value: int, data: bytes, to: str
) -> None:
    raw = signed(nonce=nonce, gas=gas, value=value, data=data, to=to, **prices)
    found = read_transaction(raw, CHAIN_ID)
    assert found.sender == bytes.fromhex(SIGNER.address[2:])
    assert (found.nonce, found.gas, found.value, found.data, found.chain_id) == (nonce, gas, value, data, CHAIN_ID)
    assert found.to == (bytes.fromhex(to[2:]) or None)
    assert found.max_fee == prices.get("gasPrice", prices.get("maxFeePerGas"))
    assert found.max_priority_fee == prices.get("gasPrice", prices.get("maxPriorityFeePerGas"))
    assert [keys for _, keys in found.access_list] == [
        (b"\x22" * 32,) * len(entry["storageKeys"]) for entry in prices.get("accessList", [])
    ]
    specified = transactions.decode_transaction(_specified_bytes(raw))
    assert found.sender == transactions.recover_sender(U64(CHAIN_ID), specified)
    assert (found.r, found.s) == (specified.r, specified.s)


def _specified_bytes(raw: bytes) -> Any:
    """The input of the specification's decoder: bytes for typed transactions, an object for the others."""
    return Bytes(raw) if raw[0] < 0xC0 else rlp.decode_to(transactions.LegacyTransaction, Bytes(raw))


def test_the_hash_is_the_one_that_tools_show() -> None:
    fields: dict[str, Any] = {"chainId": 7, "nonce": 0, "gas": 1, "gasPrice": 1, "to": TO, "value": 0}
    signing = SIGNER.sign_transaction(fields)
    assert read_transaction(bytes(signing.raw_transaction), CHAIN_ID).hash == bytes(signing.hash)


def test_fees_follow_from_the_base_fee() -> None:
    found = read_transaction(signed(maxFeePerGas=100, maxPriorityFeePerGas=10), CHAIN_ID)
    assert [(found.tip(base), found.price(base)) for base in (0, 90, 95, 101)] == [
        (10, 10),
        (10, 100),
        (5, 100),
        (-1, 100),
    ]
    assert found.cost == 21_000 * 100 + 5


def test_an_old_transaction_without_a_chain_is_read() -> None:
    """A block may hold one; it is the pool that refuses them."""
    fields: dict[str, Any] = {"nonce": 0, "gas": 21_000, "gasPrice": 9, "to": TO, "value": 1}
    found = read_transaction(bytes(SIGNER.sign_transaction(fields).raw_transaction), CHAIN_ID)
    assert (found.chain_id, found.sender) == (None, bytes.fromhex(SIGNER.address[2:]))
    assert found.v in (27, 28)


def test_a_transaction_of_another_chain_is_refused() -> None:
    kinds: list[dict[str, Any]] = [{}, {"gasPrice": 5}, {"gasPrice": 5, "type": 1, "accessList": []}]
    for fields in kinds:
        with pytest.raises(InvalidSender, match="invalid chain id for signer: have 8 want 7"):
            read_transaction(signed(chainId=8, **fields), CHAIN_ID)


def test_blobs_are_read() -> None:
    fields = as_list(decode(signed()[1:]))
    raw = b"\x03" + encode([*fields[:9], b"\x09", [b"\x01" * 32], *fields[9:]])
    found = read_transaction(raw, CHAIN_ID)
    assert (found.type, found.max_blob_fee, found.blob_hashes) == (BLOB, 9, (b"\x01" * 32,))


@pytest.mark.parametrize("kind", [0, 4, 5, 0x7F, 0x80, 0xBF])
def test_types_of_later_forks_are_refused_by_number(kind: int) -> None:
    with pytest.raises(UnsupportedType, match=f"tx type {kind} not supported"):
        read_transaction(bytes([kind]) + signed()[1:], CHAIN_ID)


def changed(**positions: RlpItem) -> bytes:
    """A fee market transaction with some of its fields replaced: f0 is the first."""
    fields = as_list(decode(signed()[1:]))
    for name, value in positions.items():
        fields[int(name[1:])] = value
    return bytes([FEE_MARKET]) + encode(fields)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x02",
        b"\xc0",
        b"\x02\xc0",
        b"\x02\x80",
        signed()[:-1],
        signed() + b"\0",
        changed(f1=b"\0\x01"),
        changed(f1=b"\x01" * 9),
        changed(f1=[]),
        changed(f4=b"\x01" * 9),
        changed(f5=b"\x11" * 19),
        changed(f5=[]),
        changed(f6=b"\x01" * 33),
        changed(f7=[b"data"]),
        changed(f8=b""),
        changed(f8=[b"\x11" * 20]),
        changed(f8=[[b"\x11" * 19, []]]),
        changed(f8=[[b"\x11" * 20, [b"\x22" * 31]]]),
        changed(f8=[[b"\x11" * 20, [], []]]),
    ],
)
def test_bytes_that_are_no_transaction_are_malformed(raw: bytes) -> None:
    with pytest.raises(Malformed):
        read_transaction(raw, CHAIN_ID)


@pytest.mark.parametrize(
    "raw",
    [
        changed(f9=b"\x02"),
        changed(f10=b""),
        changed(f10=ORDER.to_bytes(32, "big")),
        changed(f11=b""),
        changed(f11=(ORDER // 2 + 1).to_bytes(32, "big")),
    ],
    ids=["parity 2", "r zero", "r too large", "s zero", "s in the upper half"],
)
def test_signatures_out_of_range_are_refused(raw: bytes) -> None:
    """An s in the upper half would give every transaction a second hash (EIP-2)."""
    with pytest.raises(InvalidSender, match="invalid transaction v, r, s values"):
        read_transaction(raw, CHAIN_ID)


def test_a_signature_of_no_key_is_refused() -> None:
    with pytest.raises(InvalidSender, match="recovery failed"):
        read_transaction(changed(f10=(5).to_bytes(1, "big")), CHAIN_ID)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    """Any program that reaches the port can send these bytes."""
    for start in (b"", b"\x01", b"\x02", b"\x03", b"\xf8\x60"):
        try:
            read_transaction(start + raw, CHAIN_ID)
        except (Malformed, TransactionRefused):
            continue


@given(st.integers(0, 110), st.binary(min_size=1, max_size=1))
def test_a_changed_byte_never_keeps_the_hash(position: int, byte: bytes) -> None:
    raw = signed()
    altered = raw[: position % len(raw)] + byte + raw[position % len(raw) + 1 :]
    try:
        found = read_transaction(altered, CHAIN_ID)
    except (Malformed, TransactionRefused):
        return
    assert (found.hash == read_transaction(raw, CHAIN_ID).hash) == (altered == raw)
