"""The finality workflow: what it says of blocks that wait, and what it tells the merged-mining actor."""

from collections.abc import Awaitable

import attrs
import trio
from trio.testing import MockClock

from alysd.messages.auxpow import CreateWork, GetQueuedWork
from alysd.messages.events import HeadMoved
from alysd.messages.log.base import LogEvent
from alysd.messages.log.chain import ProofMissing, RangeFinal
from alysd.nurseries import ChildSpec, Immediate, task
from alysd.testing.blocks import MINER, make_spec
from alysd.testing.mining import MiningWorld, solved
from alysd.timing import Timing
from alysd.types.auxpow import AuxPowHeader
from alysd.types.hashes import BlockHash, EvmAddress
from alysd.types.latest import Latest
from alysd.workflows.finality import follow_finality, work_overdue


def finals(logged: list[LogEvent]) -> list[RangeFinal]:
    return [event for event in logged if isinstance(event, RangeFinal)]


def workflow(world: MiningWorld, own_miner: EvmAddress | None = None) -> ChildSpec:
    def run() -> Awaitable[None]:
        return follow_finality(
            world.chain, world.storage, world.auxpow, world.spec, world.bus, Latest(own_miner), world.timing
        )

    return task("finality", run, restart=Immediate())


async def prove(world: MiningWorld, slot: int, recipient: EvmAddress = MINER) -> AuxPowHeader:
    """Mine what waits and include the proof in a block of `slot`."""
    offer = await world.auxpow.ask(CreateWork(recipient))
    queued = await world.auxpow.ask(solved(offer))
    world.block(slot, header=queued.header)
    await trio.sleep(1)
    return queued.header


