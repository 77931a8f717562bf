"""The Engine API's JSON: what is written reads back, and nothing that is wrong gets through."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alysd.errors import Malformed
from alysd.types.block import ExecutionPayload, PayloadAttributes, Withdrawal
from alysd.types.hashes import BlockHash, EvmAddress, PayloadHash
from alysd.types.units import Gwei, Height, Wei
from alysd.types.verdict import Invalid, Syncing, Valid, Verdict
from alysd.wire import engine_json
from tests.wire.samples import PAYLOAD


def exactly(length: int) -> st.SearchStrategy[Any]:
    return st.binary(min_size=length, max_size=length)


NUMBERS = st.integers(0, 2**64 - 1)

WITHDRAWALS = st.builds(
    Withdrawal,
    index=NUMBERS,
    validator_index=NUMBERS,
    address=exactly(20).map(EvmAddress),
    amount=NUMBERS.map(Gwei),
)

PAYLOADS = st.builds(
    ExecutionPayload,
    parent_hash=exactly(32).map(PayloadHash),
    fee_recipient=exactly(20).map(EvmAddress),
    state_root=exactly(32),
    receipts_root=exactly(32),
    logs_bloom=exactly(256),
    prev_randao=exactly(32),
    block_number=NUMBERS.map(Height),
    gas_limit=NUMBERS,
    gas_used=NUMBERS,
    timestamp=NUMBERS,
    extra_data=st.binary(max_size=32),
    base_fee_per_gas=st.integers(0, 2**256 - 1).map(Wei),
    block_hash=exactly(32).map(PayloadHash),
    transactions=st.lists(st.binary(max_size=40), max_size=3).map(tuple),
    withdrawals=st.lists(WITHDRAWALS, max_size=3).map(tuple),
    blob_gas_used=NUMBERS,
    excess_blob_gas=NUMBERS,
)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["0x", "0x0", "VALID"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(payload=PAYLOADS)
def test_payload_comes_back_as_it_was(payload: ExecutionPayload) -> None:
    """A field that changed on the way would change the block's hash, and no client would take the block."""
    assert engine_json.payload_from_json(json.loads(json.dumps(engine_json.payload_to_json(payload)))) == payload


def test_payload_has_the_names_and_forms_of_the_api() -> None:
    """Written from the specification's list of fields: a misspelt one is silently missing to some clients."""
    assert engine_json.payload_to_json(PAYLOAD) == {
        "parentHash": "0x" + "01" * 32,
        "feeRecipient": "0x" + "02" * 20,
        "stateRoot": "0x" + "03" * 32,
        "receiptsRoot": "0x" + "04" * 32,
        "logsBloom": "0x" + "05" * 256,
        "prevRandao": "0x" + "06" * 32,
        "blockNumber": "0x7",
        "gasLimit": "0x1c9c380",
        "gasUsed": "0x5208",
        "timestamp": "0x6553f100",
        "extraData": "0x67657468",
        "baseFeePerGas": "0x3b9aca00",
        "blockHash": "0x" + "08" * 32,
        "transactions": ["0x0209"],
        "withdrawals": [{"index": "0x1", "validatorIndex": "0x0", "address": "0x" + "0a" * 20, "amount": "0x5"}],
        "blobGasUsed": "0x0",
        "excessBlobGas": "0x0",
    }


WRONG: list[tuple[str, object, str]] = [
    ("parentHash", "0x" + "01" * 31, "parentHash: 31 bytes instead of 32"),
    ("parentHash", "0x" + "01" * 33, "parentHash: 33 bytes, more than 32"),
    ("parentHash", "01" * 32, "does not begin with 0x"),
    ("parentHash", "0x" + "zz" * 32, "parentHash: not hex"),
    ("parentHash", None, "parentHash: not a string"),
    ("logsBloom", "0x", "logsBloom: 0 bytes instead of 256"),
    ("extraData", "0x" + "00" * 33, "extraData: 33 bytes, more than 32"),
    ("blockNumber", 7, "blockNumber: not a string"),
    ("blockNumber", "7", "blockNumber: '7' is not a quantity"),
    ("blockNumber", "0x", "is not a quantity"),
    ("blockNumber", "0x07", "leading zeros"),
    ("blockNumber", "0x-7", "is not a quantity"),
    ("blockNumber", "0x1_0", "is not a quantity"),
    ("blockNumber", "0x٧", "is not a quantity"),
    ("blockNumber", "0x1" + "0" * 16, "blockNumber: 19 characters, but a quantity of 64 bits has at most 18"),
    ("baseFeePerGas", "0x1" + "0" * 64, "baseFeePerGas: 67 characters, but a quantity of 256 bits has at most 66"),
    ("transactions", "0x", "transactions: not a list"),
    ("transactions", ["0x02", 5], r"transactions\[1\]: not a string"),
    ("transactions", ["0x0"], r"transactions\[0\]: not hex"),
    ("withdrawals", None, "withdrawals: not a list"),
    ("withdrawals", [[]], r"withdrawals\[0\]: not a JSON object"),
    ("withdrawals", [{}], "index: not a string"),
]


@pytest.mark.parametrize(("key", "value", "words"), WRONG)
def test_wrong_field_is_named(key: str, value: object, words: str) -> None:
    """An operator with a client that answers nonsense must learn which field it is."""
    fields = engine_json.payload_to_json(PAYLOAD) | {key: value}
    with pytest.raises(Malformed, match=words):
        engine_json.payload_from_json(fields)


