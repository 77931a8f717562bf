"""Evidence in SSZ, and the proof of a block's slot."""

import attrs
from hypothesis import given
from hypothesis import strategies as st

from alysd.errors import Malformed
from alysd.testing.blocks import MINER, make_payload
from alysd.types.auxpow import AuxPowHeader
from alysd.types.block import Approvals, Block
from alysd.types.evidence import Approved, Evidence
from alysd.types.hashes import BlockHash, BlsPublicKey, BlsSignature
from alysd.types.slot_proof import SlotProof
from alysd.types.units import Slot
from alysd.wire.block_ssz import block_hash, slot_proof
from alysd.wire.evidence import decode_evidence, encode_evidence

HASHES = st.binary(min_size=32, max_size=32)
PROOFS = st.builds(
    SlotProof, HASHES.map(BlockHash), st.integers(0, 2**64 - 1).map(Slot), inner=HASHES, outer=HASHES, last=HASHES
)
APPROVALS = st.builds(
    Approvals,
    st.lists(st.booleans(), max_size=21).map(tuple),
    st.binary(min_size=96, max_size=96).map(BlsSignature),
)
KEYS = st.lists(st.binary(min_size=48, max_size=48).map(BlsPublicKey), max_size=21).map(tuple)
EVIDENCE = st.builds(
    Evidence, *(st.builds(Approved, PROOFS, APPROVALS, st.none() | PROOFS, KEYS) for _ in ("first", "second"))
)


@given(HASHES, st.integers(0, 2**64 - 1), st.lists(st.binary(min_size=12, max_size=40), max_size=3), st.booleans())
def test_the_proof_of_a_slot_leads_to_the_blocks_hash(
    parent: bytes, slot: int, transactions: list[bytes], work: bool
) -> None:
    """Evidence would be about a block that nobody has approved."""
    payload = make_payload(transactions=tuple(transactions))
    header = AuxPowHeader(BlockHash(parent), BlockHash(parent), 1, 2, MINER, None) if work else None
    block = Block(BlockHash(parent), Slot(slot), payload, auxpow_header=header)
    proof = slot_proof(block)
    assert (proof.parent, proof.slot, proof.hash) == (parent, slot, block_hash(block))


@given(EVIDENCE)
def test_evidence_reads_back_and_is_small(evidence: Evidence) -> None:
    data = encode_evidence(evidence)
    assert decode_evidence(data) == evidence
    assert len(data) < 1024 + 2 * 21 * 48


@given(EVIDENCE, st.data())
def test_cut_evidence_is_refused_or_is_other_evidence(evidence: Evidence, data: st.DataObject) -> None:
    """A cut can only drop keys of the last list exactly: bytes with two readings would be two accusations."""
    encoded = encode_evidence(evidence)
    cut = encoded[: data.draw(st.integers(0, len(encoded) - 1))]
    try:
        found = decode_evidence(cut)
    except Malformed:
        return
    keys = found.second.authorities
    assert keys == evidence.second.authorities[: len(keys)]
    assert found == attrs.evolve(evidence, second=attrs.evolve(evidence.second, authorities=keys)) != evidence
    assert encode_evidence(found) == cut
