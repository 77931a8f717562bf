"""Approvals of this node's key that its signing guard does not know."""

from pathlib import Path

import attrs
import pytest
from trio.testing import MockClock

from alysd.integrations.signing import GuardedSigner
from alysd.messages.log.base import LogEvent
from alysd.messages.log.chain import CandidateDeclined, KeySeenElsewhere
from alysd.testing.blocks import FIRST_SLOT
from alysd.testing.chain import ChainHand, authority_secret, chain_spec
from alysd.testing.updates import governance_keys
from alysd.types.federation_update import GovernanceState
from alysd.types.units import Slot
from alysd.wire.block_ssz import block_hash
from alysd.workflows.own_key import OwnKey
from tests.workflows.approvals import MemberOnTheHarness

pytestmark = pytest.mark.usefixtures("no_threads")


def seen(logged: list[LogEvent]) -> list[KeySeenElsewhere]:
    return [event for event in logged if isinstance(event, KeySeenElsewhere)]


async def test_an_approval_of_its_key_by_another_node_ends_its_signing(
    tmp_path: Path, autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    """Two instances with one key went on until they approved two blocks of a slot."""
    world = MemberOnTheHarness(tmp_path, 4)
    async with world.running():
        first = world.slot_of(1, after=1)
        await world.until_slot(first, 0.1)
        block = world.make(first)
        await world.propose(block)
        assert world.approved == [block_hash(block)]
        await world.approve(block, 0, 2, 3)
        assert seen(logged) == [], "its own approval comes back"
        second = Slot(first + 1)
        await world.until_slot(second, 0.1)
        other = world.make(second)
        await world.approve(other, 0)
        assert seen(logged) == [KeySeenElsewhere(second, 0, first, block_hash(other))]
        await world.propose(other)
        assert len(world.approved) == 1
    declined = [event.reason for event in logged if isinstance(event, CandidateDeclined)]
    assert [reason.startswith("this key has approved block") for reason in declined] == [True]


async def test_a_proposal_of_its_key_that_it_has_not_made_ends_its_signing(
    tmp_path: Path, autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    world = MemberOnTheHarness(tmp_path, 4)
    async with world.running():
        slot = world.slot_of(0, after=1)
        await world.until_slot(slot, 0.1)
        block = world.make(slot)
        await world.propose(block)
        assert seen(logged) == [KeySeenElsewhere(slot, 0, Slot(0), block_hash(block))]
        assert world.approved == []


async def test_blocks_of_a_sync_show_that_the_guard_is_old(tmp_path: Path, logged: list[LogEvent]) -> None:
    """A member whose whole folder was restored from an old copy could break the lock that it had."""
    hand = ChainHand.of(chain_spec(4))
    signer = GuardedSigner.open(authority_secret(0), hand.context.genesis, tmp_path / "guard")
    signed = await hand.block(hand.genesis_state, FIRST_SLOT)
    await OwnKey(hand.context, None).imported(signed, hand.genesis_state)
    stranger = GuardedSigner.open(authority_secret(9), hand.context.genesis, tmp_path / "other")
    await OwnKey(hand.context, stranger).imported(signed, hand.genesis_state)
    assert seen(logged) == []
    await OwnKey(hand.context, signer).imported(signed, hand.genesis_state)
    await OwnKey(hand.context, signer).imported(signed, hand.genesis_state)
    assert seen(logged) == [KeySeenElsewhere(FIRST_SLOT, 0, Slot(0), signed.hash)]


async def test_a_key_that_left_and_came_back_with_a_new_guard_signs_nothing(
    tmp_path: Path, logged: list[LogEvent]
) -> None:
    """Its approvals of the time before it left still bind it. The blocks of that time name it by another index."""
    hand = ChainHand.of(chain_spec(4, governance_keys=governance_keys(1), governance_threshold=1))
    signer = GuardedSigner.open(authority_secret(0), hand.context.genesis, tmp_path / "guard")
    present = hand.context.first_federation
    before = attrs.evolve(present, authorities=tuple(reversed(present.authorities)))
    parent = attrs.evolve(hand.genesis_state, governance=GovernanceState(0, before, None))
    signed = await hand.block(hand.genesis_state, FIRST_SLOT)
    others = attrs.evolve(signed, approvals=attrs.evolve(signed.approvals, signers=(True, False, False, False)))
    await OwnKey(hand.context, signer).imported(others, parent)
    assert seen(logged) == []
    own = attrs.evolve(signed, approvals=attrs.evolve(signed.approvals, signers=(False, False, False, True)))
    await OwnKey(hand.context, signer).imported(own, parent)
    assert seen(logged) == [KeySeenElsewhere(FIRST_SLOT, 3, Slot(0), signed.hash)]
    assert signer.last.unknown is not None
