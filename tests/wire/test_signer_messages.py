"""The messages between a node and its signer, and the blocks of which a signer sees some parts."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alysd.errors import Malformed
from alysd.testing.chain import peg_chain_spec
from alysd.testing.peg import any_proposal, confirmed, peg_in
from alysd.types.block import Block
from alysd.types.hashes import BitcoinHash, BlockHash, SchnorrSignature, XOnlyKey
from alysd.types.peg import MAX_INPUTS, PegContents, PegSignature
from alysd.types.units import Height
from alysd.wire.block_ssz import block_hash
from alysd.wire.following import PEG_VIEW, peg_view, peg_view_hash, work_view, work_view_hash
from alysd.wire.signer_messages import (
    LENGTH_BYTES,
    MAX_REASON,
    MAX_VIEWS,
    VERSION,
    AskKnown,
    AskSignature,
    Known,
    Message,
    SendViews,
    SignerRefusal,
    decode_message,
    encode_message,
    most_frame_bytes,
    refuse,
)
from tests.peg.final_chain import FinalChain
from tests.wire.block_strategies import blocks

HASH = BlockHash(bytes(range(32)))
CONTENTS = PegContents((peg_in("one", 300_000, 400_000),), any_proposal(), (), (confirmed("x"),))
RANGE = FinalChain.of(peg_chain_spec(3)).final(CONTENTS, PegContents())
MESSAGES: list[Message] = [
    AskKnown(VERSION, HASH),
    RANGE.step,
    SendViews(RANGE.views),
    SendViews(()),
    AskSignature(BitcoinHash(HASH)),
    Known(VERSION, HASH, XOnlyKey(HASH), Height(2**40), HASH, 5),
    PegSignature(BitcoinHash(HASH), XOnlyKey(HASH), (SchnorrSignature(bytes(64)),) * MAX_INPUTS),
    refuse(SignerRefusal.FORBIDDEN, "no payment"),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_what_is_encoded_is_decoded(message: Message) -> None:
    frame = encode_message(message)
    assert int.from_bytes(frame[:LENGTH_BYTES], "little") == len(frame) - LENGTH_BYTES
    assert decode_message(frame[LENGTH_BYTES:]) == message


@given(st.sampled_from(MESSAGES), st.data())
def test_other_bytes_are_malformed_or_another_message(message: Message, data: st.DataObject) -> None:
    """A client that sends garbage gets an answer; no other error may rise."""
    content = bytearray(encode_message(message)[LENGTH_BYTES:])
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] ^= data.draw(st.integers(1, 255))
    cut = bytes(content[: data.draw(st.integers(0, len(content)))])
    for given_bytes in (bytes(content), cut):
        try:
            found = decode_message(given_bytes)
        except Malformed:
            continue
        assert encode_message(found)[LENGTH_BYTES:] == given_bytes, "a message has one encoding"


@pytest.mark.parametrize("content", [b"", b"\x00", b"\x05abc", b"\xff"])
def test_unknown_kinds_are_malformed(content: bytes) -> None:
    with pytest.raises(Malformed, match="unknown kind"):
        decode_message(content)


def test_a_reason_is_cut() -> None:
    """Also in the midst of a character of several bytes."""
    reason = refuse(SignerRefusal.NOT_FOLLOWED, "ä" * MAX_REASON).reason
    assert len(reason) == MAX_REASON
    assert refuse(SignerRefusal.NOT_FOLLOWED, "x" + "ä" * MAX_REASON).reason.decode()[-1] == "ä"


def test_a_frame_has_room_for_the_largest_messages() -> None:
    """Otherwise a signer could never follow a chain after a long time without a proof, or with large blocks."""
    spec = peg_chain_spec(3, max_blocks_without_auxpow=10_000)
    most = most_frame_bytes(spec)
    step = attrs.evolve(RANGE.step, hashes=(HASH,) * 10_001)
    assert len(encode_message(step)) + 2**17 < most
    deposits = tuple(peg_in(f"deposit {place}", *[300_000] * 64) for place in range(64))
    largest = attrs.evolve(RANGE.views[0], peg_ins=deposits)
    assert 2**19 + len(PEG_VIEW.encode(largest)) + 4 * MAX_VIEWS < most


@given(blocks)
def test_the_views_of_a_block_have_its_hash(block: Block) -> None:
    """A view with another hash would prove nothing."""
    identity = block_hash(block)
    assert peg_view_hash(peg_view(block)) == work_view_hash(work_view(block)) == identity
    assert peg_view_hash(attrs.evolve(peg_view(block), payload=bytes(32))) != identity
