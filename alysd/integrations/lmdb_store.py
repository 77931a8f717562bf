"""The node's own database in LMDB: blocks, the chain's state after each, and the list of canonical blocks.

    blocks      block hash                                   -> the signed block, SSZ
    states      height (8, BE) | hash                        -> the chain's state after the block
    changes     height (8, BE) | hash | table's name "|" key -> the block's new value; empty for a deletion
    canonical   height (8, BE)                               -> block hash
    meta        "genesis", "final", "format"

There is also one LMDB table per table of `types.tables`, with the same name and the entries as of the last final
block. The transaction that makes blocks final applies their changes to these tables, and deletes the changes of
abandoned branches.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from itertools import takewhile
from pathlib import Path

from alysd.errors import ConfigError, Corrupt, Malformed, WrongChain
from alysd.integrations.lmdb_records import FIRST_MAP_BYTES, Records, Transaction
from alysd.types.block import SignedBlock
from alysd.types.chain import ChainState, ExecutedBlock, ForkChoiceChange, StoredChain
from alysd.types.hashes import BlockHash, displayed, sha256
from alysd.types.tables import SHAPES, Entry, EntryChange, Table
from alysd.types.units import Height
from alysd.wire.block_ssz import decode_block, encode_block
from alysd.wire.records import CHECKSUM_BYTES, record_codec, unseal

TABLES = ("blocks", "states", "changes", "canonical", "meta", *(table.value for table in Table))

STATE = record_codec(ChainState)
ENTRIES = {table: record_codec(shape.value) for table, shape in SHAPES.items()}

VERSION = 2
"""The version of the tables' contents. A new field in a record, such as `ChainState`, needs no new version."""

FORMAT = f"{VERSION}-{sha256('; '.join(codec.layout for codec in (STATE, *ENTRIES.values())).encode()).hex()[:8]}"
"""The format recorded in the database: the version, and a digest of the record layouts."""

_BLOCK_KEY_BYTES = 40
"""The length of the prefix, height and hash, of the keys of a block's state and changes."""


class LmdbStore:
    """Implements `alysd.ports.Store`. The methods are thread-safe; do not call them in the event loop."""

    def __init__(self, records: Records) -> None:
        self._records = records

    @classmethod
    def open(
        cls, folder: Path, genesis: SignedBlock, state: ChainState, map_bytes: int = FIRST_MAP_BYTES
    ) -> "LmdbStore":
        """Open the database in `folder`. A new database is created with the genesis block.

        Raises `WrongChain` when the database has another genesis block, `ConfigError` when it has another format,
        and `StoreError` when the disk fails.
        """
        records = Records.open(folder, TABLES, map_bytes)
        with ExitStack() as unless_it_is_ours:
            unless_it_is_ours.callback(records.close)
            if records.read(lambda txn: _is_new(txn, folder)):
                records.write(lambda txn: _put_genesis(txn, genesis, state))
            else:
                records.read(lambda txn: _check_genesis(txn, folder, genesis))
            unless_it_is_ours.pop_all()
        return cls(records)

    def commit_block(self, executed: ExecutedBlock, placement: ForkChoiceChange) -> None:
        """Write the block, its state, its changes and its placement in one synced transaction."""

        def write(txn: Transaction) -> None:
            old, final, head = _final(txn), placement.tip.finalized, placement.tip.head
            _put_block(txn, executed.signed, executed.state)
            if executed.state.height > old.height:
                _put_changes(txn, executed)
            if placement.canonical:
                # The new branch may be shorter (a proof made it win): remove canonical heights above its head.
                for key, _ in list(txn.scan("canonical", _height_key(Height(head.height + 1)))):
                    txn.delete("canonical", key)
            for height, block in placement.canonical:
                txn.put("canonical", _height_key(height), block)
            _settle_changes(txn, old.height, final.height)
            txn.put("meta", b"final", _state_key(final))

        self._records.write(write)

    def final_state(self) -> ChainState:
        """The chain's state after the last final block."""
        return self._records.read(_final)

    def load_chain(self) -> StoredChain:
        """Load the states from the last but one final block upwards, and the changes that are not final."""

        def read(txn: Transaction) -> StoredChain:
            final = _final(txn)
            states = [_state(txn, _height_key(final.last_final_height) + final.last_final)]
            above = _height_key(Height(final.last_final_height + 1))
            states.extend(STATE.decode(value) for _, value in txn.scan("states", above))
            changes: dict[BlockHash, list[EntryChange]] = {}
            for key, value in txn.scan("changes", _height_key(Height(final.height + 1))):
                block, change = _read_change(key, value)
                changes.setdefault(block, []).append(change)
            return StoredChain(tuple(states), final.hash, {block: tuple(each) for block, each in changes.items()})

        return self._records.read(read)

    def final_entries(self, table: Table, keys: Sequence[bytes]) -> tuple[Entry | None, ...]:
        """The entries of `table` under `keys`, in order, as of the last final block; None for a missing entry."""

        def read(txn: Transaction) -> tuple[Entry | None, ...]:
            values = (txn.get(table.value, key) for key in keys)
            return tuple(None if value is None else ENTRIES[table].decode(value) for value in values)

        return self._records.read(read)

    def block_by_hash(self, block: BlockHash) -> SignedBlock | None:
        """The stored block with this hash, or None."""
        return self._records.read(lambda txn: _block(txn, block))

    def block_by_height(self, height: Height) -> SignedBlock | None:
        """The canonical block at `height`, or None."""
        found = self.canonical_range(height, 1)
        return found[0] if found and found[0].block.height == height else None

    def canonical_range(self, start: Height, count: int) -> tuple[SignedBlock, ...]:
        """At most `count` canonical blocks from `start` upwards, read from one snapshot."""

        def read(txn: Transaction) -> tuple[SignedBlock, ...]:
            blocks: list[SignedBlock] = []
            for _, value in txn.scan("canonical", _height_key(start)):
                if len(blocks) == count:
                    break
                block = _block(txn, BlockHash(value))
                if block is None:
                    raise Corrupt(
                        f"the canonical block {displayed(value)} is not in the database: "
                        "stop the node and restore its data folder from a backup"
                    )
                blocks.append(block)
            return tuple(blocks)

        return self._records.read(read)

    def close(self) -> None:
        """Close the database. All committed transactions are on disk already."""
        self._records.close()


