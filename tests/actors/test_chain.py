"""The chain actor: it answers from its tree, stores a block before it shows it, and reloads after a failure."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.actors.chain import ChainActor
from alysd.consensus.auxpow import aux_hash
from alysd.consensus.fork_choice import Tree
from alysd.consensus.validity import apply_block
from alysd.consensus.violations import UnknownParent
from alysd.errors import NotNow
from alysd.messages.chain import (
    AdoptBlock,
    AdoptBlocks,
    Chain,
    GetAncestry,
    GetBundle,
    GetEntries,
    GetForkchoice,
    GetState,
)
from alysd.messages.events import ChainEvent, HeadMoved, OperationsChanged
from alysd.messages.evidence import EvidenceKeeping
from alysd.messages.storage import CommitBlocks, GetFinalEntries, LoadChain, Storage
from alysd.node import REFUSALS
from alysd.nurseries import Address, HandlerCrashed, Immediate, actor
from alysd.testing.blocks import FIRST_SLOT, MINER, approve, genesis, make_block, make_header, make_spec
from alysd.testing.harness import ActorTestHarness
from alysd.testing.stand_in import RecordedAddress, StandIn
from alysd.timing import Timing
from alysd.types.chain import ChainState, ExecutedBlock, Forkchoice, StoredBlock, StoredChain
from alysd.types.hashes import AuxHash, BlockHash
from alysd.types.peg_history import Refunded
from alysd.types.tables import EntryChange, EntryKey, Proof, Table
from alysd.types.units import Slot, Wei

SPEC = make_spec()
GENESIS = genesis(SPEC)
NOBODYS = BlockHash(bytes(32))


def stored(message: CommitBlocks) -> tuple[StoredBlock, ...]:
    return tuple(StoredBlock(executed, placement) for executed, placement in message.placed)


def block_on(
    parent: ChainState, slot: int, ancestry: tuple[ChainState, ...] = (), covers: int = 0
) -> ExecutedBlock:
    """A child of `parent`, with a proof that makes the first `covers` blocks of its ancestry final."""
    header = make_header(parent, ancestry, SPEC, covers) if covers else None
    signed = approve(make_block(parent, Slot(FIRST_SLOT + slot), SPEC, header), SPEC)
    return apply_block(parent, signed, Wei(0), ancestry)


@attrs.define
class ChainOnTheHarness:
    """A chain actor beside a scripted storage, and the events that it published.

    At first, storage has the genesis block only and stores whatever it is given.
    """

    harness: ActorTestHarness = attrs.field(factory=lambda: ActorTestHarness(refusals=REFUSALS))
    published: list[ChainEvent] = attrs.field(factory=list[ChainEvent])
    evidence: Address[EvidenceKeeping] = attrs.field(factory=lambda: Address("evidence"))
    storage: StandIn[Storage] = attrs.field(init=False)
    chain: RecordedAddress[Chain] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.storage = StandIn("storage", self.harness.transcript)
        self.chain = RecordedAddress("chain", self.harness.transcript)
        self.storage.on(LoadChain).answers(StoredChain((GENESIS,), GENESIS.hash, {}))
        self.storage.on(CommitBlocks).computes(stored)

    @property
    def moved(self) -> list[HeadMoved]:
        """The moves of the head that it published."""
        return [event for event in self.published if isinstance(event, HeadMoved)]

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Run the actor while the block runs."""
        timing = Timing(SPEC.slot_seconds)
        child = actor(
            self.chain,
            lambda: ChainActor(self.storage, self.evidence, self.published.append, timing),
            restart=Immediate(),
        )
        async with self.harness.running(child):
            yield

    async def tip(self) -> Forkchoice:
        """The actor's head, safe and final block."""
        return await self.chain.ask(GetForkchoice())

    async def grow(self, slot: int, covers: int = 0) -> ExecutedBlock:
        """Adopt a block on the head."""
        head = (await self.tip()).head
        ancestry = await self.chain.ask(GetAncestry(head.hash))
        executed = block_on(head, slot, ancestry, covers)
        await self.chain.ask(AdoptBlock(executed))
        return executed


