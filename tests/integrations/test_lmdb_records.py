"""Transactions: reads go on while a write is synced, and wait only while the map grows."""

import threading
from collections.abc import Generator
from pathlib import Path

import lmdb
import pytest

from alysd.integrations.lmdb_records import Records, RecordTransaction

SECONDS = 30.0
"""Longer than any step takes; no test waits for it to pass."""


@pytest.fixture
def records(tmp_path: Path) -> Generator[Records]:
    opened = Records.open(tmp_path, ["table"], map_bytes=64 * 1024)
    opened.write(lambda txn: txn.put("table", b"key", b"old"))
    yield opened
    opened.close()


def value(records: Records) -> bytes | None:
    return records.read(lambda txn: txn.get("table", b"key"))


def test_a_read_does_not_wait_for_a_write(records: Records) -> None:
    """A commit of 2.6 s on a slow disk stopped every request for that time."""
    in_write, may_end = threading.Event(), threading.Event()

    def slow(txn: RecordTransaction) -> None:
        txn.put("table", b"key", b"new")
        in_write.set()
        assert may_end.wait(SECONDS)

    writer = threading.Thread(target=records.write, args=(slow,))
    writer.start()
    assert in_write.wait(SECONDS)
    assert value(records) == b"old"
    may_end.set()
    writer.join(SECONDS)
    assert value(records) == b"new"


def test_the_map_grows_only_when_no_read_is_open(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    """LMDB forbids it: the reader's memory would be unmapped below it."""
    in_read, may_end, full = threading.Event(), threading.Event(), threading.Event()
    seen: list[bytes | None] = []

    def slow(txn: RecordTransaction) -> None:
        in_read.set()
        assert may_end.wait(SECONDS)
        seen.append(txn.get("table", b"key"))

    def fill(txn: RecordTransaction) -> None:
        try:
            for number in range(200):
                txn.put("table", b"%d" % number, bytes(1000))
        except lmdb.MapFullError:
            full.set()
            raise

    reader = threading.Thread(target=records.read, args=(slow,))
    reader.start()
    assert in_read.wait(SECONDS)
    writer = threading.Thread(target=records.write, args=(fill,))
    writer.start()
    assert full.wait(SECONDS)
    writer.join(0.05)
    assert writer.is_alive(), "it waits for the reader"
    may_end.set()
    writer.join(SECONDS)
    reader.join(SECONDS)
    assert seen == [b"old"]
    assert records.read(lambda txn: txn.count("table")) == 201
