"""The finality workflow: what it says of blocks that wait, and what it tells the merged-mining actor."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import product
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from alysd.messages.auxpow import CreateWork, GetQueuedWork
from alysd.messages.events import HeadMoved, WorkflowMoved
from alysd.nurseries import Immediate, task
from alysd.types.auxpow import AuxPowHeader
from alysd.types.hashes import EvmAddress
from alysd.types.units import Slot
from alysd.workflows.finality import (
    ASK_SECONDS,
    LOOK_BACK,
    TRANSITIONS,
    BlocksWait,
    FewAbove,
    FinalityWorkflow,
    FinalSeen,
    HeadIsFinal,
    ManyAbove,
    NoneAbove,
    ProofSeen,
    ProofWaits,
    TooManyAbove,
    WorkMissed,
    WorkOverdue,
    count_waiting,
)
from alysd.workflows.machine import Machine
from tests.consensus.builders import MINER, make_spec
from tests.mining_kit import World, solved


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    with capture_logs() as entries:
        yield entries


def workflow(world: World, own_miner: EvmAddress | None = None) -> FinalityWorkflow:
    return FinalityWorkflow(world.chain, world.storage, world.auxpow, world.spec, world.bus, own_miner)


async def prove(world: World, slot: int, recipient: EvmAddress = MINER) -> AuxPowHeader:
    """Mine what waits and include the proof in a block of `slot`."""
    offer = await world.auxpow.ask(CreateWork(recipient))
    queued = await world.auxpow.ask(solved(offer))
    world.block(slot, header=queued.header)
    await trio.sleep(1)
    return queued.header


async def test_a_range_that_becomes_final_is_told_with_its_miner(
    autojump_clock: MockClock, logged: list[Any]
) -> None:
    """People could not see that the chain is secured, by whom, and at what target."""
    world = World()
    async with world.running(task("finality", workflow(world, own_miner=MINER).run, restart=Immediate())):
        world.blocks_in(1, 2, 3)
        await prove(world, 4)
        world.blocks_in(5)
        await prove(world, 6, EvmAddress(b"\x09" * 20))
    finals = [entry for entry in logged if entry["event"] == "final"]
    assert [(entry["height"], entry["blocks"], entry["by"]) for entry in finals] == [
        (3, 3, "internal miner"),
        (5, 2, "0x0909…0909"),
    ]
    assert finals[1]["target"] == world.tree.tip.head.bits


async def test_a_proof_below_the_head_is_found_too(autojump_clock: MockClock, logged: list[Any]) -> None:
    """After several blocks at once, as after a restart, the log would name an unknown miner."""
    world = World()
    async with world.running(task("finality", workflow(world).run, restart=Immediate())):
        world.blocks_in(1, 2)
        offer = await world.auxpow.ask(CreateWork(MINER))
        queued = await world.auxpow.ask(solved(offer))
        world.block(3, header=queued.header)
        world.blocks_in(4, 5)  # before the workflow has looked
        await trio.sleep(1)
    assert [entry["by"] for entry in logged if entry["event"] == "final"] == ["0x1111…1111"]


async def test_the_miner_is_unknown_when_storage_does_not_have_the_block(
    autojump_clock: MockClock, logged: list[Any]
) -> None:
    world = World()
    async with world.running(task("finality", workflow(world).run, restart=Immediate())):
        world.blocks_in(1)
        offer = await world.auxpow.ask(CreateWork(MINER))
        queued = await world.auxpow.ask(solved(offer))
        world.block(2, header=queued.header)
        world.blocks.clear()
        await trio.sleep(1)
    assert [entry["by"] for entry in logged if entry["event"] == "final"] == ["an unknown miner"]


async def test_the_miner_is_unknown_while_storage_does_not_answer(
    autojump_clock: MockClock, logged: list[Any]
) -> None:
    """A name in the log is not worth a restart of the workflow, nor to look for it through the whole chain."""
    world = World()
    async with world.running(task("finality", workflow(world).run, restart=Immediate())) as system:
        world.blocks_in(1)
        offer = await world.auxpow.ask(CreateWork(MINER))
        queued = await world.auxpow.ask(solved(offer))
        system.suspend("storage")
        world.block(2, header=queued.header)
        await trio.sleep(2 * ASK_SECONDS)
        system.resume("storage")
        assert {child.name: child.restarts for child in system.snapshot().children}["finality"] == 0
    assert [entry["by"] for entry in logged if entry["event"] == "final"] == ["an unknown miner"]


@pytest.mark.parametrize(("above", "by"), [(LOOK_BACK - 1, "0x1111…1111"), (LOOK_BACK, "an unknown miner")])
async def test_the_proof_is_looked_for_a_bounded_way_down(
    above: int, by: str, autojump_clock: MockClock, logged: list[Any]
) -> None:
    """The head may move by several blocks at once: the log would name nobody, or a whole chain be read."""
    world = World()
    async with world.running(task("finality", workflow(world).run, restart=Immediate())):
        world.blocks_in(1)
        await trio.sleep(1)
        before = world.tree.tip
        queued = await world.auxpow.ask(solved(await world.auxpow.ask(CreateWork(MINER))))
        world.block(2, header=queued.header, quiet=True)
        for slot in range(above):
            world.block(3 + slot, quiet=True)
        world.bus.publish(HeadMoved(before, world.tree.tip, 0))
        await trio.sleep(1)
    assert [entry["by"] for entry in logged if entry["event"] == "final"] == [by]


async def test_settled_work_is_forgotten_by_the_actor(autojump_clock: MockClock) -> None:
    """The queue would fill with proofs that no block can use."""
    world = World()
    async with world.running(task("finality", workflow(world).run, restart=Immediate())):
        for slot in (1, 3, 5, 7):
            world.block(slot)
            await prove(world, slot + 1)
        assert await world.auxpow.ask(GetQueuedWork()) is None
        assert len(world.memory.queue) == 1


async def test_it_warns_once_at_half(autojump_clock: MockClock, logged: list[Any]) -> None:
    """An operator would learn of missing miners only when the chain stands still, or be flooded with it."""
    world = World(make_spec(max_blocks_without_auxpow=6))
    async with world.running(task("finality", workflow(world).run, restart=Immediate())):
        for slot in range(1, 9):
            world.block(slot)
            await trio.sleep(1)
        await prove(world, 9)
        await trio.sleep(1)
    said = [(entry["log_level"], entry["event"]) for entry in logged]
    assert said == [("warning", "no proof of work"), ("info", "final")]
    assert logged[0]["blocks_waiting"] == 4
    assert logged[1]["blocks"] == 8


async def test_its_state_follows_heads_and_proofs(autojump_clock: MockClock) -> None:
    """The status page would show something else than what is."""
    world = World()
    async with world.running():
        with world.bus.subscribe(WorkflowMoved) as moves:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(workflow(world).run)
                await trio.sleep(1)
                world.block(1)
                await trio.sleep(1)
                await prove(world, 2)
                nursery.cancel_scope.cancel()
            names: list[str] = []
            with suppress(trio.WouldBlock):
                while True:
                    names.append(moves.receive_nowait().new)
    assert names == ["HeadIsFinal", "BlocksWait", "ProofWaits", "BlocksWait", "BlocksWait"]


def test_what_a_head_says() -> None:
    """The bounds: warned of at more than half, halted at more than all."""
    spec = make_spec(max_blocks_without_auxpow=6)
    world = World(spec)
    assert count_waiting(world.tree.tip.head, spec) == NoneAbove()
    kinds = [type(count_waiting(state, spec)) for state in world.blocks_in(*range(1, 9))]
    assert kinds == [FewAbove] * 3 + [ManyAbove] * 3 + [TooManyAbove] * 2


SINCE = Slot(5)
STATES = (HeadIsFinal(), BlocksWait(1, SINCE), ProofWaits(1, SINCE), WorkOverdue(1, SINCE), WorkMissed(1, SINCE))
BY_COUNT = {
    NoneAbove(): HeadIsFinal(),
    FewAbove(2, SINCE): BlocksWait(2, SINCE),
    ManyAbove(3, SINCE): WorkOverdue(3, SINCE),
    TooManyAbove(4, SINCE): WorkMissed(4, SINCE),
}


@pytest.mark.parametrize(("state", "event"), list(product(STATES, [*BY_COUNT, ProofSeen(), FinalSeen()])))
def test_every_pair_of_state_and_event(state: Any, event: Any) -> None:
    """Heads and proofs come in any order: a missing pair would end the workflow."""
    machine: Machine[Any, Any] = Machine("finality", TRANSITIONS, state, lambda _: None)
    after = machine.move(event)
    if isinstance(state, ProofWaits) and isinstance(event, FewAbove) and type(event) is FewAbove:
        assert after == ProofWaits(2, SINCE)
    elif event in BY_COUNT:
        assert after == BY_COUNT[event]
    elif isinstance(state, HeadIsFinal):
        assert after is state
    else:
        assert after == (ProofWaits(1, SINCE) if isinstance(event, ProofSeen) else BlocksWait(1, SINCE))
