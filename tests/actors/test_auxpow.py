"""The merged-mining actor on a small chain: offers, checks of proofs, and the proof for the next block."""

from collections.abc import Callable

import attrs
import pytest
import trio

from alysd.actors.auxpow import IN_PLACE, SENT_AGAIN, AuxPowActor
from alysd.actors.auxpow_queue import QUEUED_AFTER_A_BLOCK
from alysd.consensus.auxpow import aux_hash, check_auxpow, check_header, next_bits, target_of
from alysd.consensus.fork_choice import Tree
from alysd.consensus.work_violations import (
    NotEnoughWork,
    RangeNotCommitted,
    WorkMissing,
    WrongBits,
    WrongCoinbaseBranch,
    WrongCommitment,
    WrongRangeEnd,
)
from alysd.errors import NotNow
from alysd.messages.auxpow import (
    ConsiderProof,
    CreateWork,
    Finalized,
    GetQueuedWork,
    MiningOffer,
    QueuedWork,
    StaleWork,
    SubmitWork,
    UnknownWork,
    WorkFor,
)
from alysd.messages.events import WorkQueued
from alysd.messages.network import Network, PublishProof
from alysd.nurseries import Address, Immediate, NotAnswered, OneForOne, actor, open_system, supervisor
from alysd.testing.blocks import FIRST_SLOT, MINER, digest, make_spec, mine
from alysd.testing.mining import MiningWorld, solved, solved_again
from alysd.testing.stand_in import StandIn
from alysd.testing.transcript import Transcript
from alysd.testing.virtual_time import threads_inline
from alysd.types.auxpow import AuxPowHeader
from alysd.types.chain import ChainState
from alysd.types.hashes import AuxHash, BlockHash, EvmAddress
from alysd.wire.auxpow import decode_auxpow, encode_auxpow

OTHER = EvmAddress(b"\x44" * 20)


async def test_an_offer_covers_all_that_waits_and_names_its_price(autojump_clock: object) -> None:
    """Miners would work on the wrong blocks, or on a target that no node accepts."""
    world = MiningWorld(make_spec(auxpow_spacing_slots=10))
    states = [world.block(slot, fees=25 * 10**9) for slot in (1, 2, 7)]
    world.block(8, fees=25 * 10**9)  # it commits the third block, and is not in the bundle itself
    async with world.running():
        offer = await world.auxpow.ask(CreateWork(MINER))
    bits = next_bits(world.spec.bits, 6, world.spec)
    assert offer.work.bundle.hashes == tuple(state.hash for state in states)
    assert offer.work.aux_hash == aux_hash([state.hash for state in states], MINER)
    assert (offer.work.bits, offer.target) == (bits, target_of(bits))
    assert offer.previous == world.tree.tip.finalized.hash
    assert offer.reward == 8  # 80 % of 100 gwei, which the next block pays out, are 80 gwei, 8 sat


async def test_work_stays_the_same_until_there_is_news(autojump_clock: object) -> None:
    """A pool restarts its workers for every change: for every new block would be every two seconds."""
    world = MiningWorld()
    world.blocks_in(1, 2, 3)
    async with world.running():
        first = await world.auxpow.ask(CreateWork(MINER))
        world.block(4)
        assert await world.auxpow.ask(CreateWork(MINER)) == first
        assert (await world.auxpow.ask(CreateWork(OTHER))).work.bundle.end_height == 3
        await trio.sleep(world.timing.work_renewed)
        second = await world.auxpow.ask(CreateWork(MINER))
        assert second.work.bundle.end_height == 3
        queued = await world.auxpow.ask(solved(first))  # still known, and still good
        world.block(5, header=queued.header)  # commits the block of slot 4, which is news
        third = await world.auxpow.ask(CreateWork(MINER))
        assert third.previous == first.work.bundle.hashes[-1]


async def test_there_is_no_work_while_nothing_waits(autojump_clock: object) -> None:
    world = MiningWorld()
    async with world.running():
        with pytest.raises(NotNow):
            await world.auxpow.ask(CreateWork(MINER))
        assert await world.auxpow.ask(GetQueuedWork()) is None


