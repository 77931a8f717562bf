"""Measures the space of an LMDB database, and makes its file smaller while no process uses it.

LMDB reuses the pages of deleted records, but never shortens the file. Only a copy of the records in a new file is
smaller.
"""

import os
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import attrs
import lmdb

from alysd.errors import ConfigError, Corrupt
from alysd.integrations.durable import sync_folder
from alysd.integrations.lmdb_errors import DATA_FILE, database_errors
from alysd.integrations.lmdb_file import NEW_FILE, check_file, remove_unfinished
from alysd.integrations.lmdb_snapshot import Snapshot, TableSize, open_snapshot, snapshot_of

LOCK_FILE = "lock.mdb"

_META_PAGES = 2

_ROOM_BYTES = 16 * 2**20
"""Bytes of disk space that must remain free in addition to the new file."""


@attrs.frozen
class DatabaseSize:
    """The space of a database in bytes: its file, the free pages in it, and its tables by name.

    The free pages include the list of free pages, which is small.
    """

    file_bytes: int
    free_bytes: int
    tables: Mapping[str, TableSize]


def size_of(folder: Path) -> DatabaseSize:
    """Measure the database in `folder`, which a node may be using. Raises the errors of `open_snapshot`."""
    with open_snapshot(folder) as snapshot:
        return _measure(snapshot, folder / DATA_FILE)


def compact(folder: Path) -> DatabaseSize:
    """Replace the database in `folder` by a copy without free pages, and return its size.

    No node may use it: the caller has locked the data folder. A crash at any point leaves the old file or the new
    one, each complete; an error leaves only the old one. Raises `ConfigError` when another process reads the
    database or the disk has too little space, and the errors of `open_snapshot`.
    """
    with database_errors(folder, opening=True), ExitStack() as stack:
        remove_unfinished(folder)
        check_file(folder)
        before = size_of(folder)
        _check_space(folder, before)
        _check_unused(folder)
        stack.callback(remove_unfinished, folder)
        _write_copy(folder)
        after = _check_copy(folder / NEW_FILE, before)
        _check_unused(folder)
        (folder / NEW_FILE).rename(folder / DATA_FILE)
        # The lock file counts the transactions of the old file. The node makes a new one.
        (folder / LOCK_FILE).unlink(missing_ok=True)
        sync_folder(folder)
    return after


def _measure(snapshot: Snapshot, file: Path) -> DatabaseSize:
    tables = {name: snapshot.size(name) for name in snapshot.tables()}
    info, root = snapshot.environment.info(), snapshot.environment.stat()
    pages = _META_PAGES + root["branch_pages"] + root["leaf_pages"] + root["overflow_pages"]
    used = pages * root["psize"] + sum(table.bytes for table in tables.values())
    free = (info["last_pgno"] + 1) * root["psize"] - used
    return DatabaseSize(file.stat().st_size, max(free, 0), tables)


def _check_space(folder: Path, size: DatabaseSize) -> None:
    needed = size.file_bytes - size.free_bytes + _ROOM_BYTES
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ConfigError(
            f"{folder} has {free} bytes of free disk space, but the copy needs {needed}: free disk space first"
        )


def _check_unused(folder: Path) -> None:
    """Raise `ConfigError` while another process, such as a backup, has a snapshot of the database."""
    with lmdb.open(str(folder), map_size=0, max_dbs=1, readonly=True, create=False) as environment:
        environment.reader_check()
        readers = [line.split() for line in environment.readers().splitlines()]
    for reader in readers:
        if reader[0].isdigit() and int(reader[0]) != os.getpid() and reader[-1] != "-":
            raise ConfigError(
                f"process {reader[0]} reads the database in {folder}: wait until its backup is complete"
            )


def _write_copy(folder: Path) -> None:
    like = (folder / DATA_FILE).stat()
    descriptor = os.open(folder / NEW_FILE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.fchown(descriptor, like.st_uid, like.st_gid)  # root may run this for the node's user
        os.fchmod(descriptor, like.st_mode & 0o777)
        with lmdb.open(str(folder), map_size=0, max_dbs=1, readonly=True, create=False) as environment:
            environment.copyfd(descriptor, compact=True)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_copy(file: Path, before: DatabaseSize) -> DatabaseSize:
    """The size of the copy. Raises `Corrupt` unless each table has as many entries as in the original."""
    with snapshot_of(file) as snapshot:
        copy = _measure(snapshot, file)
    entries = {name: table.entries for name, table in copy.tables.items()}
    expected = {name: table.entries for name, table in before.tables.items()}
    for name in expected.keys() | entries.keys():
        if entries.get(name) != expected.get(name):
            raise Corrupt(
                f"the copy {file} has {entries.get(name)} entries in the table {name}, and the database has "
                f"{expected.get(name)}: the database is unchanged; check the disk and try again"
            )
    return copy
