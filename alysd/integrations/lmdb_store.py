"""The node's own database in LMDB: blocks, the chain's state after each, and the list of canonical blocks.

`lmdb_layout` describes its tables. `lmdb_check` has the checks of the database when it is opened.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import islice, takewhile
from pathlib import Path
from typing import TypeVar

from alysd.errors import RESTORE_DATABASE, Corrupt
from alysd.integrations.lmdb_check import check_chain, check_format, check_genesis, is_empty
from alysd.integrations.lmdb_layout import BLOCK_KEY_BYTES, ENTRIES, FORMAT, STATE, TABLES, height_key, state_key
from alysd.integrations.lmdb_ledger import LmdbLedger
from alysd.integrations.lmdb_reads import (
    UPDATES_KEY,
    block_of,
    canonical_of,
    encoded_blocks_of,
    encoded_range_of,
    evidence_of,
    final_of,
    finality_of,
    forkchoice_of,
    placed,
    proof_of,
    state_of,
    updates_of,
)
from alysd.integrations.lmdb_records import FIRST_MAP_BYTES, Records, RecordTransaction
from alysd.peg.operations import LedgerView
from alysd.types.block import Block, SignedBlock
from alysd.types.chain import (
    ChainState,
    ExecutedBlock,
    FinalityProof,
    Forkchoice,
    ForkChoiceChange,
    PlacedBlock,
    StoredChain,
)
from alysd.types.evidence import Evidence
from alysd.types.federation_update import FederationUpdate
from alysd.types.hashes import BlockHash, sha256
from alysd.types.tables import Entry, EntryChange, EntryKey, Table
from alysd.types.units import Height, Slot
from alysd.wire.block_ssz import encode_block
from alysd.wire.evidence import encode_evidence
from alysd.wire.federation_update import encode_updates

T = TypeVar("T")


class LmdbStore:
    """Implements `alysd.ports.Store`. The methods are thread-safe; do not call them in the event loop."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._commits = 0

    @classmethod
    def open(
        cls, folder: Path, genesis: SignedBlock, state: ChainState, map_bytes: int = FIRST_MAP_BYTES
    ) -> "LmdbStore":
        """Open the database in `folder`, or create it with the genesis block. Raises the errors of `find`."""
        found = cls.find(folder, genesis)
        if found is not None:
            return found
        records = Records.open(folder, TABLES, map_bytes)
        with ExitStack() as unless_it_is_written:
            unless_it_is_written.callback(records.close)
            records.write(lambda txn: _put_genesis(txn, genesis, state))
            unless_it_is_written.pop_all()
        return cls(records)

    @classmethod
    def find(cls, folder: Path, genesis: SignedBlock) -> "LmdbStore | None":
        """Open the database in `folder` and check it; None if no chain was ever written to it.

        Raises `WrongChain` when the database has another genesis block, `ConfigError` when it has another format
        or cannot be accessed, `Corrupt` when it is damaged, and `StoreError` when the disk fails.
        """
        records = Records.find(folder, TABLES)
        if records is None:
            return None
        with ExitStack() as unless_it_is_ours:
            unless_it_is_ours.callback(records.close)
            if records.read(is_empty):
                return None

            def check(txn: RecordTransaction) -> None:
                check_format(txn, folder)
                check_genesis(txn, folder, genesis.hash)
                check_chain(txn, folder, genesis.hash)

            records.read(check)
            unless_it_is_ours.pop_all()
        return cls(records)

    def commit_blocks(self, placed: Sequence[tuple[ExecutedBlock, ForkChoiceChange]]) -> None:
        """Write blocks, their states, changes and placements, in order, in one synced transaction."""

        def write(txn: RecordTransaction) -> None:
            for executed, placement in placed:
                _put_placed(txn, executed, placement)

        self._records.write(write)
        self._commits += len(placed)

    @property
    def commits(self) -> int:
        """The number of blocks committed since the database was opened. This may be read in the event loop."""
        return self._commits

    def load_chain(self) -> StoredChain:
        """Load the states from the end of the previous final range upwards, and the changes that are not final."""

        def read(txn: RecordTransaction) -> StoredChain:
            final = final_of(txn)
            states = [state_of(txn, height_key(final.last_final_height) + final.last_final)]
            above = height_key(Height(final.last_final_height + 1))
            states.extend(STATE.decode(value) for _, value in txn.scan("states", above))
            changes: dict[BlockHash, list[EntryChange]] = {}
            for key, value in txn.scan("changes", height_key(Height(final.height + 1))):
                block, change = _read_change(key, value)
                changes.setdefault(block, []).append(change)
            return StoredChain(tuple(states), final.hash, {block: tuple(each) for block, each in changes.items()})

        return self._records.read(read)

    def state_before(self, block: Block) -> ChainState:
        """The chain's state after the parent of a stored block. Raises `Corrupt` if it is missing."""
        key = height_key(Height(block.height - 1)) + block.parent_hash
        return self._records.read(lambda txn: state_of(txn, key))

    def newest_slot(self) -> Slot:
        """The slot of the newest stored block on any branch that is not abandoned; 0 for the genesis block."""
        return max(state.slot for state in self.load_chain().states)

    def final_entries(self, keys: Sequence[EntryKey]) -> tuple[Entry | None, ...]:
        """The entries with these keys, in order, as of the last final block; None for a missing entry."""

        def read(txn: RecordTransaction) -> tuple[Entry | None, ...]:
            values = ((table, txn.get(table.value, key)) for table, key in keys)
            return tuple(None if value is None else ENTRIES[table].decode(value) for table, value in values)

        return self._records.read(read)

    def list_final_entries(self, table: Table, after: bytes, limit: int) -> Sequence[tuple[bytes, Entry]]:
        """At most `limit` entries of `table` with keys after `after`, in order, as of the last final block."""

        def read(txn: RecordTransaction) -> list[tuple[bytes, Entry]]:
            found = islice(txn.scan(table.value, after + b"\0"), limit)
            return [(key, ENTRIES[table].decode(value)) for key, value in found]

        return self._records.read(read)

    def block_by_hash(self, block: BlockHash) -> SignedBlock | None:
        """The stored block with this hash, or None."""
        return self._records.read(lambda txn: block_of(txn, block))

    def block_by_height(self, height: Height) -> SignedBlock | None:
        """The canonical block at `height`, or None."""
        found = self.canonical_range(height, 1)
        return found[0] if found else None

    def canonical_range(self, start: Height, count: int) -> tuple[SignedBlock, ...]:
        """At most `count` canonical blocks from `start` upwards, read from one snapshot."""

        def read(txn: RecordTransaction) -> tuple[SignedBlock, ...]:
            blocks: list[SignedBlock] = []
            for key, value in txn.scan("canonical", height_key(start)):
                if len(blocks) == count:
                    break
                height = start + len(blocks)
                block = block_of(txn, BlockHash(value))
                if block is None or block.block.height != height or key != height_key(Height(height)):
                    raise Corrupt(f"the canonical block {height} is not in the database: {RESTORE_DATABASE}")
                blocks.append(block)
            return tuple(blocks)

        return self._records.read(read)

    def encoded_range(self, start: Height, count: int, size: int) -> tuple[bytes, ...]:
        """The blocks of `canonical_range` from one snapshot, as stored, until they exceed `size` bytes."""
        return self._records.read(lambda txn: encoded_range_of(txn, start, count, size))

    def encoded_blocks(self, hashes: Sequence[BlockHash], size: int) -> tuple[bytes, ...]:
        """Those of these blocks that are stored, in their stored form, until they exceed `size` bytes."""
        return self._records.read(lambda txn: encoded_blocks_of(txn, hashes, size))

    def forkchoice(self) -> Forkchoice:
        """The head, safe and final block."""
        return self._records.read(forkchoice_of)

    def placed_by_height(self, height: Height | None) -> PlacedBlock | None:
        """The canonical block at `height` with its place in the chain, or None; without a height, the head."""

        def read(txn: RecordTransaction) -> PlacedBlock | None:
            tip = forkchoice_of(txn)
            signed = canonical_of(txn, tip.head.height if height is None else height)
            return None if signed is None else placed(txn, signed, tip)

        return self._records.read(read)

    def placed_by_hash(self, wanted: BlockHash, or_work: bool) -> PlacedBlock | None:
        """The stored block with this hash with its place in the chain, or None.

        With `or_work`, `wanted` may also be the hash of work: the result is then the canonical block that includes
        its proof.
        """

        def read(txn: RecordTransaction) -> PlacedBlock | None:
            tip, signed = forkchoice_of(txn), block_of(txn, wanted)
            if signed is None and or_work:
                work = proof_of(txn, Table.WORKS, wanted, tip.finalized.height)
                signed = None if work is None else canonical_of(txn, work.height)
            return None if signed is None else placed(txn, signed, tip)

        return self._records.read(read)

    def finality_proof(self, wanted: BlockHash) -> FinalityProof | None:
        """The proof of work that makes the block with this hash final; None if no such block is stored."""
        return self._records.read(lambda txn: finality_of(txn, wanted))

    def keep_evidence(self, evidence: Evidence) -> None:
        """Write evidence against authorities, in one synced transaction. Evidence is kept only once."""
        value = encode_evidence(evidence)
        key = evidence.second.block.slot.to_bytes(8, "big") + sha256(value)
        self._records.write(lambda txn: txn.put("evidence", key, value))

    def evidence(self) -> tuple[Evidence, ...]:
        """All evidence, oldest slot first."""
        return self._records.read(evidence_of)

    def keep_updates(self, updates: Sequence[FederationUpdate]) -> None:
        """Write the updates of the federation that wait for a block, synced, in place of those before."""
        value = encode_updates(updates)
        self._records.write(lambda txn: txn.put("meta", UPDATES_KEY, value))

    def updates(self) -> tuple[FederationUpdate, ...]:
        """The updates of the federation that wait for a block."""
        return self._records.read(updates_of)

    def read_ledger(self, read: Callable[[LedgerView], T]) -> T:
        """Call `read` with the peg's ledger and history as of one snapshot."""
        return self._records.read(lambda txn: read(LmdbLedger(txn)))

    def close(self) -> None:
        """Close the database. All committed transactions are on disk already."""
        self._records.close()


