"""Block production: whose slots are taken, and what is given up at a slot's end."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TypeVar

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.consensus.federation import approval_message, check_approvals
from alysd.consensus.fork_choice import Tree
from alysd.consensus.validity import apply_block
from alysd.errors import EngineUnavailable, NoQuorum, NotNow, NotRecovering, WouldDoubleSign
from alysd.integrations import bls
from alysd.integrations.tracing import NoTracing
from alysd.messages.approval import ApprovalGathering, AwaitQuorum, ProposeBlock
from alysd.messages.auxpow import MergedMining, WorkFor
from alysd.messages.bridge import Bridge, GetPegContents
from alysd.messages.chain import Chain, GetEntries, GetForkchoice, GetState
from alysd.messages.engine import BuildPayload, Engine
from alysd.messages.events import BlockProduced, ProductionHalted, SlotMissed, WorkflowMoved
from alysd.messages.federation_update import FederationUpdates, GetUpdateFor
from alysd.messages.log.base import LogEvent
from alysd.messages.log.chain import WorkNotIncluded
from alysd.messages.sync import GetSyncProgress, Sync
from alysd.node import REFUSALS
from alysd.nurseries import Immediate, NotAnswered, task
from alysd.testing.blocks import FIRST_SLOT, digest, make_header, make_payload
from alysd.testing.chain import ChainHand, authority_secret, chain_spec
from alysd.testing.harness import ActorTestHarness
from alysd.testing.peg import PEG_GENESIS, peg_in
from alysd.testing.stand_in import StandIn
from alysd.testing.updates import governance_keys, members_update
from alysd.timing import Timing
from alysd.types.auxpow import AuxPowHeader
from alysd.types.block import Approval, Approvals, Block, ExecutionPayload, SignedBlock
from alysd.types.chain import ChainState, Forkchoice
from alysd.types.chain_spec import ChainContext, ChainSpec
from alysd.types.federation import Federation
from alysd.types.hashes import ZERO_HASH, BlockHash, BlsPublicKey, BlsSignature, PayloadHash
from alysd.types.peg import PegContents
from alysd.types.signing import SignedSlot
from alysd.types.sync import SyncProgress
from alysd.types.units import Height, Slot, Wei
from alysd.wire.block_ssz import slot_proof
from alysd.workflows import block_production
from alysd.workflows.block_production import BlockProduction
from alysd.workflows.clock_watch import ClockWatch
from alysd.workflows.peg_contents import PegAuthor

E = TypeVar("E")

SYNCED = SyncProgress(Height(7), Height(7), 0.0, 3)


@attrs.define
class UnguardedSigner:
    """Signs with the key of an authority, or raises `refusal`."""

    secret: bytes
    genesis: BlockHash
    refusal: Exception | None = None

    @property
    def public_key(self) -> BlsPublicKey:
        """The authority's public key."""
        return bls.public_key(self.secret)

    @property
    def last(self) -> SignedSlot:
        """Nothing was signed."""
        return SignedSlot(self.public_key, Slot(0), ZERO_HASH, Slot(0))

    async def state_recovery(self, slot: Slot) -> BlsSignature:
        """The guard is not lost."""
        raise NotRecovering(str(slot))

    async def saw(self, slot: Slot, block: BlockHash) -> bool:
        """Nothing is seen."""
        raise AssertionError(f"block {block.hex()} of slot {slot}")

    async def approve(self, block: Block, parent_slot: Slot, *, supported: bool = False) -> Approval:
        """Sign the block."""
        await trio.lowlevel.checkpoint()
        if self.refusal is not None:
            raise self.refusal
        proof = slot_proof(block)
        return Approval(proof, bls.sign(self.secret, approval_message(self.genesis, proof.hash)))


