"""The encoding of blocks in the database: they are decoded unchanged, and damage is reported."""

import pytest

from alysd.embedded.engine.records import (
    decode_body,
    decode_gas_used,
    decode_logs,
    decode_receipts,
    encode_body,
    encode_receipts,
    read_header,
    split_receipts,
)
from alysd.embedded.engine.values import EvmLog
from alysd.errors import Corrupt
from alysd.types.hashes import EvmAddress
from alysd.types.units import Wei
from alysd.wire.rlp import encode
from tests.embedded.engine.kit import GWEI, OTHER, RICH, minted, read, transfer

BLOOM = bytes(255) + b"\1"


def receipt(kind: int, status: int, cumulative: int, *logs: EvmLog) -> bytes:
    listed = [[log.address, list(log.topics), log.data] for log in logs]
    body = encode([b"\1" if status else b"", cumulative.to_bytes(3, "big").lstrip(b"\0"), BLOOM, listed])
    return bytes((kind,)) + body if kind else body


LOG = EvmLog(EvmAddress(b"\xaa" * 20), (b"\1" * 32, b"\2" * 32), b"data")


def test_bodies_read_back() -> None:
    transactions = (transfer(RICH, 0), transfer(RICH, 1, kind=0))
    withdrawals = (minted(b"\1" * 20, 5), minted(b"\2" * 20, 0, index=2**64 - 1))
    assert decode_body(encode_body(transactions, withdrawals)) == (transactions, withdrawals)


def test_receipts_of_every_type_read_back() -> None:
    transactions = [
        read(transfer(RICH, 0, kind=0, max_fee=7 * GWEI)),
        read(transfer(RICH, 1, kind=1)),
        read(transfer(OTHER, 2, kind=2, to=None, tip=2 * GWEI)),
    ]
    stored = encode_receipts([receipt(0, 1, 21_000), receipt(1, 0, 51_000, LOG), receipt(2, 1, 172_000, LOG, LOG)])
    receipts = decode_receipts(stored, transactions, Wei(GWEI))
    assert [one.type for one in receipts] == [0, 1, 2]
    assert [one.succeeded for one in receipts] == [True, False, True]
    assert [one.gas_used for one in receipts] == [21_000, 30_000, 121_000]
    assert decode_gas_used(stored) == (21_000, 30_000, 121_000)
    assert [one.effective_gas_price for one in receipts] == [7 * GWEI, 100 * GWEI, 3 * GWEI]
    assert decode_logs(stored) == ((), (LOG,), (LOG, LOG)) == tuple(one.logs for one in receipts)
    assert {one.logs_bloom for one in receipts} == {BLOOM}
    assert [one.contract is not None for one in receipts] == [False, False, True]


def test_a_created_contract_has_the_known_address() -> None:
    """The first contract of this key's account stands, on every chain, at the address that tools show."""
    created = read(transfer(RICH, 0, to=None))
    (one,) = decode_receipts(encode_receipts([receipt(2, 1, 1)]), [created], Wei(0))
    assert one.contract is not None
    assert one.contract.hex() == "32dcab0ef3fb2de2fce1d2e0799d36239671f04a"


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda: decode_body(b"\xc0"), "body"),
        (lambda: decode_body(encode([[], [b"\xc0"]])), "body"),
        (lambda: read_header(b"", b"\xc0"), "header"),
        (lambda: decode_logs(b"\x80"), "receipts"),
        (lambda: decode_logs(encode([b""])), "receipts"),
        (lambda: decode_gas_used(encode([b"\xc0"])), "receipts"),
        (lambda: split_receipts(encode([[]])), "receipts"),
        (lambda: decode_receipts(encode([]), [read(transfer(RICH, 0))], Wei(0)), "receipts"),
    ],
)
def test_what_does_not_read_back_is_corruption(call: object, what: str) -> None:
    assert callable(call)
    with pytest.raises(Corrupt, match=rf"a record \({what}\) cannot be decoded"):
        call()
