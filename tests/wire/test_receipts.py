"""Receipts: read strictly, encoded as the receipts' trie has them, and believed only under the payload's root."""

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alysd.errors import Malformed
from alysd.testing.blocks import make_payload
from alysd.testing.engine import transfer_receipts
from alysd.wire.receipts import MAX_LOGS, encode_receipt, proven_gas, receipts_from_json
from alysd.wire.rlp import encode
from alysd.wire.trie import indexed_root

PAYLOAD = make_payload(transactions=(b"\x01", b"\x02"), receipts_root=indexed_root(transfer_receipts(2)))
ONE = attrs.evolve(PAYLOAD, transactions=PAYLOAD.transactions[:1])
BLOOM = bytes(255) + b"\x01"
LOG = {"address": "0x" + "aa" * 20, "topics": ["0x" + "01" * 32, "0x" + "02" * 32], "data": "0x0304"}


def receipt(index: int, cumulative: int, **changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "blockHash": "0x" + PAYLOAD.block_hash.hex(),
        "transactionIndex": hex(index),
        "type": "0x0",
        "status": "0x1",
        "cumulativeGasUsed": hex(cumulative),
        "logsBloom": "0x" + "00" * 256,
        "logs": [],
        "gasUsed": "0x4e3b29200",  # not in the trie, so it is not read
    }
    return fields | changes


def test_receipts_are_encoded_as_in_the_trie() -> None:
    answer = [receipt(0, 21_000), receipt(1, 42_000)]
    assert receipts_from_json(answer, PAYLOAD) == transfer_receipts(2)
    assert proven_gas(transfer_receipts(2), PAYLOAD) == (21_000, 21_000)


def test_type_status_bloom_and_logs_are_part_of_a_receipt() -> None:
    answer = [receipt(0, 9, type="0x2", status="0x0", logs=[LOG], logsBloom="0x" + BLOOM.hex())]
    log = [b"\xaa" * 20, [b"\x01" * 32, b"\x02" * 32], b"\x03\x04"]
    expected = b"\x02" + encode([b"", b"\x09", BLOOM, [log]])
    assert receipts_from_json(answer, ONE) == (expected,)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ([receipt(0, 1)], "expected 2 receipts, found 1"),
        (
            [receipt(1, 1), receipt(0, 1)],
            r"receipts\[0\]: the receipt must have blockHash .* and transactionIndex 0, found .* and 0x1",
        ),
        (
            [receipt(0, 1), receipt(1, 1, blockHash="0x" + "77" * 32)],
            r"receipts\[1\]: the receipt must have blockHash .* and transactionIndex 1, found 0x7777",
        ),
        ([receipt(0, 1), 5], r"receipts\[1\]: not a JSON object"),
        ([receipt(0, 1), receipt(1, 1, logs=[5])], r"receipts\[1\].logs: not a JSON object"),
        ([receipt(0, 1), receipt(1, 1, logs=[{}] * (MAX_LOGS + 1))], "logs: 262145 items"),
        (
            [receipt(0, 1), receipt(1, 1, logs=[{**LOG, "topics": ["0x"] * 5}])],
            "topics: 5 items; at most 4 are allowed",
        ),
        ([receipt(0, 1), receipt(1, 1, logs=[{**LOG, "topics": ["0x"]}])], "topics: 0 bytes instead of 32"),
        ([receipt(0, 1), receipt(1, 1, logsBloom="0x")], "logsBloom: 0 bytes instead of 256"),
        (None, "receipts: not a list"),
    ],
)
def test_receipts_of_something_else_are_refused(answer: object, words: str) -> None:
    """A client that answers for its own branch would make this node's fees differ from everybody's."""
    with pytest.raises(Malformed, match=words):
        receipts_from_json(answer, PAYLOAD)


@pytest.mark.parametrize(
    ("receipts", "words"),
    [
        ((), "expected 2 receipts, found 0"),
        (transfer_receipts(3), "expected 2 receipts, found 3"),
        (transfer_receipts(2)[::-1], "receipts root: expected "),
        (
            (*transfer_receipts(1), encode_receipt(0, 1, 21_000 * 10**6, bytes(256), [])),
            "receipts root: expected ",
        ),
        ((*transfer_receipts(1), b""), "must not be empty"),
    ],
    ids=["none", "too many", "exchanged", "another gas", "empty"],
)
def test_receipts_that_the_root_does_not_cover_are_not_believed(receipts: tuple[bytes, ...], words: str) -> None:
    with pytest.raises(Malformed, match=words):
        proven_gas(receipts, PAYLOAD)


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (encode_receipt(0, 1, 20_000, bytes(256), []), "decreases"),
        (encode([b"\x01", b"\x05"]), "a list of 4 items"),
        (encode([b"\x01", b"\x01" * 9, b"", []]), "at most 64 bits"),
        (b"\x02", "ends at byte 0, before the item"),
    ],
    ids=["less gas in total", "fields missing", "too large", "no fields"],
)
def test_a_root_over_nonsense_proves_nothing(second: bytes, words: str) -> None:
    """The author's client computes the root: a member with a broken one must not decide what is minted."""
    receipts = (*transfer_receipts(1), second)
    with pytest.raises(Malformed, match=words):
        proven_gas(receipts, attrs.evolve(PAYLOAD, receipts_root=indexed_root(receipts)))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2**40)), max_size=20))
def test_the_gas_of_receipts_adds_up_to_the_last_sum(found: list[tuple[int, int]]) -> None:
    sums = [sum(gas for _, gas in found[: at + 1]) for at in range(len(found))]
    receipts = [encode_receipt(kind, 1, total, BLOOM, []) for (kind, _), total in zip(found, sums, strict=True)]
    payload = attrs.evolve(PAYLOAD, transactions=(b"\x01",) * len(found), receipts_root=indexed_root(receipts))
    assert proven_gas(receipts, payload) == tuple(gas for _, gas in found)


FIELD: st.SearchStrategy[Any] = st.sampled_from(("0x", "0x0", "0x1", "0x" + "00" * 32, 5, None, [], [{}]))
RECEIPT: st.SearchStrategy[Any] = st.fixed_dictionaries({}, optional=dict.fromkeys(receipt(0, 1), FIELD))


@given(st.none() | st.lists(st.integers() | RECEIPT, max_size=2))
def test_any_json_is_read_or_malformed(value: object) -> None:
    """An error of any other type would crash the actor for what a client said."""
    with pytest.raises(Malformed):
        receipts_from_json(value, ONE)