def _is_new(txn: Transaction, folder: Path) -> bool:
    """Whether the database is empty. Raises `ConfigError` for a database of another format."""
    record = txn.lmdb.get(b"format", db=txn.tables["meta"])
    if record is None:
        return txn.get("meta", b"genesis") is None
    # In format 1 the record had no checksum.
    found = bytes(record) if len(record) <= CHECKSUM_BYTES else unseal("meta", b"format", bytes(record))
    if found != FORMAT.encode():
        raise ConfigError(
            f"the database in {folder} has format {found.decode(errors='replace')}, this version of alysd uses "
            f"format {FORMAT}: use the version that made it, or set storage.path to a new folder"
        )
    return False


def _check_genesis(txn: Transaction, folder: Path, genesis: SignedBlock) -> None:
    found = txn.get("meta", b"genesis") or b""
    if found != genesis.hash:
        raise WrongChain(
            f"the database in {folder} belongs to the chain with genesis {displayed(found)}, "
            f"the configured chain has genesis {displayed(genesis.hash)}: use another data folder for this chain"
        )


def _put_genesis(txn: Transaction, genesis: SignedBlock, state: ChainState) -> None:
    _put_block(txn, genesis, state)
    txn.put("canonical", _height_key(state.height), genesis.hash)
    txn.put("meta", b"final", _state_key(state))
    txn.put("meta", b"genesis", genesis.hash)
    txn.put("meta", b"format", FORMAT.encode())


def _put_block(txn: Transaction, signed: SignedBlock, state: ChainState) -> None:
    txn.put("blocks", signed.hash, encode_block(signed))
    txn.put("states", _state_key(state), STATE.encode(state))


def _put_changes(txn: Transaction, executed: ExecutedBlock) -> None:
    start = _state_key(executed.state)
    for change in executed.changes:
        value = b"" if change.value is None else ENTRIES[change.table].encode(change.value)
        txn.put("changes", start + change.table.value.encode() + b"|" + change.key, value)


def _settle_changes(txn: Transaction, old: Height, final: Height) -> None:
    """Apply the changes of the new final blocks, by height, and delete all changes up to that height."""
    above = _height_key(Height(final + 1))
    settled = takewhile(lambda record: record[0] < above, txn.scan("changes", _height_key(Height(old + 1))))
    for key, value in list(settled):
        if txn.get("canonical", key[:8]) == key[8:_BLOCK_KEY_BYTES]:
            name, _, entry = key[_BLOCK_KEY_BYTES:].partition(b"|")
            if value:
                txn.put(name.decode(), entry, value)
            else:
                txn.delete(name.decode(), entry)
        txn.delete("changes", key)


def _read_change(key: bytes, value: bytes) -> tuple[BlockHash, EntryChange]:
    name, _, entry = key[_BLOCK_KEY_BYTES:].partition(b"|")
    table = Table(name.decode())
    return BlockHash(key[8:_BLOCK_KEY_BYTES]), EntryChange(
        table, entry, ENTRIES[table].decode(value) if value else None
    )


def _final(txn: Transaction) -> ChainState:
    return _state(txn, txn.get("meta", b"final") or b"")


def _state(txn: Transaction, key: bytes) -> ChainState:
    record = txn.get("states", key) if key else None
    if record is None:
        raise Corrupt(
            f"the database has no chain state under the key {key.hex() or 'of the final block'}: "
            "stop the node and restore its data folder from a backup"
        )
    return STATE.decode(record)


def _block(txn: Transaction, block: BlockHash) -> SignedBlock | None:
    data = txn.get("blocks", block)
    if data is None:
        return None
    try:
        signed = decode_block(data)
    except Malformed as error:
        raise Corrupt(f"the block stored as {displayed(block)} cannot be decoded: {error}") from error
    if signed.hash != block:
        raise Corrupt(f"the block stored as {displayed(block)} has the hash {displayed(signed.hash)}")
    return signed


def _height_key(height: Height) -> bytes:
    return height.to_bytes(8, "big")


def _state_key(state: ChainState) -> bytes:
    return _height_key(state.height) + state.hash
