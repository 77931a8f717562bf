"""Reads the LMDB database of a running node from another process, in one snapshot.

LMDB gives every read transaction, in any process, a consistent snapshot, which later writes of the node do not
change. While the transaction is open, the node cannot reuse the pages that it frees, so its file may grow.
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import lmdb

from alysd.errors import ConfigError
from alysd.integrations.lmdb_errors import database_errors
from alysd.integrations.lmdb_file import check_length

_MOST_TABLES = 128
"""The maximum number of tables, more than any database of the node has."""


@attrs.frozen
class TableSize:
    """The number of entries of a table, and the bytes of its pages."""

    entries: int
    bytes: int


@attrs.frozen
class Snapshot:
    """An open read transaction on a database; `folder` is its folder. Raises `Corrupt` and `StoreError`."""

    folder: Path
    environment: lmdb.Environment
    transaction: lmdb.Transaction

    def tables(self) -> list[str]:
        """The names of the tables."""
        with database_errors(self.folder), self.transaction.cursor() as cursor:
            return [bytes(name).decode() for name in cursor.iternext(values=False)]

    def items(self, table: str) -> Iterator[tuple[bytes, bytes]]:
        """The keys and values of a table, in order, in their stored form."""
        with database_errors(self.folder), self.transaction.cursor(self._table(table)) as cursor:
            for key, value in cursor.iternext():
                yield bytes(key), bytes(value)

    def get(self, table: str, key: bytes) -> bytes | None:
        """A value in its stored form, or None."""
        with database_errors(self.folder):
            found = self.transaction.get(key, db=self._table(table))
        return None if found is None else bytes(found)

    def last(self, table: str) -> tuple[bytes, bytes] | None:
        """The last key of a table and its value, or None."""
        with database_errors(self.folder), self.transaction.cursor(self._table(table)) as cursor:
            return (bytes(cursor.key()), bytes(cursor.value())) if cursor.last() else None

    def size(self, table: str) -> TableSize:
        """The size of a table."""
        with database_errors(self.folder):
            found = self.transaction.stat(self._table(table))
        pages = found["branch_pages"] + found["leaf_pages"] + found["overflow_pages"]
        return TableSize(found["entries"], pages * found["psize"])

    def _table(self, name: str) -> Any:
        return self.environment.open_db(name.encode(), txn=self.transaction, create=False)


@contextmanager
def open_snapshot(folder: Path) -> Generator[Snapshot]:
    """Open the database in `folder` for reading.

    Raises `ConfigError` when there is none or it cannot be accessed, `Corrupt` when it is damaged.
    """
    with database_errors(folder, opening=True):
        if not check_length(folder):
            raise ConfigError(f"{folder} has no database: name the configuration of a node that has run")
        # A map of size 0 is as large as the node's.
        environment = lmdb.open(str(folder), map_size=0, max_dbs=_MOST_TABLES, readonly=True, create=False)
        with environment, _begin(environment) as transaction:
            yield Snapshot(folder, environment, transaction)


@contextmanager
def snapshot_of(file: Path) -> Generator[Snapshot]:
    """Open a database file that no process uses, without a lock file. Raises LMDB's errors."""
    environment = lmdb.open(
        str(file), subdir=False, map_size=0, max_dbs=_MOST_TABLES, readonly=True, create=False, lock=False
    )
    with environment, _begin(environment) as transaction:
        yield Snapshot(file.parent, environment, transaction)


def _begin(environment: lmdb.Environment) -> lmdb.Transaction:
    while True:
        try:
            return environment.begin()
        except lmdb.MapResizedError:  # the node's map has grown since it was opened
            environment.set_mapsize(0)