def _put_genesis(txn: RecordTransaction, genesis: SignedBlock, state: ChainState) -> None:
    _put_block(txn, genesis, state)
    txn.put("canonical", height_key(state.height), genesis.hash)
    txn.put("meta", b"final", state_key(state))
    txn.put("meta", b"genesis", genesis.hash)
    txn.put("meta", b"format", FORMAT.encode())


def _put_block(txn: RecordTransaction, signed: SignedBlock, state: ChainState) -> None:
    txn.put("blocks", signed.hash, encode_block(signed))
    txn.put("states", state_key(state), STATE.encode(state))


def _put_placed(txn: RecordTransaction, executed: ExecutedBlock, placement: ForkChoiceChange) -> None:
    old, final, head = final_of(txn), placement.tip.finalized, placement.tip.head
    _put_block(txn, executed.signed, executed.state)
    if executed.state.height > old.height:
        _put_changes(txn, executed)
    if placement.canonical:
        # The new branch may be shorter (a proof made it win): remove canonical heights above its head.
        for key, _ in list(txn.scan("canonical", height_key(Height(head.height + 1)))):
            txn.delete("canonical", key)
    for height, block in placement.canonical:
        txn.put("canonical", height_key(height), block)
    _settle_changes(txn, old.height, final.height)
    txn.put("meta", b"final", state_key(final))
    txn.put("meta", b"safe", state_key(placement.tip.safe))


