"""Records on disk: in order, bounded, and whole after a crash or damage."""

import sys
import threading
from pathlib import Path

import pytest

from alysd.errors import NotNow, StoreError
from alysd.integrations.governance.records import RecordFolder
from alysd.types.hashes import sha256


def opened(folder: Path, most: int = 4) -> RecordFolder:
    return RecordFolder.open(folder / "outbox", most, 100)


def test_records_are_there_after_a_restart_in_their_order(tmp_path: Path) -> None:
    """A request that was not acknowledged would be forgotten, or an old one sent after a newer one."""
    records = opened(tmp_path)
    for name in ("c", "a", "b"):
        records.put(name, name.encode() * 3)
    records.remove("a")
    records.put("c", b"new")
    records.remove("unknown")
    expected = [("c", b"new"), ("b", b"bbb")]
    assert list(records.all()) == expected
    again = opened(tmp_path)
    assert list(again.all()) == expected
    again.put("d", b"")
    assert [key for key, _ in opened(tmp_path).all()] == ["c", "b", "d"]


def test_a_full_folder_takes_no_more_but_replaces(tmp_path: Path) -> None:
    """A governance that acknowledges nothing would fill the disk."""
    records = opened(tmp_path, most=2)
    records.put("a", b"1")
    records.put("b", b"1")
    with pytest.raises(NotNow, match="outbox is full: it has 2 records"):
        records.put("c", b"1")
    with pytest.raises(NotNow, match="at most 100 bytes, not 101"):
        records.put("a", b"x" * 101)
    records.put("a", b"2")
    assert list(opened(tmp_path).all()) == [("a", b"2"), ("b", b"1")]


@pytest.mark.parametrize("at", [0, 31, 32, 34, -1])
def test_a_damaged_file_is_set_aside_and_the_others_are_read(tmp_path: Path, at: int) -> None:
    """Changed bytes would be sent to the governance, or keep the node from starting."""
    records = opened(tmp_path)
    records.put("a", b"first")
    records.put("b", b"second")
    path = min((tmp_path / "outbox").iterdir())
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    again = opened(tmp_path)
    assert (list(again.all()), again.damaged) == ([("b", b"second")], 1)
    assert path.with_suffix(".damaged").exists()
    assert opened(tmp_path).damaged == 0


def test_a_file_that_a_crash_has_left_half_written_is_removed(tmp_path: Path) -> None:
    """It would stay for ever, and count as a record."""
    records = opened(tmp_path)
    records.put("a", b"first")
    half = tmp_path / "outbox" / "0000000000000001.record.new"
    half.write_bytes(b"ab")
    assert list(opened(tmp_path).all()) == [("a", b"first")]
    assert not half.exists()


def test_a_folder_in_place_of_a_record_is_set_aside(tmp_path: Path) -> None:
    """The process of the stream would not start any more."""
    records = opened(tmp_path)
    records.put("a", b"first")
    (tmp_path / "outbox" / "0000000000000000.record").rename(tmp_path / "outbox" / "0000000000000003.record")
    (tmp_path / "outbox" / "0000000000000002.record").mkdir()
    again = opened(tmp_path)
    assert (list(again.all()), again.damaged) == ([("a", b"first")], 1)


def test_records_can_be_listed_while_another_thread_changes_them(tmp_path: Path) -> None:
    """The host would end when a notification arrives while it looks for requests to send."""
    folder = tmp_path / "outbox"
    folder.mkdir()
    for number in range(2000):
        body = (4).to_bytes(2, "little") + b"%04d" % number
        (folder / f"{number:016d}.record").write_bytes(sha256(body) + body)
    records, errors = opened(tmp_path, most=3000), list[RuntimeError]()
    assert len(records.all()) == 2000
    interval, done = sys.getswitchinterval(), threading.Event()

    def look() -> None:
        while not done.is_set():
            try:
                records.all()
            except RuntimeError as error:
                errors.append(error)

    looking = threading.Thread(target=look)
    sys.setswitchinterval(1e-6)
    try:
        looking.start()
        for number in range(50):
            records.put(f"new-{number}", b"")
    finally:
        done.set()
        looking.join()
        sys.setswitchinterval(interval)
    assert errors == []


def test_a_disk_that_fails_is_named(tmp_path: Path) -> None:
    """The operator would not know why nothing is kept."""
    (tmp_path / "outbox").write_text("a file in place of the folder")
    with pytest.raises(StoreError, match="outbox"):
        opened(tmp_path)
