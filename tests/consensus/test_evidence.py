"""Evidence against authorities: found in every pair that breaks the approval rule, and in no other."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alysd.consensus.approval import check_approval
from alysd.consensus.evidence import MAX_PER_AUTHORITY, check_evidence, find_evidence, worth_keeping
from alysd.consensus.federation import approval_message
from alysd.consensus.violations import BadEvidence
from alysd.errors import ApprovalForbidden
from alysd.testing.blocks import GENESIS, digest
from alysd.testing.chain import authority_secret, chain_spec
from alysd.testing.federation.keyed_signatures import KeyedSignatures
from alysd.types.block import Approvals
from alysd.types.evidence import Approved, Evidence, Offence
from alysd.types.hashes import BlockHash, BlsPublicKey
from alysd.types.signing import SignedSlot
from alysd.types.slot_proof import SlotProof
from alysd.types.units import Slot

SPEC = chain_spec(4)
BLS = KeyedSignatures()
KEYS = SPEC.authorities


def proof(slot: int, parent: BlockHash, name: str = "") -> SlotProof:
    return SlotProof(parent, Slot(slot), digest("inner", name), digest("outer", name), digest("last"))


def approved(slot: int, parent_slot: int, *signers: int, name: str = "") -> Approved:
    """A block on a parent of `parent_slot`, approved by `signers`."""
    parent = proof(parent_slot, BlockHash(bytes(32)))
    block = proof(slot, parent.hash, name)
    message = approval_message(GENESIS, block.hash)
    signature = BLS.aggregate([BLS.sign(authority_secret(index), message) for index in signers])
    return Approved(block, Approvals(tuple(index in signers for index in range(4)), signature), parent, KEYS)


def check(evidence: Evidence) -> None:
    check_evidence(evidence, GENESIS, BLS.verify)


def found(one: Approved, other: Approved) -> Evidence:
    evidence = find_evidence(one, other)
    assert evidence is not None
    assert find_evidence(other, one) == evidence
    return evidence


def test_two_blocks_of_one_slot_are_evidence_against_all_who_approved_both() -> None:
    evidence = found(approved(7, 6, 0, 1, 3, name="a"), approved(7, 5, 0, 2, 3, name="b"))
    assert (evidence.offence, evidence.offenders) == (Offence.TWO_BLOCKS, ((0, KEYS[0]), (3, KEYS[3])))
    assert (evidence.first.parent, evidence.second.parent) == (None, None)
    check(evidence)


def test_a_parent_older_than_the_lock_is_evidence() -> None:
    evidence = found(approved(9, 4, 1, 2), approved(7, 6, 2, 3))
    assert (evidence.offence, evidence.offenders) == (Offence.BROKEN_LOCK, ((2, KEYS[2]),))
    assert (evidence.first.block.slot, evidence.second.block.slot) == (7, 9)
    check(evidence)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (approved(7, 6, 0), approved(7, 6, 0)),
        (approved(7, 6, 0, name="a"), approved(7, 6, 1, name="b")),
        (approved(7, 6, 0), approved(8, 6, 0)),
        (approved(7, 6, 0), approved(8, 7, 0)),
        (approved(7, 6, 0), approved(9, 4, 1)),
        (approved(7, 6, 0), attrs.evolve(approved(9, 4, 0), parent=None)),
        (attrs.evolve(approved(7, 6, 0), parent=None), approved(9, 4, 0)),
    ],
    ids=["same", "different members", "same parent", "newer parent", "others", "no parent", "no first parent"],
)
def test_no_honest_authority_is_accused(one: Approved, other: Approved) -> None:
    assert find_evidence(one, other) is None
    assert find_evidence(other, one) is None


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(0, 11), st.booleans()), max_size=8))
def test_what_the_guard_allows_is_never_evidence(attempts: list[tuple[int, int, bool]]) -> None:
    """An honest member would be accused of what its own double-sign protection allows."""
    last, signed = SignedSlot(BlsPublicKey(b"\x01" * 48), Slot(0), BlockHash(bytes(32)), Slot(0)), list[Approved]()
    for slot, parent_slot, second in attempts:
        block = approved(slot, min(parent_slot, slot - 1), 0, name=str(second))
        assert block.parent is not None
        try:
            check_approval(block.block.slot, block.block.hash, block.parent.slot, last)
        except ApprovalForbidden:
            continue
        last = SignedSlot(last.key, block.block.slot, block.block.hash, block.parent.slot)
        signed.append(block)
    assert [find_evidence(one, other) for one in signed for other in signed if find_evidence(one, other)] == []


TWO = found(approved(7, 6, 0, 1, name="a"), approved(7, 5, 0, name="b"))
LOCK = found(approved(7, 6, 2), approved(9, 4, 2))
LOCKED_TWO = attrs.evolve(TWO.first, parent=proof(6, BlockHash(bytes(32))))


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        (Evidence(TWO.second, TWO.first), "wrong order"),
        (Evidence(TWO.first, TWO.first), "an authority may approve both of its blocks, which have slots 7 and 7"),
        (Evidence(LOCK.first, attrs.evolve(LOCK.second, parent=None)), "an authority may approve both"),
        (Evidence(TWO.first, approved(7, 5, 3, name="b")), "no authority has approved both of its blocks"),
        (Evidence(LOCKED_TWO, TWO.second), "both of its blocks have slot 7, so their parents must be left out"),
        (
            Evidence(attrs.evolve(LOCK.first, parent=proof(6, digest("x"))), LOCK.second),  # pyright: ignore[reportArgumentType]
            f"but the block has the parent {LOCK.first.block.parent[::-1].hex()}",
        ),
        (
            Evidence(
                attrs.evolve(TWO.first, approvals=attrs.evolve(TWO.first.approvals, signers=(True,))), TWO.second
            ),
            "the approvals have 1 bits, and there are 4",
        ),
        (
            Evidence(TWO.first, attrs.evolve(TWO.second, approvals=TWO.first.approvals)),
            "the signature of the block of slot 7 is not that of the authorities",
        ),
    ],
    ids=["order", "one block", "no parent", "no offender", "parents", "false parent", "bits", "signature"],
)
def test_false_evidence_is_refused(evidence: Evidence, words: str) -> None:
    """Anyone could accuse any member."""
    with pytest.raises(BadEvidence, match=words):
        check(evidence)


def test_a_slot_that_the_block_does_not_have_is_refused() -> None:
    """The signature does not cover the slot: an approval would be moved to another slot."""
    block = attrs.evolve(TWO.second.block, slot=Slot(8))
    moved = find_evidence(attrs.evolve(TWO.second, block=block), approved(8, 7, 0))
    assert moved is not None
    with pytest.raises(BadEvidence, match="the signature of the block of slot 8 is not"):
        check(moved)


def test_evidence_is_kept_once_and_bounded_per_authority() -> None:
    """A member that lies in every slot would fill the disk, or crowd out the evidence against another."""
    kept: list[Evidence] = []
    for slot in range(1, 20):
        evidence = found(approved(slot, 0, 0, name="a"), approved(slot, 0, 0, name="b"))
        if worth_keeping(evidence, kept):
            kept.append(evidence)
        assert not worth_keeping(evidence, kept)
    assert len(kept) == MAX_PER_AUTHORITY
    assert worth_keeping(found(approved(30, 0, 0, 1, name="a"), approved(30, 0, 0, 1, name="b")), kept)


def test_an_authority_that_approves_by_two_federations_is_found_by_its_key() -> None:
    """While the federation changes, its bits have other places. Members with the same place are not accused."""
    one, other = approved(7, 6, 0, 1, name="a"), approved(7, 6, 0, 1, name="b")
    order = (KEYS[3], KEYS[2], KEYS[1], KEYS[0])
    moved = attrs.evolve(other.approvals, signers=(False, False, True, True))
    evidence = found(one, attrs.evolve(other, approvals=moved, authorities=order))
    assert {key for _, key in evidence.offenders} == {KEYS[0], KEYS[1]}
    check(evidence)
    strangers = attrs.evolve(approved(7, 6, 2, 3, name="b"), authorities=order)
    strangers = attrs.evolve(
        strangers, approvals=attrs.evolve(strangers.approvals, signers=(True, True, False, False))
    )
    assert find_evidence(one, strangers) is None
