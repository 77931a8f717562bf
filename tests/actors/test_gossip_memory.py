"""The memory of gossip: what is passed on once, twice and never, and how much of it is kept."""

import attrs

from alysd.actors.gossip_memory import KEPT_PROOFS, KEPT_SLOTS, MOST_UNKNOWN, GossipMemory
from alysd.types.hashes import BlockHash, BlsSignature
from alysd.types.proposal import RecoveryStatement, SlotApproval
from alysd.types.slot_proof import SlotProof
from alysd.types.units import Slot

PROOFS = tuple(
    SlotProof(BlockHash(bytes(32)), Slot(7), bytes([place]) * 32, bytes(32), bytes(32)) for place in (1, 2, 3)
)
FIRST, SECOND, THIRD = (proof.hash for proof in PROOFS)


def approval(place: int, authority: int = 0, slot: int = 7) -> SlotApproval:
    return SlotApproval(attrs.evolve(PROOFS[place], slot=Slot(slot)), authority, BlsSignature(bytes(96)))


def test_two_different_proposals_of_a_slot_are_wanted_and_no_more() -> None:
    memory = GossipMemory()
    assert memory.add_proposal(Slot(7), FIRST)
    assert not memory.add_proposal(Slot(7), FIRST)
    assert memory.wants_proposal(Slot(7))
    assert memory.add_proposal(Slot(7), SECOND)
    assert not memory.wants_proposal(Slot(7))
    assert not memory.add_proposal(Slot(7), THIRD)
    assert memory.add_proposal(Slot(8), THIRD)
    assert memory.knows_proposal(Slot(7), FIRST)
    assert not memory.knows_proposal(Slot(7), THIRD)
    assert not memory.knows_proposal(Slot(9), FIRST)


def test_an_approval_is_wanted_once() -> None:
    memory = GossipMemory()
    assert memory.wants_approval(approval(0))
    memory.add_approval(approval(0))
    assert not memory.wants_approval(approval(0))
    assert memory.wants_approval(approval(0, authority=1))
    assert memory.wants_approval(approval(0, slot=8))


def test_approvals_of_other_blocks_do_not_take_the_place_of_the_real_one() -> None:
    """An authority that lies can approve any number of blocks of one slot."""
    memory = GossipMemory()
    for block in (0, 1):
        assert memory.wants_approval(approval(block))
        memory.add_approval(approval(block))
    assert MOST_UNKNOWN == 2
    assert not memory.wants_approval(approval(2))
    memory.add_proposal(Slot(7), THIRD)
    assert memory.wants_approval(approval(2))


def test_one_recovery_statement_of_an_authority_and_slot_is_wanted() -> None:
    memory = GossipMemory()
    first = RecoveryStatement(Slot(7), 2, BlsSignature(bytes(96)))
    assert memory.wants_recovery(first)
    memory.add_recovery(first)
    assert not memory.wants_recovery(first)
    assert memory.wants_recovery(attrs.evolve(first, authority=1))
    assert memory.wants_recovery(attrs.evolve(first, slot=Slot(8)))


def test_only_the_newest_slots_are_kept() -> None:
    memory = GossipMemory()
    for slot in range(KEPT_SLOTS + 1):
        memory.add_proposal(Slot(slot), FIRST)
    assert not memory.knows_proposal(Slot(0), FIRST)
    assert all(memory.knows_proposal(Slot(slot), FIRST) for slot in range(1, KEPT_SLOTS + 1))


def test_a_digest_is_known_in_its_slot() -> None:
    memory = GossipMemory()
    assert not memory.knows_digest(Slot(7), b"digest")
    memory.add_proposal(Slot(7), FIRST)
    memory.add_digest(Slot(7), b"digest")
    assert memory.knows_digest(Slot(7), b"digest")
    assert not memory.knows_digest(Slot(8), b"digest")


def test_the_newest_proofs_of_work_are_remembered() -> None:
    memory = GossipMemory()
    for number in range(KEPT_PROOFS + 1):
        memory.add_proof(number.to_bytes(32, "big"))
    assert not memory.knows_proof(bytes(32)), "the memory has a bound"
    assert memory.knows_proof((1).to_bytes(32, "big"))
