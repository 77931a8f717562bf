"""Makes the long chain of empty blocks that a newcomer gets."""

import time
from pathlib import Path

from alysd.config.key_file import read_key_file
from alysd.consensus.aura import slot_at
from alysd.consensus.fork_choice import Tree
from alysd.resources import NodeResources
from alysd.types.units import Slot
from benchmarks.node.database import MARGIN_SLOTS, Hand
from benchmarks.node.own_share import development


async def build(parts: NodeResources, folder: Path, blocks: int) -> None:
    """Fill the node's database with empty blocks."""
    config, _ = development(folder)
    assert config.chain.authority_key_file is not None
    key = read_key_file(config.chain.authority_key_file, kind="bls", known_to_all=True)
    stored = parts.store.load_chain()
    hand = Hand(parts, key.secret, Tree(stored.states, stored.final, stored.changes))
    first = slot_at(time.time(), parts.context.spec.slot_seconds) - MARGIN_SLOTS - blocks
    for number in range(blocks):
        await hand.add(Slot(first + number))
    await parts.engine.set_forkchoice(*hand.tree.tip.payload_hashes)
