"""The space of a database adds up, and a compacted file is the old one or the new one, each complete."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import lmdb
import pytest

from alysd.errors import ConfigError, Corrupt
from alysd.integrations import lmdb_space
from alysd.integrations.lmdb_snapshot import open_snapshot
from alysd.integrations.lmdb_space import compact, size_of
from tests.samples import full_disk


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A database of two tables that has lost most of its records."""
    path = tmp_path / "chain"
    with lmdb.open(str(path), max_dbs=2, map_size=2**24, mode=0o640) as environment:
        kept, lost = environment.open_db(b"kept"), environment.open_db(b"lost")
        with environment.begin(write=True) as transaction:
            for number in range(5000):
                transaction.put(number.to_bytes(4, "big"), b"v" * 100, db=kept if number < 500 else lost)
        with environment.begin(write=True) as transaction:
            for number in range(500, 5000):
                transaction.delete(number.to_bytes(4, "big"), db=lost)
    return path


def content(path: Path) -> dict[str, list[tuple[bytes, bytes]]]:
    with open_snapshot(path) as snapshot:
        return {table: list(snapshot.items(table)) for table in snapshot.tables()}


def test_the_sizes_add_up(folder: Path) -> None:
    size = size_of(folder)
    assert {name: table.entries for name, table in size.tables.items()} == {"kept": 500, "lost": 0}
    assert size.tables["kept"].bytes > 500 * 100
    assert size.tables["lost"].bytes == 0
    others = size.file_bytes - size.free_bytes - size.tables["kept"].bytes
    assert 0 < others <= 5 * 4096, "the meta pages, the list of tables, and what the file is longer"
    assert size.free_bytes > 4000 * 100


def test_compacting_gives_the_free_pages_back(folder: Path) -> None:
    before, size = content(folder), size_of(folder)
    after = compact(folder)
    assert not (folder / "lock.mdb").exists(), "a lock file of root would keep the node's user out"
    assert content(folder) == before
    assert after.file_bytes < size.file_bytes // 5
    assert after.free_bytes <= 4096
    assert (folder / "data.mdb").stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in folder.iterdir()) == ["data.mdb", "lock.mdb"]
    with lmdb.open(str(folder), max_dbs=2) as environment, environment.begin(write=True) as transaction:
        transaction.put(b"new", b"value", db=environment.open_db(b"kept", txn=transaction))
    assert len(content(folder)["kept"]) == 501


class Killed(BaseException):
    """The process ends here."""


STEPS = ("check_file", "_check_space", "_write_copy", "_check_copy", "sync_folder")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("after", [False, True])
def test_a_kill_at_any_step_leaves_a_complete_database(
    folder: Path, monkeypatch: pytest.MonkeyPatch, step: str, *, after: bool
) -> None:
    before = content(folder)
    real = getattr(lmdb_space, step)

    def kill(*args: object) -> None:
        if after:
            real(*args)
        raise Killed

    monkeypatch.setattr(lmdb_space, step, kill)
    with pytest.raises(Killed):
        compact(folder)
    monkeypatch.undo()
    assert content(folder) == before
    compact(folder)
    assert content(folder) == before
    assert not (folder / "data.mdb.new").exists()


def test_a_kill_in_the_middle_of_the_copy_leaves_the_old_file(folder: Path) -> None:
    before = content(folder)
    (folder / "data.mdb.new").write_bytes(b"half of a copy" * 10_000)
    assert content(folder) == before
    compact(folder)
    assert content(folder) == before


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from alysd.errors import StoreError
from alysd.integrations.lmdb_space import compact
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    compact(Path(sys.argv[1]))
except StoreError as error:
    print(error)
"""


def test_a_disk_that_is_full_during_the_copy_leaves_only_the_old_file(folder: Path) -> None:
    """A limit on the size of files stands for the full disk: the same call of the system fails."""
    before = content(folder)
    ran = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(folder)], capture_output=True, text=True, check=True
    )
    assert f"the database in {folder} cannot be used: the disk is full, or the file may not grow (E" in ran.stdout
    assert not (folder / "data.mdb.new").exists()
    assert content(folder) == before


def test_the_rest_of_a_killed_compaction_takes_no_room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "data.mdb.new").write_bytes(b"half of a copy")
    monkeypatch.setattr(shutil, "disk_usage", full_disk)
    with pytest.raises(ConfigError, match="the copy needs"):
        compact(folder)
    assert not (folder / "data.mdb.new").exists()


def test_a_copy_that_lacks_records_is_not_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, real = content(folder), lmdb_space._write_copy  # pyright: ignore[reportPrivateUsage]

    def losing(where: Path) -> None:
        real(where)
        with lmdb.open(str(where / "data.mdb.new"), subdir=False, max_dbs=2, lock=False) as environment:
            table = environment.open_db(b"kept")
            with environment.begin(write=True) as transaction:
                transaction.delete(bytes(4), db=table)

    monkeypatch.setattr(lmdb_space, "_write_copy", losing)
    with pytest.raises(Corrupt, match="entries in the table .*the database is unchanged; check the disk"):
        compact(folder)
    assert content(folder) == before


def test_a_disk_without_room_is_said_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", full_disk)
    with pytest.raises(ConfigError, match="bytes of free disk space, but the copy needs"):
        compact(folder)
    assert not (folder / "data.mdb.new").exists()


READER = """
import sys
from pathlib import Path
from alysd.integrations.lmdb_snapshot import open_snapshot
with open_snapshot(Path(sys.argv[1])):
    print("reading", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def reader(folder: Path) -> "Iterator[subprocess.Popen[str]]":
    """A process that reads a snapshot, like a backup."""
    command = [sys.executable, "-c", READER, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "reading\n"
        yield process
        process.kill()


def test_a_database_that_is_being_backed_up_is_not_replaced(folder: Path, reader: "subprocess.Popen[str]") -> None:
    """LMDB's lock file would count the transactions of the old file for the new one."""
    inode = (folder / "data.mdb").stat().st_ino
    with pytest.raises(ConfigError, match=rf"process {reader.pid} reads "):
        compact(folder)
    assert (folder / "data.mdb").stat().st_ino == inode
    reader.kill()
    reader.wait()
    compact(folder)
    assert (folder / "data.mdb").stat().st_ino != inode
