"""A node without authority key: it checks, keeps and follows the blocks of others, and makes none."""

from pathlib import Path

import attrs
import pytest
from trio.testing import MockClock

from alysd.consensus.violations import BelowQuorum
from alysd.messages.block_import import ImportBlock
from alysd.testing.chain import ChainHand, chain_spec
from alysd.testing.node import MINING, SimulatedNode, open_simulated_node
from alysd.types.block import SignedBlock
from alysd.types.units import Slot


def names(node: SimulatedNode) -> set[str]:
    """The names of the running tree's children."""
    return {child.name for child in node.system.snapshot().walk()}


async def next_block(node: SimulatedNode, hand: ChainHand) -> SignedBlock:
    """A block of this slot on the node's head, which all authorities have approved."""
    return await hand.block((await node.forkchoice()).head, Slot(int(node.clock.time()) // 2))


@pytest.mark.parametrize("authorities", [1, 4])
async def test_it_follows_a_chain_of_any_quorum_and_makes_no_block(
    authorities: int, tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    spec = chain_spec(authorities=authorities)
    hand = ChainHand.of(spec)
    async with open_simulated_node(tmp_path, spec, authority=None) as node:
        for height in range(1, 6):
            await node.slots(1)
            head = (await node.to.block_import.ask(ImportBlock(await next_block(node, hand)))).head
            assert head.height == height
            assert node.engine.head == head.payload_hash
        await node.slots(3)
        assert (node.produced, node.missed, node.crashed()) == ([], [], set())
        assert "block production" not in names(node)
        assert {"chain", "engine", "block import", "finality"} <= names(node)
        assert node.resources.role == "follower"
        last = await node.forkchoice()
    assert not (tmp_path / "signing-guard").exists(), "there is nothing to guard"
    async with open_simulated_node(tmp_path, spec, authority=None, clock=node.clock) as node:
        assert await node.forkchoice() == last


async def test_its_children_restart_without_waiting_for_a_slot(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    """Otherwise they would wait for the end of slots in which a follower makes no block."""
    async with open_simulated_node(tmp_path, chain_spec(), authority=None, mining=MINING) as node:
        restarts = {child.name: child.restart for child in node.system.snapshot().walk()}
    async with open_simulated_node(tmp_path / "other", chain_spec(), mining=MINING) as node:
        aligned = {child.name: child.restart for child in node.system.snapshot().walk()}
    for name in ("finality", "internal miner"):
        assert restarts[name] != aligned[name]


async def test_a_block_below_quorum_is_refused(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    """A follower that took an author's word would follow whatever branch an author likes."""
    spec = chain_spec(authorities=4)
    async with open_simulated_node(tmp_path, spec, authority=None) as node:
        await node.slots(1)
        signed = await next_block(node, ChainHand.of(spec))
        author = tuple(index == signed.block.slot % 4 for index in range(4))
        alone = attrs.evolve(signed, approvals=attrs.evolve(signed.approvals, signers=author))
        with pytest.raises(BelowQuorum):
            await node.to.block_import.ask(ImportBlock(alone))
        assert (await node.forkchoice()).head.height == 0
