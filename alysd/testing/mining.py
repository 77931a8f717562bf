"""A test chain for merged mining: the merged-mining actor, and fakes of the chain, storage and reader actors.

world = MiningWorld()
world.blocks_in(1, 2)
async with world.running():
offer = await world.auxpow.ask(CreateWork(MINER))
await world.auxpow.ask(solved(offer))
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from alysd.actors.auxpow import AuxPowActor, MiningMemory
from alysd.actors.auxpow_offers import OfferBook
from alysd.consensus.auxpow import target_of
from alysd.consensus.finality import covering_proof, finality_proof
from alysd.consensus.fork_choice import Tree
from alysd.consensus.validity import apply_block
from alysd.errors import NotNow, Refused
from alysd.messages.auxpow import Finalized, MergedMining, MiningOffer, SubmitWork
from alysd.messages.chain import Chain, GetAncestry, GetBundle, GetEntries, GetForkchoice, GetState
from alysd.messages.events import HeadMoved
from alysd.messages.network import Network
from alysd.messages.reads import (
    ReadBlockByHash,
    ReadBlockByHeight,
    ReadEvidence,
    ReadFinalityProof,
    ReadForkchoice,
    Reads,
)
from alysd.messages.storage import GetBlockByHash, Storage
from alysd.nurseries import (
    Actor,
    Address,
    Bus,
    ChildSpec,
    Immediate,
    NotAnswered,
    OneForOne,
    System,
    actor,
    handles,
    open_system,
    supervisor,
)
from alysd.testing.blocks import FIRST_SLOT, approve, genesis, make_block, make_spec, mine
from alysd.timing import Timing
from alysd.types.auxpow import AuxPowHeader
from alysd.types.block import SignedBlock
from alysd.types.chain import ChainState, FinalityProof, Forkchoice, HeadBundle, PlacedBlock
from alysd.types.chain_spec import ChainSpec
from alysd.types.evidence import Evidence
from alysd.types.hashes import BlockHash
from alysd.types.tables import Entry, Proof
from alysd.types.units import Height, Slot, Wei


class FakeChainActor(Actor[Chain], partial=True):
    """Answers from the tree of a `MiningWorld` as the chain actor does."""

    def __init__(self, world: "MiningWorld") -> None:
        self._world = world

    @handles(GetForkchoice)
    async def head(self, message: GetForkchoice) -> Forkchoice:
        """The tree's head, safe and finalized block."""
        return self._world.tree.tip

    @handles(GetState)
    async def state(self, message: GetState) -> ChainState | None:
        """A block's state; None if the block is unknown."""
        return self._world.tree.get(message.hash)

    @handles(GetAncestry)
    async def ancestry(self, message: GetAncestry) -> tuple[ChainState, ...]:
        """The states from the last final block to the tip."""
        return self._world.tree.ancestry(message.tip)

    @handles(GetEntries)
    async def entries(self, message: GetEntries) -> tuple[Entry | None, ...]:
        """The entries with these keys in the table of proofs. Raises `UnknownParent` for an unknown `at`."""
        self._world.tree.changes(message.keys, message.at)  # raises for a block that is gone
        return tuple(self._world.proofs.get(key) for _, key in message.keys)

    @handles(GetBundle)
    async def bundle(self, message: GetBundle) -> HeadBundle:
        """The blocks that wait for a proof. Raises `NotNow` when there are none."""
        bundle = self._world.tree.bundle()
        if bundle is None:
            raise NotNow("nothing waits")
        return HeadBundle(bundle, self._world.tree.tip.head)


class FakeStorageActor(Actor[Storage], partial=True):
    """Answers from the blocks of a `MiningWorld` as the storage actor does."""

    def __init__(self, world: "MiningWorld") -> None:
        self._world = world

    @handles(GetBlockByHash)
    async def by_hash(self, message: GetBlockByHash) -> SignedBlock | None:
        """The block with this hash."""
        return self._world.blocks.get(message.hash)


class FakeReaderActor(Actor[Reads], partial=True):
    """Answers from the blocks of a `MiningWorld` as the reader does."""

    def __init__(self, world: "MiningWorld") -> None:
        self._world = world

    @handles(ReadForkchoice)
    async def head(self, message: ReadForkchoice) -> Forkchoice:
        """The tree's head, safe and finalized block."""
        return self._world.tree.tip

    @handles(ReadBlockByHeight)
    async def by_height(self, message: ReadBlockByHeight) -> PlacedBlock | None:
        """The block of the head's branch at this height."""
        return self._placed(self._world.canonical(message.height))

    @handles(ReadBlockByHash)
    async def by_hash(self, message: ReadBlockByHash) -> PlacedBlock | None:
        """The block with this hash, or the one that includes the proof for this work."""
        work = self._world.proofs.get(message.wanted) if message.or_work else None
        return self._placed(self._world.blocks.get(message.wanted if work is None else work.block))

    @handles(ReadFinalityProof)
    async def finality_proof(self, message: ReadFinalityProof) -> FinalityProof | None:
        """The proof of work that makes a block final. Raises `NotFinal` or `NoProof`."""
        placed = self._placed(self._world.blocks.get(message.wanted))
        if placed is None:
            return None
        proof = covering_proof(placed)
        header = self._world.blocks[proof.block].block.auxpow_header
        hashes = [] if header is None else [header.range_end]
        while header is not None and hashes[-1] != header.range_start:
            hashes.append(self._world.blocks[hashes[-1]].block.parent_hash)
        return finality_proof(proof, header, hashes[::-1])

    @handles(ReadEvidence)
    async def evidence(self, message: ReadEvidence) -> tuple[Evidence, ...]:
        """The evidence that the test has put into the world."""
        return tuple(self._world.evidence)

    def _placed(self, signed: SignedBlock | None) -> PlacedBlock | None:
        if signed is None:
            return None
        header, at = signed.block.auxpow_header, self._world.canonical(signed.block.height)
        canonical = at is not None and at.hash == signed.hash
        included = self._world.proofs.get(header.range_end) if header is not None and canonical else None
        return PlacedBlock(signed, self._world.tree.tip, canonical, self._world.proofs.get(signed.hash), included)


