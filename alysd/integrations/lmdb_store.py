"""The node's own database: blocks, the chain's state after each, and which of them are canonical, in LMDB.

    blocks      block hash                 -> the signed block, SSZ
    states      height (8, BE) | hash      -> the chain's state after the block
    canonical   height (8, BE)             -> block hash
    meta        "genesis", "final", "format"

Every write is one synced transaction, so that a reply to "stored" survives a power cut. LMDB keeps readers and
the writer apart; only growing the map needs all of them out, hence the lock.
"""

import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

import lmdb

from alysd.errors import Corrupt, Malformed, StoreError, WrongChain
from alysd.types.block import SignedBlock
from alysd.types.chain import ChainState, ForkChoiceChange, StoredChain
from alysd.types.hashes import BlockHash, displayed
from alysd.types.units import Height
from alysd.wire.block_ssz import decode_block, encode_block
from alysd.wire.chain_state import decode_state, encode_state

Result = TypeVar("Result")

_FORMAT = b"1"
_FIRST_MAP_BYTES = 64 * 2**20
"""64 MiB hold some 50,000 empty blocks; the map doubles when it is full."""


class LmdbStore:
    """Implements `alysd.ports.Store`; every method may be called from any thread, none from the event loop."""

    def __init__(self, environment: lmdb.Environment) -> None:
        self._environment = environment
        self._lock = threading.Lock()
        self._blocks = environment.open_db(b"blocks")
        self._states = environment.open_db(b"states")
        self._canonical = environment.open_db(b"canonical")
        self._meta = environment.open_db(b"meta")

    @classmethod
    def open(cls, folder: Path, genesis: SignedBlock, state: ChainState) -> "LmdbStore":
        """Open the database in `folder`, making it with the genesis block when it is new.

        Raises `WrongChain` when it holds another genesis block, `StoreError` when the disk refuses.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            environment = lmdb.open(str(folder), map_size=_FIRST_MAP_BYTES, max_dbs=4, lock=True)
            store = cls(environment)
        except (lmdb.Error, OSError) as error:
            raise StoreError(f"cannot open the database in {folder}: {error}") from error
        with ExitStack() as unless_it_is_ours:
            unless_it_is_ours.callback(environment.close)
            store._prepare(folder, genesis, state)
            unless_it_is_ours.pop_all()
        return store

    def _prepare(self, folder: Path, genesis: SignedBlock, state: ChainState) -> None:
        found = self._read(lambda txn: (txn.get(b"genesis", db=self._meta), txn.get(b"format", db=self._meta)))
        if found == (None, None):
            self._write(lambda txn: self._put_genesis(txn, genesis, state))
        elif found[1] != _FORMAT:
            raise StoreError(f"the database in {folder} has format {found[1]!r}; this version reads {_FORMAT!r}")
        elif found[0] != genesis.hash:
            raise WrongChain(
                f"the database in {folder} belongs to the chain with genesis {displayed(bytes(found[0] or b''))}, "
                f"the configuration names {displayed(genesis.hash)}: give this chain a data folder of its own"
            )

    def _put_genesis(self, txn: lmdb.Transaction, genesis: SignedBlock, state: ChainState) -> None:
        self._put_block(txn, genesis, state)
        txn.put(_height_key(state.height), genesis.hash, db=self._canonical)
        txn.put(b"final", _height_key(state.height) + genesis.hash, db=self._meta)
        txn.put(b"genesis", genesis.hash, db=self._meta)
        txn.put(b"format", _FORMAT, db=self._meta)

    def _put_block(self, txn: lmdb.Transaction, signed: SignedBlock, state: ChainState) -> None:
        txn.put(signed.hash, encode_block(signed), db=self._blocks)
        txn.put(_height_key(state.height) + state.hash, encode_state(state), db=self._states)

    def commit_block(self, signed: SignedBlock, state: ChainState, placement: ForkChoiceChange) -> None:
        """Write block, state and placement in one synced transaction."""

        def write(txn: lmdb.Transaction) -> None:
            self._put_block(txn, signed, state)
            if placement.canonical:
                self._cut_canonical(txn, placement.tip.head.height)
            for height, block in placement.canonical:
                txn.put(_height_key(height), block, db=self._canonical)
            final = placement.tip.finalized
            txn.put(b"final", _height_key(final.height) + final.hash, db=self._meta)

        self._write(write)

    def _cut_canonical(self, txn: lmdb.Transaction, head: Height) -> None:
        # A proof on a shorter branch makes that branch win: the longer one's heights must not outlive it.
        with txn.cursor(self._canonical) as cursor:
            if cursor.set_range(_height_key(Height(head + 1))):
                while cursor.delete():
                    pass

    def final_state(self) -> ChainState:
        """The chain's state after the last final block."""
        return self._read(self._final)

    def load_chain(self) -> StoredChain:
        """The states from the final block before the last one upwards, by height, and the last final block."""

        def read(txn: lmdb.Transaction) -> StoredChain:
            final = self._final(txn)
            first = _height_key(final.last_final_height)
            states = [self._state(txn, first + final.last_final)]
            with txn.cursor(self._states) as cursor:
                if cursor.set_range(_height_key(Height(final.last_final_height + 1))):
                    states.extend(decode_state(bytes(value)) for value in cursor.iternext(keys=False))
            return StoredChain(tuple(states), final.hash)

        return self._read(read)

    def _final(self, txn: lmdb.Transaction) -> ChainState:
        return self._state(txn, bytes(txn.get(b"final", b"", db=self._meta)))

    def _state(self, txn: lmdb.Transaction, key: bytes) -> ChainState:
        record = txn.get(key, db=self._states) if key else None
        if record is None:
            raise Corrupt(f"the database holds no chain state under the key {key.hex() or 'of the final block'}")
        return decode_state(bytes(record))

    def block_by_hash(self, block: BlockHash) -> SignedBlock | None:
        """A stored block, or None."""
        return self._read(lambda txn: self._block(txn, block))

    def block_by_height(self, height: Height) -> SignedBlock | None:
        """The canonical block of a height, or None."""
        found = self.canonical_range(height, 1)
        return found[0] if found and found[0].block.height == height else None

    def canonical_range(self, start: Height, count: int) -> tuple[SignedBlock, ...]:
        """Canonical blocks upwards from `start`, at most `count`, of one snapshot."""

        def read(txn: lmdb.Transaction) -> tuple[SignedBlock, ...]:
            blocks: list[SignedBlock] = []
            with txn.cursor(self._canonical) as cursor:
                if cursor.set_range(_height_key(start)):
                    for value in cursor.iternext(keys=False):
                        if len(blocks) == count:
                            break
                        block = self._block(txn, BlockHash(bytes(value)))
                        if block is None:
                            raise Corrupt(f"the canonical block {displayed(bytes(value))} is not in the database")
                        blocks.append(block)
            return tuple(blocks)

        return self._read(read)

    def close(self) -> None:
        """Close the database; whatever was committed is on disk already."""
        with self._lock:
            self._environment.close()

    def _block(self, txn: lmdb.Transaction, block: BlockHash) -> SignedBlock | None:
        data = txn.get(block, db=self._blocks)
        if data is None:
            return None
        try:
            signed = decode_block(bytes(data))
        except Malformed as error:
            raise Corrupt(f"the block stored as {displayed(block)} does not decode: {error}") from error
        if signed.hash != block:
            raise Corrupt(f"the block stored as {displayed(block)} hashes to {displayed(signed.hash)}")
        return signed

    def _read(self, work: Callable[[lmdb.Transaction], Result]) -> Result:
        with self._lock, _store_errors(), self._environment.begin() as txn:
            return work(txn)

    def _write(self, work: Callable[[lmdb.Transaction], None]) -> None:
        with self._lock, _store_errors():
            while True:
                try:
                    with self._environment.begin(write=True) as txn:
                        work(txn)
                except lmdb.MapFullError:
                    self._environment.set_mapsize(2 * self._environment.info()["map_size"])
                else:
                    return


@contextmanager
def _store_errors() -> Generator[None]:
    """Say LMDB's errors as ours: a transaction that fails leaves the database as it was."""
    try:
        yield
    except lmdb.CorruptedError as error:
        raise Corrupt(f"the database is damaged: {error}") from error
    except lmdb.Error as error:
        raise StoreError(f"the database cannot be used: {error}") from error


def _height_key(height: Height) -> bytes:
    return height.to_bytes(8, "big")
