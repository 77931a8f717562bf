"""The evidence actor: what it is told of is judged, kept on disk, and published once."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
from trio.testing import MockClock

from alysd.actors.chain import ChainActor
from alysd.actors.evidence import EvidenceActor
from alysd.actors.reader import ReaderActor
from alysd.actors.storage import StorageActor
from alysd.consensus.validity import apply_block
from alysd.errors import Refused
from alysd.integrations.bls import BLS
from alysd.integrations.lmdb_store import LmdbStore
from alysd.messages.chain import AdoptBlock, Chain
from alysd.messages.events import ChainEvent, EvidenceFound, HeadMoved
from alysd.messages.evidence import EvidenceKeeping, ReportConflict, ReportRivals
from alysd.messages.reads import ReadEvidence, Reads
from alysd.messages.storage import Storage
from alysd.nurseries import Address, Immediate, actor
from alysd.testing.chain import ChainHand, chain_spec
from alysd.testing.harness import ActorTestHarness
from alysd.timing import Timing
from alysd.types.block import SignedBlock
from alysd.types.chain import ChainState
from alysd.types.evidence import Evidence, Offence
from alysd.types.hashes import BlockHash, BlsPublicKey
from alysd.types.units import Slot, Wei

HAND = ChainHand.of(chain_spec())
GENESIS = HAND.genesis_state


@attrs.define
class World:
    """The evidence actor beside the chain, the storage and the reader, on a real database."""

    folder: Path
    harness: ActorTestHarness = attrs.field(factory=lambda: ActorTestHarness(refusals=[Refused]))
    storage: Address[Storage] = attrs.field(factory=lambda: Address("storage"))
    reader: Address[Reads] = attrs.field(factory=lambda: Address("reader"))
    chain: Address[Chain] = attrs.field(factory=lambda: Address("chain"))
    evidence: Address[EvidenceKeeping] = attrs.field(factory=lambda: Address("evidence", capacity=2))
    found: list[EvidenceFound] = attrs.field(factory=list[EvidenceFound])
    moved: list[ChainEvent] = attrs.field(factory=list[ChainEvent])

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        store, timing = LmdbStore.open(self.folder, HAND.genesis, GENESIS), Timing(HAND.spec.slot_seconds)
        try:
            async with self.harness.running(
                actor(self.storage, lambda: StorageActor(store), restart=Immediate()),
                actor(self.reader, lambda: ReaderActor(store), restart=Immediate()),
                actor(self.evidence, lambda: EvidenceActor(
                    self.storage, self.chain, HAND.context, BLS.verify, self.found.append, timing,
                ), restart=Immediate()),
                actor(self.chain, lambda: ChainActor(
                    self.storage, self.evidence, self.moved.append, timing,
                ), restart=Immediate()),
            ):  # fmt: skip
                yield
        finally:
            store.close()

    async def kept(self) -> tuple[Evidence, ...]:
        await self.harness.settle()
        return await self.reader.ask(ReadEvidence())

    async def adopt(self, parent: ChainState, slot: int) -> ChainState:
        executed = apply_block(parent, await HAND.block(parent, Slot(slot)), Wei(0), ())
        await self.chain.ask(AdoptBlock(executed))
        return executed.state


async def two_blocks(slot: int) -> tuple[SignedBlock, SignedBlock]:
    """Two different blocks of one slot by the same author."""
    one = await HAND.block(GENESIS, Slot(slot))
    payload = attrs.evolve(one.block.payload, extra_data=b"another")
    return one, HAND.sign(attrs.evolve(one.block, payload=payload))


async def test_two_blocks_of_one_slot_are_kept_and_published_once(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    """A member that makes two blocks in its slots would not be found out, or fill the log."""
    world = World(tmp_path / "chain")
    one, other = await two_blocks(7)
    async with world.running():
        for report in (ReportConflict(one, other), ReportConflict(other, one), ReportConflict(one, one)):
            await world.evidence.send(report)
        (kept,) = await world.kept()
    assert {kept.first.block.hash, kept.second.block.hash} == {one.hash, other.hash}
    assert world.found == [EvidenceFound(kept, ((0, HAND.spec.authorities[0]),))]
    async with world.running():
        await world.evidence.send(ReportConflict(other, one))
        assert await world.kept() == (kept,), "it is on disk, and known after a restart"
    assert len(world.found) == 1


async def test_approved_rivals_on_a_branch_are_found_when_the_second_is_imported(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    """A quorum that breaks its lock would part the nodes, and no one would know who it was."""
    world = World(tmp_path / "chain")
    async with world.running():
        first = await world.adopt(GENESIS, 5)
        second = await world.adopt(first, 6)
        assert await world.kept() == ()
        rival = await world.adopt(GENESIS, 8)
        (kept,) = await world.kept()
        same_slot = await world.adopt(second, 8)
        both = await world.kept()
    assert (kept.offence, kept.offenders) == (Offence.BROKEN_LOCK, ((0, HAND.spec.authorities[0]),))
    assert (kept.first.block.hash, kept.second.block.hash) == (second.hash, rival.hash)
    (new,) = set(both) - {kept}
    assert new.offence is Offence.TWO_BLOCKS
    assert {new.first.block.hash, new.second.block.hash} == {rival.hash, same_slot.hash}


async def test_a_false_report_does_no_harm(tmp_path: Path, autojump_clock: MockClock, no_threads: None) -> None:
    """A member could be accused by anyone, or a bad report could stop the actor."""
    world = World(tmp_path / "chain")
    one, other = await two_blocks(7)
    forged = attrs.evolve(other, approvals=one.approvals)
    async with world.running():
        await world.evidence.send(ReportConflict(one, forged))
        await world.evidence.send(ReportRivals(one.hash, BlockHash(bytes(32))))
        assert await world.kept() == ()
        await world.evidence.send(ReportConflict(one, other))
        assert len(await world.kept()) == 1
        assert world.harness.child("evidence").restarts == 0


async def test_a_block_is_imported_although_no_report_fits_into_the_mailbox(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    world = World(tmp_path / "chain")
    async with world.running():
        first = await world.adopt(GENESIS, 5)
        await world.adopt(first, 6)
        world.harness.system.suspend("evidence")
        rivals = [await world.adopt(GENESIS, slot) for slot in range(8, 12)]
        newest = world.moved[-1]
        assert isinstance(newest, HeadMoved)
        assert newest.new.head == rivals[-1]
        world.harness.system.resume("evidence")
        assert 0 < len(await world.kept()) <= 2


async def test_evidence_is_about_the_keys_of_the_federation_of_its_blocks(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    """After a change, the members at the head were named, or none had the index of the offender."""
    world = World(tmp_path / "chain")
    one, other = await two_blocks(7)
    own, stranger = HAND.spec.authorities[0], BlsPublicKey(bytes(48))
    wider = attrs.evolve(HAND.context.first_federation, authorities=(stranger, own))
    moved = attrs.evolve(other, approvals=attrs.evolve(other.approvals, signers=(False, True)))
    async with world.running():
        await world.evidence.send(ReportConflict(moved, one, (wider, HAND.context.first_federation)))
        (kept,) = await world.kept()
    assert [key for _, key in kept.offenders] == [own]


async def test_old_blocks_are_judged_by_the_federations_of_late(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    """The state of their parents is gone. Approvals that no known federation has made accuse nobody."""
    world = World(tmp_path / "chain")
    blocks = [HAND.sign(attrs.evolve(one.block, parent_hash=BlockHash(bytes(32)))) for one in await two_blocks(7)]
    forged = attrs.evolve(blocks[1], approvals=blocks[0].approvals)
    async with world.running():
        await world.evidence.send(ReportConflict(blocks[0], forged))
        assert await world.kept() == ()
        await world.evidence.send(ReportConflict(blocks[0], blocks[1]))
        (kept,) = await world.kept()
    assert kept.offenders == ((0, HAND.spec.authorities[0]),)
