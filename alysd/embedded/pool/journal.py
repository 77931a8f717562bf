"""The journal of the pool: a file of transactions, from which a restarted node fills its pool again.

After a first line, the file has records: the length of the content in bytes (4, BE), the first 8 bytes of its
keccak256 hash, and the content. The hash shows whether a record is whole. A crash can leave a part of the last
record; whatever follows the first record that is not whole is not read, and the next start removes it.

The content is a transaction, or a *drop*: a zero byte, with which no transaction begins (EIP-2718), the hash of a
transaction that can never be included, and the reason in UTF-8. A drop counts wherever it is in the file, because
the thread that adds a transaction and the one that writes the drops may write in either order.

Records of transactions that no longer wait stay in the file until it is written anew, with the waiting ones and
the remembered drops only. That happens at each start, and whenever the file has become twice as large as it was
when it was written anew.

The guarantee: when `add` or `drop` returns, the operating system has the records, and the end of this process,
however sudden, does not lose them. After `sync` they are on disk, and survive a power cut too. If the disk fails,
the guarantee ends with a warning, until a later `sync` has written the whole file.
"""

import os
import struct
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import attrs

from alysd.config.regular_file import open_regular, reading_regular
from alysd.integrations.durable import replace_file
from alysd.messages.log.base import log
from alysd.messages.log.chain import PoolJournalFailed
from alysd.wire.keccak import keccak256

_FIRST_LINE = b"alysd pool journal 1\n"
_HEAD = struct.Struct(">I8s")

_SLACK_BYTES = 64 * 1024
"""The file may grow by this much before it is written anew: some 500 transfers, which a start checks in 0.1 s."""

_MOST_BYTES = 128 * 1024 * 1024
"""The maximum number of bytes that a start reads. A full pool of 32 MiB and as much again are the most written."""

_DROP = b"\0"
_HASH_BYTES = 32

_REASON_BYTES = 256
"""The maximum length of a reason. The longest of this program have 160 bytes."""


@attrs.frozen
class JournalContent:
    """The transactions in the file, in order, and the reasons of the dropped ones by hash, the newest last.

    `unreadable_bytes` are those at the end of the file that are not whole records.
    """

    transactions: tuple[bytes, ...]
    unreadable_bytes: int
    dropped: Mapping[bytes, str] = attrs.field(factory=dict[bytes, str])


def _no_drops() -> Mapping[bytes, str]:
    return {}


class PoolJournal:
    """The file at `path`, which need not exist. Threads may call all methods; each may wait for the disk.

    `waiting` returns the transactions of the pool, and `dropped` the reasons of those that it has discarded, by
    hash. The journal calls both while it holds its own lock, so the pool must not hold a lock when it calls the
    journal.
    """

    def __init__(
        self,
        path: Path,
        waiting: Callable[[], Iterable[bytes]],
        dropped: Callable[[], Mapping[bytes, str]] = _no_drops,
    ) -> None:
        self._path = path
        self._waiting = waiting
        self._dropped = dropped
        self._lock = threading.Lock()
        self._size = 0
        self._most = 0  # the file is written anew above this size; at first, because it may have any content
        self._unsynced = False
        self._failed = False

    def read(self) -> JournalContent:
        """The content of the file; nothing if there is no file, or if it cannot be read, which is logged."""
        try:
            with reading_regular(self._path) as file:
                return _parse(file.read(_MOST_BYTES))
        except FileNotFoundError:
            pass
        except OSError as error:
            self._warn(error)
        return JournalContent((), 0)

    def add(self, transactions: Iterable[bytes]) -> None:
        """Write transactions that are in the pool by now. Nothing is written after a failure, until `sync`."""
        self._write(b"".join(_record(raw) for raw in transactions))

    def drop(self, hash_: bytes, reason: str) -> None:
        """Write that the pool has discarded a transaction; otherwise as `add`."""
        self._write(_drop_record(hash_, reason))

    def _write(self, records: bytes) -> None:
        with self._lock:
            if not records or self._failed:
                return
            try:
                if self._size + len(records) > self._most:
                    self._rewrite()
                else:
                    self._append(records)
            except OSError as error:
                self._warn(error)

    def sync(self) -> None:
        """Sync the file to the disk, if it has changed. After a failure, write the whole file again."""
        try:
            with self._lock:
                if self._failed:
                    self._rewrite()
                    self._failed = False
                changed, self._unsynced = self._unsynced, False
            if changed:  # without the lock, because a sync can take a second, and senders wait for `add`
                with reading_regular(self._path) as file:
                    os.fsync(file.fileno())
        except OSError as error:
            self._warn(error)

    def renew(self) -> None:
        """Write the file anew, with what waits and the remembered drops. It is on disk when this returns."""
        with self._lock:
            try:
                self._rewrite()
            except OSError as error:
                self._warn(error)

    def _append(self, records: bytes) -> None:
        # The file is opened each time (20 µs), so that no owner has to close it.
        descriptor = open_regular(self._path, os.O_WRONLY | os.O_APPEND)
        try:
            found = os.fstat(descriptor).st_size
            if found != self._size:
                raise OSError(f"it has {found} bytes instead of {self._size}: another program has changed it")
            written = os.write(descriptor, records)
        finally:
            os.close(descriptor)
        if written != len(records):
            raise OSError(f"{written} of {len(records)} bytes were written: the disk is full")
        self._size += written
        self._unsynced = True

    def _rewrite(self) -> None:
        waiting = [_record(raw) for raw in self._waiting()]
        drops = [_drop_record(hash_, reason) for hash_, reason in self._dropped().items()]
        content = b"".join([_FIRST_LINE, *waiting, *drops])
        replace_file(self._path, content)
        self._size = len(content)
        self._most = 2 * self._size + _SLACK_BYTES
        self._unsynced = False

    def _warn(self, error: OSError) -> None:
        if not self._failed:
            log(PoolJournalFailed(str(self._path), error.strerror or str(error)))
        self._failed = True


def _record(raw: bytes) -> bytes:
    return _HEAD.pack(len(raw), keccak256(raw)[:8]) + raw


def _drop_record(hash_: bytes, reason: str) -> bytes:
    return _record(_DROP + hash_ + reason.encode()[:_REASON_BYTES])


def _parse(content: bytes) -> JournalContent:
    if not content.startswith(_FIRST_LINE):
        return JournalContent((), len(content))
    found: list[bytes] = []
    dropped: dict[bytes, str] = {}
    at = len(_FIRST_LINE)
    while at + _HEAD.size <= len(content):
        length, check = _HEAD.unpack_from(content, at)
        raw = content[at + _HEAD.size : at + _HEAD.size + length]
        if len(raw) != length or keccak256(raw)[:8] != check:
            break
        if raw.startswith(_DROP):
            dropped[raw[1 : 1 + _HASH_BYTES]] = raw[1 + _HASH_BYTES :][:_REASON_BYTES].decode(errors="replace")
        else:
            found.append(raw)
        at += _HEAD.size + length
    return JournalContent(tuple(found), len(content) - at, dropped)
