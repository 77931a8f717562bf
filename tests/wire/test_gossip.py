"""Gossip as bytes: what one node encodes, another decodes; anything else is refused before it costs anything."""

from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alysd.errors import Malformed
from alysd.testing.blocks import make_payload
from alysd.types.auxpow import AuxPowHeader
from alysd.types.block import Block, SignedBlock
from alysd.types.hashes import BitcoinHash, BlockHash, BlsSignature, EvmAddress, SchnorrSignature, XOnlyKey
from alysd.types.peg import MAX_INPUTS, PegSignature
from alysd.types.proposal import Proposal, RecoveryStatement, SlotApproval
from alysd.types.slot_proof import SlotProof
from alysd.types.units import Slot
from alysd.wire.block_ssz import block_hash
from alysd.wire.gossip import (
    APPROVAL_BYTES,
    MAX_PEG_SIGNATURE_BYTES,
    MAX_PROOF_BYTES,
    MAX_PROPOSAL_BYTES,
    RECOVERY_BYTES,
    decode_approval,
    decode_peg_signature,
    decode_proof,
    decode_proposal,
    decode_recovery,
    encode_approval,
    encode_peg_signature,
    encode_proof,
    encode_proposal,
    encode_recovery,
    proposal_slot,
)
from tests.wire.block_strategies import APPROVALS, AUXPOW, headers, proposals
from tests.wire.counted_calls import calls

slot_approvals = st.builds(
    SlotApproval,
    st.builds(
        SlotProof,
        st.binary(min_size=32, max_size=32).map(BlockHash),
        st.integers(0, 2**64 - 1).map(Slot),
        st.binary(min_size=32, max_size=32),
        st.binary(min_size=32, max_size=32),
        st.binary(min_size=32, max_size=32),
    ),
    st.integers(0, 2**16 - 1),
    st.binary(min_size=96, max_size=96).map(BlsSignature),
)
statements = st.builds(
    RecoveryStatement,
    st.integers(0, 2**64 - 1).map(Slot),
    st.integers(0, 2**16 - 1),
    st.binary(min_size=96, max_size=96).map(BlsSignature),
)
peg_signatures = st.builds(
    PegSignature,
    st.binary(min_size=32, max_size=32).map(BitcoinHash),
    st.binary(min_size=32, max_size=32).map(XOnlyKey),
    st.lists(st.binary(min_size=64, max_size=64).map(SchnorrSignature), min_size=1, max_size=5).map(tuple),
)
proofs = headers.map(lambda header: attrs.evolve(header, auxpow=AUXPOW))
messages: st.SearchStrategy[tuple[bytes, Callable[[bytes], Any], Callable[[Any], bytes]]] = st.one_of(
    proposals.map(lambda value: (encode_proposal(value), decode_proposal, encode_proposal)),
    slot_approvals.map(lambda value: (encode_approval(value), decode_approval, encode_approval)),
    statements.map(lambda value: (encode_recovery(value), decode_recovery, encode_recovery)),
    peg_signatures.map(lambda value: (encode_peg_signature(value), decode_peg_signature, encode_peg_signature)),
    proofs.map(lambda value: (encode_proof(value), decode_proof, encode_proof)),
)


def proposal_with(*transactions: bytes) -> bytes:
    block = Block(BlockHash(bytes(32)), Slot(7), make_payload(transactions=transactions))
    return encode_proposal(Proposal(SignedBlock(block_hash(block), block, APPROVALS), APPROVALS))


@given(proposals)
def test_a_proposal_survives_the_journey(proposal: Proposal) -> None:
    data = encode_proposal(proposal)
    assert decode_proposal(data) == proposal
    assert proposal_slot(data) == proposal.signed.block.slot


@given(slot_approvals)
def test_an_approval_survives_the_journey(approval: SlotApproval) -> None:
    data = encode_approval(approval)
    assert len(data) == APPROVAL_BYTES
    assert decode_approval(data) == approval