async def test_a_proof_is_queued_told_of_and_valid_in_the_next_block(autojump_clock: object) -> None:
    """The whole way: what the actor gives an author must pass the rule that every importer applies."""
    world = MiningWorld()
    world.blocks_in(1, 2, 3)
    async with world.running():
        offer = await world.auxpow.ask(CreateWork(MINER))
        with world.bus.subscribe(WorkQueued) as told:
            queued = await world.auxpow.ask(solved(offer))
            assert (await told.receive()).work == queued
        world.block(4)  # the proof is for older blocks, and still good
        head = world.tree.tip.head
        header = await world.auxpow.ask(WorkFor(head))
        assert header == queued.header
        assert await world.auxpow.ask(GetQueuedWork()) == queued
        assert header is not None
        check_header(header, head, world.tree.ancestry(head.hash), world.spec)
        world.block(5, header=header)
    assert world.tree.tip.finalized.hash == offer.work.bundle.hashes[-1]


async def test_variants_of_one_proof_evict_no_other(autojump_clock: object) -> None:
    """32 variants of the parent hash that a proof repeats evicted seven honest proofs."""
    world = MiningWorld()
    world.blocks_in(1, 2, 3)
    async with world.running():
        honest: list[QueuedWork] = []
        for miner in range(7):
            offer = await world.auxpow.ask(CreateWork(EvmAddress(bytes([miner]) * 20)))
            honest.append(await world.auxpow.ask(solved(offer)))
        best = solved(await world.auxpow.ask(CreateWork(MINER)))
        raw = encode_auxpow(best.auxpow)
        for number in range(QUEUED_AFTER_A_BLOCK):
            variant = decode_auxpow(raw.replace(best.auxpow.parent.hash, digest("variant", number)))
            await world.auxpow.ask(SubmitWork(best.aux_hash, variant))
        queued = world.memory.queue.after(world.tree.tip.head.last_final)
        assert len(queued) == len(honest) + 1
        assert set(honest) < set(queued)


def too_easy(offer: MiningOffer) -> SubmitWork:
    return SubmitWork(offer.work.aux_hash, mine(offer.work.aux_hash, offer.target, meets=False))


def for_other_work(offer: MiningOffer) -> SubmitWork:
    return SubmitWork(offer.work.aux_hash, mine(AuxHash(bytes(32)), offer.target))


def never_offered(offer: MiningOffer) -> SubmitWork:
    other = aux_hash(offer.work.bundle.hashes, OTHER)
    return SubmitWork(other, mine(other, offer.target))


@pytest.mark.parametrize(
    ("proof", "error"),
    [(too_easy, NotEnoughWork), (for_other_work, WrongCommitment), (never_offered, UnknownWork)],
)
async def test_a_wrong_proof_is_refused_by_name_and_the_actor_goes_on(
    proof: Callable[[MiningOffer], SubmitWork], error: type[Exception], autojump_clock: object
) -> None:
    """A miner could not tell what is wrong, or could restart the actor at will."""
    world = MiningWorld()
    world.blocks_in(1, 2)
    async with world.running() as system:
        offer = await world.auxpow.ask(CreateWork(MINER))
        with pytest.raises(error):
            await world.auxpow.ask(proof(offer))
        assert await world.auxpow.ask(GetQueuedWork()) is None
        await world.auxpow.ask(solved(offer))
        restarts = {child.name: child.restarts for child in system.snapshot().children}
    assert restarts["auxpow"] == 0


async def test_work_for_blocks_that_are_final_already_is_stale(autojump_clock: object) -> None:
    """A second miner's proof for the same blocks would fill the queue with what no block can include."""
    world = MiningWorld()
    world.blocks_in(1, 2)
    async with world.running():
        first = await world.auxpow.ask(CreateWork(MINER))
        second = await world.auxpow.ask(CreateWork(OTHER))
        queued = await world.auxpow.ask(solved(first))
        world.block(3, header=queued.header)
        await world.auxpow.send(Finalized(world.tree.tip))
        with pytest.raises(StaleWork):
            await world.auxpow.ask(solved(second))
        assert await world.auxpow.ask(GetQueuedWork()) is None


