"""Blocks for the node's database that no rule has judged, and a node that lives in a data folder."""

from pathlib import Path

import attrs
import trio

from alysd.integrations.node_data import NodeData
from alysd.testing.chain import ChainHand, authority_secret, chain_spec
from alysd.types.block import Block, SignedBlock
from alysd.types.chain import ChainState, ExecutedBlock, Forkchoice, ForkChoiceChange
from alysd.types.units import Height, Slot
from alysd.wire.block_ssz import block_hash

HAND = ChainHand.of(chain_spec())
NOW = Slot(1000)
"""The slot in which the nodes of these tests start."""


def child(parent: ChainState, slot: int, **changes: object) -> tuple[SignedBlock, ChainState]:
    """A block on `parent` and a state after it; nobody judges it here."""
    height = Height(parent.height + 1)
    payload = attrs.evolve(HAND.genesis.block.payload, block_number=height, timestamp=2 * slot)
    block = Block(parent.hash, Slot(slot), payload)
    signed = SignedBlock(block_hash(block), block, HAND.genesis.approvals)
    state = attrs.evolve(parent, hash=signed.hash, parent_hash=parent.hash, height=height, slot=Slot(slot))
    return signed, attrs.evolve(state, **changes)


def placement(
    state: ChainState, *canonical: ChainState, final: ChainState = HAND.genesis_state
) -> ForkChoiceChange:
    """The head moves to `state`, with `canonical` newly on its branch."""
    return ForkChoiceChange(
        Forkchoice(state, final, final), tuple((each.height, each.hash) for each in canonical), 0
    )


def node_data(folder: Path, *, follower: bool = False) -> NodeData:
    """The data folder of a node of the test chain."""
    return NodeData(folder, "test", HAND.genesis, HAND.genesis_state, None if follower else authority_secret(0))


def live(folder: Path, blocks: int, first_slot: int = 1) -> ChainState:
    """Start an authority in the folder, let it make blocks, stop it; the state after the last."""
    opened = node_data(folder).open(NOW)
    assert opened.signer is not None
    state = max(opened.store.load_chain().states, key=lambda one: one.height)
    for slot in range(first_slot, first_slot + blocks):
        signed, after = child(state, slot)
        trio.run(opened.signer.approve, signed.block, state.slot)
        opened.store.commit_blocks([(ExecutedBlock(signed, after, ()), placement(after, after))])
        state = after
    opened.store.close()
    return state
