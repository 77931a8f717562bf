"""The data folder: one node and one chain per folder."""

import errno
import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from alysd.errors import ConfigError, Corrupt, DataFolderInUse, StoreError, WrongChain
from alysd.integrations.data_folder import CHAIN_FILE, LOCK_FILE, DataFolder, claim, is_claimed
from alysd.types.hashes import BlockHash, displayed
from tests.samples import watched_disk

HERE = BlockHash(bytes.fromhex("3f2a91c0") + bytes(28))
THERE = BlockHash(bytes.fromhex("7c11e0aa") + bytes(28))


def test_a_second_node_is_told_who_has_the_folder(tmp_path: Path) -> None:
    """Otherwise two nodes would write one database, and one authority could sign twice."""
    with DataFolder.open(tmp_path / "data"), pytest.raises(DataFolderInUse) as caught:
        DataFolder.open(tmp_path / "data")
    started = time.strftime("%H:%M")
    assert str(caught.value).startswith(f"{tmp_path}/data is in use by process {os.getpid()} (alysd, started ")
    assert str(caught.value).endswith("; give each node its own data folder")
    assert started[:2] in str(caught.value)


HOLD = """
import sys, time
from pathlib import Path
from alysd.integrations.data_folder import DataFolder
DataFolder.open(Path(sys.argv[1]))
print("ready", flush=True)
time.sleep(60)
"""
"""Another node, until it is killed."""


def test_a_killed_node_leaves_no_lock(tmp_path: Path) -> None:
    """After a power cut somebody would have to remove a file by hand."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "data")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            with pytest.raises(DataFolderInUse, match=f"process {process.pid} "):
                DataFolder.open(tmp_path / "data")
        finally:
            process.kill()
    DataFolder.open(tmp_path / "data").close()


def test_the_folder_is_its_owners_alone(tmp_path: Path) -> None:
    """Others could read what the node keeps, or change its guard against signing twice."""
    with DataFolder.open(tmp_path / "a" / "data") as folder:
        assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder.path / LOCK_FILE).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"pid": 1}', b'{"pid": "x", "started": 1}', b'{"pid": 1, "started": 1e300}', b"[" * 4096],
)
def test_an_owner_caught_before_it_wrote_its_name_is_somebody(tmp_path: Path, content: bytes) -> None:
    """The message itself would fail."""
    with DataFolder.open(tmp_path):
        (tmp_path / LOCK_FILE).write_bytes(content)
        with pytest.raises(DataFolderInUse, match="is in use by another process"):
            DataFolder.open(tmp_path)


def test_an_owner_of_another_day_is_shown_with_the_date(tmp_path: Path) -> None:
    """`started 11:58` of last week would send somebody looking in the wrong place."""
    with DataFolder.open(tmp_path):
        (tmp_path / LOCK_FILE).write_text(json.dumps({"pid": 7, "started": 1_600_000_000}))
        with pytest.raises(DataFolderInUse, match=r"process 7 \(alysd, started 2020-09-1"):
            DataFolder.open(tmp_path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A typing mistake must not end in a stack trace."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"storage.path = .*cannot be used: (Not a directory|File exists)"):
        DataFolder.open(tmp_path / "file")


def test_a_full_disk_at_start_is_said_and_lets_go_of_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder would stay locked by a node that never started."""

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(ConfigError, match="cannot be written: No space left on device"):
            DataFolder.open(tmp_path)
    DataFolder.open(tmp_path).close()


def test_a_folder_stays_with_its_chain(tmp_path: Path) -> None:
    """Blocks of two chains would be mixed in one database."""
    assert not is_claimed(tmp_path, "alys-dev", HERE)
    claim(tmp_path, "alys-dev", HERE)
    assert is_claimed(tmp_path, "alys-dev", HERE)
    with pytest.raises(WrongChain) as caught:
        is_claimed(tmp_path, "other", THERE)
    assert f"belongs to chain alys-dev (genesis {displayed(HERE)}), not" in str(caught.value)
    assert f"not to other (genesis {displayed(THERE)})" in str(caught.value)


def test_the_claim_is_on_disk_before_its_name_and_the_name_before_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut could leave an empty file, or take the name away again."""
    steps = watched_disk(monkeypatch)
    claim(tmp_path, "alys-dev", HERE)
    assert steps == ["sync file", "rename", "sync folder"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"chain": "x"}',
        b'{"chain": 1, "genesis": "x"}',
        b'{"chain": "x", "genesis": "x"}',
        b"[" * 4096,
    ],
)
def test_a_chain_file_that_does_not_read_back_stops_the_node(tmp_path: Path, content: bytes) -> None:
    """The node would guess, and perhaps overwrite another chain's blocks."""
    (tmp_path / CHAIN_FILE).write_bytes(content)
    with pytest.raises(Corrupt, match="does not name the chain"):
        is_claimed(tmp_path, "alys-dev", HERE)


def test_a_folder_in_the_place_of_the_chain_file_stops_the_node(tmp_path: Path) -> None:
    """The start ended in a stack trace."""
    (tmp_path / CHAIN_FILE).mkdir()
    with pytest.raises(Corrupt, match="does not name the chain"):
        is_claimed(tmp_path, "alys-dev", HERE)


@pytest.mark.parametrize(("number", "error"), [(errno.EACCES, ConfigError), (errno.EIO, StoreError)])
def test_a_chain_file_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, error: type[Exception]
) -> None:
    """The folder would count as new."""

    def refuse(*args: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(error, match=f"chain.json cannot be read: {os.strerror(number)}"):
        is_claimed(tmp_path, "alys-dev", HERE)


def test_a_claim_that_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk would end in a stack trace, and half a file in a folder without a chain."""

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match="No space left on device"):
        claim(tmp_path, "alys-dev", HERE)
    assert not (tmp_path / CHAIN_FILE).exists()
