"""The approval workflow: what is approved, when a quorum is reached, and what it costs when others lie."""

from pathlib import Path

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.consensus.payload_violations import InvalidPayload
from alysd.consensus.violations import UnknownParent
from alysd.errors import InvalidBlock, NoQuorum, NotNow, StoreError
from alysd.integrations import signing
from alysd.messages.approval import (
    AdvanceCandidate,
    AwaitQuorum,
    BlockImported,
    GetCandidates,
)
from alysd.messages.block_import import ImportBlock
from alysd.messages.chain import GetAncestry, GetForkchoice, GetState
from alysd.messages.engine import ExecutePayload
from alysd.messages.evidence import ReportConflict
from alysd.messages.log.base import LogEvent
from alysd.messages.log.chain import CandidateDeclined, CandidatePostponed, CandidateRefused
from alysd.messages.network import PublishApproval, PublishProposal
from alysd.messages.sync import BlockMissing, GetSyncProgress
from alysd.nurseries import ActorDown, AskTimeout, HandlerCrashed, MailboxFull
from alysd.testing.blocks import FIRST_SLOT, make_header
from alysd.testing.peg import any_proposal
from alysd.types.execution import PayloadResults
from alysd.types.federation import SlotSteps
from alysd.types.sync import SyncProgress
from alysd.types.units import Height, Slot, Wei
from alysd.wire.block_ssz import block_hash
from tests.workflows.approvals import PEER, MemberOnTheHarness

WHOLE_WAY = ["ValidCandidate", "ExecutedCandidate", "ApprovedCandidate", "QuorumCandidate", "ImportedCandidate"]

pytestmark = pytest.mark.usefixtures("no_threads")


async def test_alone_in_its_quorum_a_block_is_imported_at_once(tmp_path: Path, autojump_clock: MockClock) -> None:
    world = MemberOnTheHarness(tmp_path, 1)
    async with world.running():
        began = trio.current_time()
        tip = await world.make_own(FIRST_SLOT)
        assert trio.current_time() == began
        assert tip.head.slot == FIRST_SLOT
        await world.harness.settle()
        assert [proposal.signed.hash for proposal in world.published] == [tip.head.hash], "for followers"
        await world.until_slot(Slot(FIRST_SLOT + 1))
        second = await world.make_own(Slot(FIRST_SLOT + 1))
        await world.harness.settle()
    assert world.states == 2 * ["ApprovedCandidate", "QuorumCandidate", "ImportedCandidate"]
    assert [proposal.parent_approvals for proposal in world.published] == [
        None,
        world.blocks[tip.head.hash].approvals,
    ]
    assert second.head.height == 2
    assert not world.sync.received, "nothing depends on other nodes"


@pytest.mark.parametrize("members", [3, 4, 7])
async def test_an_author_gets_its_quorum_from_the_others(
    members: int, tmp_path: Path, autojump_clock: MockClock
) -> None:
    world = MemberOnTheHarness(tmp_path, members)
    quorum = world.context.first_federation.quorum
    async with world.running():
        slot = world.slot_of(0)
        await world.until_slot(slot)
        block = world.make(slot)
        async with trio.open_nursery() as nursery:
            tips: list[object] = []

            async def propose() -> None:
                tips.append(await world.make_own(slot))

            nursery.start_soon(propose)
            await world.harness.settle()
            assert [proposal.signed for proposal in world.published] == [world.by_author(block)]
            await world.approve(block, *range(1, quorum - 1))
            assert not tips, "one approval is missing"
            await world.approve(block, quorum - 1)
        assert tips == [world.tree.tip]
    assert world.blocks[block_hash(block)] == world.signed(block, range(quorum))
    assert world.states == ["ApprovedCandidate", "QuorumCandidate", "ImportedCandidate"]


@pytest.mark.parametrize("members", [3, 4, 7])
async def test_a_member_judges_executes_approves_and_imports(
    members: int, tmp_path: Path, autojump_clock: MockClock
) -> None:
    world = MemberOnTheHarness(tmp_path, members)
    quorum = world.context.first_federation.quorum
    async with world.running():
        slot = world.slot_of(1)
        await world.until_slot(slot, 0.1)
        block = world.make(slot)
        await world.propose(block)
        assert world.approved == [block_hash(block)]
        assert world.sent(PublishApproval)[0].approval == world.approval_of(0, block)
        await world.approve(block, *range(2, quorum - 1))
        assert world.has(block) == (quorum == 2)
        await world.approve(block, *range(quorum - 1, members))
        assert world.has(block)
    assert world.states == WHOLE_WAY
    assert len(world.sent(ImportBlock)) == 1
    assert world.blocks[block_hash(block)].approvals.count >= quorum


