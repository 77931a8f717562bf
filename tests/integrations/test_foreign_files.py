"""No file that the node reads or writes stops a thread: pipes and devices in its place are refused."""

import os
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from alysd.config.key_file import read_key_file
from alysd.errors import AlysError
from alysd.integrations.backup_manifest import use_backup
from alysd.integrations.bitcoin import cookie_credentials
from alysd.integrations.clock_step import StepFile
from alysd.integrations.data_folder import is_claimed
from alysd.integrations.durable import replace_file
from alysd.integrations.execution.auth import read_jwt_secret
from alysd.integrations.governance.records import RecordFolder
from alysd.integrations.lmdb_file import check_file
from alysd.integrations.payment_follow_file import read_follow_file
from alysd.integrations.payment_link import TlsFiles
from alysd.integrations.payment_record import PaymentRecord, locked_record
from alysd.integrations.reload_history import ReloadFile
from alysd.integrations.signing_guard import read_guard
from alysd.types.configuration import Reload
from alysd.types.hashes import BlockHash, BlsPublicKey, XOnlyKey

SECONDS = 20.0
"""The time after which a reader counts as stuck; each takes milliseconds."""

RELOAD = Reload("applied", (), "", "test", 5.5)


def lock(path: Path) -> None:
    with locked_record(path):
        raise AssertionError("locked")


def tls(path: Path) -> None:
    TlsFiles(path, path, path).context(ssl.Purpose.SERVER_AUTH)


def cookie(path: Path) -> None:
    trio.run(cookie_credentials(path, "http://127.0.0.1:1"))


READERS: dict[str, Callable[[Path], object]] = {
    "history": lambda path: ReloadFile(path).read(),
    "history, one more": lambda path: ReloadFile(path).add(RELOAD),
    "key": lambda path: read_key_file(path),
    "JWT secret": read_jwt_secret,
    "certificates": tls,
    "cookie": cookie,
    "signing guard": lambda path: read_guard(path, BlsPublicKey(bytes(48))),
    "payment record": lambda path: PaymentRecord.open(path, XOnlyKey(bytes(32))),
    "lock of the payment record": lock,
    "followed chain": lambda path: read_follow_file(path, BlockHash(bytes(32))),
    "chain file": lambda path: is_claimed(path.parent, "dev", BlockHash(bytes(32))),
    "backup": lambda path: use_backup(path.parent, BlockHash(bytes(32))),
    "database": lambda path: check_file(path.parent),
    "file before it is renamed": lambda path: replace_file(path.with_suffix(""), b"x"),
}
"""Reads or writes a file of the node. Each raises an error."""

QUIET: dict[str, Callable[[Path], object]] = {
    "step of the clock": lambda path: StepFile(path, "boot").read(),
    "governance record": lambda path: RecordFolder.open(path.parent, 5, 100),
}
"""Those that go on without the file."""

NAMES = {
    "chain file": "chain.json",
    "backup": "backup.json",
    "governance record": f"{5:016d}.record",
    "database": "data.mdb",
    "file before it is renamed": "it.new",
}


def within_the_time(read: Callable[[Path], object], path: Path) -> Exception | None:
    """Read in a thread, and return the error. Fails if the thread does not end."""
    found: list[Exception | None] = []

    def work() -> None:
        try:
            read(path)
        except (AlysError, OSError) as error:
            found.append(error)
        else:
            found.append(None)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(SECONDS)
    assert found, "the thread waits for another program"
    return found[0]


@pytest.mark.parametrize("name", [*READERS, *QUIET])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_the_thread_comes_back(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / NAMES.get(name, "it")
    if kind == "pipe":
        os.mkfifo(path, 0o600)
    else:
        path.symlink_to("/dev/zero")
    error = within_the_time((READERS | QUIET)[name], path)
    if name in READERS:
        assert error is not None
        assert str(path) in str(error) or name == "cookie"
    else:
        assert error is None


@pytest.mark.parametrize("name", ["cookie", "payment record", "followed chain"])
def test_a_huge_file_is_not_read_whole(tmp_path: Path, name: str) -> None:
    """One of 1 TB, which takes no space on the disk, ended the node for lack of memory."""
    path = tmp_path / "it"
    path.touch(0o600)
    os.truncate(path, 2**40)
    error = within_the_time(READERS[name], path)
    assert error is not None
    assert "larger than" in str(error)
