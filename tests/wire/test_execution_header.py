"""Headers hash as Ethereum's do: held against the specification's own."""

import attrs
import pytest
from ethereum_rlp import rlp
from hypothesis import given
from hypothesis import strategies as st

from alysd.errors import Malformed
from alysd.types.block import ExecutionPayload, Withdrawal
from alysd.types.hashes import BlockHash, EvmAddress, PayloadHash
from alysd.types.units import Gwei, Height, Wei
from alysd.wire.execution_genesis import genesis_payload
from alysd.wire.execution_header import (
    EMPTY_OMMERS,
    block_hash_of,
    decode_header,
    encode_header,
    encode_withdrawal,
    header_of,
    with_hash,
)
from alysd.wire.keccak import keccak256
from alysd.wire.trie import EMPTY_ROOT
from tests.embedded.engine.kit import genesis
from tests.embedded.engine.stock import StockChain, stock_header

words = st.binary(min_size=32, max_size=32)
u64 = st.integers(0, 2**64 - 1)
addresses = st.binary(min_size=20, max_size=20).map(EvmAddress)
payloads = st.builds(
    ExecutionPayload,
    parent_hash=words.map(PayloadHash),
    fee_recipient=addresses,
    state_root=words,
    receipts_root=words,
    logs_bloom=st.binary(min_size=256, max_size=256),
    prev_randao=words,
    block_number=u64.map(Height),
    gas_limit=u64,
    gas_used=u64,
    timestamp=u64,
    extra_data=st.binary(max_size=32),
    base_fee_per_gas=st.integers(0, 2**256 - 1).map(Wei),
    block_hash=words.map(PayloadHash),
    transactions=st.lists(st.binary(max_size=40).map(lambda body: b"\x02" + body), max_size=3).map(tuple),
    withdrawals=st.lists(st.builds(Withdrawal, u64, u64, addresses, u64.map(Gwei)), max_size=3).map(tuple),
    blob_gas_used=u64,
    excess_blob_gas=u64,
)


@given(payloads, words)
def test_headers_are_the_specifications(payload: ExecutionPayload, beacon_root: bytes) -> None:
    header = header_of(payload, BlockHash(beacon_root))
    encoded = rlp.encode(stock_header(header))
    assert encoded == encode_header(header)
    assert header.hash == block_hash_of(payload, BlockHash(beacon_root)) == keccak256(encoded)
    assert decode_header(encoded) == header
    assert StockChain.block(payload, beacon_root).header == stock_header(header)


@given(payloads)
def test_a_withdrawal_is_the_specifications(payload: ExecutionPayload) -> None:
    stock = StockChain.block(payload, bytes(32)).withdrawals
    assert [rlp.encode(one) for one in stock] == [encode_withdrawal(one) for one in payload.withdrawals]


def test_the_constants_are_those_of_every_block_since_the_merge() -> None:
    assert EMPTY_OMMERS.hex() == "1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347"
    assert EMPTY_ROOT.hex() == "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"


@given(payloads)
def test_every_field_is_covered_by_the_hash(payload: ExecutionPayload) -> None:
    header = header_of(payload, BlockHash(bytes(32)))
    other = attrs.evolve(header, parent_beacon_block_root=BlockHash(b"\1" * 32))
    assert with_hash(other).hash != header.hash
    assert with_hash(header) == header


def test_what_a_header_cannot_hold_is_refused() -> None:
    header = header_of(genesis_payload(genesis()), BlockHash(bytes(32)))
    for change in (
        {"number": -1},
        {"number": 2**64},
        {"parent_hash": b""},
        {"logs_bloom": b""},
        {"base_fee": 2**256},
    ):
        with pytest.raises(Malformed):
            with_hash(attrs.evolve(header, **change))  # type: ignore[arg-type]
    with pytest.raises(Malformed, match="a list of 20 items"):
        decode_header(b"\xc0")
