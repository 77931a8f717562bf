"""The database of the embedded engine in LMDB: state tries, blocks, receipts and indices.

    nodes, nodes2 hash            -> a trie node's RLP; pruning.py says which node is in which of the two
    codes         hash            -> a contract's code
    headers       block hash      -> header's RLP
    bodies        block hash      -> RLP of (transactions, withdrawals)
    receipts      block hash      -> RLP of the receipts, each encoded as in the receipts' trie
    canonical     number (8, BE)  -> block hash
    transactions  hash            -> block hash | index (4, BE), of canonical blocks
    meta          "genesis", "head", "safe", "final", "format"; and for pruning:
                  "floor"    number of the oldest block whose state is kept
                  "highest"  highest number of any block
                  "pruning"  the progress of pruning

A record whose key is its own hash never changes, so readers need no snapshot: each read is one short transaction.
The map can grow only while no transaction is open, so a lock is held during each read.

The trie nodes of pruned states are deleted. LMDB keeps the pages of deleted records for later records: the file
does not become smaller.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TypeVar

import attrs
import lmdb

from alysd.embedded.engine.pruning import Collection, CollectionPhase, Pruner, PruningLimits, find_node
from alysd.embedded.engine.records import damage, read_header
from alysd.errors import REBUILD_EXECUTION, ConfigError
from alysd.integrations.lmdb_errors import database_errors
from alysd.integrations.lmdb_file import check_file, remove_unfinished
from alysd.wire.keccak import keccak256

Result = TypeVar("Result")

_FORMATS = (b"1", b"2")
"""The formats that this version reads. A database has format 1 until pruning begins, which uses a second table."""

_NODES_REMEMBERED = 65_536
"""The maximum number of trie nodes, some 8 MB of hashes, that the engine remembers as checked.

At this number it forgets all of them. The engine checks only nodes that it does not remember: hashing each node on
each read would make blocks of transfers 20 % slower.
"""

FIRST_MAP_BYTES = 64 * 2**20
"""The size of a new database's map, which holds some 12,000 empty blocks of 5 kB. A full map is doubled."""

_NODES = ("nodes", "nodes2")
_TABLES = (*_NODES, "codes", "headers", "bodies", "receipts", "canonical", "transactions", "meta")


@attrs.frozen
class BlockRecord:
    """A block to write: header, body and receipts in RLP, and the trie nodes and codes that the block adds."""

    hash: bytes
    number: int
    header: bytes
    body: bytes
    receipts: bytes
    nodes: Mapping[bytes, bytes]
    codes: Mapping[bytes, bytes]


@attrs.frozen
class CanonicalChange:
    """The changes that a forkchoice writes: the three blocks, and the indices of canonical blocks.

    `floor` is the number of the oldest block whose state is kept.
    """

    head: bytes
    safe: bytes
    finalized: bytes
    floor: int
    removed_numbers: Sequence[int]
    added: Sequence[tuple[int, bytes]]
    removed_transactions: Sequence[bytes]
    added_transactions: Sequence[tuple[bytes, bytes]]


_CODES = 512
"""The number of contracts' codes that are kept in memory, hashed once: 12 MB if all are as large as possible."""


