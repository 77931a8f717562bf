"""Candidates with peg contents: an authority compares them with its own Bitcoin node before it approves."""

from pathlib import Path

import attrs
import pytest
from trio.testing import MockClock

from alysd.errors import NotNow, NotSeenOnBitcoin, PaymentDeclined
from alysd.messages.block_import import ImportBlock
from alysd.messages.bridge import JudgePegContents
from alysd.messages.chain import GetEntries
from alysd.messages.log.base import LogEvent
from alysd.messages.log.chain import CandidateDeclined, CandidatePostponed
from alysd.testing.chain import chain_spec
from alysd.testing.peg import PEG_GENESIS, peg_in
from alysd.types.block import Block
from alysd.types.peg import RESERVE
from alysd.types.units import Slot
from alysd.wire.block_ssz import block_hash
from tests.workflows.approvals import MemberOnTheHarness

pytestmark = pytest.mark.usefixtures("no_threads")


def member(folder: Path) -> MemberOnTheHarness:
    """A member of a federation of four whose chain has a peg and an empty ledger."""
    world = MemberOnTheHarness(folder, 4, spec=chain_spec(authorities=4, execution_genesis=PEG_GENESIS))
    world.chain.on(GetEntries).computes(lambda message: (None,) * len(message.keys))
    return world


def with_deposit(world: MemberOnTheHarness, slot: Slot) -> Block:
    """A block that takes a deposit to the reserve, which mints nothing."""
    return attrs.evolve(world.make(slot), peg_ins=(peg_in("deposit", 200_000, to=RESERVE),))


async def test_contents_that_bitcoin_shows_are_approved(tmp_path: Path, autojump_clock: MockClock) -> None:
    world = member(tmp_path)
    world.bridge.on(JudgePegContents).answers(None)
    async with world.running():
        slot = world.slot_of(1)
        await world.until_slot(slot)
        block = with_deposit(world, slot)
        await world.propose(block)
    assert world.approved == [block_hash(block)]
    assert world.bridge.received == [JudgePegContents(block)]


@pytest.mark.parametrize("kind", [NotSeenOnBitcoin, PaymentDeclined])
async def test_a_deposit_that_bitcoin_does_not_show_is_not_approved(
    tmp_path: Path,
    autojump_clock: MockClock,
    logged: list[LogEvent],
    kind: type[NotSeenOnBitcoin | PaymentDeclined],
) -> None:
    """An author could mint what nobody deposited. If a quorum sees the deposit, this node imports the block."""
    world = member(tmp_path)
    world.bridge.on(JudgePegContents).fails(kind("the deposit is not in the best chain"))
    world.block_import.on(ImportBlock).fails(NotNow("only its arrival counts"))
    async with world.running():
        slot = world.slot_of(1)
        await world.until_slot(slot)
        block = with_deposit(world, slot)
        await world.propose(block)
        (declined,) = [event for event in logged if isinstance(event, CandidateDeclined)]
        assert declined.reason.endswith("the deposit is not in the best chain")
        assert world.states[-1] == "DeclinedCandidate"
        await world.approve(block, 2, 3)
        assert any(isinstance(message, ImportBlock) for message in world.block_import.received)
    assert not world.approved
    assert len(world.bridge.received) == 1


async def test_a_member_without_an_answer_of_bitcoin_abstains_until_it_has_one(
    tmp_path: Path, autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    world = member(tmp_path)
    world.bridge.on(JudgePegContents).fails(NotNow("the Bitcoin node does not answer"))
    async with world.running():
        slot = world.slot_of(1)
        await world.until_slot(slot)
        block = with_deposit(world, slot)
        await world.propose(block)
        assert [event.reason for event in logged if isinstance(event, CandidatePostponed)] == [
            "the Bitcoin node does not answer"
        ]
        assert not world.approved
        world.bridge.on(JudgePegContents).answers(None)
        await world.until_slot(Slot(slot + 1))
    assert world.approved == [block_hash(block)]


async def test_a_node_without_bitcoin_approves_only_blocks_without_contents(
    tmp_path: Path, autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    world = member(tmp_path)
    world.has_bitcoin = False
    async with world.running():
        slot = world.slot_of(1)
        await world.until_slot(slot)
        await world.propose(with_deposit(world, slot))
        assert not world.approved
        (postponed,) = [event for event in logged if isinstance(event, CandidatePostponed)]
        assert "no Bitcoin node" in postponed.reason
        await world.until_slot(Slot(slot + 1))
        plain = world.make(Slot(slot + 1))
        await world.propose(plain)
    assert world.approved == [block_hash(plain)]
