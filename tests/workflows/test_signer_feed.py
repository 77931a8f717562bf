"""The feed of a signer in another process, against the signer's own judgement of what it gets."""

from collections.abc import Sequence

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.consensus.auxpow import aux_hash
from alysd.consensus.finality import finality_proof
from alysd.errors import NotFinal, NotFollowed
from alysd.integrations.payment_follower import PaymentFollower
from alysd.messages.reads import ReadBlockByHash, ReadBlockByHeight, ReadFinalityProof, ReadForkchoice, Reads
from alysd.nurseries import AskTimeout
from alysd.peg.signing import Spending
from alysd.peg.violations import UnknownOutput
from alysd.testing.peg import any_proposal, peg_in
from alysd.testing.stand_in import StandIn
from alysd.testing.transcript import Transcript
from alysd.timing import Timing
from alysd.types.block import Block, SignedBlock
from alysd.types.chain import FinalityProof, Forkchoice, PlacedBlock
from alysd.types.following import FinalityStep
from alysd.types.hashes import BitcoinHash, BlockHash, XOnlyKey
from alysd.types.peg import Payment, PegContents, PegSignature
from alysd.types.tables import Proof
from alysd.types.units import Height
from alysd.validation import genesis_of
from alysd.wire.block_ssz import block_hash
from alysd.wire.signer_messages import VERSION, Known, SendViews
from alysd.workflows import signer_feed
from alysd.workflows.signer_feed import SignerFeed
from tests.peg.final_chain import FinalChain, ProvedRange

NO_KEY = XOnlyKey(bytes(32))


@attrs.define
class DirectSigner:
    """A signer without a process between; it keeps what it was sent."""

    follower: PaymentFollower
    genesis: BlockHash
    key: XOnlyKey = NO_KEY
    steps: list[FinalityStep] = attrs.field(factory=list[FinalityStep])
    sizes: list[int] = attrs.field(factory=list[int])

    async def known(self) -> Known:
        at = self.follower.known.at
        return Known(VERSION, self.genesis, self.key, at.height, at.hash, self.follower.wanted)

    async def step(self, step: FinalityStep) -> Known:
        self.steps.append(step)
        self.follower.step(step)
        return await self.known()

    async def views(self, views: SendViews) -> Known:
        self.sizes.append(len(views.views))
        self.follower.views(views.views)
        return await self.known()

    def learn(self, spendings: Sequence[Spending]) -> None:
        raise NotImplementedError

    async def sign(self, payment: Payment, txid: BitcoinHash) -> PegSignature:
        raise NotImplementedError


class World:
    """A node's database as the reader shows it, and a signer."""

    def __init__(self) -> None:
        self.chain = FinalChain.of()
        self.blocks: list[Block] = []
        self.proofs: dict[BlockHash, FinalityProof] = {}
        self.reader = StandIn[Reads]("reader", Transcript())
        self.signer = DirectSigner(self.chain.follower(), self.chain.context.genesis)
        self.feed = SignerFeed(self.signer, self.reader, Timing(2))
        self.reader.on(ReadForkchoice).computes(lambda _: self.tip())
        self.reader.on(ReadBlockByHeight).computes(lambda ask: self.at(ask.height or Height(0)))
        self.reader.on(ReadBlockByHash).computes(self.by_hash)
        self.reader.on(ReadFinalityProof).computes(self.proof)
        self.finalized = 0

    def add(self, *contents: PegContents, gap: int = 0) -> ProvedRange:
        """Make blocks final; the blocks that carry and commit the proof stay above."""
        for one in contents:
            self.chain.block(one)
        covered = list(self.chain.blocks)
        made = self.chain.prove(gap)
        self.blocks += [one for one in (*covered, *self.chain.blocks) if one not in self.blocks]
        header = self.chain.blocks[0].auxpow_header
        assert header is not None
        carrier = self.chain.blocks[0]
        proof = Proof(block_hash(carrier), carrier.height, aux_hash(made.step.hashes, header.fee_recipient))
        for one in made.step.hashes:
            self.proofs[one] = finality_proof(proof, header, made.step.hashes)
        self.finalized = self.chain.end.height
        return made

    def tip(self) -> Forkchoice:
        state = attrs.evolve(genesis_of(self.chain.context.spec).state, height=Height(self.finalized))
        return Forkchoice(state, state, state)

    def at(self, height: Height) -> PlacedBlock | None:
        return self.placed(self.blocks[height - 1]) if height <= len(self.blocks) else None

    def placed(self, block: Block) -> PlacedBlock:
        identity = block_hash(block)
        signed = SignedBlock(identity, block, self.chain.approved(identity))
        return PlacedBlock(signed, self.tip(), canonical=True, proof=None, included=None)

    def by_hash(self, ask: ReadBlockByHash) -> PlacedBlock | None:
        return next((self.placed(one) for one in self.blocks if block_hash(one) == ask.wanted), None)

    def proof(self, ask: ReadFinalityProof) -> FinalityProof | None:
        return self.proofs.get(ask.wanted)


