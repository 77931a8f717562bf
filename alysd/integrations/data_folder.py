"""Locks the node's data folder, and records to which chain it belongs."""

import fcntl
import json
import os
import time
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self, cast

from alysd.errors import ConfigError, Corrupt, DataFolderInUse, WrongChain
from alysd.types.hashes import BlockHash
from alysd.wire.json_input import parse_json

LOCK_FILE = "lock"
CHAIN_FILE = "chain.json"
_MAX_FILE_BYTES = 4096  # both files hold one short line of JSON


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
            owner = _owner(os.pread(lock, _MAX_FILE_BYTES, 0))
            os.close(lock)
            raise DataFolderInUse(f"{path} is in use by {owner}; give each node its own data folder") from None
        try:
            os.ftruncate(lock, 0)
            os.pwrite(lock, json.dumps({"pid": os.getpid(), "started": time.time()}).encode(), 0)
        except OSError as error:
            os.close(lock)
            raise ConfigError(f'storage.path = "{path}": cannot be written: {error.strerror}') from None
        return cls(path, lock)

    def claim(self, chain: str, genesis: BlockHash) -> None:
        """Record the chain at the first use of the folder; later raise `WrongChain` if it is another one."""
        file = self.path / CHAIN_FILE
        try:
            found = _read_chain(file)
        except FileNotFoundError:
            self._write_chain(file, {"chain": chain, "genesis": genesis.hex()})
            return
        if found["genesis"] != genesis.hex():
            raise WrongChain(
                f"{self.path} belongs to chain {found['chain']} (genesis {found['genesis'][:8]}), "
                f"not to {chain} (genesis {genesis.hex()[:8]})\nset storage.path to another folder"
            )

    def close(self) -> None:
        """Unlock the folder."""
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write_chain(self, file: Path, identity: dict[str, str]) -> None:
        """Write a temporary file, sync and rename it, so that the chain file is never incomplete."""
        beside = file.with_suffix(".new")
        try:
            with beside.open("w") as out:
                json.dump(identity, out)
                out.flush()
                os.fsync(out.fileno())
            beside.rename(file)
        except OSError as error:
            raise ConfigError(f'storage.path = "{self.path}": cannot be written: {error.strerror}') from None


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


def _read_chain(file: Path) -> dict[str, str]:
    """Read a chain file. Raises `FileNotFoundError`, or `Corrupt` if the content is invalid."""
    with file.open("rb") as stored:
        data = stored.read(_MAX_FILE_BYTES)
    try:
        document: object = parse_json(data)
    except ValueError:
        document = None
    identity = cast("dict[str, object]", document if isinstance(document, dict) else {})
    chain, genesis = identity.get("chain"), identity.get("genesis")
    if not isinstance(chain, str) or not isinstance(genesis, str):
        raise Corrupt(f"{file} does not say which chain the folder belongs to: restore the folder from a backup")
    return {"chain": chain, "genesis": genesis}