async def test_it_answers_for_blocks_that_are_final_or_above(autojump_clock: MockClock) -> None:
    world = ChainOnTheHarness()
    async with world.running():
        first, second, third = [(await world.grow(slot)).state for slot in (1, 2, 3)]
        proof = (await world.grow(4, covers=2)).state
        tip = await world.tip()
        assert (tip.head, tip.finalized) == (proof, second)
        assert await world.chain.ask(GetState(second.hash)) == second
        assert await world.chain.ask(GetState(first.hash)) is None
        assert await world.chain.ask(GetAncestry(proof.hash)) == (third, proof)
        with pytest.raises(UnknownParent):
            await world.chain.ask(GetAncestry(NOBODYS))
        assert world.harness.child("chain").restarts == 0


def of(table: Table, *keys: bytes) -> tuple[EntryKey, ...]:
    """These keys of one table."""
    return tuple((table, key) for key in keys)


async def test_entries_are_read_at_a_block_final_or_not(autojump_clock: MockClock) -> None:
    """A rule that reads at its parent's state must not see what another branch, or a later block, wrote."""
    world = ChainOnTheHarness()
    on_disk = Proof(BlockHash(b"\x07" * 32), GENESIS.height, AuxHash(bytes(32)))
    world.storage.on(GetFinalEntries).computes(
        lambda message: tuple(on_disk if key == NOBODYS else None for _, key in message.keys)
    )
    async with world.running():
        first = (await world.grow(1)).state
        second = (await world.grow(2)).state
        proof = (await world.grow(3, covers=1)).state
        by_hash = (first.hash, second.hash, NOBODYS)
        expected = Proof(proof.hash, proof.height, aux_hash([first.hash], MINER))
        at_head = GetEntries(of(Table.PROOFS, *by_hash), at=proof.hash)
        assert await world.chain.ask(at_head) == (expected, None, on_disk)
        by_work = GetEntries(of(Table.WORKS, expected.aux_hash, NOBODYS), at=proof.hash)
        assert await world.chain.ask(by_work) == (expected, on_disk)
        # At the final block itself its own proof is not there yet, nor in a block before the proof.
        for block in (first, second):
            assert await world.chain.ask(attrs.evolve(at_head, at=block.hash)) == (None, None, on_disk)
        with pytest.raises(UnknownParent):
            await world.chain.ask(attrs.evolve(at_head, at=NOBODYS))
    assert GetFinalEntries(of(Table.PROOFS, second.hash, NOBODYS)) in world.storage.received


async def test_a_bundle_is_what_waits_for_work(autojump_clock: MockClock) -> None:
    world = ChainOnTheHarness()
    async with world.running():
        with pytest.raises(NotNow, match="no block needs a proof"):
            await world.chain.ask(GetBundle())
        blocks = [await world.grow(slot) for slot in (1, 2, 3, 4)]
        waiting = await world.chain.ask(GetBundle())
        bundle = waiting.bundle
        assert waiting.head == blocks[-1].state
        assert list(bundle.hashes) == [executed.state.hash for executed in blocks[:3]], "no child commits the last"
        assert bundle.end_height == 3


async def test_a_block_is_shown_only_once_it_is_on_disk(autojump_clock: MockClock) -> None:
    world = ChainOnTheHarness()
    world.storage.on(CommitBlocks).computes(stored).after(3.0)
    executed = block_on(GENESIS, 1)
    async with world.running(), trio.open_nursery() as nursery:
        nursery.start_soon(world.chain.ask, AdoptBlock(executed))
        await trio.sleep(2.9)
        assert [type(message) for message in world.storage.received] == [LoadChain, CommitBlocks]
        assert not world.moved
        await trio.sleep(0.2)
        assert [move.new.head for move in world.moved] == [executed.state]