async def test_a_signer_gets_all_final_blocks() -> None:
    """Also ranges whose proof was committed later, because slots were empty."""
    world = World()
    await world.feed.feed()
    assert world.signer.steps == [], "nothing is final but the genesis block"
    world.add(PegContents(peg_ins=(peg_in("one", 300_000),)), PegContents())
    world.add(PegContents(peg_ins=(peg_in("two", 400_000),)), gap=2)
    await world.feed.feed()
    assert world.signer.follower.known.at == world.chain.end
    assert len(world.signer.follower.known.ledger.outputs) == 2
    assert [len(step.path) for step in world.signer.steps] == [1, 2]
    await world.feed.feed()
    assert len(world.signer.steps) == 2, "nothing is sent twice"


async def test_many_blocks_are_sent_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signer_feed, "MAX_VIEWS", 2)
    world = World()
    world.add(*[PegContents()] * 5)
    await world.feed.feed()
    assert world.signer.sizes == [2, 2, 1]
    monkeypatch.setattr(signer_feed, "VIEWS_BYTES", 200)
    monkeypatch.setattr(signer_feed, "MAX_VIEWS", 100)
    world.add(PegContents(), PegContents())
    await world.feed.feed()
    assert world.signer.sizes[3:] == [2, 2], "two blocks carried and committed the first proof"
    assert world.signer.follower.known.at == world.chain.end


async def test_a_proof_that_is_not_committed_waits() -> None:
    """A block with a proof can be abandoned while none commits it; the signer could not go back."""
    world = World()
    world.add(PegContents(), gap=1)
    whole = list(world.blocks)
    for count in range(len(whole) - 2, len(whole)):
        world.blocks = whole[:count]
        await world.feed.feed()
        assert world.signer.steps == []
    world.blocks = whole
    await world.feed.feed()
    assert world.signer.follower.known.at == world.chain.end


async def test_what_is_not_proved_yet_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.add(PegContents())
    world.reader.on(ReadFinalityProof).fails(NotFinal("another proof will follow"))
    await world.feed.feed()
    world.reader.on(ReadFinalityProof).computes(world.proof)
    world.reader.on(ReadBlockByHash).answers(None)
    await world.feed.feed()
    world.reader.on(ReadBlockByHash).computes(world.by_hash)
    world.reader.on(ReadForkchoice).fails(AskTimeout("reader", "ReadForkchoice", 1.0))
    await world.feed.feed()
    world.reader.on(ReadForkchoice).computes(lambda _: world.tip())
    monkeypatch.setattr(signer_feed, "MAX_PATH", 0)
    await world.feed.feed()
    assert world.signer.steps == []


async def test_a_signer_of_another_branch_is_told() -> None:
    """Blocks that do not fit must not be sent again and again without a word."""
    world, other = World(), World()
    other.chain.slot += 1
    other.add(PegContents())
    await other.feed.feed()
    world.add(PegContents(), PegContents())
    world.feed = SignerFeed(other.signer, world.reader, Timing(2))
    with pytest.raises(NotFollowed, match="which is not on this node's chain"):
        await world.feed.feed()


async def test_a_signer_in_the_midst_of_a_range_is_told() -> None:
    world, other = World(), World()
    made = world.add(PegContents(), PegContents())
    other.add(PegContents())
    assert block_hash(other.blocks[0]) == made.step.hashes[0]
    await other.feed.feed()
    world.feed = SignerFeed(other.signer, world.reader, Timing(2))
    with pytest.raises(NotFollowed, match="inside the range of one proof"):
        await world.feed.feed()


async def test_a_missing_block_is_told() -> None:
    world = World()
    world.add(PegContents(), PegContents())
    world.reader.on(ReadBlockByHeight).answers(None)
    with pytest.raises(NotFollowed, match="has no block at height 1"):
        await world.feed.feed()


async def test_the_feed_goes_on_in_every_slot(autojump_clock: MockClock, no_threads: None) -> None:
    world = World()
    with trio.move_on_after(5):
        await world.feed.run()
    assert len(world.reader.received) == 3


async def test_a_final_block_that_breaks_a_rule_is_not_followed() -> None:
    world = World()
    world.add(PegContents(proposal=any_proposal()))
    with pytest.raises(UnknownOutput):
        await world.feed.feed()
    assert world.signer.follower.known.at.height == 0