def build(message: BuildPayload) -> ExecutionPayload:
    """An empty payload with the given attributes."""
    head, attributes = message.forkchoice.head, message.attributes
    return make_payload(
        parent_hash=attributes.parent,
        fee_recipient=attributes.fee_recipient,
        prev_randao=attributes.prev_randao,
        block_number=Height(head.height + 1),
        timestamp=attributes.timestamp,
        block_hash=PayloadHash(digest("payload", head.hash, attributes.timestamp)),
        withdrawals=attributes.withdrawals,
    )


class ProductionOnTheHarness:
    """The workflow of one authority beside a chain that is a tree; `published` has its events, oldest first.

    It starts at the beginning of the slot `FIRST_SLOT`, so that the next slot is the first that it can take. Block
    import checks the approvals and adopts the block. No work waits for a block.
    """

    def __init__(self, spec: ChainSpec | None = None, authority: int = 0) -> None:
        hand = ChainHand.of(spec or chain_spec())
        self.context, self.spec = hand.context, hand.spec
        self.harness = ActorTestHarness(refusals=REFUSALS)
        self.clock = self.harness.clock
        self.published: list[object] = []
        self.tree = Tree([hand.genesis_state], hand.genesis.hash)
        self.signer = UnguardedSigner(authority_secret(authority), self.context.genesis)
        transcript = self.harness.transcript
        self.chain = StandIn[Chain]("chain", transcript)
        self.engine = StandIn[Engine]("engine", transcript)
        self.auxpow = StandIn[MergedMining]("auxpow", transcript)
        self.approval = StandIn[ApprovalGathering]("approval", transcript)
        self.chain.on(GetForkchoice).computes(lambda _: self.tree.tip)
        self.chain.on(GetState).computes(lambda message: self.tree.get(message.hash))
        self.engine.on(BuildPayload).computes(build)
        self.auxpow.on(WorkFor).answers(None)
        self.sync = StandIn[Sync]("sync", transcript)
        self.approval.on(ProposeBlock).computes(self.adopt)
        self.approval.on(AwaitQuorum).answers(None)
        self.sync.on(GetSyncProgress).answers(SYNCED)
        self.bridge = StandIn[Bridge]("bridge", transcript)
        self.updates = StandIn[FederationUpdates]("federation updates", transcript)

    def adopt(self, message: ProposeBlock) -> Forkchoice:
        """Adopt a block that a quorum has approved."""
        signed = message.signed
        parent = self.tree.get(signed.block.parent_hash)
        assert parent is not None
        federation = self.context.first_federation
        check_approvals(signed, federation, self.context, bls.verify_aggregate)
        executed = apply_block(parent, signed, Wei(0), self.tree.ancestry(parent.hash))
        return self.tree.adopt(executed.state, executed.changes).tip

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Run the workflow while the block runs; it never crashes."""
        self.watch = ClockWatch(self.clock, self.spec.slot_seconds)
        production = BlockProduction(
            self.context, self.clock, self.watch, self.signer, self.chain, self.engine, self.auxpow,
            self.approval, self.sync, self.published.append, NoTracing(), Timing(self.spec.slot_seconds),
            PegAuthor(self.context, self.chain, self.bridge, Timing(self.spec.slot_seconds)), self.updates,
        )  # fmt: skip
        async with self.harness.running(task("block production", production.run, restart=Immediate())):
            yield
            assert self.harness.child("block production").restarts == 0

    async def slots(self, count: float) -> None:
        """Let so many slots pass."""
        await trio.sleep(count * self.spec.slot_seconds)

    def events(self, kind: type[E]) -> list[E]:
        """The events of one type, oldest first."""
        return [event for event in self.published if isinstance(event, kind)]

    @property
    def produced(self) -> list[Slot]:
        """The slots of the blocks made, oldest first."""
        return [event.signed.block.slot for event in self.events(BlockProduced)]

    @property
    def missed(self) -> list[SlotMissed]:
        """The slots missed, oldest first."""
        return self.events(SlotMissed)

    def work(self, covers: int) -> AuxPowHeader:
        """A proof for the first `covers` blocks that are not final, for a block on the head."""
        head = self.tree.tip.head
        return make_header(head, self.tree.ancestry(head.hash), self.spec, covers)


async def test_one_block_per_slot_in_four_steps(autojump_clock: MockClock, no_threads: None) -> None:
    world = ProductionOnTheHarness()
    async with world.running():
        await world.slots(2.5)
    assert world.produced == [FIRST_SLOT + 1, FIRST_SLOT + 2]
    assert not world.missed
    moves = [(move.workflow, move.state) for move in world.events(WorkflowMoved)]
    steps = ["Preparing", "Building", "Signing", "Importing", "Waiting"]
    assert moves == [("block production", step) for step in 2 * steps]
    world.harness.transcript.expect(GetForkchoice, WorkFor, BuildPayload, ProposeBlock, GetForkchoice)


@pytest.mark.parametrize("authority", [0, 1, 2])
async def test_only_the_slots_of_this_authority_are_taken(
    authority: int, autojump_clock: MockClock, no_threads: None
) -> None:
    world = ProductionOnTheHarness(chain_spec(authorities=3), authority)
    async with world.running():
        await world.slots(9.5)
    # With three authorities one approval is below quorum: the block is made, and its import refused.
    assert len(world.missed) == 3
    assert {miss.slot % 3 for miss in world.missed} == {authority}
    assert all("approv" in miss.reason for miss in world.missed)


async def test_a_block_that_gets_no_quorum_is_missed_with_the_reason(
    autojump_clock: MockClock, no_threads: None
) -> None:
    """The report waits one slot: until then the others may still approve."""
    world = ProductionOnTheHarness(chain_spec(authorities=4))
    world.approval.on(ProposeBlock).fails(NoQuorum(FIRST_SLOT + 4, 3, 2, ((1, None), (3, FIRST_SLOT + 3)))).after(
        1.8
    )
    async with world.running():
        await world.slots(5.95)
        assert not world.missed
        await world.slots(0.1)
        assert [(miss.slot, miss.count) for miss in world.missed] == [(FIRST_SLOT + 4, 1)]
        assert "no approval from authority 1 (not heard" in world.missed[0].reason
        await world.slots(1.9)
    assert not world.produced
    assert len(world.missed) == 1
    assert len(world.approval.received) == 2, "the author waits for the slot before, and proposes once"


async def test_contents_that_get_no_quorum_are_left_out_of_the_next_own_block(
    autojump_clock: MockClock, no_threads: None
) -> None:
    """The members whose Bitcoin nodes do not show the contents must be able to approve some block."""
    world = ProductionOnTheHarness(chain_spec(authorities=4, execution_genesis=PEG_GENESIS))
    world.bridge.on(GetPegContents).answers(PegContents(peg_ins=(peg_in("deposit", 200_000),)))
    world.chain.on(GetEntries).computes(lambda message: (None,) * len(message.keys))
    world.approval.on(ProposeBlock).fails(NoQuorum(FIRST_SLOT + 4, 3, 2, ((1, None),))).after(1.8)
    async with world.running():
        await world.slots(24.5)
    proposed = [message for message in world.approval.received if isinstance(message, ProposeBlock)]
    assert [len(message.signed.block.peg_ins) for message in proposed] == [1, 0, 1, 0, 0, 1]


async def test_a_block_includes_the_change_of_the_federation_that_waits(
    autojump_clock: MockClock, no_threads: None
) -> None:
    """Without an answer the block is made all the same: the change may wait for the next one."""
    world = ProductionOnTheHarness(chain_spec(governance_keys=governance_keys(1), governance_threshold=1))
    update = members_update(world.context, 1, 500, (0,))
    world.updates.on(GetUpdateFor).fails(NotAnswered("busy"))
    async with world.running():
        await world.slots(1.5)
        world.updates.on(GetUpdateFor).answers(update)
        await world.slots(1)
    proposed = [one for one in world.approval.received if isinstance(one, ProposeBlock)]
    assert [one.signed.block.federation_update for one in proposed] == [None, update]
    assert world.tree.tip.head.governance is not None
    assert world.tree.tip.head.governance.pending is not None


async def test_a_quorum_after_the_slot_counts(autojump_clock: MockClock, no_threads: None) -> None:
    world = ProductionOnTheHarness(chain_spec(authorities=4))
    world.approval.on(ProposeBlock).fails(NoQuorum(FIRST_SLOT + 4, 3, 2, ((1, None),))).after(1.8)
    async with world.running():
        await world.slots(4.95)
        proposed = world.approval.received[-1]
        assert isinstance(proposed, ProposeBlock)
        block = proposed.signed.block
        message = approval_message(world.context.genesis, proposed.signed.hash)
        approvals = Approvals(
            (True, True, True, False),
            bls.aggregate([bls.sign(authority_secret(one), message) for one in range(3)]),
        )
        world.adopt(ProposeBlock(SignedBlock(proposed.signed.hash, block, approvals)))
        await world.slots(2)
    assert world.produced == [FIRST_SLOT + 4]
    assert not world.missed


async def test_an_author_waits_an_eighth_of_its_slot_for_the_slot_before(
    autojump_clock: MockClock, no_threads: None
) -> None:
    """It would build on an older block, and the one that lacked an approval for a moment would be lost."""
    world = ProductionOnTheHarness(chain_spec(authorities=4))
    world.approval.on(ProposeBlock).fails(NotNow("as far as this"))
    world.approval.on(AwaitQuorum).keeps_silent()
    began: list[float] = []

    def note(message: BuildPayload) -> ExecutionPayload:
        began.append(world.clock.time())
        return build(message)

    world.engine.on(BuildPayload).computes(note)
    async with world.running():
        await world.slots(8.5)
        assert [message for message in world.approval.received if isinstance(message, AwaitQuorum)] == [
            AwaitQuorum(Slot(FIRST_SLOT + slot)) for slot in (3, 7)
        ]
        assert [time / 2 - FIRST_SLOT for time in began] == [4.125, 8.125]


async def test_an_author_that_has_the_block_of_the_slot_before_does_not_wait(
    autojump_clock: MockClock, no_threads: None
) -> None:
    world = ProductionOnTheHarness(chain_spec(authorities=4))
    world.approval.on(ProposeBlock).fails(NotNow("as far as this"))
    hand = ChainHand.of(world.spec)
    async with world.running():
        await world.slots(3.5)
        world.adopt(ProposeBlock(await hand.block(world.tree.tip.head, Slot(FIRST_SLOT + 3))))
        await world.slots(1)
    (proposed,) = world.approval.received
    assert isinstance(proposed, ProposeBlock)
    assert proposed.signed.block.parent_hash == world.tree.tip.head.hash


async def test_a_member_of_a_federation_makes_blocks_only_when_it_is_synced(
    autojump_clock: MockClock, no_threads: None
) -> None:
    world = ProductionOnTheHarness(chain_spec(authorities=4))
    world.sync.on(GetSyncProgress).answers(SyncProgress(Height(7), Height(9000), 0.0, 3))
    async with world.running():
        await world.slots(4.5)
        world.sync.on(GetSyncProgress).keeps_silent()
        await world.slots(4)
    assert world.missed[0].reason == "this node is not synced: it has block 7 of 9000"
    assert "sync" in world.missed[1].reason
    assert not world.approval.received


async def test_turns_follow_the_federation_of_the_newest_head(
    autojump_clock: MockClock, no_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A member that goes by the federation of its start makes blocks that nobody accepts, or none at all."""
    alone = Federation((bls.public_key(authority_secret(0)),), (), ())
    second = Federation((bls.public_key(authority_secret(1)), *alone.authorities), (), ())
    others = Federation((bls.public_key(authority_secret(1)),), (), ())
    present = [alone]

    def changing(_state: ChainState, _context: ChainContext) -> Federation:
        return present[0]

    monkeypatch.setattr(block_production, "federation_at", changing)
    world = ProductionOnTheHarness()
    async with world.running():
        await world.slots(2.5)
        assert len(world.produced) == 2
        present[0] = second
        await world.slots(6)
        # Block import still has the first federation, so that it refuses the blocks.
        assert len(world.produced) == 2
        assert [miss.slot % 2 for miss in world.missed] == [1, 1, 1]
        present[0] = others
        await world.slots(2)
        missed = len(world.missed)
        world.clock.slept += 20.0
        await world.slots(4)
        assert len(world.missed) == missed, "no slot is this node's"
        world.chain.on(GetForkchoice).keeps_silent()
        await world.slots(2)
        world.chain.on(GetForkchoice).computes(lambda _: world.tree.tip)
        present[0] = alone
        await world.slots(3)
        assert len(world.produced) > 2
        assert len(world.missed) == missed