async def test_when_nobody_knows_whether_a_block_is_stored_the_tree_is_read_again(
    autojump_clock: MockClock,
) -> None:
    """The write went through although its answer never came: a tree without the block differs from the disk."""
    world = ChainOnTheHarness()
    executed = block_on(GENESIS, 1)
    tree = Tree([GENESIS], GENESIS.hash)
    tree.adopt(executed.state, executed.changes)
    without = StoredChain((GENESIS,), GENESIS.hash, {})
    world.storage.on(LoadChain).answers(without, attrs.evolve(without, states=(GENESIS, executed.state)))
    world.storage.on(CommitBlocks).keeps_silent()
    async with world.running():
        with pytest.raises(HandlerCrashed, match="storage did not confirm that block"):
            await world.chain.ask(AdoptBlock(executed), seconds=60)
        assert await world.tip() == tree.tip
        assert world.harness.child("chain").restarts == 1
        assert not world.moved
        world.storage.on(CommitBlocks).computes(stored)
        following = await world.grow(2)
        assert (await world.tip()).head == following.state, "the chain goes on after it"


def branch(count: int) -> tuple[ExecutedBlock, ...]:
    """Blocks on the genesis block, each the parent of the next one."""
    blocks = [block_on(GENESIS, 1)]
    for slot in range(2, count + 1):
        blocks.append(block_on(blocks[-1].state, slot))
    return tuple(blocks)


async def test_several_blocks_are_stored_in_one_transaction(autojump_clock: MockClock) -> None:
    """A transaction per block took most of the time of a sync that executes nothing."""
    world = ChainOnTheHarness()
    blocks = branch(3)
    async with world.running():
        stored_blocks = await world.chain.ask(AdoptBlocks(blocks))
        assert [one.executed for one in stored_blocks] == list(blocks)
        assert [one.placement.tip.head for one in stored_blocks] == [one.state for one in blocks]
        (commit,) = [one for one in world.storage.received if isinstance(one, CommitBlocks)]
        assert commit.placed == tuple((one.executed, one.placement) for one in stored_blocks)
        (move,) = world.moved
        assert (move.old.head, move.new.head) == (GENESIS, blocks[-1].state)
        assert (await world.tip()).safe == blocks[-2].state


async def test_blocks_that_do_not_follow_each_other_are_refused_together(autojump_clock: MockClock) -> None:
    """The tree would keep the first of them, which is not on disk."""
    world = ChainOnTheHarness()
    first, _, third = branch(3)
    async with world.running():
        with pytest.raises(UnknownParent):
            await world.chain.ask(AdoptBlocks((first, third)))
        assert await world.chain.ask(GetState(first.state.hash)) is None
        assert (await world.tip()).head == GENESIS


async def test_blocks_that_are_not_stored_leave_the_tree(autojump_clock: MockClock) -> None:
    world = ChainOnTheHarness()
    world.storage.on(CommitBlocks).keeps_silent()
    async with world.running():
        with pytest.raises(HandlerCrashed, match="storage did not confirm that block"):
            await world.chain.ask(AdoptBlocks(branch(2)), seconds=60)
        assert (await world.tip()).head == GENESIS
        assert not world.moved


async def test_the_changes_of_operations_are_published_before_the_head(autojump_clock: MockClock) -> None:
    """Only those: a block with a proof of work changes other tables too."""
    world = ChainOnTheHarness()
    async with world.running():
        await world.grow(1)
        await world.grow(2)
        head = (await world.tip()).head
        plain = block_on(head, 3, await world.chain.ask(GetAncestry(head.hash)), covers=1)
        assert plain.changes
        refunded = EntryChange(Table.REFUNDED, bytes(8), Refunded(plain.state.height))
        executed = attrs.evolve(plain, changes=(*plain.changes, refunded))
        await world.chain.ask(AdoptBlock(executed))
        *earlier, changed, moved = world.published
        assert [type(one) for one in earlier] == [HeadMoved, HeadMoved]
        assert changed == OperationsChanged(executed.state, (refunded,))
        assert isinstance(moved, HeadMoved)
        assert moved.new.head == executed.state