async def test_a_range_that_becomes_final_is_told_with_its_miner(
    autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    """People could not see that the chain is secured, by whom, and at what target."""
    world = MiningWorld()
    async with world.running(workflow(world, own_miner=MINER)):
        world.blocks_in(1, 2, 3, 4)
        await prove(world, 5)
        world.blocks_in(6)
        await prove(world, 7, EvmAddress(b"\x09" * 20))
    assert [(event.height, event.blocks, event.miner, event.own) for event in finals(logged)] == [
        (3, 3, MINER, True),
        (5, 2, EvmAddress(b"\x09" * 20), False),
    ]
    assert finals(logged)[1].bits == world.tree.tip.head.bits


async def test_a_proof_below_the_head_is_found_too(autojump_clock: MockClock, logged: list[LogEvent]) -> None:
    """After several blocks at once, as after a restart, the log would name an unknown miner."""
    world = MiningWorld()
    async with world.running(workflow(world)):
        world.blocks_in(1, 2)
        offer = await world.auxpow.ask(CreateWork(MINER))
        queued = await world.auxpow.ask(solved(offer))
        world.block(3, header=queued.header)
        world.blocks_in(4, 5)  # before the workflow has looked
        await trio.sleep(1)
    assert [event.miner for event in finals(logged)] == [MINER]


async def test_the_miner_is_unknown_when_storage_does_not_have_the_block(
    autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    world = MiningWorld()
    async with world.running(workflow(world)):
        world.blocks_in(1, 2)
        offer = await world.auxpow.ask(CreateWork(MINER))
        queued = await world.auxpow.ask(solved(offer))
        world.block(3, header=queued.header)
        world.blocks.clear()
        await trio.sleep(1)
    assert [event.miner for event in finals(logged)] == [None]


async def test_the_miner_is_unknown_while_storage_does_not_answer(
    autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    """A name in the log is not worth a restart of the workflow, nor to look for it through the whole chain."""
    world = MiningWorld()
    async with world.running(workflow(world)) as system:
        world.blocks_in(1, 2)
        offer = await world.auxpow.ask(CreateWork(MINER))
        queued = await world.auxpow.ask(solved(offer))
        system.suspend("storage")
        world.block(3, header=queued.header)
        await trio.sleep(2 * Timing(2).local_answer)
        system.resume("storage")
        assert {child.name: child.restarts for child in system.snapshot().children}["finality"] == 0
    assert [event.miner for event in finals(logged)] == [None]


async def test_the_proof_is_found_however_far_the_head_has_moved_on(
    autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    """The head may move by several blocks at once: the log would name nobody."""
    world = MiningWorld()
    async with world.running(workflow(world)):
        world.blocks_in(1, 2)
        await trio.sleep(1)
        before = world.tree.tip
        queued = await world.auxpow.ask(solved(await world.auxpow.ask(CreateWork(MINER))))
        world.block(3, header=queued.header, quiet=True)
        for slot in range(30):
            world.block(4 + slot, quiet=True)
        world.bus.publish(HeadMoved(before, world.tree.tip, 0))
        await trio.sleep(1)
    assert [event.miner for event in finals(logged)] == [MINER]


async def test_the_miner_is_unknown_when_the_head_is_abandoned_meanwhile(
    autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    world = MiningWorld()
    async with world.running(workflow(world)):
        world.blocks_in(1, 2)
        await trio.sleep(1)
        before = world.tree.tip
        queued = await world.auxpow.ask(solved(await world.auxpow.ask(CreateWork(MINER))))
        world.block(3, header=queued.header, quiet=True)
        gone = attrs.evolve(world.tree.tip, head=attrs.evolve(before.head, hash=BlockHash(bytes(32))))
        world.bus.publish(HeadMoved(before, gone, 0))
        await trio.sleep(1)
    assert [event.miner for event in finals(logged)] == [None]


async def test_the_miner_is_unknown_when_the_chain_does_not_have_the_proof(
    autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    world = MiningWorld()
    async with world.running(workflow(world)):
        world.blocks_in(1, 2)
        await trio.sleep(1)
        before = world.tree.tip
        queued = await world.auxpow.ask(solved(await world.auxpow.ask(CreateWork(MINER))))
        world.block(3, header=queued.header, quiet=True)
        unproven = attrs.evolve(world.tree.tip.finalized, hash=BlockHash(bytes(32)))
        world.bus.publish(HeadMoved(before, attrs.evolve(world.tree.tip, finalized=unproven), 0))
        await trio.sleep(1)
    assert [event.miner for event in finals(logged)] == [None]


async def test_settled_work_is_forgotten_by_the_actor(autojump_clock: MockClock) -> None:
    """The queue would fill with proofs that no block can use."""
    world = MiningWorld()
    async with world.running(workflow(world)):
        for slot in (1, 4, 7, 10):
            world.blocks_in(slot, slot + 1)
            await prove(world, slot + 2)
        assert await world.auxpow.ask(GetQueuedWork()) is None
        assert len(world.memory.queue) == 1


async def test_it_warns_once_at_half(autojump_clock: MockClock, logged: list[LogEvent]) -> None:
    """An operator would learn of missing miners only when the chain stands still, or be flooded with it."""
    world = MiningWorld(make_spec(max_blocks_without_auxpow=6))
    async with world.running(workflow(world)):
        for slot in range(1, 9):
            world.block(slot)
            await trio.sleep(1)
        await prove(world, 9)
        await trio.sleep(1)
    assert logged[0] == ProofMissing(4, 6)
    assert [event.blocks for event in finals(logged)] == [7]
    assert len(logged) == 2


async def test_it_warns_at_start_too(autojump_clock: MockClock, logged: list[LogEvent]) -> None:
    """A node that is started on a chain without miners would be silent until production halts."""
    world = MiningWorld(make_spec(max_blocks_without_auxpow=6))
    world.blocks_in(1, 2, 3, 4)
    async with world.running(workflow(world)):
        await trio.sleep(1)
        world.block(5)
        await trio.sleep(1)
    assert logged == [ProofMissing(4, 6)]


def test_work_is_overdue_at_more_than_half() -> None:
    spec = make_spec(max_blocks_without_auxpow=6)
    states = MiningWorld(spec).blocks_in(*range(1, 9))
    assert [work_overdue(state, spec) for state in states] == [False] * 3 + [True] * 5
