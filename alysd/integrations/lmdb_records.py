"""Transactions over named LMDB tables whose records have checksums.

Reading a damaged record raises `Corrupt`. Every write is one synced transaction. Reads and one write run at the
same time, since LMDB gives each transaction its own snapshot. While the map grows, no transaction may be open.
"""

import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import attrs
import lmdb

from alysd.integrations.durable import sync_folder
from alysd.integrations.lmdb_errors import advice, database_errors
from alysd.integrations.lmdb_file import check_file, remove_unfinished
from alysd.wire.records import seal, unseal

Result = TypeVar("Result")

FIRST_MAP_BYTES = 64 * 2**20
"""The initial size of the map: 64 MiB, some 50,000 empty blocks. The map doubles when it is full."""


@attrs.frozen
class RecordTransaction:
    """A transaction's view of the tables. The keys of a table are ordered by their bytes.

    `advice` is the advice in errors about damaged records.
    """

    lmdb: lmdb.Transaction
    tables: Mapping[str, Any]
    advice: str

    def get(self, table: str, key: bytes) -> bytes | None:
        """The value under a key, or None. Raises `Corrupt` for a damaged record, as all reads do."""
        record = self.lmdb.get(key, db=self.tables[table])
        return None if record is None else unseal(table, key, bytes(record), self.advice)

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
                    yield bytes(key), unseal(table, bytes(key), bytes(record), self.advice)

    def scan_back(self, table: str) -> Iterator[tuple[bytes, bytes]]:
        """Iterate over keys and values in descending order, from the last key."""
        with self.lmdb.cursor(self.tables[table]) as cursor:
            for key, record in cursor.iterprev():
                yield bytes(key), unseal(table, bytes(key), bytes(record), self.advice)

    def count(self, table: str) -> int:
        """The number of keys of a table, as LMDB counts them."""
        entries: int = self.lmdb.stat(self.tables[table])["entries"]
        return entries


class Records:
    """An open LMDB environment. The methods are thread-safe; do not call them in the event loop."""

    def __init__(self, environment: lmdb.Environment, tables: Sequence[str]) -> None:
        self._environment = environment
        self._folder = Path(environment.path())
        self._tables = {table: environment.open_db(table.encode()) for table in tables}
        self._write_lock = threading.Lock()
        self._gate = threading.Condition()
        self._readers = 0
        self._closed_to_readers = False

    @classmethod
    def find(cls, folder: Path, tables: Sequence[str]) -> "Records | None":
        """Open the environment in `folder`; None if there is none. Raises the errors of `open`, and `Corrupt`."""
        with database_errors(folder, opening=True):
            remove_unfinished(folder)
            return cls.open(folder, tables) if check_file(folder) else None

    @classmethod
    def open(cls, folder: Path, tables: Sequence[str], map_bytes: int = FIRST_MAP_BYTES) -> "Records":
        """Open the environment in `folder`, or create it.

        Raises `ConfigError` when the folder cannot be accessed, and `StoreError` when the disk fails.
        """
        with database_errors(folder, opening=True):
            new = not folder.is_dir()
            folder.mkdir(parents=True, exist_ok=True)
            environment = lmdb.open(str(folder), map_size=map_bytes, max_dbs=len(tables), lock=True)
            if new:
                sync_folder(folder)  # LMDB syncs the content of its new files, not their names
                sync_folder(folder.parent)
            return cls(environment, tables)

    def read(self, work: Callable[[RecordTransaction], Result]) -> Result:
        """Run `work` in a read transaction, on one snapshot, and return its result."""
        with database_errors(self._folder), self._reading(), self._environment.begin() as txn:
            return work(RecordTransaction(txn, self._tables, advice(self._folder)))

    def write(self, work: Callable[[RecordTransaction], None]) -> None:
        """Run `work` in one write transaction, which is on disk when this returns and undone when this raises.

        `work` runs again when the map was full and has been doubled.
        """
        with self._write_lock, database_errors(self._folder):
            while True:
                try:
                    with self._environment.begin(write=True) as txn:
                        work(RecordTransaction(txn, self._tables, advice(self._folder)))
                except lmdb.MapFullError:
                    # Release the snapshot of a killed backup. Until then LMDB does not reuse the snapshot's pages.
                    self._environment.reader_check()
                    with self._no_readers():
                        self._environment.set_mapsize(2 * self._environment.info()["map_size"])
                else:
                    return

    def close(self) -> None:
        """Close the environment. All committed transactions are on disk already."""
        with self._write_lock, self._no_readers():
            self._environment.close()

    @contextmanager
    def _reading(self) -> Generator[None]:
        with self._gate:
            self._gate.wait_for(lambda: not self._closed_to_readers)
            self._readers += 1
        try:
            yield
        finally:
            with self._gate:
                self._readers -= 1
                self._gate.notify_all()

    @contextmanager
    def _no_readers(self) -> Generator[None]:
        """Wait for the current readers. New readers wait until the `with` block has ended."""
        with self._gate:
            self._closed_to_readers = True
            self._gate.wait_for(lambda: self._readers == 0)
        try:
            yield
        finally:
            with self._gate:
                self._closed_to_readers = False
                self._gate.notify_all()