async def test_the_record_of_a_slot_has_the_time_of_each_step(tmp_path: Path, autojump_clock: MockClock) -> None:
    """A federation that approves slowly could not be told whether proposals, members or approvals are late."""
    world = MemberOnTheHarness(tmp_path, 4)
    world.engine.on(ExecutePayload).answers(PayloadResults(Wei(0))).after(0.06)
    async with world.running():
        await world.until_slot(Slot(FIRST_SLOT + 1), 0.05)
        block = world.make(Slot(FIRST_SLOT + 1))
        await world.propose(block)
        await trio.sleep(0.1)
        await world.approve(block, 2)
        await world.until_slot(Slot(FIRST_SLOT + 4), 0.05)
        own = world.make(Slot(FIRST_SLOT + 4))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.own_block, own)
            await trio.sleep(0.1)
            await world.approve(own, 1, 2)
        await world.until_slot(Slot(FIRST_SLOT + 7))
    records = {record.slot - FIRST_SLOT: record for record in world.slots_over}
    assert (records[1].seconds, attrs.astuple(records[1].steps)) == (
        pytest.approx(0.1),
        pytest.approx((0.16, 0.2, 0.2)),
    )
    assert records[2].steps == SlotSteps(None, None, None)
    assert (records[4].seconds, attrs.astuple(records[4].steps)) == (
        pytest.approx(0.1),
        pytest.approx((0.1, 0.2, 0.2)),
    )


