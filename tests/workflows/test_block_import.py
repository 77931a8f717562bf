"""Block import: the steps of a good block, and the errors that a caller must be able to tell apart."""

from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import attrs
import pytest
from trio.testing import MockClock

from alysd.consensus.auxpow import target_of
from alysd.consensus.fork_choice import Tree
from alysd.consensus.payload_violations import InvalidPayload
from alysd.consensus.ranges import check_range
from alysd.consensus.validity import apply_block
from alysd.consensus.violations import UnknownParent
from alysd.errors import EngineBehind, InvalidBlock, InvalidWork, NotNow
from alysd.integrations.bls import verify_aggregate, verify_each
from alysd.messages.block_import import BlockImport, ImportBlock, ImportRange, RangeImported
from alysd.messages.chain import AdoptBlock, AdoptBlocks, Chain, GetAncestry, GetForkchoice, GetState
from alysd.messages.engine import Engine, ExecutePayload, SetForkchoice
from alysd.messages.events import WorkflowMoved
from alysd.messages.log.base import LogEvent
from alysd.messages.log.chain import BlockPostponed, BlockRefused, EngineLags
from alysd.node import REFUSALS
from alysd.nurseries import AskTimeout, Immediate, NotAnswered, actor
from alysd.testing.blocks import FIRST_SLOT, make_header, mine
from alysd.testing.chain import ChainHand, chain_spec
from alysd.testing.harness import ActorTestHarness
from alysd.testing.stand_in import RecordedAddress, StandIn
from alysd.timing import Timing
from alysd.types.auxpow import AuxPowHeader
from alysd.types.block import SignedBlock
from alysd.types.chain import Forkchoice, StoredBlock
from alysd.types.execution import PayloadResults
from alysd.types.hashes import AuxHash, BlsPublicKey, BlsSignature
from alysd.types.tables import Table
from alysd.types.units import Slot, Wei
from alysd.workflows.block_import import BlockImportWorkflow
from alysd.workflows.own_key import OwnKey

ALL_STEPS = ["ValidBlock", "ExecutedBlock", "StoredBlock", "ImportedBlock"]