class MiningWorld:
    """A chain that a test extends block by block, and the addresses of its actors.

    `memory` outlives restarts of the mining actor.
    """

    def __init__(self, spec: ChainSpec | None = None) -> None:
        self.spec = spec or make_spec()
        self.tree = Tree([genesis(self.spec)], genesis(self.spec).hash)
        self.blocks: dict[BlockHash, SignedBlock] = {}
        self.proofs: dict[bytes, Proof] = {}  # of every branch
        self.evidence: list[Evidence] = []
        self.bus = Bus()
        self.timing = Timing(self.spec.slot_seconds)
        self.memory = MiningMemory(OfferBook(self.timing))
        self.chain: Address[Chain] = Address("chain")
        self.storage: Address[Storage] = Address("storage")
        self.reader: Address[Reads] = Address("reader")
        self.auxpow: Address[MergedMining] = Address("auxpow")
        self.network: Address[Network] = Address("network")

    def block(
        self,
        slot: int,
        *,
        on: ChainState | None = None,
        header: AuxPowHeader | None = None,
        fees: int = 0,
        quiet: bool = False,
    ) -> ChainState:
        """Make and adopt a block in the slot FIRST_SLOT + `slot`, and publish the new head unless `quiet`."""
        parent = on or self.tree.tip.head
        signed = approve(make_block(parent, Slot(FIRST_SLOT + slot), self.spec, header), self.spec)
        ancestry = () if header is None else self.tree.ancestry(parent.hash)
        executed = apply_block(parent, signed, Wei(fees), ancestry)
        state = executed.state
        before = self.tree.tip
        placement = self.tree.adopt(state, executed.changes)
        self.proofs |= {change.key: change.value for change in executed.changes if isinstance(change.value, Proof)}
        self.blocks[signed.hash] = signed
        if self.tree.tip != before and not quiet:
            self.bus.publish(HeadMoved(before, self.tree.tip, placement.removed))
        return state

    @property
    def commits(self) -> int:
        """The number of blocks, as `Store.commits`."""
        return len(self.blocks)

    def canonical(self, height: Height | None) -> SignedBlock | None:
        """The block of the head's branch at this height; without a height, the head."""
        state: ChainState | None = self.tree.tip.head
        while state is not None and height is not None and state.height > height:
            state = self.tree.get(state.parent_hash)
        return None if state is None or state.height != (height or state.height) else self.blocks.get(state.hash)

    def blocks_in(self, *slots: int) -> list[ChainState]:
        """Extend the head by one block in each of these slots."""
        return [self.block(slot) for slot in slots]

    @asynccontextmanager
    async def running(self, *more: ChildSpec) -> AsyncGenerator[System]:
        """Run the chain, storage, reader and merged-mining actors, and `more` children after them."""
        children = [
            actor(self.chain, lambda: FakeChainActor(self), restart=Immediate()),
            actor(self.storage, lambda: FakeStorageActor(self), restart=Immediate()),
            actor(self.reader, lambda: FakeReaderActor(self), restart=Immediate()),
            actor(
                self.auxpow,
                lambda: AuxPowActor(
                    self.chain, self.network, self.spec, self.memory, self.bus.publish, self.timing
                ),
                restart=Immediate(),
            ),
            *more,
        ]
        async with open_system(
            supervisor("Root", OneForOne(), children), refusals=(Refused, NotAnswered)
        ) as system:
            await self.auxpow.send(Finalized(self.tree.tip))  # as the finality workflow does at its start
            yield system


def solved(offer: MiningOffer) -> SubmitWork:
    """A valid proof of work for an offer."""
    return SubmitWork(offer.work.aux_hash, mine(offer.work.aux_hash, target_of(offer.work.bits)))


def solved_again(offer: MiningOffer, extra: int) -> SubmitWork:
    """Another valid proof for the same offer; a different `extra` gives a different coinbase."""
    work = offer.work.aux_hash
    proof = mine(work, target_of(offer.work.bits), outputs=(extra.to_bytes(4, "big"),))
    return SubmitWork(work, proof)
