"""Locks the node's data folder, and records to which chain it belongs.

The record is written last when a node is set up in a new folder: a folder with this record has had a database, and
a signing guard if its node is an authority (`consensus.stored_data`).
"""

import fcntl
import json
import os
import re
import time
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import attrs

from alysd.config.regular_file import reading_regular
from alysd.errors import ConfigError, Corrupt, DataFolderInUse, StoreError, WrongChain
from alysd.integrations.durable import replace_file
from alysd.types.hashes import BlockHash, displayed
from alysd.wire.json_input import parse_json

LOCK_FILE = "lock"
CHAIN_FILE = "chain.json"
MAX_CHAIN_BYTES = 4096
"""The largest chain file, and the largest lock file: both hold one short line of JSON."""

_GENESIS = re.compile("[0-9a-f]{64}")


class DataFolder:
    """A data folder that this process has locked, from `DataFolder.open` until `close`.

    The lock is a kernel lock (flock), which ends with the process. The content of the lock file only names the
    process that holds the lock.
    """

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def open(cls, path: Path) -> Self:
        """Create the folder if it is missing, and lock it.

        Raises `DataFolderInUse` if another process has locked it, `ConfigError` if it cannot be written.
        """
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(f'storage.path = "{path}": cannot be used: {error.strerror}') from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = _owner(os.pread(lock, MAX_CHAIN_BYTES, 0))
            os.close(lock)
            raise DataFolderInUse(f"{path} is in use by {owner}; give each node its own data folder") from None
        try:
            os.ftruncate(lock, 0)
            os.pwrite(lock, json.dumps({"pid": os.getpid(), "started": time.time()}).encode(), 0)
        except OSError as error:
            os.close(lock)
            raise ConfigError(f'storage.path = "{path}": cannot be written: {error.strerror}') from None
        return cls(path, lock)

    def close(self) -> None:
        """Unlock the folder."""
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def is_claimed(folder: Path, chain: str, genesis: BlockHash) -> bool:
    """Whether a node of this chain has been set up in the folder.

    Raises `WrongChain` if the folder belongs to another chain, `Corrupt` if its chain file is damaged.
    """
    found = _read_chain(folder / CHAIN_FILE)
    if found is None:
        return False
    if found.genesis != genesis:
        raise WrongChain(
            f"{folder} belongs to chain {found.chain} (genesis {displayed(found.genesis)}), "
            f"not to {chain} (genesis {displayed(genesis)})\nset storage.path to another folder"
        )
    return True


def claim(folder: Path, chain: str, genesis: BlockHash) -> None:
    """Record the chain of the folder, after everything else in it has been set up. Raises `ConfigError`."""
    text = json.dumps({"chain": chain, "genesis": genesis.hex()})
    try:
        replace_file(folder / CHAIN_FILE, text.encode())
    except OSError as error:
        raise ConfigError(f"{folder / CHAIN_FILE} cannot be written: {error.strerror}") from None


@attrs.frozen
class _Chain:
    chain: str
    genesis: BlockHash


def _owner(content: bytes) -> str:
    """Describe the process that holds the lock. The lock file may still be empty."""
    try:
        document: object = parse_json(content)
        owner = cast("dict[str, float]", document if isinstance(document, dict) else {})
        started = datetime.fromtimestamp(float(owner["started"])).astimezone()
        pid = int(owner["pid"])
    except (ValueError, KeyError, TypeError, OverflowError, OSError):
        return "another process"
    today = started.date() == datetime.now().astimezone().date()
    when = f"{started:%H:%M}" if today else f"{started:%Y-%m-%d %H:%M}"
    return f"process {pid} (alysd, started {when})"


def _read_chain(file: Path) -> _Chain | None:
    """Read a chain file; None if there is none. Raises `Corrupt` for anything else than a chain file."""
    try:
        with reading_regular(file) as stored:
            document: object = parse_json(stored.read(MAX_CHAIN_BYTES))
        identity = cast("dict[str, object]", document if isinstance(document, dict) else {})
        chain, genesis = identity.get("chain"), identity.get("genesis")
        if isinstance(chain, str) and isinstance(genesis, str) and _GENESIS.fullmatch(genesis):
            return _Chain(chain, BlockHash(bytes.fromhex(genesis)))
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise ConfigError(
            f"{file} cannot be read: {error.strerror}: make it readable for the node's user"
        ) from None
    except (ValueError, IsADirectoryError):
        pass  # said below
    except OSError as error:
        raise StoreError(f"{file} cannot be read: {error.strerror}; check the disk") from error
    raise Corrupt(f"{file} does not name the chain of the folder: restore this file from a copy of the folder")