async def test_a_slot_that_the_newest_head_gives_to_another_is_left_to_it(
    autojump_clock: MockClock, no_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The workflow took the slot for its own, and learns only from the head that it is not: no slot is missed."""
    others = Federation((bls.public_key(authority_secret(1)),), (), ())

    def changed(_state: ChainState, _context: ChainContext) -> Federation:
        return others

    monkeypatch.setattr(block_production, "federation_at", changed)
    world = ProductionOnTheHarness()
    async with world.running():
        await world.slots(1.5)
    assert [move.state for move in world.events(WorkflowMoved)] == ["Preparing", "Waiting"]
    assert not world.missed
    assert not world.produced


async def test_a_new_member_makes_the_first_block_if_its_slot_is_the_first(
    autojump_clock: MockClock, no_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The block of the slot before has changed the federation. The workflow knew only the block before that."""
    first, second = (bls.public_key(authority_secret(n)) for n in (0, 1))
    present = [Federation((second,), (), ())]

    def changing(_state: ChainState, _context: ChainContext) -> Federation:
        return present[0]

    monkeypatch.setattr(block_production, "federation_at", changing)
    world = ProductionOnTheHarness()
    async with world.running():
        await world.slots(2.5)
        assert not world.produced
        present[0] = Federation((first,), (), ())
        await world.slots(1)
        assert world.produced == [FIRST_SLOT + 3]
    assert not world.missed


async def test_slots_that_passed_while_the_machine_slept_are_counted_not_made_up(
    autojump_clock: MockClock, no_threads: None
) -> None:
    world = ProductionOnTheHarness()
    async with world.running():
        await world.slots(3.5)
        world.clock.slept += 20.0
        await world.slots(3)
    assert [miss.count for miss in world.missed] == [10]
    assert "busy or suspended" in world.missed[0].reason
    assert world.produced == [FIRST_SLOT + slot for slot in (1, 2, 3, 14, 15, 16)]


@pytest.mark.parametrize("late", [1.899, 1.901, 1.999])
async def test_a_slot_that_begins_when_it_is_nearly_over_is_missed(
    late: float, autojump_clock: MockClock, no_threads: None
) -> None:
    """On a busy machine, the workflow crashed, and missed the slot after that too."""
    world = ProductionOnTheHarness()
    async with world.running():
        await world.slots(3.5)
        world.clock.slept += late
        await world.slots(2.5)
    if late > 1.9:
        assert [(miss.slot, miss.reason) for miss in world.missed] == [(FIRST_SLOT + 4, block_production.BUSY)]
    assert world.produced[-2:] == [FIRST_SLOT + slot for slot in (5, 6)]


@pytest.mark.parametrize("authority", [0, 1, 2])
@pytest.mark.parametrize("passed", range(1, 8))
async def test_only_slots_of_this_authority_count_as_missed(
    passed: int, authority: int, autojump_clock: MockClock, no_threads: None
) -> None:
    world = ProductionOnTheHarness(chain_spec(authorities=3), authority)
    async with world.running():
        await world.harness.settle()
        world.clock.slept += passed * world.spec.slot_seconds
        await world.slots(1.5)
    first = FIRST_SLOT + 1
    own = [slot for slot in range(first, first + passed) if slot % 3 == authority]
    held_up = [(miss.slot, miss.count) for miss in world.missed if "busy or suspended" in miss.reason]
    assert held_up == ([(own[0], len(own))] if own else [])


async def test_a_node_outside_the_federation_misses_no_slot(autojump_clock: MockClock, no_threads: None) -> None:
    world = ProductionOnTheHarness(chain_spec(authorities=3), authority=3)
    async with world.running():
        await world.slots(3.5)
        world.clock.slept += 20.0
        await world.slots(3)
    assert not world.published
    assert not world.approval.received


YEAR = 365 * 86_400.0
HOUR = 3600.0


@pytest.mark.parametrize("step", [HOUR, -HOUR, YEAR, -YEAR])
async def test_a_clock_that_is_set_for_six_seconds_costs_those_slots_and_no_block_is_of_that_time(
    step: float, autojump_clock: MockClock, no_threads: None, logged: list[LogEvent]
) -> None:
    """Blocks of next year would become final, and the chain stand still until then, healthy and silent."""
    world = ProductionOnTheHarness()
    async with world.running():
        await world.slots(5.5)
        world.clock.offset += step
        await world.slots(3)
        world.clock.offset -= step
        await world.slots(5)
    assert [slot - FIRST_SLOT for slot in world.produced] == [1, 2, 3, 4, 5, 10, 11, 12, 13]
    way = "forward" if step > 0 else "back"
    assert 2 <= len(world.missed) <= 4
    assert all(f"was set {way} by {abs(step):.0f} s: no block is made" in miss.reason for miss in world.missed)
    assert [type(event).__name__ for event in logged] == ["ClockStepped", "ClockBelieved"]


async def test_a_member_misses_only_its_own_slots_while_the_clock_is_wrong(
    autojump_clock: MockClock, no_threads: None
) -> None:
    world = ProductionOnTheHarness(chain_spec(authorities=3), authority=3)
    async with world.running():
        await world.slots(2.5)
        world.clock.offset += HOUR
        await world.slots(9)
    assert not world.missed, "it is no member"


@pytest.mark.parametrize("step", [HOUR, -HOUR])
async def test_a_clock_that_stays_where_it_was_set_is_believed_after_ten_minutes(
    step: float, autojump_clock: MockClock, no_threads: None
) -> None:
    world = ProductionOnTheHarness()
    async with world.running():
        await world.slots(5.5)
        world.clock.offset += step
        await world.slots(299)
        assert len(world.produced) == 5
        await world.slots(10)
    if step > 0:
        assert len(world.produced) >= 8
    else:
        assert "the head already has slot" in world.missed[-1].reason, "an hour of slots has blocks already"


async def test_a_clock_that_is_accepted_is_believed_at_once(autojump_clock: MockClock, no_threads: None) -> None:
    world = ProductionOnTheHarness()
    async with world.running():
        await world.slots(5.5)
        world.clock.offset += HOUR
        await world.slots(3)
        assert world.watch.accept() == HOUR
        await world.slots(3)
    assert len(world.produced) >= 7


async def test_a_clock_that_is_set_while_a_block_is_built_leaves_no_signature(
    autojump_clock: MockClock, no_threads: None
) -> None:
    """The guard would forbid every slot up to that time."""
    world = ProductionOnTheHarness()
    async with world.running():
        await world.slots(1.5)
        world.engine.on(BuildPayload).computes(build).after(0.5)
        await world.slots(0.6)
        world.clock.offset += YEAR
        await world.slots(1)
    assert len(world.produced) == 1
    assert [move.state for move in world.events(WorkflowMoved)].count("Signing") == 1


@pytest.mark.parametrize("slots", [1.0, -1.0])
async def test_a_small_correction_of_the_clock_is_no_step(
    slots: float, autojump_clock: MockClock, no_threads: None
) -> None:
    world = ProductionOnTheHarness()
    async with world.running():
        await world.slots(5.5)
        world.clock.offset += slots * world.spec.slot_seconds
        await world.slots(10)
    assert world.produced == sorted(set(world.produced))
    assert len(world.produced) >= 13
    assert not [miss for miss in world.missed if "the clock of this machine was set" in miss.reason]


async def test_a_slot_is_missed_when_the_head_is_of_it_already(
    autojump_clock: MockClock, no_threads: None
) -> None:
    """The clock is behind those of the other authorities: a block in this slot could not follow the head."""
    world = ProductionOnTheHarness()
    async with world.running():
        await world.slots(1.5)
        tip = world.tree.tip
        of_next_slot = attrs.evolve(tip, head=attrs.evolve(tip.head, slot=Slot(FIRST_SLOT + 2)))
        world.chain.on(GetForkchoice).answers(of_next_slot)
        await world.slots(1)
        (missed,) = world.missed
        assert (missed.slot, missed.count) == (FIRST_SLOT + 2, 1)
        assert (
            missed.reason
            == f"the head already has slot {FIRST_SLOT + 2}: check whether the clock of this machine is behind"
        )
        await world.slots(1)
    assert world.produced == [FIRST_SLOT + 1, FIRST_SLOT + 3]


async def test_work_that_waits_is_included(autojump_clock: MockClock, no_threads: None) -> None:
    world = ProductionOnTheHarness()
    async with world.running():
        await world.slots(3.5)
        second = world.tree.ancestry(world.tree.tip.head.hash)[1]
        work = world.work(covers=2)
        world.auxpow.on(WorkFor).answers(work, None)
        await world.slots(2)
    assert world.tree.tip.finalized == second
    headers = [event.signed.block.auxpow_header for event in world.events(BlockProduced)]
    assert headers == [None, None, None, work, None]


@pytest.mark.parametrize("refusal", [None, NotNow("no proof is ready")])
async def test_work_that_is_not_found_in_time_does_not_cost_the_slot(
    refusal: NotNow | None, autojump_clock: MockClock, no_threads: None, logged: list[LogEvent]
) -> None:
    world = ProductionOnTheHarness()
    async with world.running():
        await world.slots(2.5)
        if refusal is None:
            world.auxpow.on(WorkFor).keeps_silent()
        else:
            world.auxpow.on(WorkFor).fails(refusal)
        await world.slots(5)
    assert not world.missed
    assert world.tree.tip.head.height == 7
    reasons = [event.reason for event in logged if isinstance(event, WorkNotIncluded)]
    assert len(reasons) == 5
    assert all(("WorkFor" if refusal is None else "no proof is ready") in reason for reason in reasons)


async def test_no_block_is_built_beside_one_that_is_still_being_imported(
    autojump_clock: MockClock, no_threads: None
) -> None:
    """The authority would fork its own chain: one of two blocks that it has signed would be abandoned."""
    world = ProductionOnTheHarness()
    async with world.running():
        await world.slots(2.5)
        world.approval.on(ProposeBlock).keeps_silent()
        await world.slots(2)
        late = [message.signed for message in world.approval.received if isinstance(message, ProposeBlock)][2:]
        assert late[0] == late[1], "the import is asked for again, and waits for its turn"
        world.approval.on(ProposeBlock).computes(world.adopt)
        await world.slots(4)
    assert [(miss.slot, miss.reason) for miss in world.missed] == [
        (FIRST_SLOT + 4, "finishing the late block took more than 1.9 s")
    ]
    assert world.produced == [FIRST_SLOT + slot for slot in (1, 2, 3, 5, 6, 7, 8)]
    assert world.tree.tip.head.height == 7, "every block builds on the one before"


async def test_a_late_block_that_is_refused_costs_its_slot_and_no_other(
    autojump_clock: MockClock, no_threads: None
) -> None:
    world = ProductionOnTheHarness()
    async with world.running():
        await world.slots(2.5)
        world.approval.on(ProposeBlock).keeps_silent()
        await world.slots(1)
        world.approval.on(ProposeBlock).fails(NotNow("the client lags"))
        world.chain.on(GetForkchoice).keeps_silent()
        await world.slots(1)
        world.chain.on(GetForkchoice).computes(lambda _: world.tree.tip)
        world.approval.on(ProposeBlock).computes(world.adopt)
        await world.slots(2)
    assert [(miss.slot - FIRST_SLOT, miss.reason) for miss in world.missed] == [
        (3, "importing took more than 1.9 s"),
        (4, "preparing took more than 1.9 s"),
    ]
    assert world.produced == [FIRST_SLOT + slot for slot in (1, 2, 5, 6)]


async def test_a_block_that_a_slow_disk_stores_after_its_slot_is_no_missed_slot(
    autojump_clock: MockClock, no_threads: None
) -> None:
    """The slot was reported as missed, and a person looked for a fault that did not exist."""
    world = ProductionOnTheHarness()
    async with world.running():
        await world.slots(2.5)
        world.approval.on(ProposeBlock).keeps_silent()
        await world.slots(1)
        late = world.approval.received[-1]
        assert isinstance(late, ProposeBlock)
        # Production gives up after 1.9 s; the chain actor writes for 2.6 s, and answers after that.
        world.adopt(late)
        world.chain.on(GetState).computes(lambda message: world.tree.get(message.hash)).after(0.6)
        world.approval.on(ProposeBlock).computes(world.adopt)
        await world.slots(3)
    assert not world.missed
    assert world.produced == [FIRST_SLOT + slot for slot in (1, 2, 3, 4, 5, 6)]
    assert [round(event.seconds, 1) for event in world.events(BlockProduced)] == [0, 0, 2.6, 0, 0, 0]


async def test_a_late_block_is_asked_for_until_the_chain_answers(
    autojump_clock: MockClock, no_threads: None
) -> None:
    world = ProductionOnTheHarness()
    async with world.running():
        await world.slots(2.5)
        world.approval.on(ProposeBlock).keeps_silent()
        world.chain.on(GetState).keeps_silent()
        await world.slots(2.48)
        assert [miss.slot - FIRST_SLOT for miss in world.missed] == [4], "whether block 3 is stored is unknown"
        world.chain.on(GetState).computes(lambda message: world.tree.get(message.hash))
        world.approval.on(ProposeBlock).computes(world.adopt)
        await world.slots(2)
    assert [miss.slot - FIRST_SLOT for miss in world.missed] == [4]
    assert world.produced == [FIRST_SLOT + slot for slot in (1, 2, 3, 5, 6)]


async def test_a_slot_is_missed_for_the_reason_of_its_error(autojump_clock: MockClock, no_threads: None) -> None:
    """A client that is down or a guard that forbids a signature must not restart the workflow, nor pass unseen."""
    world = ProductionOnTheHarness()
    async with world.running():
        world.engine.on(BuildPayload).fails(EngineUnavailable("fake", "connection refused"))
        await world.slots(1.5)
        world.engine.on(BuildPayload).computes(build)
        world.signer.refusal = WouldDoubleSign("the slot is signed already")
        await world.slots(1)
        world.signer.refusal = None
        await world.slots(1)
    assert [miss.reason for miss in world.missed] == [
        "execution client at fake: connection refused",
        "the slot is signed already",
    ]
    assert world.produced == [FIRST_SLOT + 3]


async def test_a_halted_chain_says_so_in_every_slot_until_there_is_work(
    autojump_clock: MockClock, no_threads: None
) -> None:
    world = ProductionOnTheHarness(chain_spec(max_blocks_without_auxpow=3))
    async with world.running():
        await world.slots(7.5)
        halts = [ProductionHalted(Slot(FIRST_SLOT + slot), 4) for slot in (5, 6, 7)]
        assert world.events(ProductionHalted) == halts
        assert world.tree.tip.head.height == 4
        world.auxpow.on(WorkFor).answers(world.work(covers=3), None)
        await world.slots(2)
    assert world.events(ProductionHalted) == halts
    assert world.tree.tip.head.height == 6
    assert not world.missed