async def test_proofs_are_forgotten_with_the_second_one_after_them(autojump_clock: object) -> None:
    """A branch without the newest proof may still win and needs it again; older ones are of no use to anybody."""
    world = MiningWorld()
    async with world.running():
        for slot in (10, 20, 30):
            world.blocks_in(slot, slot + 1)
            offer = await world.auxpow.ask(CreateWork(MINER))
            queued = await world.auxpow.ask(solved(offer))
            world.block(slot + 2, header=queued.header)
            await world.auxpow.send(Finalized(world.tree.tip))
            await world.auxpow.ask(GetQueuedWork())
        assert len(world.memory.queue) == 1


async def test_a_branch_that_lacks_the_proof_is_given_it_again(autojump_clock: object) -> None:
    """After a reorganisation below the block with the proof, its miner would lose his fees, and finality wait."""
    world = MiningWorld()
    world.blocks_in(1, 2)
    fork = world.block(3)  # it commits the block of slot 2, on both branches
    async with world.running():
        offer = await world.auxpow.ask(CreateWork(MINER))
        queued = await world.auxpow.ask(solved(offer))
        world.block(4, header=queued.header)
        await world.auxpow.send(Finalized(world.tree.tip))
        proven = world.tree.tip.head
        sibling = world.block(5, on=fork)
        assert await world.auxpow.ask(WorkFor(sibling)) == queued.header
        assert await world.auxpow.ask(WorkFor(proven)) is None


async def test_work_whose_range_ends_on_another_branch_is_left_out(autojump_clock: object) -> None:
    """An author would make a block that every importer refuses, and miss the slot."""
    world = MiningWorld()
    (first,) = world.blocks_in(1)
    world.blocks_in(2, 3)
    async with world.running():
        long = await world.auxpow.ask(CreateWork(MINER))
        await world.auxpow.ask(solved(long))
        sibling = world.block(4, on=first)
        assert await world.auxpow.ask(WorkFor(sibling)) is None


async def test_work_is_left_out_on_a_branch_that_does_not_commit_the_range(autojump_clock: object) -> None:
    """An author would make a block that every importer refuses, and miss the slot."""
    world = MiningWorld()
    first, _ = world.blocks_in(1, 2)
    async with world.running():
        offer = await world.auxpow.ask(CreateWork(MINER))
        queued = await world.auxpow.ask(solved(offer))
        assert await world.auxpow.ask(WorkFor(world.tree.tip.head)) == queued.header
        sibling = world.block(5, on=first)
        assert await world.auxpow.ask(WorkFor(sibling)) is None


async def test_among_several_the_longest_range_is_included(autojump_clock: object) -> None:
    world = MiningWorld()
    world.blocks_in(1, 2)
    async with world.running():
        short = await world.auxpow.ask(CreateWork(MINER))
        world.blocks_in(3, 4)
        long = await world.auxpow.ask(CreateWork(OTHER))
        for proof in (solved(short), solved(long), solved_again(short, 1)):
            await world.auxpow.ask(proof)
        header = await world.auxpow.ask(WorkFor(world.tree.tip.head))
    assert header is not None
    assert header.fee_recipient == OTHER


async def test_a_crash_loses_neither_offers_nor_proofs(autojump_clock: object) -> None:
    """A fault in this actor would cost a miner his work."""
    world = MiningWorld()
    world.blocks_in(1, 2)
    async with world.running() as system:
        offer = await world.auxpow.ask(CreateWork(MINER))
        other = await world.auxpow.ask(CreateWork(OTHER))
        queued = await world.auxpow.ask(solved(offer))
        system.inject("auxpow", RuntimeError("a bug"))
        assert await world.auxpow.ask(GetQueuedWork()) == queued
        assert (await world.auxpow.ask(solved(other))).aux_hash == other.work.aux_hash
        restarts = {child.name: child.restarts for child in system.snapshot().children}
    assert restarts["auxpow"] == 1


async def test_without_the_chain_actor_it_says_so_and_lives(autojump_clock: object) -> None:
    """A fault in the chain actor would take this one down with it."""
    world = MiningWorld()
    nobody = Address[object]("nobody")
    child = actor(
        world.auxpow,
        lambda: AuxPowActor(nobody, world.network, world.spec, world.memory, world.bus.publish, world.timing),  # pyright: ignore[reportArgumentType]
        restart=Immediate(),
    )
    async with open_system(supervisor("Root", OneForOne(), [child]), refusals=(NotAnswered,)) as system:
        with pytest.raises(NotAnswered, match="nobody"):
            await world.auxpow.ask(CreateWork(MINER))
        assert system.snapshot().children[0].restarts == 0


