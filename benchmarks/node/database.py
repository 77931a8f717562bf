"""Builds a database of many blocks, and measures how long a node takes to start with it."""

import statistics
import time
from contextlib import closing
from itertools import count
from pathlib import Path

import attrs
import trio

from alysd.config.key_file import read_key_file
from alysd.consensus.aura import slot_at
from alysd.consensus.federation import approval_message
from alysd.consensus.fork_choice import Tree
from alysd.consensus.payload import payload_attributes
from alysd.consensus.validity import apply_block
from alysd.integrations import bls
from alysd.integrations.lmdb_store import LmdbStore
from alysd.resources import NodeResources, open_resources
from alysd.testing.chain import ChainHand, chain_spec
from alysd.types.block import Approvals, Block, SignedBlock
from alysd.types.chain import ChainState, ExecutedBlock
from alysd.types.hashes import AuxHash, BlockHash, sha256
from alysd.types.tables import EntryChange, Proof, Table
from alysd.types.units import Height, Slot, Wei
from alysd.types.verdict import Valid
from alysd.validation import validate_node
from alysd.wire.block_ssz import block_hash
from benchmarks.node.daemon import fresh, start
from benchmarks.node.figures import Figure, Show
from benchmarks.node.own_share import development

MARGIN_SLOTS = 2
"""Slots between the last block built and the first block that the daemon may make."""


@attrs.frozen
class Hand:
    """Makes and stores the blocks of a chain with one authority."""

    parts: NodeResources
    secret: bytes
    tree: Tree

    async def add(self, slot: Slot) -> None:
        """Make an empty block on the head, in a past slot."""
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
        self.parts.store.commit_blocks([(executed, self.tree.place(executed.state))])
        self.tree.adopt(executed.state, executed.changes)


async def build(data: Path, blocks: int) -> None:
    """Fill a data folder of the development chain with empty blocks that are not final."""
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
    """Build the database, measure the daemon's start with it, then measure tables."""
    async with fresh(folder) as node:
        begun = trio.current_time()
        await build(node.data, blocks)
        building = trio.current_time() - begun
        show(Figure(f"building a database of {blocks:,} blocks, for the next", building, "s"))
        # The blocks were signed without a signing guard, and a node refuses a database without one.
        recover = ["recover" if word == "run" else word for word in node.command]
        await trio.run_process([*recover, "--yes"], capture_stdout=True)
        for figure in await start(node, f"{blocks:,} blocks"):
            show(figure)

    await trio.to_thread.run_sync(measure_tables, folder, show)


TABLE_ENTRIES = 1_000_000

CHANGES = 30
"""Entries that a measured block changes: the number of blocks that a typical proof of work covers."""

CHANGES_AT_ONCE = 50_000
"""Entries that a block adds which only fills the table."""

MEASURED = 60
"""Measured blocks per figure."""


def measure_tables(folder: Path, show: Show) -> None:
    """Measure storing blocks that change a table, once empty and once with a million entries."""
    for entries in (0, TABLE_ENTRIES):
        seconds = store_blocks(folder / f"table-{entries}", entries)
        show(Figure(f"storing a block of {CHANGES} changes to a table of {entries:,}", seconds * 1e3, "ms"))


def store_blocks(folder: Path, entries: int) -> float:
    """Return the median seconds to store a block. Every tenth block makes its ancestors final."""
    hand = ChainHand.of(chain_spec())
    parent = hand.genesis_state
    keys = (sha256(number.to_bytes(8, "big")) for number in count())
    batches = [CHANGES_AT_ONCE] * (entries // CHANGES_AT_ONCE) + [CHANGES] * MEASURED
    seconds: list[float] = []
    tree = Tree((parent,), parent.hash)
    with closing(LmdbStore.open(folder, hand.genesis, parent)) as store:
        for number, size in enumerate(batches):
            final = parent if size == CHANGES_AT_ONCE or number % 10 == 0 else None
            changes = tuple(
                EntryChange(Table.PROOFS, next(keys), Proof(parent.hash, parent.height, AuxHash(bytes(32))))
                for _ in range(size)
            )
            executed = _block(hand, parent, changes, final)
            begun = time.perf_counter()
            store.commit_blocks([(executed, tree.place(executed.state))])
            seconds.append(time.perf_counter() - begun)
            tree.adopt(executed.state, executed.changes)
            parent = executed.state
    return statistics.median(seconds[-MEASURED:])


def _block(
    hand: ChainHand, parent: ChainState, changes: tuple[EntryChange, ...], final: ChainState | None
) -> ExecutedBlock:
    height = Height(parent.height + 1)
    name = BlockHash(sha256(parent.hash))
    state = attrs.evolve(parent, hash=name, parent_hash=parent.hash, height=height, slot=Slot(height))
    if final is not None:
        state = attrs.evolve(state, last_final=final.hash, last_final_height=final.height)
    return ExecutedBlock(attrs.evolve(hand.genesis, hash=name), state, changes)
