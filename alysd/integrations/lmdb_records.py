"""Transactions over named LMDB tables whose records have checksums.

Reading a damaged record raises `Corrupt`. Every write is one synced transaction. A lock runs one transaction at a
time: LMDB isolates readers and the writer, but its map may grow only while no transaction is open.
"""

import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import attrs
import lmdb

from alysd.errors import Corrupt, StoreError
from alysd.wire.records import seal, unseal

Result = TypeVar("Result")

FIRST_MAP_BYTES = 64 * 2**20
"""The initial size of the map: 64 MiB, some 50,000 empty blocks. The map doubles when it is full."""


@attrs.frozen
class Transaction:
    """A transaction's view of the tables. The keys of a table are ordered by their bytes."""

    lmdb: lmdb.Transaction
    tables: Mapping[str, Any]

    def get(self, table: str, key: bytes) -> bytes | None:
        """The value under a key, or None. Raises `Corrupt` for a damaged record, as all reads do."""
        record = self.lmdb.get(key, db=self.tables[table])
        return None if record is None else unseal(table, key, bytes(record))

    def put(self, table: str, key: bytes, value: bytes) -> None:
        """Write a value, replacing any existing one."""
        self.lmdb.put(key, seal(table, key, value), db=self.tables[table])

    def delete(self, table: str, key: bytes) -> None:
        """Delete a value if it exists."""
        self.lmdb.delete(key, db=self.tables[table])

    def scan(self, table: str, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Iterate over keys and values in order, from the first key at or after `start`."""
        with self.lmdb.cursor(self.tables[table]) as cursor:
            if cursor.set_range(start):
                for key, record in cursor.iternext():
                    yield bytes(key), unseal(table, bytes(key), bytes(record))


class Records:
    """An open LMDB environment. The methods are thread-safe; do not call them in the event loop."""

    def __init__(self, environment: lmdb.Environment, tables: Sequence[str]) -> None:
        self._environment = environment
        self._lock = threading.Lock()
        self._tables = {table: environment.open_db(table.encode()) for table in tables}

    @classmethod
    def open(cls, folder: Path, tables: Sequence[str], map_bytes: int = FIRST_MAP_BYTES) -> "Records":
        """Open the environment in `folder`, or create it. Raises `StoreError` when the disk fails."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            environment = lmdb.open(str(folder), map_size=map_bytes, max_dbs=len(tables), lock=True)
            return cls(environment, tables)
        except (lmdb.Error, OSError) as error:
            raise StoreError(f"cannot open the database in {folder}: {error}") from error

    def read(self, work: Callable[[Transaction], Result]) -> Result:
        """Run `work` in a read transaction, on one snapshot, and return its result."""
        with self._lock, _store_errors(), self._environment.begin() as txn:
            return work(Transaction(txn, self._tables))

    def write(self, work: Callable[[Transaction], None]) -> None:
        """Run `work` in one write transaction, which is on disk when this returns and undone when this raises.

        `work` runs again when the map was full and has been doubled.
        """
        with self._lock, _store_errors():
            while True:
                try:
                    with self._environment.begin(write=True) as txn:
                        work(Transaction(txn, self._tables))
                except lmdb.MapFullError:
                    self._environment.set_mapsize(2 * self._environment.info()["map_size"])
                else:
                    return

    def close(self) -> None:
        """Close the environment. All committed transactions are on disk already."""
        with self._lock:
            self._environment.close()


@contextmanager
def _store_errors() -> Generator[None]:
    """Convert LMDB's errors to `Corrupt` and `StoreError`. A failed transaction does not change the database."""
    try:
        yield
    except lmdb.CorruptedError as error:
        raise Corrupt(f"the database is damaged: {error}; restore the data folder from a backup") from error
    except lmdb.Error as error:
        raise StoreError(f"the database cannot be used: {error}") from error