async def test_the_target_eases_with_the_slots_that_pass(autojump_clock: object) -> None:
    """The offered bits must be those of the range's own end, not of the moment."""
    spec = make_spec(bits=0x1D00FFFF)
    world = MiningWorld(spec)
    world.blocks_in(1, 2 + spec.auxpow_spacing_slots * 4, 3 + spec.auxpow_spacing_slots * 4)
    async with world.running():
        offer = await world.auxpow.ask(CreateWork(MINER))
    assert offer.work.bundle.end_slot == FIRST_SLOT + 2 + spec.auxpow_spacing_slots * 4
    assert offer.work.bits == next_bits(spec.bits, 1 + spec.auxpow_spacing_slots * 4, spec)
    assert target_of(offer.work.bits) > target_of(spec.bits)


async def test_a_large_coinbase_is_judged_in_a_thread(autojump_clock: object) -> None:
    """A made-up proof of thousands of outputs, which costs its sender nothing, would hold up a slot."""
    world = MiningWorld()
    world.blocks_in(1, 2)
    with threads_inline(seconds=0.025):
        async with world.running():
            offer = await world.auxpow.ask(CreateWork(MINER))
            work = offer.work.aux_hash
            large = mine(work, offer.target)
            padded = attrs.evolve(large, coinbase=attrs.evolve(large.coinbase, raw=bytes(IN_PLACE + 1)))
            with pytest.raises(WrongCoinbaseBranch):
                await world.auxpow.ask(SubmitWork(work, padded))
            assert trio.current_time() > 0


async def test_a_queued_header_carries_the_proof_that_was_handed_in(autojump_clock: object) -> None:
    world = MiningWorld()
    world.blocks_in(1, 2)
    async with world.running():
        offer = await world.auxpow.ask(CreateWork(MINER))
        proof = solved(offer)
        queued = await world.auxpow.ask(proof)
    assert attrs.evolve(queued.header, auxpow=None).auxpow is None
    assert queued.header.auxpow == proof.auxpow
    check_auxpow(proof.auxpow, queued.aux_hash, world.spec.chain_id, offer.target)


async def test_a_full_queue_says_nothing_of_a_proof_that_it_drops(autojump_clock: object) -> None:
    """The finality workflow would believe that a proof waits, and not warn."""
    world = MiningWorld()
    first, second = world.blocks_in(1, 2)
    world.blocks_in(3)
    async with world.running():
        long = await world.auxpow.ask(CreateWork(MINER))
        for number in range(QUEUED_AFTER_A_BLOCK):
            await world.auxpow.ask(solved_again(long, number))
        world.tree = Tree([world.tree.tip.finalized, first, second], world.tree.tip.finalized.hash)
        short = await world.auxpow.ask(CreateWork(MINER))
        with world.bus.subscribe(WorkQueued) as told:
            await world.auxpow.ask(solved(short))
            with pytest.raises(trio.WouldBlock):
                told.receive_nowait()


# Proofs of other nodes


def another_node() -> MiningWorld:
    """A node with the same chain, whose messages to the network are recorded."""
    world = MiningWorld()
    world.blocks_in(1, 2, 3)
    world.network = StandIn[Network]("network", Transcript())
    return world


def sent_by(world: MiningWorld) -> list[object]:
    assert isinstance(world.network, StandIn)
    return [*world.network.received]


async def test_a_proof_that_was_submitted_elsewhere_is_sent_checked_and_included(autojump_clock: object) -> None:
    """Otherwise the work of a follower's miners would be lost, and a member's would wait for its own slot."""
    world, other = another_node(), another_node()
    async with world.running():
        offer = await world.auxpow.ask(CreateWork(MINER))
        queued = await world.auxpow.ask(solved(offer))
    assert sent_by(world) == [PublishProof(queued.header)]
    async with other.running():
        with other.bus.subscribe(WorkQueued) as told:
            assert await other.auxpow.ask(ConsiderProof(queued.header)) is True
            assert (await told.receive()).work == queued
        assert await other.auxpow.ask(ConsiderProof(queued.header)) is False, "one is enough"
        other.block(4, header=await other.auxpow.ask(WorkFor(other.tree.tip.head)))
        assert other.tree.tip.finalized.hash == offer.work.bundle.hashes[-1]
        fresh = attrs.evolve(queued.header, auxpow=solved_again(offer, 7).auxpow)
        with pytest.raises(WrongRangeEnd):
            await other.auxpow.ask(ConsiderProof(fresh))
    assert sent_by(other) == [], "the network passes it on"


