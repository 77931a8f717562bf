"""A member shows its own proposal and the proposals that it knows to others."""

from pathlib import Path

import pytest
from trio.testing import MockClock

from alysd.errors import NoQuorum
from alysd.messages.approval import AnnounceProposal, GetCandidates, GiveUpQuorum
from alysd.messages.storage import GetBlockByHash
from alysd.testing.blocks import FIRST_SLOT
from alysd.types.proposal import Proposal
from alysd.types.units import Slot
from alysd.wire.block_ssz import block_hash
from tests.workflows.approvals import MemberOnTheHarness

pytestmark = pytest.mark.usefixtures("no_threads")


async def test_a_proposal_has_its_parents_approvals_also_after_a_restart(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    world = MemberOnTheHarness(tmp_path, 4)
    async with world.running():
        parent = world.signed(world.make(FIRST_SLOT), [0, 2, 3])
        world.adopt(parent)
        slot = world.slot_of(0, after=1)
        await world.until_slot(slot)
        with pytest.raises(NoQuorum):
            await world.make_own(slot)
    assert [proposal.parent_approvals for proposal in world.published] == [parent.approvals]
    assert GetBlockByHash(parent.hash) in world.storage.received


async def test_a_parent_that_the_database_does_not_give_keeps_the_proposal_back(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """No node would pass it on, and the peers would blame this one."""
    world = MemberOnTheHarness(tmp_path, 4)
    async with world.running():
        world.adopt(world.signed(world.make(FIRST_SLOT), range(4)))
        world.blocks.clear()
        slot = world.slot_of(0, after=1)
        await world.until_slot(slot)
        with pytest.raises(NoQuorum):
            await world.make_own(slot)
        world.approval.tell(AnnounceProposal(world.tree.tip.head.hash))
        world.approval.tell(GiveUpQuorum(world.tree.tip.head.hash))
        await world.harness.settle()
        assert await world.approval.ask(GetCandidates(Slot(0))) == ()
    assert not world.published


async def test_candidates_are_given_with_all_known_approvals(tmp_path: Path, autojump_clock: MockClock) -> None:
    world = MemberOnTheHarness(tmp_path, 4)
    async with world.running():
        first = world.slot_of(1)
        second = Slot(first + 1)
        await world.until_slot(first)
        block = world.make(first)
        await world.propose(block)
        await world.approve(block, 2)
        await world.until_slot(second)
        other = world.make(second)
        await world.propose(other)
        known = await world.approval.ask(GetCandidates(first))
        assert known == (
            Proposal(world.signed(block, [1, 0, 2]), None),
            Proposal(world.signed(other, [2, 0]), world.blocks[block_hash(block)].approvals),
        )
        assert await world.approval.ask(GetCandidates(second)) == known[1:]
