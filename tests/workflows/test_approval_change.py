"""Approval while one federation hands over to another: whose approvals count, and under which numbers."""

from pathlib import Path
from typing import cast

import attrs
import pytest
from trio.testing import MockClock

from alysd.consensus.federation import approval_message, federation_at
from alysd.consensus.fork_choice import Tree
from alysd.consensus.recovery import recovery_message
from alysd.errors import NoQuorum
from alysd.integrations import bls
from alysd.messages.approval import BlockImported, ConsiderProposal, CountApproval, NoteRecovery
from alysd.messages.log.base import LogEvent
from alysd.messages.log.chain import CandidateRefused, MemberRecovering
from alysd.messages.sync import BlockMissing
from alysd.testing.blocks import FIRST_SLOT
from alysd.testing.chain import authority_secret, chain_spec
from alysd.testing.updates import federation_member, governance_keys
from alysd.types.block import Approvals, Block, SignedBlock
from alysd.types.federation import Federation
from alysd.types.federation_update import GovernanceState, PendingMembers
from alysd.types.hashes import BlsSignature
from alysd.types.proposal import Proposal, RecoveryStatement, SlotApproval
from alysd.types.units import Height, Slot
from alysd.wire.block_ssz import block_hash, slot_proof
from alysd.workflows.candidate_book import Candidate
from alysd.workflows.clock_watch import ClockWatch
from alysd.workflows.recovery import RecoveringMembers
from tests.workflows.approvals import PEER, MemberOnTheHarness

OLD, NEW = (0, 1, 2, 3), (0, 4, 5, 6)
JOINT = (0, 4, 5, 6, 1, 2, 3)
"""The members in the order of the authorities of the hand-over."""

SLOT = next(Slot(FIRST_SLOT + step) for step in range(4) if (FIRST_SLOT + step) % 4 == 1)
"""A slot of member 4."""

pytestmark = pytest.mark.usefixtures("no_threads")


def federation_of(members: tuple[int, ...]) -> Federation:
    keys = [federation_member(member, 4242) for member in members]
    return Federation(tuple(key.authority for key in keys), tuple(key.bitcoin_key for key in keys), (FEE,))


FEW = BlsSignature(bytes(96))
FEE = chain_spec().federation_fee_addresses[0]
FIRST = federation_of(OLD)
HANDING = FIRST.successor(federation_of(NEW))


class HandOver(MemberOnTheHarness):
    """Member 0, whose head is the block below the effective height."""

    def __init__(self, folder: Path, governance: GovernanceState | None = None) -> None:
        super().__init__(folder, 7, 0, chain_spec(4, governance_keys=governance_keys(1), governance_threshold=1))
        governance = governance or GovernanceState(1, HANDING, None)
        self.root = attrs.evolve(self.hand.genesis_state, governance=governance)
        self.tree = Tree([self.root], self.hand.genesis.hash)

    def signed_by(self, block: Block, members: tuple[int, ...], order: tuple[int, ...] = JOINT) -> SignedBlock:
        identity = block_hash(block)
        message = approval_message(self.context.genesis, identity)
        signatures = [bls.sign(authority_secret(member), message) for member in members]
        bits = tuple(member in members for member in order)
        return SignedBlock(identity, block, Approvals(bits, bls.aggregate(signatures)))

    async def offer(self, signed: SignedBlock, federation: Federation | None) -> None:
        self.approval.tell(ConsiderProposal(Proposal(signed, None), PEER, federation))
        await self.harness.settle()

    async def count_one(self, block: Block, member: int, index: int, federation: Federation | None) -> None:
        message = approval_message(self.context.genesis, block_hash(block))
        approval = SlotApproval(slot_proof(block), index, bls.sign(authority_secret(member), message))
        self.approval.tell(CountApproval(approval, federation))
        await self.harness.settle()


