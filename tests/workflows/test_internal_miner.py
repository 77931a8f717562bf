"""The internal miner: brings work when it is due, never earlier, and survives what is in its way."""

from collections.abc import Generator

import pytest
import trio
from trio.testing import MockClock

from alysd.consensus.auxpow import next_bits
from alysd.messages.auxpow import CreateWork, GetQueuedWork, QueuedWork
from alysd.messages.events import WorkQueued
from alysd.nurseries import Immediate, task
from alysd.testing.blocks import FIRST_SLOT, MINER, genesis, make_spec
from alysd.testing.mining import MiningWorld, solved
from alysd.testing.virtual_time import VirtualClock, threads_inline
from alysd.types.chain import Forkchoice
from alysd.types.hashes import EvmAddress
from alysd.types.latest import Latest
from alysd.workflows.internal_miner import InternalMiner, parent_candidate, work_due
from alysd.workflows.nonce_search import ALL_NONCES, NonceSearch

OWN = EvmAddress(b"\x77" * 20)


@pytest.fixture(autouse=True)
def _no_threads() -> Generator[None]:
    with threads_inline(seconds=0.025):
        yield


def miner(world: MiningWorld, nonces: NonceSearch = ALL_NONCES) -> InternalMiner:
    return InternalMiner(
        world.chain, world.auxpow, world.spec, Latest(OWN), VirtualClock(), world.bus, world.timing, nonces
    )


async def queued(world: MiningWorld) -> QueuedWork | None:
    """The queued proof, after the miner has had time to react."""
    await trio.sleep(1)
    return await world.auxpow.ask(GetQueuedWork())


async def test_work_comes_when_the_spacing_has_passed_and_not_before(autojump_clock: MockClock) -> None:
    """Earlier work would harden the target until no processor can meet it; none at all would halt the chain."""
    world = MiningWorld(make_spec(auxpow_spacing_slots=10))
    async with world.running(task("miner", miner(world).run, restart=Immediate())):
        for slot in (1, 5, 10, 11):
            world.block(slot)
            assert await queued(world) is None
        world.block(12)  # commits the block of slot 11
        work = await queued(world)
        assert work is not None
        assert work.header.fee_recipient == OWN
        assert work.header.bits == next_bits(world.spec.bits, 10, world.spec) == world.spec.bits
        world.block(13, header=work.header)
        assert world.tree.tip.finalized.slot == FIRST_SLOT + 11


async def test_the_chain_becomes_final_again_and_again(autojump_clock: MockClock) -> None:
    world = MiningWorld(make_spec(auxpow_spacing_slots=3))
    finals = 0
    async with world.running(task("miner", miner(world).run, restart=Immediate())):
        for slot in range(1, 30):
            work = await queued(world)
            finals += work is not None
            world.block(slot, header=None if work is None else work.header)
    assert finals >= 5
    assert world.tree.tip.head.bits == world.spec.bits


async def test_another_miners_proof_is_enough(autojump_clock: MockClock) -> None:
    """The node would compete with the pools that its operator wants."""
    world = MiningWorld(make_spec(auxpow_spacing_slots=10))
    async with world.running(task("miner", miner(world).run, restart=Immediate())):
        world.blocks_in(1, 8, 9)
        await world.auxpow.ask(solved(await world.auxpow.ask(CreateWork(MINER))))
        with world.bus.subscribe(WorkQueued) as proofs:
            world.blocks_in(12, 13)
            await trio.sleep(1)
            with pytest.raises(trio.WouldBlock):
                proofs.receive_nowait()
        work = await queued(world)
        assert work is not None
        assert work.header.fee_recipient == MINER


async def test_it_waits_for_the_next_head_while_the_actor_is_away(autojump_clock: MockClock) -> None:
    """An actor that restarts would take the miner down with it."""
    world = MiningWorld(make_spec(auxpow_spacing_slots=2))
    async with world.running(task("miner", miner(world).run, restart=Immediate())) as system:
        await trio.sleep(1)
        system.suspend("auxpow")
        world.blocks_in(1, 7, 8)
        await trio.sleep(10)
        system.resume("auxpow")
        assert await queued(world) is None
        world.block(9)
        assert await queued(world) is not None
        assert {child.name: child.restarts for child in system.snapshot().children}["miner"] == 0


def test_work_is_due_only_for_blocks_that_wait() -> None:
    spec = make_spec(auxpow_spacing_slots=0)
    start = genesis(spec)
    assert not work_due(Forkchoice(start, start, start), spec)


async def test_when_all_nonces_are_tried_another_coinbase_is_used(autojump_clock: MockClock) -> None:
    """With a hard target the miner would stop at the first header's last nonce."""
    world = MiningWorld(make_spec(auxpow_spacing_slots=1, bits=0x200FFFFF))  # one hash in sixteen
    mining = miner(world, NonceSearch(nonces=1))
    async with world.running(task("miner", mining.run, restart=Immediate())):
        world.blocks_in(1, 3, 4)
        work = await queued(world)
    assert work is not None
    assert work.header.auxpow is not None
    assert work.header.auxpow.parent.nonce == 0


async def test_the_parent_block_names_no_chain_of_ours(autojump_clock: MockClock) -> None:
    """A parent whose version names our chain id is refused (docs/protocol.md, "Merged mining")."""
    world = MiningWorld()
    world.blocks_in(1, 2)
    async with world.running():
        offer = await world.auxpow.ask(CreateWork(MINER))
    proof = parent_candidate(offer, 1_700_000_000, 3).auxpow(0)
    assert proof.parent.version >> 16 == 0
    assert proof.parent.time == 1_700_000_000
