"""Builds a database of many blocks as a node builds it, and measures how long a node takes to start with it."""

import time
from pathlib import Path

import attrs
import trio

from alysd.config.key_file import read_key_file
from alysd.consensus.approvals import approval_message
from alysd.consensus.aura import slot_at
from alysd.consensus.fork_choice import Tree
from alysd.consensus.payload import payload_attributes
from alysd.consensus.validity import apply_block
from alysd.integrations import bls
from alysd.resources import NodeResources, open_resources
from alysd.types.block import Approvals, Block, SignedBlock
from alysd.types.chain import ExecutedBlock
from alysd.types.units import Slot, Wei
from alysd.types.verdict import Valid
from alysd.validation import validate_node
from alysd.wire.block_ssz import block_hash
from benchmarks.node.daemon import fresh, start
from benchmarks.node.figures import Figure, Show
from benchmarks.node.own_share import development

MARGIN_SLOTS = 2
"""Time between the last block built and the first that the daemon may make."""


@attrs.frozen
class Hand:
    """Makes the blocks of a chain with one authority, and stores them."""

    parts: NodeResources
    secret: bytes
    tree: Tree

    async def add(self, slot: Slot) -> None:
        """Make one empty block on the head, in a slot that has passed."""
        parts, tip = self.parts, self.tree.tip
        attributes = payload_attributes(tip.head, slot, None, parts.context)
        payload = await parts.engine.build_payload(*tip.payload_hashes, attributes)
        verdict = await parts.engine.new_payload(payload, tip.head.hash)
        assert verdict == Valid(), verdict
        signed = self._sign(Block(tip.head.hash, slot, payload))
        self._store(apply_block(tip.head, signed, Wei(0), ()))

    def _sign(self, block: Block) -> SignedBlock:
        identity = block_hash(block)
        signature = bls.sign(self.secret, approval_message(self.parts.context.genesis, identity))
        return SignedBlock(identity, block, Approvals((True,), signature))

    def _store(self, executed: ExecutedBlock) -> None:
        self.parts.store.commit_block(executed, self.tree.place(executed.state))
        self.tree.adopt(executed.state, executed.changes)


async def build(data: Path, blocks: int) -> None:
    """Fill a data folder of the development chain with empty blocks, none of them final."""
    config, spec = development(data)
    assert config.chain.authority_key_file is not None
    key = read_key_file(config.chain.authority_key_file, kind="bls", known_to_all=True)
    async with open_resources(validate_node(config, spec)) as parts:
        stored = parts.store.load_chain()
        hand = Hand(parts, key.secret, Tree(stored.states, stored.final, stored.changes))
        first = slot_at(time.time(), spec.slot_seconds) - MARGIN_SLOTS - blocks
        for number in range(blocks):
            await hand.add(Slot(first + number))
        await parts.engine.set_forkchoice(*hand.tree.tip.payload_hashes)


async def measure(folder: Path, show: Show, blocks: int) -> None:
    """Build the database, then start the daemon with it."""
    async with fresh(folder) as node:
        begun = trio.current_time()
        await build(node.data, blocks)
        building = trio.current_time() - begun
        show(Figure(f"building a database of {blocks:,} blocks, for the next", building, "s"))
        for figure in await start(node, f"{blocks:,} blocks"):
            show(figure)
