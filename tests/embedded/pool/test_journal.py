"""The pool's journal: what was written is read, whatever a crash or a bad disk does to the file."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alysd.embedded.pool import journal as module
from alysd.embedded.pool.journal import JournalContent, PoolJournal
from alysd.messages.log.base import LogEvent
from alysd.messages.log.chain import PoolJournalFailed

ONE, TWO, THREE = (bytes([n]) * (100 + n) for n in (1, 2, 3))


def journal(path: Path, *waiting: bytes) -> PoolJournal:
    """A journal in `path` of a pool in which these transactions wait."""
    return PoolJournal(path, lambda: waiting)


def written(path: Path, *transactions: bytes) -> bytes:
    """The file after these transactions were added to a pool that was empty before."""
    path.unlink(missing_ok=True)
    pool: list[bytes] = []
    into = PoolJournal(path, lambda: pool)
    for one in transactions:
        pool.append(one)
        into.add([one])
    return path.read_bytes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pool.journal"


def test_what_was_added_is_read_in_order(path: Path) -> None:
    written(path, ONE, TWO, THREE)
    assert journal(path).read() == JournalContent((ONE, TWO, THREE), 0)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_drop_is_read_with_its_reason(path: Path) -> None:
    """Before or behind its transaction: two threads may write them in either order."""
    into = journal(path, ONE)
    into.add([ONE])
    into.drop(b"\7" * 32, "takes longer than 0.75 s")
    into.drop(b"\1" * 32, "x" * 100_000)
    into.add([TWO])
    content = journal(path).read()
    assert (content.transactions, content.unreadable_bytes) == ((ONE, TWO), 0)
    assert content.dropped == {b"\7" * 32: "takes longer than 0.75 s", b"\1" * 32: "x" * 256}
    PoolJournal(path, tuple[bytes, ...], lambda: {b"\2" * 32: "é" * 200}).renew()
    content = journal(path).read()
    assert (content.transactions, content.dropped) == ((), {b"\2" * 32: "é" * 128})


def test_without_a_file_nothing_is_read(path: Path) -> None:
    assert journal(path).read() == JournalContent((), 0)


def test_a_part_of_a_record_costs_only_this_record(path: Path) -> None:
    """A crash while a record was being written must not cost the transactions before it."""
    whole = written(path, ONE, TWO)
    before = len(written(path, ONE))
    for length in range(before, len(whole)):
        path.write_bytes(whole[:length])
        assert journal(path).read() == JournalContent((ONE,), length - before)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_no_damage_invents_a_transaction(tmp_path_factory: pytest.TempPathFactory, at: int, flip: int) -> None:
    path = tmp_path_factory.mktemp("damage") / "pool.journal"
    content = bytearray(written(path, ONE, TWO, THREE))
    content[at % len(content)] ^= flip
    path.write_bytes(content)
    found = journal(path).read()
    assert found.transactions == (ONE, TWO, THREE)[: len(found.transactions)]
    assert len(found.transactions) < 3
    assert found.unreadable_bytes > 0


@pytest.mark.parametrize("content", [b"", b"\0" * 5000, b"another file\n", b"alysd pool journal 2\n" + ONE])
def test_another_file_has_no_transactions(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert journal(path).read() == JournalContent((), len(content))


def test_the_first_write_replaces_whatever_is_there(path: Path) -> None:
    """Behind a torn record, an appended one would never be read."""
    path.write_bytes(written(path, ONE)[:-5])
    journal(path, TWO).add([TWO])
    assert journal(path).read() == JournalContent((TWO,), 0)


def test_a_file_that_grows_keeps_only_what_waits(path: Path) -> None:
    """A sender who replaces a transaction again and again must not fill the disk."""
    pool: list[bytes] = [b""]
    into = PoolJournal(path, lambda: pool)
    sizes: list[int] = []
    for number in range(2_000):
        pool[0] = (number + 512).to_bytes(2, "big") * 500
        into.add(pool)
        sizes.append(path.stat().st_size)
    assert max(sizes) < 70_000
    assert journal(path).read().transactions[-1] == pool[0]
    pool = [bytes([n]) * 10_000 for n in range(1, 101)]
    into = PoolJournal(path, lambda: pool)
    into.renew()
    for _ in range(105):
        into.add([pool[0]])
    assert len(journal(path).read().transactions) == 205, "a large pool is written anew more seldom"


def test_renewing_removes_what_waits_no_more(path: Path) -> None:
    written(path, ONE, TWO, THREE)
    journal(path, TWO).renew()
    assert journal(path).read() == JournalContent((TWO,), 0)


def test_sync_syncs_a_changed_file_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    into = journal(path, ONE)
    into.add([ONE])
    synced: list[int] = []

    def fsync(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(module.os, "fsync", fsync)
    into.sync()
    assert synced == [], "a file written anew is on disk already"
    into.add([TWO])
    into.sync()
    into.sync()
    assert synced == [path.stat().st_ino]


def test_a_failing_disk_is_reported_once_and_tried_again_by_sync(path: Path, logged: list[LogEvent]) -> None:
    pool = [ONE]
    into = PoolJournal(path, lambda: pool)
    into.add(pool)
    path.unlink()
    path.mkdir()
    for _ in range(2):
        into.add([TWO])
        into.sync()
    into.renew()
    assert logged == [PoolJournalFailed(str(path), os.strerror(errno.EISDIR))]
    path.rmdir()
    pool = [ONE, TWO]
    into.add([TWO])
    assert not path.exists()
    into.sync()
    assert journal(path).read() == JournalContent((ONE, TWO), 0)
    into.add([THREE])
    assert journal(path).read() == JournalContent((ONE, TWO, THREE), 0)


def test_a_full_disk_leaves_whole_records(
    path: Path, monkeypatch: pytest.MonkeyPatch, logged: list[LogEvent]
) -> None:
    pool = [ONE, TWO]
    into = PoolJournal(path, lambda: pool)
    into.renew()
    write = os.write

    def write_some(descriptor: int, data: bytes) -> int:
        return write(descriptor, data[:50])

    monkeypatch.setattr(module.os, "write", write_some)
    pool.append(THREE)
    into.add([THREE])
    into.add([THREE])
    assert logged == [PoolJournalFailed(str(path), "50 of 115 bytes were written: the disk is full")]
    assert journal(path).read().transactions == (ONE, TWO)
    monkeypatch.undo()
    into.sync()
    assert journal(path).read() == JournalContent((ONE, TWO, THREE), 0)


def test_an_unreadable_file_is_reported(path: Path, logged: list[LogEvent]) -> None:
    path.mkdir()
    assert journal(path).read() == JournalContent((), 0)
    assert [type(event) for event in logged] == [PoolJournalFailed]


def test_a_pipe_in_its_place_is_reported_and_replaced_by_sync(path: Path, logged: list[LogEvent]) -> None:
    """The thread that answers a sender would wait for a program at the other end of the pipe."""
    pool = [ONE]
    into = PoolJournal(path, lambda: pool)
    into.renew()
    path.unlink()
    os.mkfifo(path)
    assert journal(path).read() == JournalContent((), 0)
    pool.append(TWO)
    into.add([TWO])
    assert logged == [
        PoolJournalFailed(str(path), "not a regular file"),
        PoolJournalFailed(str(path), os.strerror(errno.ENXIO)),
    ]
    into.sync()
    assert journal(path).read() == JournalContent((ONE, TWO), 0)


def test_a_file_that_another_program_has_changed_is_written_anew(path: Path, logged: list[LogEvent]) -> None:
    """A record behind a damaged one is never read again."""
    pool = [ONE]
    into = PoolJournal(path, lambda: pool)
    into.renew()
    path.write_bytes(b"other")
    pool.append(TWO)
    into.add([TWO])
    (event,) = logged
    assert "it has 5 bytes instead of 134: another program has changed it" in str(event)
    into.sync()
    assert journal(path).read() == JournalContent((ONE, TWO), 0)


def test_nothing_to_add_touches_nothing(path: Path) -> None:
    journal(path).add([])
    journal(path).sync()
    assert not path.exists()
