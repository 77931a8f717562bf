"""The guard's file: whole or refused, whatever happened to it."""

import errno
import os
from pathlib import Path

import attrs
import pytest

from alysd.errors import Corrupt, StoreError
from alysd.integrations.signing_guard import read_guard, write_guard
from alysd.types.hashes import BlockHash, BlsPublicKey, sha256
from alysd.types.signing import SignedSlot, UnknownApproval
from alysd.types.units import Slot
from tests.samples import watched_disk

KEY = BlsPublicKey(b"\x8f" * 48)
OLD = SignedSlot(KEY, Slot(850_000_000), BlockHash(b"\x01" * 32), Slot(849_999_999))
NEW = SignedSlot(KEY, Slot(850_000_007), BlockHash(b"\x02" * 32), Slot(850_000_000))
HALTED = attrs.evolve(NEW, unknown=UnknownApproval(Slot(850_000_008), BlockHash(b"\x03" * 32)))


@pytest.fixture
def guard(tmp_path: Path) -> Path:
    path = tmp_path / "signing-guard"
    write_guard(path, OLD)
    return path


def test_what_is_written_reads_back_and_only_its_owner_reads_it(guard: Path) -> None:
    assert read_guard(guard, KEY) == OLD
    assert guard.stat().st_mode & 0o077 == 0
    for record in (NEW, attrs.evolve(NEW, joins=True), HALTED, attrs.evolve(HALTED, joins=True)):
        write_guard(guard, record)
        assert read_guard(guard, KEY) == record


def test_the_file_is_as_documented(guard: Path) -> None:
    lines = guard.read_text().splitlines()
    assert lines[0] == "alysd signing guard 2"
    assert lines[1:5] == [f"key {KEY.hex()}", "slot 850000000", f"block {'01' * 32}", "lock 849999999"]
    assert lines[5] == "check " + sha256(("\n".join(lines[:5]) + "\n").encode()).hex()


def test_the_file_of_a_key_that_is_used_elsewhere_is_as_documented(guard: Path) -> None:
    write_guard(guard, HALTED)
    assert guard.read_text().splitlines()[5] == f"unknown 850000008 {'03' * 32}"
    whole = guard.read_bytes()
    guard.write_bytes(whole.replace(b"unknown 850000008 " + b"03" * 32 + b"\n", b""))
    with pytest.raises(Corrupt, match="damaged"):
        read_guard(guard, KEY)


def test_no_file_says_nothing(tmp_path: Path) -> None:
    assert read_guard(tmp_path / "missing", KEY) is None


def test_a_file_cut_at_any_byte_is_corrupt(guard: Path) -> None:
    """Reading half a record as a lower slot would let the node sign a slot twice."""
    whole = guard.read_bytes()
    for end in range(len(whole)):
        guard.write_bytes(whole[:end])
        with pytest.raises(Corrupt, match="damaged"):
            read_guard(guard, KEY)


def test_a_file_with_any_byte_changed_is_corrupt(guard: Path) -> None:
    whole = bytearray(guard.read_bytes())
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 0x01
        guard.write_bytes(changed)
        with pytest.raises(Corrupt):
            read_guard(guard, KEY)


def test_a_file_with_something_behind_it_is_corrupt(guard: Path) -> None:
    with guard.open("ab") as file:
        file.write(b"\n" * 5000)
    with pytest.raises(Corrupt):
        read_guard(guard, KEY)


def test_the_guard_of_another_key_is_named(guard: Path) -> None:
    """A key that moved to a folder with a foreign guard has signed things that this guard knows nothing of."""
    other = BlsPublicKey(b"\x90" * 48)
    with pytest.raises(Corrupt, match=f"belongs to the key {KEY.hex()}, but this node's key is {other.hex()}"):
        read_guard(guard, other)


def test_what_a_crash_left_beside_it_is_ignored_and_replaced(guard: Path) -> None:
    fresh = guard.with_name("signing-guard.new")
    fresh.write_bytes(b"alysd signing gua")
    assert read_guard(guard, KEY) == OLD
    write_guard(guard, NEW)
    assert read_guard(guard, KEY) == NEW
    assert not fresh.exists()


@pytest.mark.parametrize("failing", ["open", "fsync", "replace"])
def test_a_disk_that_refuses_leaves_the_old_record_whole(
    guard: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if failing == "replace":
        monkeypatch.setattr(Path, "replace", refuse)
    else:
        monkeypatch.setattr(os, failing, refuse)
    with pytest.raises(StoreError, match="No space left on device"):
        write_guard(guard, NEW)
    monkeypatch.undo()
    assert read_guard(guard, KEY) == OLD


def test_the_content_is_on_disk_before_its_name_and_the_name_before_the_answer(
    guard: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In any other order a power cut can leave an empty guard, or the old one, after a signature has left."""
    steps = watched_disk(monkeypatch)
    write_guard(guard, NEW)
    assert steps == ["sync file", "rename", "sync folder"]


def test_a_guard_that_cannot_be_read_is_not_taken_for_none(
    guard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Going on as if nothing had been signed is the one thing that must not happen."""
    with pytest.raises(Corrupt, match="is a folder: move it away, then run `alysd recover`"):
        read_guard(tmp_path, KEY)

    def refuse(*args: object, **options: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StoreError, match="cannot read .*Input/output error"):
        read_guard(guard, KEY)


def test_a_guard_of_format_1_is_locked_at_what_it_signed(guard: Path) -> None:
    """A database without that block would pass for one that lacks nothing."""
    text = "\n".join(guard.read_text().splitlines()[:4]).replace("guard 2", "guard 1") + "\n"
    guard.write_text(text + f"check {sha256(text.encode()).hex()}\n")
    assert read_guard(guard, KEY) == attrs.evolve(OLD, lock=OLD.slot)