def _put_changes(txn: RecordTransaction, executed: ExecutedBlock) -> None:
    start = state_key(executed.state)
    for change in executed.changes:
        value = b"" if change.value is None else ENTRIES[change.table].encode(change.value)
        txn.put("changes", start + change.table.value.encode() + b"|" + change.key, value)


def _settle_changes(txn: RecordTransaction, old: Height, final: Height) -> None:
    """Apply the changes of the canonical blocks above the height `old` up to `final`, lowest first.

    Then delete the stored changes of all blocks at these heights, on every branch.
    """
    above = height_key(Height(final + 1))
    settled = takewhile(lambda record: record[0] < above, txn.scan("changes", height_key(Height(old + 1))))
    for key, value in list(settled):
        if txn.get("canonical", key[:8]) == key[8:BLOCK_KEY_BYTES]:
            name, _, entry = key[BLOCK_KEY_BYTES:].partition(b"|")
            if value:
                txn.put(name.decode(), entry, value)
            else:
                txn.delete(name.decode(), entry)
        txn.delete("changes", key)


def _read_change(key: bytes, value: bytes) -> tuple[BlockHash, EntryChange]:
    name, _, entry = key[BLOCK_KEY_BYTES:].partition(b"|")
    table = Table(name.decode())
    return BlockHash(key[8:BLOCK_KEY_BYTES]), EntryChange(
        table, entry, ENTRIES[table].decode(value) if value else None
    )
