"""Compares the size of an LMDB file with the size that its meta pages require, before LMDB maps the file.

LMDB reads the file through a memory map: reading a page behind the end of a truncated file kills the process with
SIGBUS. The file begins with two meta pages (`MDB_page`, `MDB_meta` in LMDB's mdb.c, data version 1); the meta page
of the later transaction is valid.
"""

import os
import struct
from pathlib import Path

import attrs

from alysd.config.regular_file import reading_regular
from alysd.errors import Corrupt
from alysd.integrations.lmdb_errors import DATA_FILE, advice

NEW_FILE = "data.mdb.new"
"""The name of a compacted file while it is being written."""

_MAGIC = 0xBEEFC0DE
_VERSION = 1
_PAGE_HEADER = struct.Struct("=QHHI")
_META = struct.Struct("=IIQQ")  # magic, version, address, map size
_TREE = struct.Struct("=IHHQQQQQ")  # of the free pages and of the tables; the first field is the page size
_END = struct.Struct("=QQ")  # the last page in use, the transaction
_META_BYTES = _PAGE_HEADER.size + _META.size + 2 * _TREE.size + _END.size

_UNWRITTEN_PAGES = 8
"""The number of pages by which a file may be short without damage.

LMDB does not write pages that a transaction allocated at the end of the file and freed again. A test of 3,000
transactions that do this left at most two of them.
"""


@attrs.frozen
class _Meta:
    page_bytes: int
    last_page: int
    transaction: int


def remove_unfinished(folder: Path) -> None:
    """Remove the file that an interrupted compaction left in `folder`. No other process may use the database."""
    (folder / NEW_FILE).unlink(missing_ok=True)


def check_file(folder: Path) -> bool:
    """Return whether `folder` has a database file with content, and make the file long enough for LMDB to map it.

    A file may be a few pages shorter than its meta page says, because LMDB does not write unused pages at the end.
    Such a file is extended with zeros; if a missing page was in use after all, LMDB finds it damaged. Raises
    `Corrupt` for a file that is even shorter or is not a database, and `OSError` when the disk fails. No other
    process may use the database.
    """
    path = folder / DATA_FILE
    needed = _needed_bytes(path)
    if needed is None:
        return False
    if path.stat().st_size < needed:
        os.truncate(path, needed)
    return True


def check_length(folder: Path) -> bool:
    """Return the same as `check_file`, but do not change the file: a node may be using the database.

    A node writes new pages before the meta page that counts them, and never shortens the file.
    """
    return _needed_bytes(folder / DATA_FILE) is not None


def _needed_bytes(path: Path) -> int | None:
    """The length of a database file according to its meta page; None without content. Raises like `check_file`."""
    if not path.exists():
        return None
    if not path.is_file():
        raise Corrupt(f"{path} is not a file: move it away, then {advice(path.parent)}")
    if path.stat().st_size == 0:
        return None
    meta = _newest_meta(path)
    size = path.stat().st_size
    if meta is None:
        raise Corrupt(
            f"{path} ({size} bytes) is not an LMDB database that this machine can read: {advice(path.parent)}"
        )
    needed = (meta.last_page + 1) * meta.page_bytes
    if size < needed - _UNWRITTEN_PAGES * meta.page_bytes:
        raise Corrupt(f"{path} is truncated: it has {size} bytes and needs {needed}: {advice(path.parent)}")
    return needed


def _newest_meta(path: Path) -> _Meta | None:
    """The meta page of the later transaction, or None if a meta page is missing or has another form."""
    with reading_regular(path) as file:
        first = _meta(file.read(_META_BYTES))
        if first is None:
            return None
        file.seek(first.page_bytes)
        second = _meta(file.read(_META_BYTES))
    return None if second is None else max(first, second, key=lambda meta: meta.transaction)


def _meta(page: bytes) -> _Meta | None:
    if len(page) < _META_BYTES:
        return None
    start = _PAGE_HEADER.size
    magic, version, _address, _map = _META.unpack_from(page, start)
    page_bytes = _TREE.unpack_from(page, start + _META.size)[0]
    last, transaction = _END.unpack_from(page, start + _META.size + 2 * _TREE.size)
    if (magic, version) != (_MAGIC, _VERSION) or not 512 <= page_bytes <= 65536:
        return None
    return _Meta(page_bytes, last, transaction)