@given(statements)
def test_a_recovery_statement_survives_the_journey(statement: RecoveryStatement) -> None:
    data = encode_recovery(statement)
    assert len(data) == RECOVERY_BYTES
    assert decode_recovery(data) == statement


@given(peg_signatures)
def test_signatures_of_a_payment_survive_the_journey(signature: PegSignature) -> None:
    assert decode_peg_signature(encode_peg_signature(signature)) == signature


def test_the_largest_signatures_of_a_payment_fit_and_none_are_malformed() -> None:
    one = SchnorrSignature(bytes(64))
    largest = PegSignature(BitcoinHash(bytes(32)), XOnlyKey(bytes(32)), (one,) * MAX_INPUTS)
    data = encode_peg_signature(largest)
    assert len(data) == MAX_PEG_SIGNATURE_BYTES
    assert decode_peg_signature(data) == largest
    with pytest.raises(Malformed, match="at least one"):
        decode_peg_signature(encode_peg_signature(attrs.evolve(largest, signatures=())))


@given(proofs)
def test_a_proof_survives_the_journey(header: AuxPowHeader) -> None:
    assert decode_proof(encode_proof(header)) == header


@given(messages, st.data())
def test_changed_bytes_are_another_message_or_malformed(message: Any, data: st.DataObject) -> None:
    """Two encodings of one message would pass as two, and any other error would crash the network actor."""
    encoded, decode, encode = message
    raw = bytearray(encoded)
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(raw[: data.draw(st.integers(len(raw) // 2, len(raw)))])
    for candidate in (bytes(raw), cut):
        try:
            decoded = decode(candidate)
        except Malformed:
            continue
        assert encode(decoded) == candidate


@given(st.binary(max_size=600))
def test_random_bytes_are_malformed_or_the_encoding_of_their_value(data: bytes) -> None:
    for decode in (decode_proposal, decode_proof):
        with pytest.raises(Malformed):
            decode(data)
    if len(data) != APPROVAL_BYTES:
        with pytest.raises(Malformed):
            decode_approval(data)


def test_the_slot_is_read_without_a_hash() -> None:
    """The network actor asks whether it still wants a proposal for the slot before it spends 0.14 s on hashing."""
    data = proposal_with(*[bytes(12)] * 100)
    assert calls(lambda: proposal_slot(data))["openssl_sha256"] == 0
    assert proposal_slot(data) == 7
    for too_short in (b"", data[:55]):
        with pytest.raises(Malformed, match="a proposal must have 56 to 262144 bytes, found"):
            proposal_slot(too_short)


def test_sizes_are_bounded_before_anything_is_read() -> None:
    for decode, limit in (
        (decode_proposal, MAX_PROPOSAL_BYTES),
        (proposal_slot, MAX_PROPOSAL_BYTES),
        (decode_proof, MAX_PROOF_BYTES),
        (decode_peg_signature, MAX_PEG_SIGNATURE_BYTES),
    ):
        with pytest.raises(Malformed, match=rf"(at most|56 to) {limit} bytes"):
            decode(bytes(limit + 1))


def test_the_largest_proposal_fits_and_one_more_byte_does_not() -> None:
    room = MAX_PROPOSAL_BYTES - len(proposal_with(bytes(12))) + 12
    data = proposal_with(bytes(room))
    assert len(data) == MAX_PROPOSAL_BYTES
    assert encode_proposal(decode_proposal(data)) == data
    longer = proposal_with(bytes(room + 1))
    with pytest.raises(Malformed, match="at most"):
        decode_proposal(longer)
    assert encode_proposal(decode_proposal(longer, limit=2**20)) == longer


def test_a_header_without_proof_is_no_gossip() -> None:
    header = AuxPowHeader(BlockHash(bytes(32)), BlockHash(bytes(32)), 0, 0, EvmAddress(bytes(20)), None)
    with pytest.raises(Malformed, match="must have a proof"):
        decode_proof(encode_proof(header))
