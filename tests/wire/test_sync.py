"""Requests of peers and their answers as bytes: exact, bounded, and without a hash before it is wanted."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alysd.errors import Malformed
from alysd.testing.blocks import make_payload
from alysd.types.block import Block, SignedBlock
from alysd.types.hashes import BlockHash
from alysd.types.peers import PeerStatus
from alysd.types.proposal import Proposal
from alysd.types.units import Height, Slot
from alysd.wire.block_ssz import MAX_ENCODED_BYTES, EncodedBlock, block_hash, encode_block
from alysd.wire.gossip import decode_proposal
from alysd.wire.sync import (
    MAX_ANSWER_BYTES,
    MAX_MILLISECONDS,
    MAX_PROPOSALS,
    MAX_RANGE_BLOCKS,
    MAX_REQUEST_BYTES,
    MAX_RESPONSE_BYTES,
    MAX_ROOTS,
    STATUS_BYTES,
    RangeRequest,
    decode_blocks,
    decode_range_request,
    decode_roots_request,
    decode_since_request,
    decode_status,
    encode_blocks,
    encode_proposals,
    encode_range_request,
    encode_roots_request,
    encode_since_request,
    encode_status,
    split_proposals,
)
from tests.wire.block_strategies import APPROVALS, proposals, signed_blocks
from tests.wire.counted_calls import calls

_hash = st.binary(min_size=32, max_size=32).map(BlockHash)
_u64 = st.integers(0, 2**64 - 1)
_height = _u64.map(Height)
statuses = st.builds(
    PeerStatus,
    genesis=_hash,
    head=_hash,
    head_height=_height,
    head_slot=_u64.map(Slot),
    committed=_hash,
    committed_height=_height,
    finalized=_hash,
    finalized_height=_height,
    time=st.integers(0, MAX_MILLISECONDS - 1).map(lambda milliseconds: milliseconds / 1000),
)
range_requests = st.builds(RangeRequest, _height, st.integers(1, MAX_RANGE_BLOCKS))
messages: st.SearchStrategy[tuple[bytes, Callable[[bytes], Any], Callable[[Any], bytes]]] = st.one_of(
    statuses.map(lambda value: (encode_status(value), decode_status, encode_status)),
    range_requests.map(lambda value: (encode_range_request(value), decode_range_request, encode_range_request)),
    st.lists(_hash, max_size=5).map(
        lambda value: (encode_roots_request(value), decode_roots_request, encode_roots_request)
    ),
    _u64.map(lambda value: (encode_since_request(Slot(value)), decode_since_request, encode_since_request)),
    st.lists(signed_blocks, max_size=3).map(
        lambda value: (answer_of(value), signed_of, answer_of)
    ),
    st.lists(proposals, max_size=3).map(
        lambda value: (encode_proposals(value), proposals_of, encode_proposals)
    ),
)  # fmt: skip


def answer_of(blocks: Sequence[SignedBlock]) -> bytes:
    return encode_blocks([encode_block(one) for one in blocks])


def decoded(data: bytes) -> Sequence[EncodedBlock]:
    return decode_blocks(data, MAX_RANGE_BLOCKS)


def signed_of(data: bytes) -> Sequence[SignedBlock]:
    return [one.signed() for one in decoded(data)]


def proposals_of(data: bytes) -> Sequence[Proposal]:
    return [decode_proposal(one, MAX_ANSWER_BYTES) for one in split_proposals(data)]


def block_of(size: int) -> SignedBlock:
    """A block with one transaction of `size` bytes."""
    block = Block(BlockHash(bytes(32)), Slot(7), make_payload(transactions=(bytes(size),)))
    return SignedBlock(BlockHash(bytes(32)), block, APPROVALS)


EMPTY = SignedBlock(BlockHash(bytes(32)), Block(BlockHash(bytes(32)), Slot(7), make_payload()), APPROVALS)


@given(statuses)
def test_a_status_survives_the_journey(status: PeerStatus) -> None:
    data = encode_status(status)
    assert len(data) == STATUS_BYTES
    assert decode_status(data) == status


@given(range_requests, st.lists(_hash, max_size=MAX_ROOTS), _u64)
def test_requests_survive_the_journey(wanted: RangeRequest, roots: list[BlockHash], since: int) -> None:
    assert decode_range_request(encode_range_request(wanted)) == wanted
    assert decode_roots_request(encode_roots_request(roots)) == tuple(roots)
    assert len(encode_roots_request(roots)) <= MAX_REQUEST_BYTES
    assert decode_since_request(encode_since_request(Slot(since))) == since


@given(st.lists(signed_blocks, max_size=4), st.lists(proposals, max_size=4))
def test_answers_survive_the_journey(some: list[SignedBlock], proposed: list[Proposal]) -> None:
    assert signed_of(answer_of(some)) == some
    assert proposals_of(encode_proposals(proposed)) == proposed


@given(messages, st.data())
def test_changed_bytes_are_another_message_or_malformed(message: Any, data: st.DataObject) -> None:
    encoded, decode, encode = message
    raw = bytearray(encoded)
    for _ in range(data.draw(st.integers(0, 3)) if raw else 0):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(raw[: data.draw(st.integers(len(raw) // 2, len(raw)))])
    for candidate in (bytes(raw), cut):
        try:
            decoded = decode(candidate)
        except Malformed:
            continue
        assert encode(decoded) == candidate


def test_a_time_outside_its_bounds_is_refused_both_ways() -> None:
    late = bytes(STATUS_BYTES - 8) + MAX_MILLISECONDS.to_bytes(8, "little")
    with pytest.raises(Malformed, match="a time must be below"):
        decode_status(late)
    with pytest.raises(Malformed, match="a time must be below"):
        encode_status(PeerStatus(*[Height(0)] * 8, time=-1.0))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("count", [0, MAX_RANGE_BLOCKS + 1])
def test_a_range_has_at_least_one_block_and_not_too_many(count: int) -> None:
    with pytest.raises(Malformed, match=f"1 to {MAX_RANGE_BLOCKS} blocks"):
        encode_range_request(RangeRequest(Height(1), count))
    with pytest.raises(Malformed, match=f"1 to {MAX_RANGE_BLOCKS} blocks"):
        decode_range_request((1).to_bytes(8, "little") + count.to_bytes(2, "little"))


def test_counts_are_bounded_before_an_element_is_decoded() -> None:
    with pytest.raises(Malformed, match=f"at most {MAX_ROOTS} elements"):
        decode_roots_request(bytes(32 * (MAX_ROOTS + 1)))
    for decode, most in ((decoded, MAX_RANGE_BLOCKS), (split_proposals, MAX_PROPOSALS)):
        count = most + 1
        data = (4 * count).to_bytes(4, "little") * count
        with pytest.raises(Malformed, match=f"at most {most} elements"):
            decode(data)


def test_an_answer_with_more_blocks_than_asked_for_is_not_decoded() -> None:
    """For one wanted block, a peer sent 4 MiB of others: 0.2 s of this node's processor."""
    data = answer_of([EMPTY] * 3)
    assert len(decode_blocks(data, 3)) == 3
    with pytest.raises(Malformed, match="at most 2 elements expected, found 3"):
        decode_blocks(data[:12] + bytes(len(data) - 12), 2)


