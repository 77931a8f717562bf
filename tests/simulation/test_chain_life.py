"""Restart, halt and reorganisation: the chain continues from its head, and never reverts a final block."""

import shutil
from pathlib import Path

from trio.testing import MockClock

from alysd.messages.block_import import ImportBlock
from alysd.messages.chain import GetState
from alysd.testing.chain import ChainHand, chain_spec
from alysd.testing.node import MINING, open_simulated_node
from alysd.testing.virtual_time import VirtualClock
from alysd.types.units import Slot


async def test_a_restarted_node_goes_on_with_the_next_block(tmp_path: Path, autojump_clock: MockClock) -> None:
    spec = chain_spec()
    async with open_simulated_node(tmp_path, spec) as node:
        await node.slots(10.5)
        before, engine = await node.forkchoice(), node.engine
    async with open_simulated_node(tmp_path, spec, engine=engine) as node:
        assert await node.forkchoice() == before
        await node.slots(3.5)
        assert [event.signed.block.height for event in node.produced] == [11, 12, 13]
        assert node.produced[0].signed.block.parent_hash == before.head.hash


async def test_a_database_restored_from_a_backup_signs_nothing_twice(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    spec = chain_spec()
    async with open_simulated_node(tmp_path, spec) as node:
        await node.slots(5.5)
        engine = node.engine
    shutil.copytree(tmp_path / "chain", tmp_path / "backup")
    async with open_simulated_node(tmp_path, spec, engine=engine) as node:
        await node.slots(5.5)
        last = node.produced[-1].signed.block.slot
    shutil.rmtree(tmp_path / "chain")
    (tmp_path / "backup").rename(tmp_path / "chain")
    # The clock went back too, as on a machine restored whole from a snapshot: only the guard knows better.
    async with open_simulated_node(tmp_path, spec, engine=engine, clock=VirtualClock(offset=-22.0)) as node:
        await node.slots(20.5)
        assert not node.produced
        reasons = {miss.slot: miss.reason for miss in node.missed}
        assert min(reasons) <= last < max(reasons)
        assert any("signed" in reason for reason in reasons.values())
        assert "the lock of this key" in reasons[max(reasons)], (
            "the lock forbids a branch without the blocks that are missing"
        )


async def test_without_work_the_chain_halts_and_goes_on_when_work_comes(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    spec = chain_spec(max_blocks_without_auxpow=20)
    async with open_simulated_node(tmp_path, spec) as node:
        await node.slots(40.5)
        assert (await node.forkchoice()).head.height == 21
    async with open_simulated_node(tmp_path, spec, engine=node.engine, mining=MINING) as node:
        await node.slots(10.5)
        head = await node.forkchoice()
        assert head.finalized.height >= 21
        assert head.head.height > 24


async def test_a_branch_with_a_later_slot_takes_over_down_to_the_last_final_block(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Its key has signed that branch elsewhere, so the node signs nothing more."""
    spec = chain_spec()
    async with open_simulated_node(tmp_path, spec, authority=0) as node:
        await node.slots(4.5)
        own = await node.forkchoice()
        assert own.head.height == 4
        hand = ChainHand.of(spec)
        parent, now = hand.genesis_state, own.head.slot
        for step in range(4):
            block = await hand.block(parent, Slot(now - 2 + step))
            await node.to.block_import.ask(ImportBlock(block))
            found = await node.to.chain.ask(GetState(block.hash))
            assert found is not None
            parent = found
        head = await node.forkchoice()
        assert head.head.hash == parent.hash
        assert [move.removed for move in node.moved if move.removed] == [4]
        assert node.engine.head == parent.payload_hash
        await node.slots(2)
        assert (await node.forkchoice()).head.height == 4
        assert "this key has approved block" in node.missed[-1].reason