async def test_a_follower_counts_and_imports_and_approves_nothing(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    world = MemberOnTheHarness(tmp_path, 4, own=None)
    async with world.running():
        await world.until_slot(Slot(FIRST_SLOT + 1))
        block = world.make(Slot(FIRST_SLOT + 1))
        await world.propose(block)
        await world.approve(block, *range(4))
    assert world.has(block)
    assert world.states == ["QuorumCandidate", "ImportedCandidate"]
    assert not world.engine.received, "it leaves the judgement to import"
    assert not world.approved


async def test_a_key_outside_the_federation_approves_nothing(tmp_path: Path, autojump_clock: MockClock) -> None:
    world = MemberOnTheHarness(tmp_path, 4, own=7)
    async with world.running():
        block = world.make(FIRST_SLOT)
        await world.propose(block)
        await world.approve(block, *range(4))
    assert world.has(block)
    assert not world.approved


async def test_approvals_that_arrive_before_their_block_count(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Gossip does not keep the order of messages."""
    world = MemberOnTheHarness(tmp_path, 4)
    async with world.running():
        slot = world.slot_of(1)
        await world.until_slot(slot)
        block = world.make(slot)
        await world.approve(block, 2, 3, 3)
        await world.propose(block)
    assert world.has(block)
    assert world.blocks[block_hash(block)] == world.signed(block, [1, 2, 3])


async def test_an_approval_counts_once(tmp_path: Path, autojump_clock: MockClock) -> None:
    """With a signature added twice, the sum is of nobody, and the block is refused everywhere."""
    world = MemberOnTheHarness(tmp_path, 4, own=None)
    async with world.running():
        block = world.make(FIRST_SLOT)
        author = FIRST_SLOT % 4
        await world.propose(block)
        await world.propose(block)
        other = (author + 1) % 4
        await world.approve(block, other, other, author, other)
        assert not world.has(block)
        await world.approve(block, (author + 2) % 4)
    assert world.has(block)


async def test_a_block_without_quorum_names_the_silent_members_and_still_gathers(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    world = MemberOnTheHarness(tmp_path, 4)
    async with world.running():
        before = world.make(world.slot_of(3))
        await world.until_slot(world.slot_of(3))
        await world.propose(before)
        await world.approve(before, 1, 2)
        slot = world.slot_of(0, after=before.slot - FIRST_SLOT)
        await world.until_slot(slot)
        block = world.make(slot)
        with pytest.raises(NoQuorum) as caught:
            await world.own_block(block)
        assert world.clock.time() == slot * 2 + 1.8, "early enough for the report of the slot"
        assert str(caught.value) == (
            "1 of the 3 approvals needed; no approval from authority "
            + ", ".join(f"{silent} (last heard in slot {slot - 1})" for silent in (1, 2, 3))
        )
        with pytest.raises(NoQuorum):
            await world.own_block(block)
        assert world.clock.time() == slot * 2 + 1.8
        await world.approve(block, 2, 3)
        assert world.has(block), "late, but a quorum"
        assert (await world.own_block(block)).head.slot == slot, "the ask is answered from then on"


async def test_an_own_block_whose_import_got_no_answer_is_imported_in_the_next_slot(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """A quorum has approved it, and no other node would have had to fetch it."""
    world = MemberOnTheHarness(tmp_path, 4)
    async with world.running():
        slot = world.slot_of(0, after=1)
        await world.until_slot(slot)
        block = world.make(slot)
        world.block_import.on(ImportBlock).fails(ActorDown("block import", "stopped"))
        async with trio.open_nursery() as nursery:

            async def propose() -> None:
                with pytest.raises(ActorDown):
                    await world.own_block(block)

            nursery.start_soon(propose)
            await world.harness.settle()
            await world.approve(block, 1, 2)
        assert not world.has(block)
        world.block_import.on(ImportBlock).computes(lambda message: world.adopt(message.signed))
        await world.until_slot(Slot(slot + 1), 0.1)
    assert world.has(block)


async def test_a_member_that_was_never_heard_is_named_so(tmp_path: Path, autojump_clock: MockClock) -> None:
    world = MemberOnTheHarness(tmp_path, 3)
    async with world.running():
        slot = world.slot_of(0)
        await world.until_slot(slot)
        with pytest.raises(NoQuorum, match=r"authority 1 \(not heard since this node's start\), 2 \(not heard"):
            await world.make_own(slot)
        await world.harness.settle()
        await world.until_slot(Slot(slot + 6))
        with pytest.raises(NoQuorum):
            await world.make_own(slot)


async def test_of_two_proposals_in_a_slot_one_is_approved(tmp_path: Path, autojump_clock: MockClock) -> None:
    """A member that approved both could help two blocks of one slot to a quorum."""
    world = MemberOnTheHarness(tmp_path, 4)
    async with world.running():
        slot = world.slot_of(1)
        await world.until_slot(slot)
        one, two, three = (world.make(slot, mark=mark) for mark in "123")
        for block in (one, two, three):
            await world.propose(block)
        assert world.approved == [block_hash(one)]
        await world.approve(three, 2, 3)
        assert not world.has(three), "a third candidate of a slot is not even kept"
        await world.approve(two, 2, 3)
        assert world.has(two), "but what the others approve is imported"
    assert world.approved == [block_hash(one)]


async def test_an_authority_that_approves_two_blocks_of_a_slot_is_reported(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Nobody would keep the evidence: only one of the two blocks can be imported."""
    world = MemberOnTheHarness(tmp_path, 4, own=None)
    async with world.running():
        slot = world.slot_of(1)
        await world.until_slot(slot)
        one, two = world.make(slot, mark="1"), world.make(slot, mark="2")
        await world.propose(one)
        await world.approve(one, 2)
        await world.approve(two, 0)
        assert not world.evidence.received
        await world.propose(two)
        await world.approve(two, 2, 2, 3)
        await world.approve(one, 0)
    found = [
        {(report.one.hash, report.one.approvals.signers), (report.other.hash, report.other.approvals.signers)}
        for report in world.evidence.received
        if isinstance(report, ReportConflict)
    ]
    for authority, pair in zip((1, 2, 0), found, strict=True):
        bits = tuple(index == authority for index in range(4))
        assert pair == {(block_hash(one), bits), (block_hash(two), bits)}


async def test_after_a_restart_the_guard_remembers_what_was_approved(
    tmp_path: Path, autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    world = MemberOnTheHarness(tmp_path, 4)
    slot = world.slot_of(1)
    one, two = (world.make(slot, mark=mark) for mark in "12")
    async with world.running(restarts=1):
        await world.until_slot(slot)
        await world.propose(one)
        world.chain.on(GetState).fails(ValueError("crash"))
        await world.propose(two)
        world.chain.on(GetState).computes(lambda message: world.tree.get(message.hash))
        await world.propose(two)
        assert world.approved == [block_hash(one)]
        assert [event.hash for event in logged if isinstance(event, CandidateDeclined)] == [block_hash(two)]
        assert "has already signed" in next(
            event.reason for event in logged if isinstance(event, CandidateDeclined)
        )
        assert world.states[-1] == "DeclinedCandidate"
        await world.propose(one)
        assert world.approved == 2 * [block_hash(one)], "the same block may be signed again, and is gossiped again"
        await world.approve(one, 2)
    assert world.has(one)


async def test_a_lock_refuses_a_block_on_an_older_parent(
    tmp_path: Path, autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    world = MemberOnTheHarness(tmp_path, 4)
    async with world.running():
        first, second, third = (world.slot_of(author, after) for author, after in ((1, 0), (2, 0), (3, 0)))
        first, second, third = sorted((first, second, third))
        old = world.tree.tip.head
        for slot in (first, second):
            await world.until_slot(slot)
            block = world.make(slot)
            await world.propose(block)
            await world.approve(block, *{1, 2, 3})
            assert world.has(block)
        await world.until_slot(third)
        stale = world.make(third, parent=old)
        await world.propose(stale)
        assert block_hash(stale) not in world.approved
        declined = [event for event in logged if isinstance(event, CandidateDeclined)]
        assert [event.author for event in declined] == [third % 4]
        assert "lock" in declined[0].reason
        await world.approve(stale, *{1, 2, 3})
    assert world.has(stale), "the others may have been right"


async def test_a_disk_that_fails_costs_the_approval(
    tmp_path: Path, autojump_clock: MockClock, logged: list[LogEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = MemberOnTheHarness(tmp_path, 4)

    def full(*_: object) -> None:
        raise StoreError("the disk is full")

    async with world.running():
        monkeypatch.setattr(signing, "write_guard", full)
        slot = world.slot_of(1)
        await world.until_slot(slot)
        await world.propose(world.make(slot))
    assert not world.approved
    assert [event.reason for event in logged if isinstance(event, CandidateDeclined)] == ["the disk is full"]


@pytest.mark.parametrize("by", ["rule", "execution"])
async def test_an_invalid_proposal_is_not_approved(
    by: str, tmp_path: Path, autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    world = MemberOnTheHarness(tmp_path, 4)
    async with world.running():
        slot = world.slot_of(1)
        await world.until_slot(slot)
        block = world.make(slot)
        if by == "rule":
            block = attrs.evolve(block, peg_out_proposal=any_proposal())
        else:
            world.engine.on(ExecutePayload).fails(InvalidPayload("no gas"))
        await world.propose(block)
        refused = [event for event in logged if isinstance(event, CandidateRefused)]
        assert [(event.slot, event.author, event.rule) for event in refused] == [
            (slot, 1, "PegNotActive" if by == "rule" else "InvalidPayload")
        ]
        assert world.states[-1] == "RefusedCandidate"
        await world.until_slot(Slot(slot + 1))
        assert not world.approved
        await world.approve(block, 2, 3)
        assert world.has(block) == (by == "execution"), "import decides what a quorum has approved"
    if by == "rule":
        assert world.states[-2:] == ["QuorumCandidate", "AbandonedCandidate"]


async def test_a_block_with_a_proof_is_judged_by_its_ancestry(tmp_path: Path, autojump_clock: MockClock) -> None:
    world = MemberOnTheHarness(tmp_path, 4)
    async with world.running():
        await world.until_slot(Slot(FIRST_SLOT + 2))
        for slot in (FIRST_SLOT, Slot(FIRST_SLOT + 1)):
            world.adopt(world.signed(world.make(slot), range(4)))
        tip = world.tree.tip.head
        work = make_header(tip, world.tree.ancestry(tip.hash), world.spec, 1)
        block = world.make(Slot(FIRST_SLOT + 2), work=work)
        await world.propose(block)
        assert GetAncestry(tip.hash) in world.chain.received
        assert world.approved == [block_hash(block)]
        await world.approve(block, 1)
    assert world.tree.tip.finalized.height == 1


@pytest.mark.parametrize("late", [-0.6, 2.0, 3.0])
async def test_a_block_is_approved_only_in_its_slot_or_the_next(
    late: float, tmp_path: Path, autojump_clock: MockClock
) -> None:
    world = MemberOnTheHarness(tmp_path, 4)
    async with world.running():
        slot = world.slot_of(2, after=1)
        await world.until_slot(slot, late)
        block = world.make(slot)
        await world.propose(block)
        assert not world.approved
        await world.until_slot(slot, max(late, 0.0))
        assert world.approved == ([block_hash(block)] if late < 0 else []), "an early block waits for its slot"


async def test_a_block_that_took_too_long_to_execute_is_not_approved(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    world = MemberOnTheHarness(tmp_path, 4)
    async with world.running():
        slot = world.slot_of(1)
        await world.until_slot(slot, 1.9)
        world.engine.on(ExecutePayload).answers(PayloadResults(Wei(0))).after(0.5)
        await world.propose(world.make(slot))
        await world.until_slot(slot, 3)
    assert not world.approved
    assert "ExecutedCandidate" in world.states


@pytest.mark.parametrize("share", [0.1, 0.6, 0.95])
async def test_a_candidate_that_is_slow_to_execute_does_not_delay_the_own_block(
    share: float, tmp_path: Path, autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    """Its author decides how long it takes. The own slot would be lost, and with it every slot after a liar's."""
    world = MemberOnTheHarness(tmp_path, 4, own=2)
    world.engine.on(ExecutePayload).answers(PayloadResults(Wei(0))).after(14.0)
    async with world.running():
        slot = world.slot_of(1)
        await world.until_slot(slot, share)
        parent = world.tree.tip.head
        await world.propose(world.make(slot))
        own = Slot(slot + 1)
        await trio.sleep(own * 2 - world.clock.time())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.own_block, world.make(own, parent))
            await trio.sleep(0.3)
            assert [proposal.signed.block.slot for proposal in world.published] == [own], "0.25 s of waiting"
            await world.approve(world.make(own, parent), 1, 3)
        assert world.tree.tip.head.slot == own
        await world.until_slot(Slot(own + 1), 0.9)
    assert "ExecutedCandidate" not in world.states
    assert not world.approved


async def test_a_client_that_catches_up_is_asked_again_in_the_next_slot(
    tmp_path: Path, autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    world = MemberOnTheHarness(tmp_path, 4)
    world.engine.on(ExecutePayload).fails(NotNow("the execution client is catching up"))
    async with world.running():
        slot = world.slot_of(1)
        await world.until_slot(slot)
        block = world.make(slot)
        await world.propose(block)
        assert [event.reason for event in logged if isinstance(event, CandidatePostponed)] == [
            "the execution client is catching up"
        ]
        world.engine.on(ExecutePayload).answers(PayloadResults(Wei(0)))
        await world.until_slot(Slot(slot + 1))
    assert world.approved == [block_hash(block)]
    assert world.states[:3] == ["ValidCandidate", "ExecutedCandidate", "ApprovedCandidate"]


@pytest.mark.parametrize("synced", [False, None])
async def test_a_node_that_is_not_synced_approves_nothing(
    synced: bool | None, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """It cannot know whether the block builds on the best one."""
    world = MemberOnTheHarness(tmp_path, 4)
    if synced is None:
        world.sync.on(GetSyncProgress).keeps_silent()
    else:
        world.sync.on(GetSyncProgress).answers(SyncProgress(Height(9), Height(100), 5.0, 3))
    async with world.running():
        slot = world.slot_of(1)
        await world.until_slot(slot)
        block = world.make(slot)
        await world.propose(block)
        await trio.sleep(1.1)
        assert not world.approved
        await world.approve(block, 2, 3)
    assert world.has(block), "but it follows the chain"


async def test_a_clock_that_was_set_approves_nothing(tmp_path: Path, autojump_clock: MockClock) -> None:
    """The guard would record a slot far in the future, and forbid every slot up to that."""
    world = MemberOnTheHarness(tmp_path, 4)
    async with world.running():
        await world.harness.settle()
        world.clock.offset += 3600.0
        slot = world.slot_of(1, after=1800)
        await world.until_slot(slot)
        await world.propose(world.make(slot))
    assert not world.approved


# Parents


@pytest.mark.parametrize("chosen", [(1, 2, 3), (0, 2, 3)], ids=["with its author", "without its author"])
async def test_a_parent_that_lacks_approvals_is_completed_by_its_childs_proposal(
    chosen: tuple[int, ...], tmp_path: Path, autojump_clock: MockClock
) -> None:
    """The author of the child chooses whose approvals it sends. It cannot thereby make the parent invalid."""
    world = MemberOnTheHarness(tmp_path, 4)
    async with world.running():
        slot = world.slot_of(1)
        await world.until_slot(slot)
        parent = world.make(slot)
        await world.propose(parent)
        assert not world.has(parent)
        proof = world.signed(parent, chosen)
        child = world.make(Slot(slot + 1), world.after(proof))
        await world.until_slot(Slot(slot + 1))
        await world.propose(child, parents=proof.approvals)
        assert world.has(parent)
        assert world.blocks[proof.hash] == world.signed(parent, range(4))
        assert world.approved == [proof.hash, block_hash(child)]
        assert not world.missing


async def test_parents_are_imported_oldest_first(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Two slots without approvals, as after a short partition."""
    world = MemberOnTheHarness(tmp_path, 4)
    async with world.running():
        first = world.make(Slot(FIRST_SLOT + 1))
        second = world.make(Slot(FIRST_SLOT + 2), world.after(world.by_author(first)))
        third = world.make(
            Slot(FIRST_SLOT + 3), world.after(world.by_author(second), world.after(world.by_author(first)))
        )
        proofs = [world.signed(block, range(4)) for block in (first, second)]
        await world.until_slot(third.slot)
        await world.propose(third, parents=proofs[1].approvals)
        await world.propose(second, parents=proofs[0].approvals)
        await world.propose(first)
        assert world.missing == [proofs[1].hash, proofs[0].hash]
        await world.until_slot(Slot(third.slot + 1))
        assert world.has(first)
        assert world.has(second)
        await world.approve(third, 1, 2, 3)
        assert world.has(third)
    imported = [message.signed.block.slot for message in world.sent(ImportBlock)]
    assert imported == [first.slot, second.slot, third.slot]


async def test_an_unknown_parent_is_reported_to_sync_and_the_block_judged_when_it_is_there(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    world = MemberOnTheHarness(tmp_path, 4)
    async with world.running():
        parent = world.signed(world.make(FIRST_SLOT), range(4))
        slot = next(slot for slot in range(FIRST_SLOT + 1, FIRST_SLOT + 3) if slot % 4)
        child = world.make(Slot(slot), world.after(parent))
        await world.until_slot(Slot(slot))
        await world.propose(child, parents=parent.approvals)
        assert world.sent(BlockMissing) == [BlockMissing(parent.hash, PEER)]
        assert not world.approved
        world.adopt(parent)
        world.approval.tell(BlockImported(parent.hash))
        await world.harness.settle()
        assert world.approved == [block_hash(child)]
        await world.until_slot(Slot(slot + 1))
        assert len(world.missing) == 1


async def test_a_proposal_on_an_old_block_is_refused_and_nothing_is_fetched(
    tmp_path: Path, autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    """A liar proposed on the genesis block. Sync asked the others for it, found it unapproved, and banned them."""
    world = MemberOnTheHarness(tmp_path, 4)
    async with world.running():
        old = world.tree.tip.head
        world.blocks[old.hash] = world.hand.genesis
        slots = [Slot(FIRST_SLOT + step) for step in (1, 2, 3)]
        await world.until_slot(slots[2])
        for slot in slots:
            tip = world.tree.tip.head
            work = make_header(tip, world.tree.ancestry(tip.hash), world.spec, 1) if slot == slots[2] else None
            world.adopt(world.signed(world.make(slot, work=work), range(4)))
        assert world.tree.get(old.hash) is None
        late = world.make(slots[2], parent=old)
        await world.propose(late)
        await world.until_slot(Slot(slots[2] + 1))
        await world.approve(late, 1, 2)
    assert not world.missing
    refused = [event for event in logged if isinstance(event, CandidateRefused)]
    assert [(event.hash, event.rule) for event in refused] == [(block_hash(late), "UnknownParent")]
    assert world.states == ["RefusedCandidate"]


async def test_a_missing_parent_is_reported_again_in_the_next_slot(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    world = MemberOnTheHarness(tmp_path, 4)
    async with world.running():
        parent = world.signed(world.make(FIRST_SLOT), range(4))
        child = world.make(Slot(FIRST_SLOT + 1), world.after(parent))
        await world.until_slot(child.slot)
        await world.propose(child, parents=parent.approvals)
        await world.until_slot(Slot(child.slot + 1))
        assert world.missing == 2 * [parent.hash]
        await world.until_slot(Slot(child.slot + 9))
        assert len(world.missing) <= 5, "and no longer than the candidate is kept"


@pytest.mark.parametrize("full", [True, False])
async def test_a_network_and_a_sync_that_do_not_run_cost_nothing(
    full: bool, tmp_path: Path, autojump_clock: MockClock
) -> None:
    world = MemberOnTheHarness(tmp_path, 4)
    for address in (world.network, world.sync):
        if not full:
            address.gone = "not part of a running system"
    world.network.on(PublishApproval).fails(MailboxFull("network", 1024))
    world.network.on(PublishProposal).fails(MailboxFull("network", 1024))
    world.sync.on(BlockMissing).fails(MailboxFull("sync", 64))
    async with world.running():
        slot = world.slot_of(1)
        await world.until_slot(slot)
        block = world.make(slot)
        await world.propose(block)
        await world.approve(block, 2, 3)
        assert world.has(block)
        own = world.slot_of(0, after=slot - FIRST_SLOT)
        await world.until_slot(own)
        with pytest.raises(NoQuorum):
            await world.make_own(own)
        orphan = world.make(Slot(own + 1), world.after(world.signed(world.make(own, mark="other"), range(4))))
        await world.propose(orphan)
    assert len(world.published) == full


# What is sent and answered


async def test_an_author_can_wait_for_the_slot_before(tmp_path: Path, autojump_clock: MockClock) -> None:
    world = MemberOnTheHarness(tmp_path, 4)
    async with world.running():
        slot = world.slot_of(1)
        await world.until_slot(slot)
        await world.approval.ask(AwaitQuorum(slot))
        block = world.make(slot)
        await world.propose(block)
        with pytest.raises(AskTimeout):
            await world.approval.ask(AwaitQuorum(slot), seconds=0.25)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: world.approval.ask(AwaitQuorum(slot), seconds=0.25))
            await world.harness.settle()
            await world.approve(block, 2, 3)
        assert world.has(block)
        await world.approval.ask(AwaitQuorum(slot))


async def test_an_own_block_that_sync_has_imported_is_answered(tmp_path: Path, autojump_clock: MockClock) -> None:
    world = MemberOnTheHarness(tmp_path, 4)
    async with world.running():
        slot = world.slot_of(0)
        await world.until_slot(slot)
        block = world.make(slot)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.make_own, slot)
            await world.harness.settle()
            world.adopt(world.signed(block, range(4)))
            for _ in range(2):
                world.approval.tell(BlockImported(block_hash(block)))
        assert world.clock.time() < slot * 2 + 0.1
    assert world.states == ["ApprovedCandidate", "ImportedCandidate"]


# Import


@pytest.mark.parametrize("error", [NotNow("the client lags"), ActorDown("block import", "stopped")])
async def test_an_import_that_is_not_possible_now_is_tried_again(
    error: Exception, tmp_path: Path, autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    world = MemberOnTheHarness(tmp_path, 4)
    world.block_import.on(ImportBlock).fails(error)
    async with world.running():
        slot = world.slot_of(1)
        await world.until_slot(slot)
        block = world.make(slot)
        await world.propose(block)
        await world.approve(block, 2, 3)
        assert world.states[-1] == "QuorumCandidate"
        world.block_import.on(ImportBlock).computes(lambda message: world.adopt(message.signed))
        await world.until_slot(Slot(slot + 1))
    assert world.has(block)
    assert len([event for event in logged if isinstance(event, CandidatePostponed)]) == isinstance(
        error, ActorDown
    )


async def test_an_author_gets_the_error_of_the_import(tmp_path: Path, autojump_clock: MockClock) -> None:
    world = MemberOnTheHarness(tmp_path, 1)
    async with world.running():
        world.block_import.on(ImportBlock).fails(NotNow("the client lags"))
        with pytest.raises(NotNow, match="the client lags"):
            await world.make_own(FIRST_SLOT)
        world.block_import.on(ImportBlock).fails(UnknownParent(world.context.genesis))
        for _ in range(2):
            with pytest.raises(InvalidBlock):
                await world.make_own(FIRST_SLOT)
        world.block_import.on(ImportBlock).keeps_silent()
        with pytest.raises(AskTimeout):
            await world.make_own(FIRST_SLOT)
    assert world.states == ["ApprovedCandidate", "QuorumCandidate", "AbandonedCandidate"]


async def test_an_author_in_a_federation_gets_the_error_too(tmp_path: Path, autojump_clock: MockClock) -> None:
    world = MemberOnTheHarness(tmp_path, 4)
    async with world.running():
        slot = world.slot_of(0)
        await world.until_slot(slot)
        world.block_import.on(ImportBlock).fails(NotNow("the client lags"))
        async with trio.open_nursery() as nursery:

            async def propose() -> None:
                with pytest.raises(NotNow, match="the client lags"):
                    await world.make_own(slot)

            nursery.start_soon(propose)
            await world.harness.settle()
            await world.approve(world.make(slot), 1, 2)


async def test_work_on_a_candidate_that_is_done_or_forgotten_does_nothing(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """A message may wait while its candidate is imported in another way, is refused or becomes too old."""
    world = MemberOnTheHarness(tmp_path, 4)
    async with world.running():
        slot = world.slot_of(1)
        await world.until_slot(slot)
        block, bad = world.make(slot), attrs.evolve(world.make(slot, mark="bad"), peg_out_proposal=any_proposal())
        await world.propose(bad)
        world.approval.tell(AdvanceCandidate(block_hash(bad)))
        await world.propose(block)
        await world.approve(block, 2, 3)
        assert world.has(block)
        assert world.states.count("RefusedCandidate") == 1
        known = len(world.states)
        for one in (block, bad, world.make(slot, mark="unknown")):
            world.approval.tell(AdvanceCandidate(block_hash(one)))
        await world.harness.settle()
        assert len(world.states) == known
        assert len(world.sent(ImportBlock)) == 1


# Restarts and floods


async def test_a_restart_in_the_middle_of_a_slot_recovers_through_the_next_proposal(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    world = MemberOnTheHarness(tmp_path, 4)
    async with world.running(restarts=1):
        slot = world.slot_of(0)
        await world.until_slot(slot)
        own = world.make(slot)
        async with trio.open_nursery() as nursery:

            async def propose() -> None:
                with pytest.raises(HandlerCrashed):
                    await world.make_own(slot)

            nursery.start_soon(propose)
            await world.harness.settle()
            world.chain.on(GetState).fails(ValueError("crash"))
            await world.propose(world.make(Slot(slot - 1)))
        world.chain.on(GetState).computes(lambda message: world.tree.get(message.hash))
        proof = world.signed(own, [0, 1, 2])
        child = world.make(Slot(slot + 1), world.after(proof))
        await world.until_slot(child.slot)
        await world.propose(child, parents=proof.approvals)
        assert world.missing == [proof.hash], "the candidates were lost, so sync gets the block"
        world.adopt(proof)
        world.approval.tell(BlockImported(proof.hash))
        await world.harness.settle()
    assert world.approved == [block_hash(child)]


async def test_a_chain_actor_that_does_not_answer_holds_up_neither_the_start_nor_the_slot(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    world = MemberOnTheHarness(tmp_path, 4, own=None)
    world.chain.on(GetForkchoice).keeps_silent()
    async with world.running():
        await world.until_slot(Slot(FIRST_SLOT + 1), 0.6)
        block = world.make(Slot(FIRST_SLOT + 1))
        await world.propose(block)
        await world.approve(block, 0, 2)
    assert world.has(block)


async def test_floods_are_bounded(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Members that lie may send what they can sign. The rest of the candidates and approvals is not kept."""
    world = MemberOnTheHarness(tmp_path, 4, own=None)
    async with world.running():
        for step in range(12):
            slot = Slot(FIRST_SLOT + step)
            await world.until_slot(slot)
            for mark in range(10):
                block = world.make(slot, mark=str(mark))
                await world.propose(block)
                unknown = world.make(slot, mark=f"unknown {mark}")
                await world.approve(unknown, 1, 2)
            for far in (slot - 4, slot + 2, slot + 10**6):
                await world.propose(world.make(Slot(far)))
        known = await world.approval.ask(GetCandidates(Slot(0)))
    slots = sorted(proposal.signed.block.slot for proposal in known)
    assert slots == sorted(2 * [FIRST_SLOT + step for step in (8, 9, 10, 11)])
    assert not world.sent(ImportBlock)
