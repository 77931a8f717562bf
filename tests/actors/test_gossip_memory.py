"""The memory of gossip: what is passed on once, twice and never, and how much of it is kept."""

import attrs

from alysd.actors.gossip_memory import KEPT_PROOFS, KEPT_SLOTS, MOST_UNKNOWN, GossipMemory
from alysd.types.hashes import BlockHash, BlsPublicKey, BlsSignature
from alysd.types.proposal import RecoveryStatement, SlotApproval
from alysd.types.slot_proof import SlotProof
from alysd.types.units import Slot

PROOFS = tuple(
    SlotProof(BlockHash(bytes(32)), Slot(7), bytes([place]) * 32, bytes(32), bytes(32)) for place in (1, 2, 3)
)
FIRST, SECOND, THIRD = (proof.hash for proof in PROOFS)
ONE, OTHER = BlsPublicKey(b"\x01" * 48), BlsPublicKey(b"\x02" * 48)
"""The keys of two authorities."""


def approval(place: int, authority: int = 0, slot: int = 7) -> SlotApproval:
    return SlotApproval(attrs.evolve(PROOFS[place], slot=Slot(slot)), authority, BlsSignature(bytes(96)))


def test_two_different_proposals_of_a_slot_and_author_are_wanted_and_no_more() -> None:
    memory = GossipMemory()
    assert memory.add_proposal(Slot(7), FIRST, ONE)
    assert not memory.add_proposal(Slot(7), FIRST, ONE)
    assert memory.wants_proposal(Slot(7), [ONE])
    assert memory.add_proposal(Slot(7), SECOND, ONE)
    assert not memory.wants_proposal(Slot(7), [ONE])
    assert not memory.add_proposal(Slot(7), THIRD, ONE)
    assert memory.add_proposal(Slot(8), THIRD, ONE)
    assert memory.knows_proposal(Slot(7), FIRST)
    assert not memory.knows_proposal(Slot(7), THIRD)
    assert not memory.knows_proposal(Slot(9), FIRST)


def test_the_author_of_another_federation_takes_no_place_of_the_honest_one() -> None:
    """While the federation changes, a slot has two authors. One signs other blocks, or the honest one's."""
    memory = GossipMemory()
    assert memory.add_proposal(Slot(7), FIRST, ONE)
    assert memory.add_proposal(Slot(7), THIRD, ONE)
    assert memory.wants_proposal(Slot(7), [ONE, OTHER])
    assert memory.add_proposal(Slot(7), THIRD, OTHER)
    assert memory.add_proposal(Slot(7), SECOND, OTHER)
    assert not memory.wants_proposal(Slot(7), [ONE, OTHER])


def test_an_approval_is_wanted_once() -> None:
    memory = GossipMemory()
    assert memory.wants_approval(approval(0), [ONE])
    assert memory.add_approval(approval(0), ONE)
    assert not memory.wants_approval(approval(0), [ONE])
    assert memory.wants_approval(approval(0, authority=1), [OTHER])
    assert memory.wants_approval(approval(0, slot=8), [ONE])


def test_a_moved_index_is_not_the_approval_of_another_authority() -> None:
    """Index 1 is the second authority now, and the first one by another federation."""
    memory = GossipMemory()
    assert memory.add_approval(approval(0, authority=1), ONE), "a peer has replaced index 0"
    assert memory.wants_approval(approval(0, authority=1), [OTHER]) is False, "a copy"
    honest = attrs.evolve(approval(0, authority=1), signature=BlsSignature(b"\x01" * 96))
    assert memory.wants_approval(honest, [ONE, OTHER])
    assert memory.add_approval(honest, OTHER)
    assert not memory.add_approval(approval(0), ONE), "it is counted and passed on"
    assert not memory.wants_approval(approval(0), [ONE, OTHER])


def test_approvals_of_other_blocks_do_not_take_the_place_of_the_real_one() -> None:
    """An authority that lies can approve any number of blocks of one slot."""
    memory = GossipMemory()
    for block in (0, 1):
        assert memory.wants_approval(approval(block), [ONE])
        memory.add_approval(approval(block), ONE)
    assert MOST_UNKNOWN == 2
    assert not memory.wants_approval(approval(2), [ONE])
    assert not memory.add_approval(approval(2), ONE)
    memory.add_proposal(Slot(7), THIRD, ONE)
    assert memory.wants_approval(approval(2), [ONE])


def test_one_recovery_statement_of_an_authority_and_slot_is_wanted() -> None:
    memory = GossipMemory()
    first = RecoveryStatement(Slot(7), 2, BlsSignature(bytes(96)))
    assert memory.wants_recovery(first, [ONE])
    assert memory.add_recovery(first, ONE)
    assert not memory.wants_recovery(first, [ONE])
    assert memory.wants_recovery(attrs.evolve(first, authority=1), [OTHER])
    assert memory.wants_recovery(attrs.evolve(first, slot=Slot(8)), [ONE])
    moved = attrs.evolve(first, authority=3)
    assert memory.wants_recovery(moved, [ONE, OTHER])
    assert not memory.add_recovery(moved, ONE)
    assert not memory.wants_recovery(moved, [ONE, OTHER])


def test_an_own_message_that_comes_back_needs_no_check() -> None:
    memory = GossipMemory()
    memory.add_own(approval(0))
    assert not memory.wants_approval(approval(0), [ONE])
    assert memory.wants_approval(approval(1), [ONE])


def test_only_the_newest_slots_are_kept() -> None:
    memory = GossipMemory()
    for slot in range(KEPT_SLOTS + 1):
        memory.add_proposal(Slot(slot), FIRST, ONE)
    assert not memory.knows_proposal(Slot(0), FIRST)
    assert all(memory.knows_proposal(Slot(slot), FIRST) for slot in range(1, KEPT_SLOTS + 1))


def test_a_digest_is_known_in_its_slot() -> None:
    memory = GossipMemory()
    assert not memory.knows_digest(Slot(7), b"digest")
    memory.add_proposal(Slot(7), FIRST, ONE)
    memory.add_digest(Slot(7), b"digest")
    assert memory.knows_digest(Slot(7), b"digest")
    assert not memory.knows_digest(Slot(8), b"digest")


def test_the_newest_proofs_of_work_are_remembered() -> None:
    memory = GossipMemory()
    for number in range(KEPT_PROOFS + 1):
        memory.add_proof(number.to_bytes(32, "big"))
    assert not memory.knows_proof(bytes(32)), "the memory has a bound"
    assert memory.knows_proof((1).to_bytes(32, "big"))
