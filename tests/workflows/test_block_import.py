"""Block import: the steps of a good block, and the errors that a caller must be able to tell apart."""

from pathlib import Path

import attrs
import pytest
from trio.testing import MockClock

from alysd.consensus.violations import InvalidPayload, UnknownParent
from alysd.errors import InvalidBlock
from alysd.messages.block_import import ImportBlock
from alysd.messages.events import WorkflowMoved
from alysd.testing.chain import ChainHand, chain_spec
from alysd.testing.node import SimulatedNode, open_simulated_node
from alysd.types.block import SignedBlock
from alysd.types.hashes import BlsSignature
from alysd.types.units import Slot


async def first_block(node: SimulatedNode) -> tuple[ChainHand, SignedBlock]:
    """A hand for the node's chain, and a valid block on its genesis."""
    hand = ChainHand.of(node.resources.context.spec)
    slot = Slot(int(node.clock.time()) // 2)
    return hand, await hand.block(hand.genesis_state, slot)


async def test_a_good_block_goes_through_all_states_and_becomes_the_head(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    async with open_simulated_node(tmp_path, chain_spec()) as node:
        moves: list[WorkflowMoved] = []
        _, block = await first_block(node)
        with node.bus.subscribe(WorkflowMoved) as events:
            head = await node.to.block_import.ask(ImportBlock(block))
            while len(events.queue):
                moves.append(await events.receive())
        names = [move.state for move in moves if move.workflow == "block import"]
        assert names == ["ValidBlock", "ExecutedBlock", "StoredBlock", "ImportedBlock"]
        assert head.head.hash == block.hash
        assert node.resources.store.block_by_hash(block.hash) == block
        assert node.engine.head == block.block.payload.block_hash


async def test_a_block_that_is_known_already_is_no_error(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    async with open_simulated_node(tmp_path, chain_spec()) as node:
        _, block = await first_block(node)
        first = await node.to.block_import.ask(ImportBlock(block))
        assert await node.to.block_import.ask(ImportBlock(block)) == first


async def test_a_block_that_breaks_a_rule_is_refused_and_forgotten(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    async with open_simulated_node(tmp_path, chain_spec()) as node:
        hand, block = await first_block(node)
        orphan = hand.sign(attrs.evolve(block.block, parent_hash=block.hash))
        with pytest.raises(UnknownParent):
            await node.to.block_import.ask(ImportBlock(orphan))
        forged = attrs.evolve(
            block, approvals=attrs.evolve(block.approvals, signature=BlsSignature(b"\xc0" + bytes(95)))
        )
        with pytest.raises(InvalidBlock):
            await node.to.block_import.ask(ImportBlock(forged))
        assert node.resources.store.block_by_hash(orphan.hash) is None
        assert (await node.forkchoice()).head == hand.genesis_state
        assert node.crashed() == set(), "whoever sends rubbish restarts nobody"


async def test_the_execution_clients_no_is_the_blocks_fault(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    async with open_simulated_node(tmp_path, chain_spec()) as node:
        _, block = await first_block(node)
        node.engine.refuse.add(block.block.payload.block_hash)
        with pytest.raises(InvalidPayload, match="refused by the test"):
            await node.to.block_import.ask(ImportBlock(block))
        assert node.resources.store.block_by_hash(block.hash) is None
        assert node.crashed() == set()