class ChainStore:
    """The open database. Any thread may read; the caller ensures that only one thread writes at a time."""

    def __init__(
        self, folder: Path, environment: lmdb.Environment, limits: PruningLimits | None, *, synced: bool = True
    ) -> None:
        self.folder = folder
        self._synced = synced
        self._environment = environment
        self._limits = limits
        self._lock = threading.Lock()
        self._tables = {name: environment.open_db(name.encode()) for name in _TABLES}
        self._nodes = [self._tables[name] for name in _NODES]
        self._checked: set[bytes] = set()  # nodes that need not be hashed again
        self._added = 0  # trie nodes since the last forkchoice
        self._canonical_version = 0
        self._checked_code = lru_cache(_CODES)(self._read_code)

    @classmethod
    def open(
        cls,
        folder: Path,
        first_map_bytes: int = FIRST_MAP_BYTES,
        limits: PruningLimits | None = None,
        *,
        synced: bool = True,
    ) -> "ChainStore":
        """Open the database in `folder`, and create it when it is new. Without `limits` nothing is pruned.

        Unless `synced`, nothing is synced to the disk: the data is not needed after the end of the process.

        Raises `Corrupt` for a damaged file, `ConfigError` for a folder that cannot be accessed or a database of
        another format, and `StoreError` when the disk fails.
        """
        with database_errors(folder, opening=True):
            folder.mkdir(parents=True, exist_ok=True)
            remove_unfinished(folder)
            check_file(folder)
            # Without metasync a commit costs one sync instead of two. In return a power cut, but not a crash of
            # the process, can lose the last forkchoice. The node sets it again when it starts.
            environment = lmdb.open(
                str(folder),
                map_size=first_map_bytes,
                max_dbs=len(_TABLES),
                max_spare_txns=4,
                metasync=False,
                sync=synced,
            )
            store = cls(folder, environment, limits, synced=synced)
        found = store.meta("format")
        if found is not None and found not in _FORMATS:
            store.close()
            raise ConfigError(
                f"the execution database in {folder} has format {found!r}, but this version "
                f"reads only {_FORMATS[0]!r} and {_FORMATS[1]!r}: {REBUILD_EXECUTION}"
            )
        return store

    def get(self, table: str, key: bytes) -> bytes | None:
        """One value of a table, or None."""
        with self._lock, database_errors(self.folder), self._environment.begin() as transaction:
            return self._value(transaction, table, key)

    def meta(self, name: str) -> bytes | None:
        """A value of the table `meta`."""
        return self.get("meta", name.encode())

    def node(self, digest: bytes) -> bytes:
        """A trie node; raises `Corrupt` when it is missing or damaged."""
        with self._lock, database_errors(self.folder), self._environment.begin() as transaction:
            found = find_node(transaction, self._nodes, digest)
            if digest not in self._checked:
                if keccak256(found) != digest:
                    raise damage(f"the record of trie node {digest.hex()} contains another node")
                self._remember((digest,))
            return found

    def code(self, digest: bytes) -> bytes:
        """A contract's code; raises `Corrupt` when it is missing or damaged."""
        return self._checked_code(digest)

    def _read_code(self, digest: bytes) -> bytes:
        found = self.get("codes", digest)
        if found is None:
            raise damage(f"code {digest.hex()} is missing")
        if keccak256(found) != digest:
            raise damage(f"the record of code {digest.hex()} contains another code")
        return found

    def is_empty(self) -> bool:
        """Whether no block was ever written."""
        with self._lock, database_errors(self.folder), self._environment.begin() as transaction:
            entries: int = transaction.stat(self._tables["headers"])["entries"]
            return entries == 0

    def floor(self) -> int:
        """The number of the oldest block whose state is kept."""
        return int.from_bytes(self.meta("floor") or b"", "big")

    def hash_at(self, number: int) -> bytes | None:
        """The hash of the canonical block with this number, or None."""
        return self.get("canonical", number_key(number)) if 0 <= number < 2**64 else None

    @property
    def canonical_version(self) -> int:
        """A number that rises after each change of the index of canonical blocks."""
        return self._canonical_version

    def canonical_hashes(self, first: int, count: int) -> bytes:
        """The hashes of up to `count` canonical blocks from the number `first` on, one after the other."""
        with self._lock, database_errors(self.folder), self._environment.begin() as transaction:
            cursor = transaction.cursor(self._tables["canonical"])
            if not cursor.set_range(number_key(first)):
                return b""
            return b"".join(islice(cursor.iternext(keys=False), count))

    def write_genesis(self, block: BlockRecord) -> None:
        """Write block 0 as head, safe and finalized block, and sync."""

        def write(transaction: lmdb.Transaction) -> None:
            self._put_block(transaction, block)
            transaction.put(number_key(0), block.hash, db=self._tables["canonical"])
            for name in ("genesis", "head", "safe", "final"):
                transaction.put(name.encode(), block.hash, db=self._tables["meta"])
            transaction.put(b"format", _FORMATS[0], db=self._tables["meta"])

        self._write(write, sync=True)
        self._canonical_version += 1

    def write_block(self, block: BlockRecord) -> None:
        """Write a block and its state, and sync: when this returns, both survive a power cut."""
        self._write(lambda transaction: self._put_block(transaction, block), sync=True)
        self._added += len(block.nodes)
        with self._lock:
            self._remember(block.nodes)

    def write_state(self, nodes: Mapping[bytes, bytes], codes: Mapping[bytes, bytes]) -> None:
        """Write the trie nodes and codes of a state that belongs to no new block, and sync."""
        self._write(lambda transaction: self._put_state(transaction, nodes, codes), sync=True)

    def write_canonical(self, change: CanonicalChange) -> None:
        """Set head, safe and finalized block, update the indices and take a pruning step, in one transaction."""

        def write(transaction: lmdb.Transaction) -> None:
            canonical, places = self._tables["canonical"], self._tables["transactions"]
            for number in change.removed_numbers:
                transaction.delete(number_key(number), db=canonical)
            for digest in change.removed_transactions:
                transaction.delete(digest, db=places)
            for number, block in change.added:
                transaction.put(number_key(number), block, db=canonical)
            for digest, place in change.added_transactions:
                transaction.put(digest, place, db=places)
            for name, block in (("head", change.head), ("safe", change.safe), ("final", change.finalized)):
                transaction.put(name.encode(), block, db=self._tables["meta"])
            transaction.put(b"floor", number_key(change.floor), db=self._tables["meta"])
            if self._limits is not None:
                self._prune(transaction, change.floor, self._limits)

        self._write(write, sync=False)
        self._canonical_version += 1
        self._added = 0

    def close(self) -> None:
        """Sync and close the database."""
        with self._lock, database_errors(self.folder):
            if self._synced:
                self._environment.sync(True)
            self._environment.close()

    def _remember(self, nodes: Iterable[bytes]) -> None:
        if len(self._checked) >= _NODES_REMEMBERED:
            self._checked.clear()
        self._checked.update(nodes)

    def _put_block(self, transaction: lmdb.Transaction, block: BlockRecord) -> None:
        self._put_state(transaction, block.nodes, block.codes)
        transaction.put(block.hash, block.header, db=self._tables["headers"])
        transaction.put(block.hash, block.body, db=self._tables["bodies"])
        transaction.put(block.hash, block.receipts, db=self._tables["receipts"])
        highest = max(block.number, self._highest(transaction))
        transaction.put(b"highest", number_key(highest), db=self._tables["meta"])

    def _put_state(
        self, transaction: lmdb.Transaction, nodes: Mapping[bytes, bytes], codes: Mapping[bytes, bytes]
    ) -> None:
        young = self._nodes[self._collection(transaction).young]
        for database, values in ((young, nodes), (self._tables["codes"], codes)):
            for digest in sorted(values):  # in the order of the keys, because neighbouring keys share pages
                transaction.put(digest, values[digest], db=database, overwrite=False)

    def _prune(self, transaction: lmdb.Transaction, floor: int, limits: PruningLimits) -> None:
        """Take one step of pruning and store the progress."""
        meta, now = self._tables["meta"], self._collection(transaction)
        oldest = self._value(transaction, "canonical", number_key(floor))
        header = None if oldest is None else self._value(transaction, "headers", oldest)
        if oldest is None or header is None:
            raise damage(f"canonical block {floor} is missing")
        following = Pruner(transaction, self._nodes, limits).step(
            now,
            floor=floor,
            root=read_header(oldest, header).state_root,
            highest=self._highest(transaction),
            added=self._added,
        )
        if following != now:
            transaction.put(b"pruning", following.encode(), db=meta)
        if following.phase is CollectionPhase.WAITING:
            transaction.put(b"format", _FORMATS[1], db=meta)

    def _collection(self, transaction: lmdb.Transaction) -> Collection:
        found = self._value(transaction, "meta", b"pruning")
        return Collection() if found is None else Collection.decode(found)

    def _highest(self, transaction: lmdb.Transaction) -> int:
        found = self._value(transaction, "meta", b"highest")
        if found is not None:
            return int.from_bytes(found, "big")
        head = self._value(transaction, "meta", b"head")  # None in a new database
        header = None if head is None else self._value(transaction, "headers", head)
        if head is None or header is None:
            return 0
        return read_header(head, header).number + (self._limits or PruningLimits()).unknown_blocks

    def _value(self, transaction: lmdb.Transaction, table: str, key: bytes) -> bytes | None:
        found = transaction.get(key, db=self._tables[table])
        return None if found is None else bytes(found)

    def _write(self, work: Callable[[lmdb.Transaction], None], *, sync: bool) -> None:
        with database_errors(self.folder):
            while True:
                try:
                    with self._environment.begin(write=True) as transaction:
                        work(transaction)
                except lmdb.MapFullError:
                    # Release the snapshot of a killed backup. Until then LMDB does not reuse the snapshot's pages.
                    self._environment.reader_check()
                    with self._lock:  # no reader may have a transaction open while the map is moved
                        self._environment.set_mapsize(2 * self._environment.info()["map_size"])
                else:
                    break
            if sync and self._synced:
                self._environment.sync(True)


def number_key(number: int) -> bytes:
    """A block number as the key of the canonical index."""
    return number.to_bytes(8, "big")