def test_no_hash_is_made_before_it_is_wanted() -> None:
    """A peer that sends 4 MiB of small transactions would otherwise take 9 s of this node's processor."""
    blocks, proposed = answer_of([EMPTY] * 3), encode_proposals([Proposal(EMPTY, APPROVALS)] * 3)
    assert calls(lambda: decoded(blocks))["openssl_sha256"] == 0
    assert calls(lambda: split_proposals(proposed))["openssl_sha256"] == 0


def test_an_answer_has_as_many_blocks_as_fit() -> None:
    quarter = block_of(MAX_RESPONSE_BYTES // 4)
    data = answer_of([quarter] * 5)
    assert len(data) <= MAX_RESPONSE_BYTES
    assert len(decoded(data)) == 3
    assert len(split_proposals(encode_proposals([Proposal(quarter, None)] * 5))) == 3
    assert len(decoded(answer_of([EMPTY] * (MAX_RANGE_BLOCKS + 1)))) == MAX_RANGE_BLOCKS


def test_a_large_block_is_alone_in_its_answer() -> None:
    """Blocks above 4 MiB are valid. If no answer could contain one, no node could follow the chain past it."""
    large = block_of(MAX_RESPONSE_BYTES)
    assert len(decoded(answer_of([large, EMPTY]))) == 1
    assert len(decoded(answer_of([EMPTY, large]))) == 1
    data = encode_proposals([Proposal(block_of(MAX_ENCODED_BYTES - 2000), APPROVALS)])
    assert len(data) <= MAX_ANSWER_BYTES
    assert len(split_proposals(data)) == 1


def test_an_answer_is_bounded_before_anything_is_read() -> None:
    with pytest.raises(Malformed, match=f"at most {MAX_ANSWER_BYTES} bytes"):
        decoded(bytes(MAX_ANSWER_BYTES + 1))
    with pytest.raises(Malformed, match=f"several elements must have at most {MAX_RESPONSE_BYTES} bytes"):
        decoded(b"\x08\0\0\0" + bytes(MAX_RESPONSE_BYTES))


def test_the_hash_of_a_decoded_block_is_computed_from_it() -> None:
    (one,) = decoded(answer_of([EMPTY]))
    assert one.signed().hash == block_hash(EMPTY.block)
