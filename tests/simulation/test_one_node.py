"""A chain of one node: a block per slot, finality by proofs of work, and recovery from faults."""

from pathlib import Path

from trio.testing import MockClock

from alysd.testing.chain import chain_spec
from alysd.testing.node import MINING, open_simulated_node


async def test_a_block_in_every_slot_from_the_first_full_one(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_simulated_node(tmp_path, chain_spec()) as node:
        await node.slots(20.5)
        slots = [event.signed.block.slot for event in node.produced]
        assert len(slots) == 20
        assert slots == list(range(slots[0], slots[0] + 20))
        assert not node.missed
        head = await node.forkchoice()
        assert head.head.height == 20
        assert head.safe.height == 19
        assert node.engine.head == head.head.payload_hash


async def test_the_internal_miner_makes_blocks_final_about_every_ten_slots(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with open_simulated_node(tmp_path, chain_spec(), mining=MINING) as node:
        await node.slots(100.5)
        finals = [move.new.finalized.height for move in node.moved if move.new.finalized != move.old.finalized]
        assert 8 <= len(finals) <= 10
        assert (await node.forkchoice()).finalized.height == finals[-1] >= 85