async def test_a_false_proof_of_another_node_is_refused_by_name(autojump_clock: object) -> None:
    """A peer could have a block made that no node accepts, or take the fees of the miner."""
    world = another_node()
    async with world.running():
        offer = await world.auxpow.ask(CreateWork(MINER))
        header = attrs.evolve((await world.auxpow.ask(solved(offer))).header, auxpow=solved_again(offer, 1).auxpow)
        for false, error in (
            (attrs.evolve(header, range_end=BlockHash(bytes(32))), WrongRangeEnd),
            (attrs.evolve(header, bits=0x1D00FFFF), WrongBits),
            (attrs.evolve(header, auxpow=too_easy(offer).auxpow), NotEnoughWork),
            (attrs.evolve(header, fee_recipient=OTHER), WrongCommitment),
            (attrs.evolve(header, auxpow=None), WorkMissing),
        ):
            with pytest.raises(error):
                await world.auxpow.ask(ConsiderProof(false))
        assert len(world.memory.queue) == 1


async def test_a_large_proof_of_another_node_is_checked_in_a_thread(autojump_clock: object) -> None:
    world = another_node()
    with threads_inline(seconds=0.025):
        async with world.running():
            offer = await world.auxpow.ask(CreateWork(MINER))
            header = (await world.auxpow.ask(solved(offer))).header
            large = mine(offer.work.aux_hash, offer.target, outputs=(bytes(IN_PLACE),))
            began = trio.current_time()
            assert await world.auxpow.ask(ConsiderProof(attrs.evolve(header, auxpow=large))) is True
            assert trio.current_time() > began


async def test_a_full_queue_does_not_pass_a_proof_on(autojump_clock: object) -> None:
    world, other = another_node(), another_node()
    async with world.running():
        offer = await world.auxpow.ask(CreateWork(MINER))
        works = [await world.auxpow.ask(solved_again(offer, number)) for number in range(QUEUED_AFTER_A_BLOCK + 1)]
    works.sort(key=lambda work: work.proof_value)
    async with other.running():
        kept = [await other.auxpow.ask(ConsiderProof(work.header)) for work in works]
    assert kept == [True] * QUEUED_AFTER_A_BLOCK + [False]


async def test_a_proof_that_waits_is_sent_again_after_each_change_of_the_head(autojump_clock: object) -> None:
    """A peer that was behind refused it, and would never include it."""
    world, other = another_node(), another_node()
    slot = world.timing.slot_seconds
    async with world.running(), other.running():
        queued = await world.auxpow.ask(solved(await world.auxpow.ask(CreateWork(MINER))))
        await other.auxpow.ask(ConsiderProof(queued.header))
        await trio.sleep(5 * slot)
        assert (len(sent_by(world)), len(sent_by(other))) == (1, 0), "the peers are as they were"
        for number in (4, 5):
            for each in (world, other):
                each.block(number)
            await trio.sleep(3 * slot)
            assert sent_by(other) == [PublishProof(queued.header)] * (number - 3)
        world.block(6, header=queued.header)
        await trio.sleep(3 * slot)
    assert sent_by(world) == [PublishProof(queued.header)] * 3


async def test_a_proof_is_sent_again_on_a_halted_chain(autojump_clock: object) -> None:
    """If the first message was lost, the chain would never go on: its head does not change without a proof."""
    world = another_node()
    async with world.running():
        queued = await world.auxpow.ask(solved(await world.auxpow.ask(CreateWork(MINER))))
        await trio.sleep((2 * SENT_AGAIN + 1) * world.timing.slot_seconds)
    assert sent_by(world) == [PublishProof(queued.header)] * 3


