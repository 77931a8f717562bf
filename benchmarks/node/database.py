"""Builds a database of many blocks, and measures how long a node takes to start with it."""

import statistics
import time
from collections.abc import Sequence
from contextlib import closing
from itertools import count
from pathlib import Path

import attrs
import trio

from alysd.config.key_file import read_key_file
from alysd.consensus.aura import slot_at
from alysd.consensus.federation import approval_message
from alysd.consensus.fork_choice import Tree
from alysd.consensus.payload import payload_attributes, priority_fees
from alysd.consensus.validity import apply_block
from alysd.embedded import read_transaction
from alysd.integrations import bls
from alysd.integrations.lmdb_store import LmdbStore
from alysd.resources import NodeResources, open_resources
from alysd.testing.chain import ChainHand, chain_spec
from alysd.testing.daemon import Daemon
from alysd.types.block import Approvals, Block, ExecutionPayload, SignedBlock
from alysd.types.chain import ChainState, ExecutedBlock
from alysd.types.hashes import AuxHash, BlockHash, sha256
from alysd.types.tables import EntryChange, Proof, Table
from alysd.types.units import Height, Slot
from alysd.types.verdict import Valid
from alysd.validation import validate_node
from alysd.wire.block_ssz import block_hash
from alysd.wire.receipts import proven_gas
from alysd.wire.transactions import fee_fields
from benchmarks.node.daemon import fresh, start
from benchmarks.node.figures import Figure, Show
from benchmarks.node.own_share import development

MARGIN_SLOTS = 2
"""Slots between the last block built and the first block that the daemon may make."""


@attrs.frozen
class Given:
    """A payload as an execution client is given it: with the hash of the parent's block."""

    payload: ExecutionPayload
    parent: BlockHash


@attrs.frozen
class Hand:
    """Makes and stores the blocks of a chain with one authority."""

    parts: NodeResources
    secret: bytes
    tree: Tree

    async def add(self, slot: Slot) -> Given:
        """Make a block on the head, in a past slot, from the transactions in the engine's pool."""
        parts, tip = self.parts, self.tree.tip
        attributes = payload_attributes(tip.head, slot, None, parts.context)
        payload = await parts.engine.build_payload(*tip.payload_hashes, attributes)
        verdict = await parts.engine.new_payload(payload, tip.head.hash)
        assert verdict == Valid(), verdict
        signed = self._sign(Block(tip.head.hash, slot, payload))
        gas_used = proven_gas(await parts.engine.receipts(payload), payload)
        fees = priority_fees(payload, [fee_fields(raw) for raw in payload.transactions], gas_used)
        self._store(apply_block(tip.head, signed, fees, ()))
        return Given(payload, tip.head.hash)

    def _sign(self, block: Block) -> SignedBlock:
        identity = block_hash(block)
        signature = bls.sign(self.secret, approval_message(self.parts.context.genesis, identity))
        return SignedBlock(identity, block, Approvals((True,), signature))

    def _store(self, executed: ExecutedBlock) -> None:
        self.parts.store.commit_blocks([(executed, self.tree.place(executed.state))])
        self.tree.adopt(executed.state, executed.changes)


async def build(data: Path, blocks: int, transactions: Sequence[bytes] = ()) -> list[Given]:
    """Fill a data folder of the development chain with blocks that are not final, and return their payloads.

    The first block has the `transactions`, the others are empty.
    """
    config, spec = development(data)
    assert config.chain.authority_key_file is not None
    key = read_key_file(config.chain.authority_key_file, kind="bls", known_to_all=True)
    async with open_resources(validate_node(config, spec)) as parts:
        stored = parts.store.load_chain()
        hand = Hand(parts, key.secret, Tree(stored.states, stored.final, stored.changes))
        first = slot_at(time.time(), spec.slot_seconds) - MARGIN_SLOTS - blocks
        if parts.embedded is not None:
            reader = parts.embedded.engine.reader
            for raw in transactions:
                transaction = read_transaction(raw, spec.chain_id)
                parts.embedded.pool.add(
                    transaction, lambda sender: reader.account(reader.head(), sender), reader.head().gas_limit, 0.0
                )
        given = [await hand.add(Slot(first + number)) for number in range(blocks)]
        await parts.engine.set_forkchoice(*hand.tree.tip.payload_hashes)
        return given


async def recover(node: Daemon) -> None:
    """Make a signing guard. The blocks were signed without one, and a node refuses a database without a guard."""
    command = ["recover" if word == "run" else word for word in node.command]
    await trio.run_process([*command, "--yes"], capture_stdout=True)


async def measure(folder: Path, show: Show, blocks: int) -> None:
    """Build the database, measure the daemon's start with it, then measure tables."""
    async with fresh(folder) as node:
        begun = trio.current_time()
        await build(node.data, blocks)
        building = trio.current_time() - begun
        show(Figure(f"building a database of {blocks:,} blocks, for the next", building, "s"))
        await recover(node)
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