@attrs.define
class ImportOnTheHarness:
    """The workflow between a chain that is a tree and an execution client that finds every payload valid."""

    hand: ChainHand = attrs.field(factory=lambda: ChainHand.of(chain_spec()))
    harness: ActorTestHarness = attrs.field(factory=lambda: ActorTestHarness(refusals=REFUSALS))
    moves: list[WorkflowMoved] = attrs.field(factory=list[WorkflowMoved])
    checks: int = 0
    tree: Tree = attrs.field(init=False)
    chain: StandIn[Chain] = attrs.field(init=False)
    engine: StandIn[Engine] = attrs.field(init=False)
    block_import: RecordedAddress[BlockImport] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        transcript = self.harness.transcript
        self.tree = tree = Tree([self.hand.genesis_state], self.hand.genesis.hash)
        self.chain, self.engine = StandIn("chain", transcript), StandIn("engine", transcript)
        self.block_import = RecordedAddress("block import", transcript)
        self.chain.on(GetState).computes(lambda message: tree.get(message.hash))
        self.chain.on(GetForkchoice).computes(lambda _: tree.tip)
        self.chain.on(GetAncestry).computes(lambda message: tree.ancestry(message.tip))
        self.chain.on(AdoptBlock).computes(self._adopt)
        self.chain.on(AdoptBlocks).computes(lambda all_: tuple(self._adopt(AdoptBlock(x)) for x in all_.executed))
        self.engine.on(ExecutePayload).answers(PayloadResults(Wei(0)))
        self.engine.on(SetForkchoice).answers(None)

    def verify(self, keys: Sequence[BlsPublicKey], message: bytes, signature: BlsSignature) -> bool:
        """Check the signature, and count the check."""
        self.checks += 1
        return verify_aggregate(keys, message, signature)

    def _adopt(self, message: AdoptBlock) -> StoredBlock:
        return StoredBlock(message.executed, self.tree.adopt(message.executed.state, message.executed.changes))

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Run the workflow while the block runs; it never crashes, whatever it is sent."""
        timing = Timing(self.hand.spec.slot_seconds)
        child = actor(self.block_import, lambda: BlockImportWorkflow(
            self.hand.context, self.harness.clock, self.verify, self.chain, self.engine, self.moves.append,
            timing, OwnKey(self.hand.context, None),
        ), restart=Immediate())  # fmt: skip
        async with self.harness.running(child):
            yield
            assert self.harness.child("block import").restarts == 0

    async def take(self, block: SignedBlock) -> Forkchoice:
        """Import a block."""
        return await self.block_import.ask(ImportBlock(block), seconds=60)

    async def next_block(self, work: AuxPowHeader | None = None) -> SignedBlock:
        """A valid block on the head, whose slot has passed."""
        head = self.tree.tip.head
        return await self.hand.block(head, Slot(max(head.slot + 1, FIRST_SLOT - 100)), work)

    def work(self, covers: int) -> AuxPowHeader:
        """A proof for the first `covers` blocks that are not final, for a block on the head."""
        head = self.tree.tip.head
        return make_header(head, self.tree.ancestry(head.hash), self.hand.spec, covers)

    @property
    def steps(self) -> list[str]:
        """The states that the workflow has reached."""
        assert {move.workflow for move in self.moves} <= {"block import"}
        return [move.state for move in self.moves]

    @property
    def asked(self) -> list[type[object]]:
        """The types of the messages to the chain and to the execution client, in order."""
        sent = self.harness.transcript.sent(sender="block import")
        return [type(message) for message in sent]


async def test_a_good_block_goes_through_all_states_and_becomes_the_head(
    autojump_clock: MockClock, no_threads: None
) -> None:
    world = ImportOnTheHarness()
    async with world.running():
        block = await world.next_block()
        forkchoice = await world.take(block)
    assert world.steps == ALL_STEPS
    assert forkchoice == world.tree.tip
    assert forkchoice.head.hash == block.hash
    assert world.engine.received == [
        ExecutePayload(block.block.payload, block.block.parent_hash),
        SetForkchoice(forkchoice),
    ]
    assert world.asked == [GetState, GetState, ExecutePayload, AdoptBlock, SetForkchoice]


async def test_a_block_that_is_known_already_is_no_error(autojump_clock: MockClock, no_threads: None) -> None:
    world = ImportOnTheHarness()
    async with world.running():
        block = await world.next_block()
        first = await world.take(block)
        assert await world.take(block) == first
    assert world.steps == ALL_STEPS
    assert world.asked[-2:] == [GetState, GetForkchoice]


async def test_a_block_that_breaks_a_rule_is_refused_and_forgotten(
    autojump_clock: MockClock, no_threads: None, logged: list[LogEvent]
) -> None:
    world = ImportOnTheHarness()
    async with world.running():
        block = await world.next_block()
        orphan = world.hand.sign(attrs.evolve(block.block, parent_hash=block.hash))
        with pytest.raises(UnknownParent):
            await world.take(orphan)
        forged = attrs.evolve(
            block, approvals=attrs.evolve(block.approvals, signature=BlsSignature(b"\xc0" + bytes(95)))
        )
        with pytest.raises(InvalidBlock):
            await world.take(forged)
    assert world.steps == ["RefusedBlock", "RefusedBlock"]
    assert [event.hash for event in logged if isinstance(event, BlockRefused)] == [orphan.hash, forged.hash]
    assert AdoptBlock not in world.asked
    assert not world.engine.received


async def test_the_execution_clients_no_is_the_blocks_fault(autojump_clock: MockClock, no_threads: None) -> None:
    world = ImportOnTheHarness()
    world.engine.on(ExecutePayload).fails(InvalidPayload("refused by the test"))
    async with world.running():
        with pytest.raises(InvalidPayload, match="refused by the test"):
            await world.take(await world.next_block())
    assert world.steps == ["ValidBlock", "RefusedBlock"]
    assert AdoptBlock not in world.asked


async def test_a_block_with_a_proof_is_judged_by_its_ancestry_and_makes_it_final(
    autojump_clock: MockClock, no_threads: None
) -> None:
    world = ImportOnTheHarness()
    async with world.running():
        for _ in range(3):
            await world.take(await world.next_block())
        assert GetAncestry not in world.asked, "only a proof is judged by it"
        blocks = world.tree.ancestry(world.tree.tip.head.hash)
        proof = await world.next_block(world.work(covers=2))
        forkchoice = await world.take(proof)
    assert GetAncestry(blocks[-1].hash) in world.chain.received
    assert forkchoice.head.hash == proof.hash
    assert forkchoice.finalized == blocks[1]
    adopted = [message.executed for message in world.chain.received if isinstance(message, AdoptBlock)]
    proofs = [change.key for change in adopted[-1].changes if change.table is Table.PROOFS]
    assert proofs == [state.hash for state in blocks[:2]]
    assert [change.table for change in adopted[-1].changes] == [Table.PROOFS, Table.PROOFS, Table.WORKS]


async def test_a_proof_for_other_work_is_refused(autojump_clock: MockClock, no_threads: None) -> None:
    world = ImportOnTheHarness()
    async with world.running():
        first = await world.take(await world.next_block())
        good = world.work(covers=1)
        others = attrs.evolve(good, auxpow=mine(AuxHash(bytes(32)), target_of(good.bits)))
        with pytest.raises(InvalidWork):
            await world.take(await world.next_block(others))
        assert world.tree.tip == first
        assert world.steps == [*ALL_STEPS, "RefusedBlock"]


async def test_a_block_that_comes_while_the_execution_client_lags_can_come_again(
    autojump_clock: MockClock, no_threads: None, logged: list[LogEvent]
) -> None:
    world = ImportOnTheHarness()
    async with world.running():
        block = await world.next_block()
        world.engine.on(ExecutePayload).fails(NotNow(str(EngineBehind(block.block.payload.parent_hash))))
        with pytest.raises(NotNow, match="does not know block"):
            await world.take(block)
        assert world.steps == ["ValidBlock", "PostponedBlock"]
        assert [event.hash for event in logged if isinstance(event, BlockPostponed)] == [block.hash]
        assert not [event for event in logged if isinstance(event, BlockRefused)]
        assert AdoptBlock not in world.asked
        world.engine.on(ExecutePayload).answers(PayloadResults(Wei(0)))
        assert (await world.take(block)).head.hash == block.hash


@pytest.mark.parametrize("answers", [True, False])
async def test_a_stored_block_is_imported_although_the_execution_client_does_not_follow(
    answers: bool, autojump_clock: MockClock, no_threads: None, logged: list[LogEvent]
) -> None:
    """The block is on disk: its sender must not take it for a refused one, and the next block tells the client."""
    world = ImportOnTheHarness()
    async with world.running():
        block = await world.next_block()
        if answers:
            behind = EngineBehind(block.block.payload.block_hash)
            world.engine.on(SetForkchoice).fails(NotNow(str(behind)))
        else:
            world.engine.on(SetForkchoice).keeps_silent()
        assert (await world.take(block)).head.hash == block.hash
        assert world.steps == ALL_STEPS
        (lags,) = [event for event in logged if isinstance(event, EngineLags)]
        assert ("does not know block" if answers else "no answer from engine") in lags.reason
        world.engine.on(SetForkchoice).answers(None)
        following = await world.take(await world.next_block())
    assert world.engine.received[-1] == SetForkchoice(following)


@pytest.mark.parametrize("silent", [ExecutePayload, AdoptBlock])
async def test_a_neighbours_silence_is_not_the_blocks_fault(
    silent: type[ExecutePayload | AdoptBlock], autojump_clock: MockClock, no_threads: None, logged: list[LogEvent]
) -> None:
    """The caller would take a good block for a bad one, and its sender for a liar."""
    world = ImportOnTheHarness()
    if silent is AdoptBlock:
        world.chain.on(AdoptBlock).keeps_silent()
    else:
        world.engine.on(ExecutePayload).keeps_silent()
    async with world.running():
        with pytest.raises(AskTimeout, match=silent.__name__):
            await world.take(await world.next_block())
    assert world.steps == ALL_STEPS[: 1 if silent is ExecutePayload else 2]
    assert not [event for event in logged if isinstance(event, BlockRefused)]


@attrs.frozen
class Ahead:
    """The first blocks of a chain, as a verified range for the node of `world`."""

    world: ImportOnTheHarness
    blocks: tuple[SignedBlock, ...]

    @classmethod
    async def of(cls, world: ImportOnTheHarness, count: int, proof_at: int | None = None) -> "Ahead":
        """`count` blocks; that at the index `proof_at` has a proof of work."""
        hand, tree = world.hand, Tree([world.hand.genesis_state], world.hand.genesis.hash)
        blocks: list[SignedBlock] = []
        for number in range(count):
            head = tree.tip.head
            ancestry = tree.ancestry(head.hash)
            work = make_header(head, ancestry, hand.spec, 1) if number == proof_at else None
            signed = await hand.block(head, Slot(FIRST_SLOT - 100 + number), work)
            executed = apply_block(head, signed, Wei(0), ancestry)
            tree.adopt(executed.state, executed.changes)
            blocks.append(signed)
        return cls(world, tuple(blocks))

    async def take(self, first: int = 0) -> RangeImported:
        """Import the range from the index `first` on."""
        context = self.world.hand.context
        start = self.blocks[0].block.height
        checked = check_range(reversed(self.blocks), start, context.first_federation, context, verify_each)
        self.world.checks = 0
        return await self.world.block_import.ask(ImportRange(checked, first), seconds=60)


async def test_a_range_is_stored_in_one_transaction_without_another_check_of_its_approvals(
    autojump_clock: MockClock, no_threads: None
) -> None:
    """The check of the approvals and the syncs of the disk took most of the time of a sync."""
    world = ImportOnTheHarness()
    ahead = await Ahead.of(world, 5)
    async with world.running():
        done = await ahead.take()
        assert world.checks == 0
        assert done == RangeImported(5, world.tree.tip)
        assert world.tree.tip.head.hash == ahead.blocks[-1].hash
        assert world.asked == [GetState, GetState, *[ExecutePayload] * 5, AdoptBlocks, SetForkchoice]
        assert Counter(world.steps) == dict.fromkeys(ALL_STEPS, 5)
        assert await ahead.take(4) == RangeImported(1, world.tree.tip), "a block that is known is no error"


async def test_a_block_with_a_proof_begins_a_transaction(autojump_clock: MockClock, no_threads: None) -> None:
    """Its proof is judged by the ancestors that the chain has."""
    world = ImportOnTheHarness()
    ahead = await Ahead.of(world, 6, proof_at=3)
    async with world.running():
        assert (await ahead.take()).count == 3
        done = await ahead.take(3)
    assert done.count == 3
    assert done.forkchoice.finalized.height == 1


async def test_a_range_holds_up_no_other_block_for_long(autojump_clock: MockClock, no_threads: None) -> None:
    world = ImportOnTheHarness()
    world.engine.on(ExecutePayload).after(0.2)
    ahead = await Ahead.of(world, 5)
    async with world.running():
        assert (await ahead.take()).count == 2


@pytest.mark.parametrize("error", [InvalidPayload("refused"), NotNow("behind"), None])
async def test_the_blocks_before_one_that_cannot_be_imported_are_kept(
    error: InvalidPayload | NotNow | None, autojump_clock: MockClock, no_threads: None
) -> None:
    world = ImportOnTheHarness()
    ahead = await Ahead.of(world, 5)
    bad = ahead.blocks[2].block.payload

    def execute(message: ExecutePayload) -> PayloadResults:
        if message.payload != bad:
            return PayloadResults(Wei(0))
        if error is not None:
            raise error
        raise AskTimeout("engine", "ExecutePayload", 12.0)

    world.engine.on(ExecutePayload).computes(execute)
    async with world.running():
        assert (await ahead.take()).count == 2
        assert world.tree.tip.head.hash == ahead.blocks[1].hash
        with pytest.raises((InvalidPayload, NotAnswered, NotNow)):
            await ahead.take(2)


async def test_a_client_that_executes_only_on_its_head_gets_one_block_at_a_time(
    autojump_clock: MockClock, no_threads: None
) -> None:
    """EthereumJS has the parent, but not the state after it. Each attempt costs a comparison with the chain."""
    world = ImportOnTheHarness()
    ahead = await Ahead.of(world, 5)
    refused: list[ExecutePayload] = []

    def execute(message: ExecutePayload) -> PayloadResults:
        if message.payload.parent_hash != world.tree.tip.head.payload_hash:
            refused.append(message)
            raise NotNow("the client does not know the parent")
        return PayloadResults(Wei(0))

    world.engine.on(ExecutePayload).computes(execute)
    async with world.running():
        for first in range(5):
            assert (await ahead.take(first)).count == 1
    assert len(refused) == 1
    assert world.tree.tip.head.hash == ahead.blocks[-1].hash
