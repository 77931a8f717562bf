"""The chain actor: answers from its tree, writes before it shows, and reads again what it cannot be sure of."""

from pathlib import Path

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.consensus.violations import UnknownParent
from alysd.errors import NotNow
from alysd.messages.block_import import ImportBlock
from alysd.messages.chain import AdoptBlock, GetAncestry, GetBundle, GetEntries, GetState
from alysd.nurseries import HandlerCrashed
from alysd.testing.chain import ChainHand, chain_spec
from alysd.testing.node import MINING, open_simulated_node
from alysd.types.chain import ExecutedBlock
from alysd.types.hashes import BlockHash
from alysd.types.tables import Proof, Table
from alysd.types.units import Height, Slot


async def test_it_answers_for_blocks_that_are_final_or_above(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    async with open_simulated_node(tmp_path, chain_spec(), mining=MINING) as node:
        await node.slots(30.5)
        tip = await node.forkchoice()
        assert tip.finalized.height > 1
        by_height = {event.signed.block.height: event.signed.hash for event in node.produced}
        assert await node.to.chain.ask(GetState(tip.finalized.hash)) == tip.finalized
        assert await node.to.chain.ask(GetState(by_height[Height(1)])) is None
        ancestry = await node.to.chain.ask(GetAncestry(tip.head.hash))
        assert [state.height for state in ancestry] == list(range(tip.finalized.height + 1, tip.head.height + 1))
        with pytest.raises(UnknownParent):
            await node.to.chain.ask(GetAncestry(BlockHash(bytes(32))))


async def test_entries_are_read_at_a_block_final_or_not(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    """A rule that reads at its parent's state must not see what another branch, or a later block, wrote."""
    async with open_simulated_node(tmp_path, chain_spec(), mining=MINING) as node:
        await node.slots(30.5)
        tip = await node.forkchoice()
        blocks = [event.signed for event in node.produced]
        proofs = [signed for signed in blocks if signed.block.auxpow_header is not None]
        assert len(proofs) >= 2
        expected: dict[BlockHash, Proof | None] = {signed.hash: None for signed in blocks}
        for proof in proofs:
            header = proof.block.auxpow_header
            assert header is not None
            last = next(signed.block.height for signed in blocks if signed.hash == header.range_end)
            for signed in blocks:
                if signed.block.height <= last:
                    expected[signed.hash] = expected[signed.hash] or Proof(proof.hash, proof.block.height)
        at_head = GetEntries(Table.PROOFS, tuple(expected), at=tip.head.hash)
        assert await node.to.chain.ask(at_head) == tuple(expected.values())
        # At the final block itself its own proof is not there yet.
        at_final = GetEntries(Table.PROOFS, (tip.finalized.hash, blocks[0].hash), at=tip.finalized.hash)
        assert await node.to.chain.ask(at_final) == (None, expected[blocks[0].hash])
        with pytest.raises(UnknownParent):
            await node.to.chain.ask(attrs.evolve(at_head, at=BlockHash(bytes(32))))


async def test_a_bundle_is_what_waits_for_work(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    async with open_simulated_node(tmp_path, chain_spec()) as node:
        with pytest.raises(NotNow, match="nothing to mine for"):
            await node.to.chain.ask(GetBundle())
        await node.slots(4.5)
        bundle = await node.to.chain.ask(GetBundle())
        assert list(bundle.hashes) == [event.signed.hash for event in node.produced]
        assert bundle.end_height == 4


async def test_a_block_is_shown_only_once_it_is_on_disk(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    async with open_simulated_node(tmp_path, chain_spec()) as node:
        hand = ChainHand.of(node.resources.context.spec)
        block = await hand.block(hand.genesis_state, Slot(int(node.clock.time()) // 2))
        node.system.suspend("storage")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.to.block_import.ask, ImportBlock(block))
            await node.slots(0.25)
            assert not node.moved
            assert node.resources.store.block_by_hash(block.hash) is None
            node.system.resume("storage")
        assert [move.new.head.hash for move in node.moved] == [block.hash]


async def test_when_nobody_knows_whether_a_block_is_stored_the_tree_is_read_again(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    async with open_simulated_node(tmp_path, chain_spec()) as node:
        await node.slots(2.5)
        state = (await node.forkchoice()).head
        executed = ExecutedBlock(node.produced[-1].signed, state, ())
        node.system.suspend("storage")
        with pytest.raises(HandlerCrashed, match="may not be stored"):
            await node.to.chain.ask(AdoptBlock(executed), seconds=60)
        node.system.resume("storage")
        await node.slots(5)
        assert "chain" in node.crashed()
        assert (await node.forkchoice()).head.height >= 3, "the chain goes on after it"
