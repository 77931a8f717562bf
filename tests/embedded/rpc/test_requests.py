"""The decoding of parameters."""

import re
from typing import Any

import pytest

from alysd.api.jsonrpc import RpcError
from alysd.embedded.engine.log_filter import LogFilter
from alysd.embedded.rpc.requests import (
    MAX_ALTERNATIVES,
    BlockAtHash,
    LogQuery,
    block_number,
    block_reference,
    call_arguments,
    log_query,
)
from alysd.errors import Malformed

HASH, OTHER = "0x" + "ab" * 32, "0x" + "cd" * 32
ADDRESS = "0x" + "12" * 20


@pytest.mark.parametrize("tag", ["latest", "pending", "safe", "finalized", "earliest"])
def test_a_block_has_a_tag(tag: str) -> None:
    assert block_number(tag) == tag
    assert block_reference(tag) == tag


def test_a_block_has_a_number_or_a_hash() -> None:
    assert block_number("0x10") == 16
    assert block_reference("0x10") == 16
    assert block_reference(HASH) == BlockAtHash(hash=_hash(HASH))
    assert block_reference({"blockNumber": "0x10"}) == 16
    assert block_reference({"blockHash": HASH}) == BlockAtHash(_hash(HASH))
    assert block_reference({"blockHash": HASH, "requireCanonical": True}) == BlockAtHash(
        _hash(HASH), canonical=True
    )


def _hash(written: str) -> Any:
    return bytes.fromhex(written[2:])


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("newest", "must start with 0x, got 'newest'"),
        (5, "must be a string, got a number"),
        ({}, "needs either blockNumber or blockHash"),
        ({"blockNumber": "0x1", "blockHash": HASH}, "needs either blockNumber or blockHash"),
        ({"blockNumber": "x"}, "blockNumber: must start with 0x, got 'x'"),
        ({"blockHash": "0x12"}, "a hash must have 32 bytes, got 1"),
        ({"blockHash": HASH, "requireCanonical": 1}, "requireCanonical: must be true or false, got a number"),
    ],
)
def test_what_is_no_block_is_said(value: Any, words: str) -> None:
    with pytest.raises(Malformed) as caught:
        block_reference(value)
    assert str(caught.value) == words


def test_a_call_may_leave_everything_out() -> None:
    found = call_arguments({})
    assert (found.sender, found.to, found.gas, found.gas_price, found.max_fee) == (
        bytes(20),
        None,
        None,
        None,
        None,
    )
    assert (found.value, found.data, found.access_list) == (0, b"", ())


def test_a_call_is_read_whole() -> None:
    found = call_arguments(
        {
            "from": ADDRESS,
            "to": ADDRESS,
            "gas": "0x5208",
            "maxFeePerGas": "0x10",
            "maxPriorityFeePerGas": "0x1",
            "value": "0x2",
            "data": "0x0102",
            "accessList": [{"address": ADDRESS, "storageKeys": [HASH]}, {"address": ADDRESS}],
        }
    )
    account = b"\x12" * 20
    assert (found.sender, found.to, found.gas) == (account, account, 21_000)
    assert (found.max_fee, found.max_priority_fee, found.value, found.data) == (16, 1, 2, b"\1\2")
    assert found.access_list == ((account, (_hash(HASH),)), (account, ()))


def test_data_has_two_names() -> None:
    assert call_arguments({"input": "0x01"}).data == b"\1"
    assert call_arguments({"data": "0x01"}).data == b"\1"
    assert call_arguments({"input": "0x01", "data": "0x02"}).data == b"\1", "geth takes the newer name"
    assert call_arguments({"input": "0x", "data": "0x02"}).data == b""


@pytest.mark.parametrize("nobody", ["", "0x", None])
def test_a_creation_has_no_recipient(nobody: str | None) -> None:
    assert call_arguments({"to": nobody, "data": "0x00"}).to is None


WRONG_CALLS: list[tuple[Any, str]] = [
    ([], "must be an object, got an array"),
    ({"to": "0x12"}, "to: an EVM address must have 20 bytes, got 1"),
    ({"gas": "0x10000000000000000"}, "gas: must be at most 0xffffffffffffffff"),
    ({"blobVersionedHashes": [HASH]}, "blobs and authorization lists are not supported"),
    ({"accessList": {}}, "accessList: must be an array, got an object"),
    ({"accessList": [5]}, "accessList: must be an object, got a number"),
    ({"accessList": [{}]}, "accessList: must be a string, got null"),
    ({"accessList": [{"address": ADDRESS}] * 1001}, "accessList: has at most 1000 entries, got 1001"),
]


@pytest.mark.parametrize(("value", "words"), WRONG_CALLS)
def test_what_is_wrong_in_a_call_is_named(value: Any, words: str) -> None:
    with pytest.raises(Malformed) as caught:
        call_arguments(value)
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize(
    ("decode", "value", "words"),
    [
        (call_arguments, {"gasPrice": "0x1", "maxFeePerGas": "0x1"}, "both gasPrice and (maxFeePerGas or"),
        (log_query, {"address": [ADDRESS] * (MAX_ALTERNATIVES + 1)}, "exceed max addresses or topics per search"),
    ],
)
def test_what_geth_refuses_with_another_code_is_refused_with_it(decode: Any, value: Any, words: str) -> None:
    with pytest.raises(RpcError, match=re.escape(words)) as caught:
        decode(value)
    assert caught.value.code == -32000


def test_logs_of_the_latest_block_are_meant_unless_said() -> None:
    assert log_query({}) == LogQuery(LogFilter())


def test_logs_are_meant_by_address_topics_and_range() -> None:
    topics: list[Any] = [HASH, None, [HASH, OTHER], []]
    addresses = [ADDRESS, "0x" + "34" * 20]
    query = log_query({"address": addresses, "topics": topics, "fromBlock": "0x1", "toBlock": "finalized"})
    assert query.wanted.addresses == {b"\x12" * 20, b"\x34" * 20}
    assert query.wanted.topics == ({_hash(HASH)}, None, {_hash(HASH), _hash(OTHER)}, None)
    assert (query.first, query.last, query.at) == (1, "finalized", None)


def test_logs_of_one_block_are_meant_by_its_hash() -> None:
    query = log_query({"blockHash": HASH, "address": ADDRESS, "topics": [[None, HASH]]})
    assert (query.at, query.wanted.addresses, query.wanted.topics) == (_hash(HASH), {b"\x12" * 20}, (None,))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "must be an object, got null"),
        ({"blockHash": HASH, "fromBlock": "0x1"}, "cannot specify both BlockHash and FromBlock/ToBlock"),
        ({"address": 5}, "address: must be a string, got a number"),
        ({"topics": HASH}, "topics: must be an array, got a string"),
        ({"topics": [None] * 5}, "topics: has at most 4 entries, got 5"),
        ({"topics": [[HASH] * (MAX_ALTERNATIVES + 1)]}, "topics: has at most 1000 entries"),
        ({"topics": ["0x12"]}, "topics: a hash must have 32 bytes, got 1"),
        ({"fromBlock": {"blockNumber": "0x1"}}, "fromBlock: must be a string, got an object"),
    ],
)
def test_what_is_wrong_in_a_log_query_is_named(value: Any, words: str) -> None:
    with pytest.raises(Malformed) as caught:
        log_query(value)
    assert str(caught.value).startswith(words)
