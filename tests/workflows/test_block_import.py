"""Block import: the table's every pair, and the outcomes that who asks must be able to tell apart."""

from itertools import product
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
from alysd.types.chain import ExecutedBlock, StoredBlock, ValidBlock
from alysd.types.hashes import BlsSignature
from alysd.types.units import Slot
from alysd.workflows.block_import import (
    TRANSITIONS,
    Adopted,
    Broken,
    Executed,
    ImportedBlock,
    Judged,
    ReceivedBlock,
    RefusedBlock,
    Stored,
)
from alysd.workflows.machine import Machine, NoSuchTransition

STATES = (ReceivedBlock, ValidBlock, ExecutedBlock, StoredBlock, ImportedBlock, RefusedBlock)
EVENTS = (Judged, Executed, Stored, Adopted, Broken)

ALLOWED = {
    (ReceivedBlock, Judged),
    (ReceivedBlock, Broken),
    (ValidBlock, Executed),
    (ValidBlock, Broken),
    (ExecutedBlock, Stored),
    (StoredBlock, Adopted),
}


@pytest.mark.parametrize(("state", "event"), [*product(STATES, EVENTS)])
def test_every_pair_is_in_the_table_or_refused(state: type[object], event: type[object]) -> None:
    assert ((state, event) in TRANSITIONS) == ((state, event) in ALLOWED)
    if (state, event) not in ALLOWED:
        # Only the classes count here: a value of the right class, with nothing in it, is enough to be refused.
        machine = Machine[object, object]("block import", TRANSITIONS, object.__new__(state), lambda _: None)
        with pytest.raises(NoSuchTransition):
            machine.move(object.__new__(event))


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
        names = [move.new for move in moves if move.workflow == "block import"]
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
