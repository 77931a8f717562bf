"""A member that has lost its signing guard: what it states, and when it approves blocks again."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from alysd.consensus.recovery import recovery_message
from alysd.integrations import bls
from alysd.integrations.signing_guard import read_guard, write_guard
from alysd.messages.approval import NoteRecovery
from alysd.messages.log.base import LogEvent
from alysd.messages.log.chain import MemberRecovered, MemberRecovering, TooManyRecovering
from alysd.messages.network import PublishRecovery
from alysd.testing.blocks import FIRST_SLOT
from alysd.testing.chain import authority_secret
from alysd.types.hashes import ZERO_HASH
from alysd.types.proposal import RecoveryStatement
from alysd.types.signing import SignedSlot
from alysd.types.units import Slot
from alysd.wire.block_ssz import block_hash
from tests.workflows.approvals import MemberOnTheHarness

pytestmark = pytest.mark.usefixtures("no_threads")


def recovering(folder: Path, own: int | None = 0, *, joins: bool = True) -> MemberOnTheHarness:
    """A member whose guard `alysd recover` has replaced in the slot before `FIRST_SLOT`."""
    world = MemberOnTheHarness(folder, 4, own)
    if own is not None:
        key = bls.public_key(authority_secret(own))
        write_guard(world.guard, SignedSlot(key, FIRST_SLOT, ZERO_HASH, FIRST_SLOT, joins=joins))
    return world


def statement(world: MemberOnTheHarness, authority: int, slot: Slot) -> RecoveryStatement:
    """The statement of one authority."""
    message = recovery_message(world.context.genesis, slot)
    return RecoveryStatement(slot, authority, bls.sign(authority_secret(authority), message))


async def state(world: MemberOnTheHarness, authority: int, slot: Slot) -> None:
    """Another authority states that its guard is lost."""
    world.approval.tell(NoteRecovery(statement(world, authority, slot)))
    await world.harness.settle()


async def test_it_states_the_loss_in_every_slot_and_goes_on_from_a_block_of_the_others(
    tmp_path: Path, autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    world = recovering(tmp_path, joins=False)
    async with world.running():
        first, second = sorted(world.slot_of(author, after=2) for author in range(1, 4))[:2]
        await world.until_slot(first, 0.1)
        assert world.sent(PublishRecovery) == [
            PublishRecovery(statement(world, 0, Slot(slot))) for slot in range(FIRST_SLOT + 1, first + 1)
        ]
        block = world.make(first)
        await world.propose(block)
        await world.approve(block, *{1, 2, 3} - {first % 4})
        assert world.has(block)
        assert not world.approved, "its parent is from before the loss"
        await world.until_slot(second, 0.1)
        child = world.make(second)
        await world.propose(child)
        assert world.approved == [block_hash(child)]
        await world.until_slot(Slot(second + 3))
    assert max(sent.statement.slot for sent in world.sent(PublishRecovery)) == second
    lines = [event for event in logged if isinstance(event, MemberRecovering | MemberRecovered)]
    assert [type(event) for event in lines] == [MemberRecovering]


async def test_a_clock_that_is_set_raises_the_guard_when_it_is_trusted(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """The clock was behind when the guard was made and when the node started, and NTP set it then."""
    world = recovering(tmp_path, joins=False)
    key = bls.public_key(authority_secret(0))

    def guard() -> SignedSlot | None:
        return read_guard(world.guard, key)

    async with world.running():
        await world.until_slot(Slot(FIRST_SLOT + 2), 0.1)
        raised = Slot(FIRST_SLOT + 2)
        assert guard() == SignedSlot(key, raised, ZERO_HASH, raised)
        world.clock.offset += 3600.0
        before = len(world.sent(PublishRecovery))
        await trio.sleep(60)
        assert world.watch.doubt()
        assert len(world.sent(PublishRecovery)) == before, "each statement is about the present slot"
        assert guard() == SignedSlot(key, raised, ZERO_HASH, raised)
        await trio.sleep(600)
        first = world.sent(PublishRecovery)[before].statement.slot
        assert guard() == SignedSlot(key, Slot(first + 1), ZERO_HASH, Slot(first + 1))
        assert first > FIRST_SLOT + 1800


async def test_it_approves_what_all_others_that_have_their_guards_approve(
    tmp_path: Path, autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    """Two of four recover: the other two are no quorum, and the chain stood still for good."""
    world = recovering(tmp_path)
    async with world.running():
        slot = world.slot_of(2, after=3)
        await world.until_slot(slot, 0.1)
        block = world.make(slot)
        await world.propose(block)
        await state(world, 1, Slot(slot - 1))
        assert not world.approved
        await world.approve(block, 3)
        assert world.approved == [block_hash(block)]
        assert world.has(block)
        await world.approve(block, 1)
        await world.until_slot(Slot(slot + 2))
    guard = read_guard(world.guard, bls.public_key(authority_secret(0)))
    assert guard is not None
    assert (guard.slot, guard.block, guard.lock) == (slot, block_hash(block), 0)
    assert MemberRecovered(slot, 1) in logged
    assert MemberRecovering(Slot(slot - 1), 1) in logged
    assert [type(event) for event in logged].count(TooManyRecovering) == 1


async def test_without_the_claim_of_the_operator_it_waits(tmp_path: Path, autojump_clock: MockClock) -> None:
    """A liar among the others could use it to commit a block that conflicts with one that it has forgotten."""
    world = recovering(tmp_path, joins=False)
    async with world.running():
        slot = world.slot_of(2, after=3)
        await world.until_slot(slot, 0.1)
        block = world.make(slot)
        await world.propose(block)
        await state(world, 1, slot)
        await world.approve(block, 3)
        assert not world.approved
        await world.approve(block, 1)
        assert world.has(block)
    assert not world.approved


async def test_the_statement_may_come_after_the_approvals(tmp_path: Path, autojump_clock: MockClock) -> None:
    world = recovering(tmp_path)
    async with world.running():
        slot = world.slot_of(2, after=3)
        await world.until_slot(slot, 0.1)
        block = world.make(slot)
        await world.propose(block)
        await world.approve(block, 3)
        assert not world.approved
        await state(world, 1, slot)
    assert world.approved == [block_hash(block)]


async def test_a_statement_from_before_the_own_loss_excuses_nobody(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Its member may have approved a block since then, together with this one."""
    world = recovering(tmp_path)
    async with world.running():
        slot = world.slot_of(2, after=3)
        await world.until_slot(slot, 0.1)
        block = world.make(slot)
        await world.propose(block)
        await state(world, 1, FIRST_SLOT)
        await world.approve(block, 3)
        assert not world.approved
        await state(world, 1, slot)
        await state(world, 1, FIRST_SLOT)
    assert world.approved == [block_hash(block)]


@pytest.mark.parametrize("own", [None, 7])
async def test_who_is_no_member_states_nothing(
    own: int | None, tmp_path: Path, autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    world = recovering(tmp_path, own=own)
    async with world.running():
        slot = world.slot_of(2, after=3)
        await world.until_slot(slot, 0.1)
        block = world.make(slot)
        await world.propose(block)
        await state(world, 1, slot)
        await world.approve(block, 1, 3)
    assert world.sent(PublishRecovery) == []
    assert world.has(block)
    assert MemberRecovering(slot, 1) in logged