@pytest.mark.parametrize("key", sorted(engine_json.payload_to_json(PAYLOAD)))
def test_every_field_is_wanted(key: str) -> None:
    """A payload of an older fork lacks fields; taken for a Cancun one it would fail later and worse."""
    fields = engine_json.payload_to_json(PAYLOAD)
    del fields[key]
    with pytest.raises(Malformed, match=key):
        engine_json.payload_from_json(fields)


def test_fields_of_the_clients_own_are_left_alone() -> None:
    """The API grows; a new field must not stop the node."""
    fields = engine_json.payload_to_json(PAYLOAD) | {"newField": "0x1"}
    assert engine_json.built_payload_from_json({"executionPayload": fields, "blockValue": "0x0"}) == PAYLOAD


def test_too_many_transactions_are_not_read() -> None:
    """Memory for what no gas limit allows is not spent."""
    fields = engine_json.payload_to_json(PAYLOAD) | {"transactions": ["0x"] * (engine_json.MAX_TRANSACTIONS + 1)}
    with pytest.raises(Malformed, match="4097 items; at most 4096 are allowed"):
        engine_json.payload_from_json(fields)


@given(value=JSON)
def test_any_json_is_read_or_malformed(value: object) -> None:
    """An error of any other type would crash the actor for what a client said."""
    readers: list[Callable[[object], object]] = [
        engine_json.payload_from_json,
        engine_json.built_payload_from_json,
        engine_json.forkchoice_from_json,
        engine_json.verdict_from_json,
        engine_json.block_from_json,
    ]
    for read in readers:
        with pytest.raises(Malformed):
            read(value)


def test_attributes_have_the_names_and_forms_of_the_api() -> None:
    """The parent is no attribute: it is the head of the forkchoice state that goes with them."""
    attributes = PayloadAttributes(
        parent=PayloadHash(b"\x01" * 32),
        parent_beacon_block_root=BlockHash(b"\x02" * 32),
        timestamp=10,
        prev_randao=b"\x03" * 32,
        fee_recipient=EvmAddress(b"\x04" * 20),
        withdrawals=PAYLOAD.withdrawals,
    )
    assert engine_json.attributes_to_json(attributes) == {
        "timestamp": "0xa",
        "prevRandao": "0x" + "03" * 32,
        "suggestedFeeRecipient": "0x" + "04" * 20,
        "withdrawals": engine_json.payload_to_json(PAYLOAD)["withdrawals"],
        "parentBeaconBlockRoot": "0x" + "02" * 32,
    }


def test_forkchoice_state_has_the_names_of_the_api() -> None:
    """Head and final block exchanged would make the client drop what it should keep."""
    head, safe, final = (PayloadHash(bytes([mark]) * 32) for mark in (1, 2, 3))
    assert engine_json.forkchoice_to_json(head, safe, final) == {
        "headBlockHash": "0x" + "01" * 32,
        "safeBlockHash": "0x" + "02" * 32,
        "finalizedBlockHash": "0x" + "03" * 32,
    }


@pytest.mark.parametrize(
    ("identity", "expected"), [(None, None), ("0x0000000000000007", bytes(7) + b"\x07")], ids=["none", "one"]
)
def test_forkchoice_answer(identity: str | None, expected: bytes | None) -> None:
    """Without the identity there is no payload to fetch; taken for one, null would be asked for."""
    answer = {"payloadStatus": {"status": "VALID", "latestValidHash": None}, "payloadId": identity}
    assert engine_json.forkchoice_from_json(answer) == (Valid(), expected)


def test_forkchoice_answer_with_a_wrong_identity() -> None:
    """Eight bytes are what every client gives; what is sent back to it is not anything it likes."""
    with pytest.raises(Malformed, match="payloadId: 1 bytes instead of 8"):
        engine_json.forkchoice_from_json({"payloadStatus": {"status": "VALID"}, "payloadId": "0x07"})


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        ("VALID", Valid()),
        ("INVALID", Invalid("bad state root")),
        ("INVALID_BLOCK_HASH", Invalid("bad state root")),
        ("SYNCING", Syncing()),
        ("ACCEPTED", Syncing()),
    ],
)
def test_verdict(status: str, verdict: Verdict) -> None:
    """The reason is what an operator sees of a block that two implementations judge differently."""
    answer = {"status": status, "latestValidHash": None, "validationError": "bad\nstate root"}
    assert engine_json.verdict_from_json(answer) == verdict


def test_verdict_without_a_reason() -> None:
    """The error that a refused block makes must not end in nothing."""
    answer = {"status": "INVALID", "validationError": None}
    assert engine_json.verdict_from_json(answer) == Invalid("the execution client gives no reason")


def test_long_reason_is_cut() -> None:
    """Reasons go into logs and errors: a client must not be able to flood them."""
    verdict = engine_json.verdict_from_json({"status": "INVALID", "validationError": "x" * 10_000})
    assert verdict == Invalid("x" * engine_json.MAX_REASON)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"status": "GOOD"}, "'GOOD' is not a payload status"),
        ({"status": "VALID", "validationError": 5}, "not a string"),
    ],
)
def test_wrong_verdict(answer: dict[str, object], words: str) -> None:
    """An unknown status must not count as VALID."""
    with pytest.raises(Malformed, match=words):
        engine_json.verdict_from_json(answer)


def test_block_of_a_lookup() -> None:
    """The genesis is compared by this hash."""
    answer = {"hash": "0x" + "08" * 32, "number": "0x7", "difficulty": "0x0"}
    assert engine_json.block_from_json(answer) == (PAYLOAD.block_hash, 7)