async def test_a_proof_without_work_does_not_make_the_chain_actor_collect_its_range(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each would cost the time of up to 10,000 blocks, and strangers may send hundreds per slot."""
    world = another_node()
    async with world.running():
        offer = await world.auxpow.ask(CreateWork(MINER))
        header = (await world.auxpow.ask(solved(offer))).header
        collected: list[object] = []
        monkeypatch.setattr(world.tree, "ancestry", collected.append)
        final = world.tree.tip.finalized.hash
        for false, error in (
            (attrs.evolve(header, range_end=BlockHash(bytes(32))), WrongRangeEnd),
            (attrs.evolve(header, range_end=final), WrongRangeEnd),
            (attrs.evolve(header, bits=0x1D00FFFF), WrongBits),
            (header, NotEnoughWork),
        ):
            with pytest.raises(error):
                await world.auxpow.ask(ConsiderProof(attrs.evolve(false, auxpow=too_easy(offer).auxpow)))
    assert collected == []


async def test_a_flood_of_own_proofs_is_not_sent_and_the_best_follows(autojump_clock: object) -> None:
    """The peers would count it as flooding, and disconnect this node."""
    world = another_node()
    async with world.running():
        offer = await world.auxpow.ask(CreateWork(MINER))
        works = [await world.auxpow.ask(solved_again(offer, number)) for number in reversed(range(20))]
        assert sent_by(world) == [PublishProof(works[0].header)]
        await trio.sleep(1.5 * world.timing.slot_seconds)
    best = min(works, key=lambda work: work.proof_value)
    assert sent_by(world) == [PublishProof(works[0].header), PublishProof(best.header)]


async def test_a_proof_of_a_range_that_is_not_committed_here_yet_is_accepted_later(autojump_clock: object) -> None:
    """A node whose head is older gets the same proof again with its next head."""
    world, behind = another_node(), MiningWorld()
    behind.blocks_in(1, 2)
    async with world.running(), behind.running():
        queued = await world.auxpow.ask(solved(await world.auxpow.ask(CreateWork(MINER))))
        with pytest.raises(RangeNotCommitted):
            await behind.auxpow.ask(ConsiderProof(queued.header))
        behind.block(3)
        assert await behind.auxpow.ask(ConsiderProof(queued.header)) is True


async def test_work_for_the_target_of_another_branch_is_left_out(autojump_clock: object) -> None:
    """Two branches can come to the same final block by one proof or by two, and then have different targets.

    An author would make a block that every importer refuses, in each slot."""
    world = MiningWorld(make_spec(auxpow_spacing_slots=10))
    states = world.blocks_in(1, 2, 3, 4, 5, 6, 7)

    def proof(first: int, last: int, on: ChainState) -> AuxPowHeader:
        distance = states[last - 1].slot - on.last_final_slot
        bits = next_bits(on.bits, distance, world.spec)
        work = aux_hash([state.hash for state in states[first - 1 : last]], MINER)
        start, end = states[first - 1].hash, states[last - 1].hash
        return AuxPowHeader(
            start, end, bits, world.spec.chain_id, MINER, mine(work, target_of(bits), outputs=(on.hash,))
        )

    once = world.block(8, on=states[-1], header=proof(1, 4, states[-1]))
    half = world.block(9, on=states[-1], header=proof(1, 2, states[-1]))
    twice = world.block(10, on=half, header=proof(3, 4, half))
    assert once.last_final == twice.last_final
    async with world.running():
        header = proof(5, 6, twice)
        assert await world.auxpow.ask(ConsiderProof(header)) is True
        assert await world.auxpow.ask(WorkFor(twice)) == header
        assert await world.auxpow.ask(WorkFor(once)) is None
        with pytest.raises(WrongBits):
            await world.auxpow.ask(ConsiderProof(proof(5, 6, once)))


async def test_without_the_chain_actor_no_proof_is_sent_again(autojump_clock: object) -> None:
    """The timer would crash the actor while the chain actor restarts."""
    world = another_node()
    async with world.running():
        await world.auxpow.ask(solved(await world.auxpow.ask(CreateWork(MINER))))
    nobody = Address[object]("nobody")
    child = actor(
        world.auxpow,
        lambda: AuxPowActor(nobody, world.network, world.spec, world.memory, world.bus.publish, world.timing),  # pyright: ignore[reportArgumentType]
        restart=Immediate(),
    )
    async with open_system(supervisor("Root", OneForOne(), [child]), refusals=(NotAnswered,)) as system:
        await trio.sleep(3 * world.timing.slot_seconds)
        assert system.snapshot().children[0].restarts == 0
    assert len(sent_by(world)) == 1
