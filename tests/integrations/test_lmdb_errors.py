"""Errors of LMDB and of the disk name the database and what helps, in words."""

import errno
import os
import resource
import shutil
from pathlib import Path

import lmdb
import pytest

from alysd.errors import REBUILD_EXECUTION, RESTORE_DATABASE, AlysError, ConfigError, Corrupt, StoreError
from alysd.integrations.lmdb_errors import database_errors
from tests.samples import full_disk


def converted(error: Exception, folder: Path, *, opening: bool = False) -> AlysError:
    with pytest.raises(AlysError) as found, database_errors(folder, opening=opening):
        raise error
    return found.value


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "chain").mkdir()
    (tmp_path / "chain" / "data.mdb").write_bytes(bytes(8192))
    return tmp_path / "chain"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG, errno.EDQUOT])
@pytest.mark.parametrize("raw", [True, False])
def test_a_disk_without_room_is_said_so(folder: Path, number: int, *, raw: bool) -> None:
    words = os.strerror(number)
    found = converted(OSError(number, words) if raw else lmdb.Error(f"mdb_txn_commit: {words}"), folder)
    name = errno.errorcode[number]
    expected = f"the database in {folder} cannot be used: the disk is full, or the file may not grow ({name})"
    assert (type(found), str(found)) == (StoreError, expected)


FAILED = lmdb.Error("mdb_txn_commit: Input/output error")


def test_a_partial_write_is_a_full_disk_if_there_is_no_room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LMDB reports it as EIO."""
    assert str(converted(FAILED, folder)).endswith("cannot be used: the disk reports an error (EIO)")
    assert str(converted(FAILED, folder / "missing")).endswith("the disk reports an error (EIO)")

    def limited(_which: int) -> tuple[int, int]:
        return 10_000, 10_000

    with monkeypatch.context() as patch:
        patch.setattr(resource, "getrlimit", limited)
        assert "the disk is full, or the file may not grow (EIO)" in str(converted(FAILED, folder))
    monkeypatch.setattr(shutil, "disk_usage", full_disk)
    assert "the disk is full, or the file may not grow (EIO)" in str(converted(FAILED, folder))


def test_damage_is_answered_with_what_helps_for_this_database(tmp_path: Path) -> None:
    damage = lmdb.CorruptedError("mdb_get: a page is wrong")
    for name, place, helps in (
        ("chain", "the database", RESTORE_DATABASE),
        ("execution", "the execution database", REBUILD_EXECUTION),
    ):
        found = converted(damage, tmp_path / name)
        assert isinstance(found, Corrupt)
        assert str(found) == f"{place} in {tmp_path / name} is damaged: mdb_get: a page is wrong: {helps}"


def test_a_folder_without_access_is_the_operators_mistake_only_at_start(folder: Path) -> None:
    denied = PermissionError(errno.EACCES, "Permission denied")
    found = converted(denied, folder, opening=True)
    assert isinstance(found, ConfigError)
    assert "cannot be accessed: " in str(found)
    assert isinstance(converted(denied, folder), StoreError)
