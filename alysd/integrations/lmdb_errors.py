"""The texts of errors of the node's databases: the database that failed, the reason, and the advice.

A data folder has up to three databases. The node's own one is restored from a backup; the embedded engine's is
built again from the node's blocks, and that of the Bitcoin watch from Bitcoin. The folder's name tells them apart.
"""

import errno
import os
import resource
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import lmdb

from alysd.errors import REBUILD_BITCOIN, REBUILD_EXECUTION, RESTORE_DATABASE, ConfigError, Corrupt, StoreError

DATA_FILE = "data.mdb"

EXECUTION_FOLDER = "execution"
"""The name of the embedded engine's database in the data folder."""

BITCOIN_FOLDER = "bitcoin"
"""The name of the Bitcoin watch's database in the data folder."""

_REBUILT = {EXECUTION_FOLDER: REBUILD_EXECUTION, BITCOIN_FOLDER: REBUILD_BITCOIN}

_DAMAGED = (
    lmdb.BadTxnError,  # a page has wrong flags, or an error before it ended the transaction
    lmdb.CorruptedError,
    lmdb.CursorFullError,
    lmdb.IncompatibleError,
    lmdb.InvalidError,
    lmdb.PageFullError,
    lmdb.PageNotFoundError,
    lmdb.VersionMismatchError,
)
_NO_ACCESS = (FileExistsError, NotADirectoryError, PermissionError, lmdb.ReadonlyError)
_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)

_ROOM_BYTES = 16 * 2**20
"""If a file can grow by this many bytes, EIO is not caused by a full disk. A block and its state need less."""


def advice(folder: Path) -> str:
    """The advice for the operator when the database in `folder` is damaged."""
    return _REBUILT.get(folder.name, RESTORE_DATABASE)


@contextmanager
def database_errors(folder: Path, *, opening: bool = False) -> Generator[None]:
    """Convert errors of LMDB and of the disk to `Corrupt` and `StoreError`.

    While the database is being opened, a file or folder that cannot be accessed is a `ConfigError`. A failed
    transaction does not change the database.
    """
    place = f"the {folder.name + ' ' if folder.name in _REBUILT else ''}database in {folder}"
    try:
        yield
    except _DAMAGED as error:
        raise Corrupt(f"{place} is damaged: {error}: {advice(folder)}") from error
    except (lmdb.Error, OSError) as error:
        if opening and isinstance(error, _NO_ACCESS):
            reason = f"{_words(error)}: it must be a folder that the node's user can read and write"
            raise ConfigError(f"{place} cannot be accessed: {reason}") from None
        raise StoreError(f"{place} cannot be used: {_reason(error, folder)}") from error


def _reason(error: Exception, folder: Path) -> str:
    number = _number(error)
    if number is not None and (number in _FULL or (number == errno.EIO and not _has_room(folder))):
        return f"the disk is full, or the file may not grow ({errno.errorcode[number]})"
    if number == errno.EIO:
        return "the disk reports an error (EIO)"
    return f"{_words(error)}; look at the disk, and at the permissions of the folder and its files"


def _words(error: Exception) -> str:
    """The text of an error, without the error number and the path that Python adds."""
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


def _number(error: Exception) -> int | None:
    """The error number, or None. An LMDB error contains only the text that belongs to the number."""
    if isinstance(error, OSError):
        return error.errno
    return next((number for number in (*_FULL, errno.EIO) if str(error).endswith(os.strerror(number))), None)


def _has_room(folder: Path) -> bool:
    """Whether the database file can grow by `_ROOM_BYTES`; also True when the room cannot be measured.

    The result distinguishes a full disk from a disk that fails: if a nearly full disk takes only a part of a
    write, LMDB reports EIO.
    """
    try:
        size, free = (folder / DATA_FILE).stat().st_size, shutil.disk_usage(folder).free
    except OSError:
        return True
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return free >= _ROOM_BYTES and (limit == resource.RLIM_INFINITY or size + _ROOM_BYTES <= limit)