async def test_a_block_of_the_hand_over_needs_a_quorum_of_both(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Approvals count for their keys, by whatever federation they were numbered."""
    world = HandOver(tmp_path)
    async with world.running():
        await world.until_slot(SLOT, 0.1)
        block = world.make(SLOT)
        await world.count_one(block, 2, JOINT.index(2), HANDING)
        await world.offer(world.signed_by(block, (4,)), HANDING)
        await world.count_one(block, 5, NEW.index(5), federation_of(NEW))
        await world.count_one(block, 6, NEW.index(6), federation_of(NEW))
        await world.count_one(block, 9, 0, federation_of((9,)))
        assert world.tree.tip.head.height == 0, "of the former federation, members 0 and 2 have approved"
        await world.count_one(block, 1, OLD.index(1), FIRST)
        head = world.tree.tip.head
        assert (head.height, federation_at(head, world.context)) == (1, HANDING)
        child = world.make(Slot(SLOT + 4))
        await world.until_slot(Slot(SLOT + 4), 0.1)
        await world.offer(world.signed_by(child, (4,)), None)
        for member in (1, 2, 5):
            await world.count_one(child, member, JOINT.index(member), None)
        assert world.tree.tip.head.height == 2
        third = world.make(Slot(SLOT + 5))
        await world.until_slot(Slot(SLOT + 5), 0.1)
        await world.offer(world.signed_by(third, (5,)), HANDING)
        for member in (1, 2, 4):
            await world.count_one(third, member, JOINT.index(member), HANDING)
        assert federation_at(world.tree.tip.head, world.context) == federation_of(NEW)
        last = world.make(Slot(SLOT + 6))
        await world.until_slot(Slot(SLOT + 6), 0.1)
        await world.count_one(last, 5, JOINT.index(5), HANDING)
        await world.offer(world.signed_by(last, (6,), NEW), federation_of(NEW))
        assert world.tree.tip.head.height == 4


async def test_a_proposal_that_does_not_fit_its_parents_federation_is_dropped(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Its bits name other members, and to count them would make sums that verify for nobody."""
    world = HandOver(tmp_path)
    async with world.running():
        await world.until_slot(SLOT, 0.1)
        block = world.make(SLOT)
        await world.offer(world.signed_by(block, (1,), OLD), FIRST)
        assert world.states == []
        await world.offer(world.signed_by(block, (4,)), HANDING)
        assert world.states[-1] == "ApprovedCandidate"


async def test_a_candidate_is_refused_once_its_parent_shows_another_federation(
    tmp_path: Path, autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    world = HandOver(tmp_path)
    async with world.running():
        await world.until_slot(SLOT, 0.1)
        parent = world.signed_by(world.make(SLOT), (4, 5, 6, 1, 2, 3))
        child = world.make(Slot(SLOT + 1), world.after(parent))
        await world.until_slot(Slot(SLOT + 1), 0.1)
        assumed = world.signed_by(child, (9,), (9,))
        await world.offer(assumed, federation_of((9,)))
        world.adopt(parent)
        world.approval.tell(BlockImported(parent.hash))
        await world.harness.settle()
    refused = [one for one in logged if isinstance(one, CandidateRefused)]
    assert [one.rule for one in refused] == ["AuthorMissing"]


async def test_a_statement_counts_for_its_key_only(
    tmp_path: Path, autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    world = HandOver(tmp_path)
    async with world.running():
        await world.until_slot(SLOT, 0.1)
        for member, federation in ((9, federation_of((9,))), (1, FIRST)):
            signature = bls.sign(authority_secret(member), recovery_message(world.context.genesis, SLOT))
            index = federation.authorities.index(federation_member(member, 4242).authority)
            world.approval.tell(NoteRecovery(RecoveryStatement(SLOT, index, signature), federation))
        await world.harness.settle()
    assert [one for one in logged if isinstance(one, MemberRecovering)] == [MemberRecovering(SLOT, JOINT.index(1))]


def candidate_by(federation: Federation, signed: SignedBlock) -> Candidate:
    return Candidate(Proposal(signed, None), federation, PEER, 0.0, lambda _: None)


async def test_the_approvals_of_a_candidate_follow_its_federation(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """The federation that was assumed had other numbers. A child has brought further approvals."""
    world = HandOver(tmp_path)
    block, assumed = world.make(SLOT), federation_of((6, 5, 4, 0))
    candidate = candidate_by(assumed, world.signed_by(block, (4,), (6, 5, 4, 0)))
    candidate.prove(Approvals((True, True, True, False), FEW), assumed)
    candidate.approvals[FIRST.authorities[2]] = FEW
    assert not candidate.has_approval(FIRST.authorities[1])
    assert candidate.has_approval(FIRST.authorities[2])
    assert candidate.approved_by(FIRST.authorities[2]) is None, "no authority of the assumed federation"
    assert candidate.belongs_to(HANDING)
    assert candidate.proved == Approvals(tuple(member in (4, 5, 6) for member in JOINT), FEW)
    assert candidate.signers == tuple(member in (4, 5, 6, 2) for member in JOINT)
    assert candidate.belongs_to(HANDING)


async def test_approvals_that_are_a_quorum_of_another_federation_only_do_not_prove_the_parent(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """A peer without a key can make the sum of any approvals that it has seen."""
    world = HandOver(tmp_path)
    candidate = candidate_by(HANDING, world.signed_by(world.make(SLOT), (4,)))
    new = federation_of(NEW)
    candidate.prove(Approvals((False, True, True, True), FEW), new)
    assert candidate.proved is None
    stranger = federation_of((4, 5, 9))
    candidate.prove(Approvals((True, True, True), FEW), stranger)
    assert candidate.proved is None
    candidate.prove(Approvals((True,) * 7, FEW), HANDING)
    assert candidate.proved is not None
    assert not candidate.belongs_to(FIRST)


async def test_an_author_of_another_federation_that_signs_an_honest_block_does_not_hide_it(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Its proposal came first, before the parent was known. The author's own one counts as an approval."""
    world = HandOver(tmp_path)
    async with world.running():
        await world.until_slot(SLOT, 0.1)
        parent = world.signed_by(world.make(SLOT), (4, 5, 6, 1, 2, 3))
        child = world.make(Slot(SLOT + 1), world.after(parent))
        await world.until_slot(Slot(SLOT + 1), 0.1)
        await world.offer(world.signed_by(child, (9,), (9,)), federation_of((9,)))
        own = world.signed_by(child, (5,), NEW)
        await world.offer(own, federation_of(NEW))
        world.adopt(parent)
        world.approval.tell(BlockImported(parent.hash))
        await world.harness.settle()
        assert world.states[-1] == "ApprovedCandidate"


async def test_a_parent_without_its_own_quorum_is_got_by_sync(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Else a peer that replaces the approvals of the parent would keep both blocks from this node."""
    world = HandOver(tmp_path)
    async with world.running():
        await world.until_slot(SLOT, 0.1)
        block = world.make(SLOT)
        parent = world.signed_by(block, (4,))
        await world.offer(parent, HANDING)
        child = world.make(Slot(SLOT + 1), world.after(parent))
        await world.until_slot(Slot(SLOT + 1), 0.1)
        changed = Proposal(world.signed_by(child, (5,), NEW), world.signed_by(block, (4, 5, 6), NEW).approvals)
        world.approval.tell(ConsiderProposal(changed, PEER, federation_of(NEW), federation_of(NEW)))
        await world.harness.settle()
        assert BlockMissing(parent.hash, PEER) in world.sync.received


async def test_early_approvals_of_new_members_count(tmp_path: Path, autojump_clock: MockClock) -> None:
    """At the head, the new federation approves nothing yet. Its approvals came before the block, and were lost."""
    world = HandOver(
        tmp_path, GovernanceState(0, FIRST, PendingMembers(1, Height(2), Height(0), federation_of(NEW)))
    )
    joint = FIRST.successor(federation_of(NEW))
    async with world.running():
        await world.until_slot(SLOT, 0.1)
        parent = world.signed_by(world.make(SLOT), (1, 0, 2), OLD)
        await world.until_slot(Slot(SLOT + 1), 0.1)
        child = world.make(Slot(SLOT + 1), world.after(parent, world.root))
        for member in (4, 6, 1, 2, 3):
            await world.count_one(child, member, JOINT.index(member), joint)
        world.adopt(parent)
        world.approval.tell(BlockImported(parent.hash))
        await world.offer(world.signed_by(child, (5,)), joint)
        assert world.tree.tip.head.height == 2


def slot_of(*remainders: tuple[int, int]) -> Slot:
    """The first slot that leaves these remainders: the indices of its authors by several federations."""
    slots = (Slot(FIRST_SLOT + step) for step in range(2, 100))
    return next(slot for slot in slots if all(slot % members == index for members, index in remainders))


async def test_bits_that_a_peer_has_moved_to_another_federation_are_moved_back(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """The block's author is member 1. By the hand-over, its bit has the index that is this member's own now.

    Gossip accepts the changed bits for the hand-over. The member would believe that its key is used elsewhere, and
    sign nothing more. If it only dropped them, the honest proposal, which gossip knows then, would be lost.
    """
    new = federation_of((1, 2, 3))
    world = HandOver(tmp_path, GovernanceState(0, FIRST, PendingMembers(1, Height(200), Height(50), new)))
    slot = slot_of((4, 1), (3, 0))
    async with world.running():
        await world.until_slot(slot, 0.1)
        honest = world.signed_by(world.make(slot), (1,), OLD)
        forged = attrs.evolve(honest, approvals=Approvals((True, False, False, False), honest.approvals.signature))
        await world.offer(forged, FIRST.successor(new))
        assert world.states[-1] == "ApprovedCandidate"
        assert world.signer is not None
        assert world.signer.last is not None
        assert world.signer.last.unknown is None


async def test_bits_of_another_federation_are_moved_when_the_parent_is_known(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Until then the candidate has bits by the federation that gossip accepted. An approval ended the actor."""
    joint = FIRST.successor(federation_of((0, 1, 2, 3, 4)))
    world = HandOver(tmp_path)
    world.tree = Tree(
        [attrs.evolve(world.root, governance=GovernanceState(1, joint, None))], world.hand.genesis.hash
    )
    slot = slot_of((4, 1), (5, 1))
    async with world.running():
        await world.until_slot(Slot(slot - 1), 0.1)
        parent = world.signed_by(world.make(Slot(slot - 1)), (0, 1, 2, 3), (0, 1, 2, 3, 4))
        state = world.after(parent)
        await world.until_slot(slot, 0.1)
        child = world.make(slot, state)
        await world.offer(world.signed_by(child, (1,), OLD), FIRST)
        world.adopt(parent)
        world.approval.tell(BlockImported(parent.hash))
        await world.harness.settle()
        assert world.states[-1] == "ApprovedCandidate"
        after = federation_at(state, world.context)
        for member in (4, 2, 3):
            await world.count_one(child, member, member, after)
        assert world.has(child)


async def test_blocks_of_one_slot_by_two_federations_are_compared_by_keys(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Both authors are honest: one has missed the block after which the other federation approves."""
    new = federation_of((0, 1, 2, 3, 4))
    pending = GovernanceState(0, FIRST, PendingMembers(1, Height(2), Height(0), new))
    world = HandOver(tmp_path, pending)
    slot = slot_of((4, 2), (5, 1))
    async with world.running():
        await world.until_slot(Slot(slot - 2), 0.1)
        parent = world.signed_by(world.make(Slot(slot - 2)), (0, 1, 2, 3), OLD)
        world.adopt(parent)
        world.approval.tell(BlockImported(parent.hash))
        await world.harness.settle()
        state = world.after(parent, world.root)
        await world.until_slot(slot, 0.1)
        stale, block = world.make(slot, world.root), world.make(slot, state)
        await world.offer(world.signed_by(stale, (2,), OLD), FIRST)
        await world.offer(world.signed_by(block, (1,), (0, 1, 2, 3, 4)), federation_at(state, world.context))
        assert world.states[-1] == "ApprovedCandidate"


def test_a_missing_quorum_names_the_federation_that_lacks_approvals() -> None:
    """With three approvals of new members and one of a former one, "4 of the 5 needed" would name nobody."""
    bits = {member: tuple(one in member for one in JOINT) for member in ((4, 5), (0, 4, 5), (4, 5, 6))}
    assert HANDING.lacking(bits[4, 5]) == (3, 2, "new")
    assert HANDING.lacking(bits[0, 4, 5]) == (3, 1, "former")
    assert FIRST.lacking((True, False, False, False)) == (3, 1, "")
    error = NoQuorum(SLOT, *HANDING.lacking(bits[4, 5, 6])[:2], ((1, None),), "former")
    assert str(error).startswith("0 of the 3 approvals of former members needed; no approval from authority 1")
    assert str(attrs.evolve(error, of="")).startswith("0 of the 3 approvals needed")


async def test_a_sum_of_approvals_of_a_known_block_counts_for_nobody(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """The approvals in it cannot be taken apart, and they come one by one too."""
    world = HandOver(tmp_path)
    async with world.running():
        await world.until_slot(SLOT, 0.1)
        block = world.make(SLOT)
        await world.offer(world.signed_by(block, (4,)), HANDING)
        await world.offer(world.signed_by(block, (4, 5, 1, 2)), HANDING)
        assert world.states[-1] == "ApprovedCandidate"
        assert not world.has(block)


def test_a_member_that_has_left_is_not_said_to_have_recovered(logged: list[LogEvent]) -> None:
    """It has no index in the federation at the head."""
    recovering = RecoveringMembers(None, cast("ClockWatch", None))
    leaver, new = FIRST.authorities[1], federation_of(NEW)
    recovering.note(leaver, SLOT, FIRST)
    recovering.approved(leaver, Slot(SLOT + 1), new)
    recovering.approved(leaver, Slot(SLOT + 2), FIRST)
    assert logged == [MemberRecovering(SLOT, 1)]
