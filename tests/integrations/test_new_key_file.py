"""New key files are private, durable, and never overwrite another."""

import os
import stat
from pathlib import Path

import pytest

from alysd.config.key_file import KeyFile, read_key_file
from alysd.errors import ConfigError
from alysd.integrations.new_key_file import write_key_file

SECRET = bytes(range(32))


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    """A member could not use the key that was just made."""
    path = tmp_path / "k"
    write_key_file(path, "bls", SECRET, "0xabc")
    assert read_key_file(path, kind="bls") == KeyFile("bls", SECRET)
    assert "# public 0xabc" in path.read_text()


def test_a_new_file_is_its_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    """Everybody on the machine could sign as the member."""
    before = os.umask(0)
    try:
        write_key_file(tmp_path / "k", "bitcoin", SECRET, "0x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "k").stat().st_mode) == 0o600


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    """A second `keys new` would destroy a share of the locked BTC."""
    path = tmp_path / "k"
    path.write_text("precious")
    with pytest.raises(ConfigError, match="the file exists"):
        write_key_file(path, "bls", SECRET, "0x")
    assert path.read_text() == "precious"


def test_a_folder_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    """A typing mistake must not end in a stack trace."""
    with pytest.raises(ConfigError, match="cannot be written: No such file or directory"):
        write_key_file(tmp_path / "no" / "k", "bls", SECRET, "0x")


def test_file_and_folder_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut after `keys new` would lose a key whose public half is already in a chain specification."""
    synced: list[int] = []

    def sync(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(os, "fsync", sync)
    write_key_file(tmp_path / "k", "bls", SECRET, "0x")
    assert synced == [(tmp_path / "k").stat().st_ino, tmp_path.stat().st_ino]


def test_a_key_that_cannot_be_synced_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of a key would remain, and the next attempt would be refused because of it."""

    def fail(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ConfigError, match="cannot be written: No space left on device"):
        write_key_file(tmp_path / "k", "bls", SECRET, "0x")
    assert not (tmp_path / "k").exists()
