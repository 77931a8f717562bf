"""`ports.KeptRecords`: one file for each record, with a checksum, in a folder of its own.

A file is written in place of the old one (`durable.replace_file`), so a crash leaves each record whole, in its old
or its new form. A file whose checksum is wrong was damaged by the disk: it is renamed and no longer read.
"""

from collections.abc import Sequence
from pathlib import Path

import attrs

from alysd.config.regular_file import reading_regular
from alysd.errors import NotNow, StoreError
from alysd.integrations.durable import replace_file, sync_folder
from alysd.messages.log.base import log
from alysd.messages.log.governance import GovernanceRecordDamaged
from alysd.types.hashes import sha256

_CHECKSUM = 32
_LENGTH = 2
_SUFFIX = ".record"


@attrs.define
class _Record:
    number: int
    data: bytes


class RecordFolder:
    """The records in `folder`: at most `most`, each with at most `most_bytes` of data.

    `damaged` counts the files that could not be read when the folder was opened.
    """

    def __init__(self, folder: Path, most: int, most_bytes: int) -> None:
        self._folder = folder
        self._most = most
        self._most_bytes = most_bytes
        # Each change makes another dict, because `all` runs in another thread than `put` and `remove`.
        self._records: dict[str, _Record] = {}
        self._next = 0
        self.damaged = 0

    @classmethod
    def open(cls, folder: Path, most: int, most_bytes: int) -> "RecordFolder":
        """Make the folder, or read its records. Raises `StoreError` if the disk fails."""
        records = cls(folder, most, most_bytes)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path in sorted(folder.glob(f"*{_SUFFIX}")):
                records._read(path)
            for left in folder.glob("*.new"):
                left.unlink()
        except OSError as error:
            raise StoreError(f"{folder}: {error.strerror}") from None
        return records

    def all(self) -> Sequence[tuple[str, bytes]]:
        """All records, oldest first."""
        return [(key, record.data) for key, record in self._records.items()]

    def put(self, key: str, data: bytes) -> None:
        """Add or replace a record. Raises `NotNow` if there is no room, and `StoreError`."""
        known = self._records.get(key)
        if known is None and len(self._records) >= self._most:
            raise NotNow(f"{self._folder.name} is full: it has {self._most} records")
        if len(data) > self._most_bytes:
            raise NotNow(f"{self._folder.name} takes records of at most {self._most_bytes} bytes, not {len(data)}")
        number = self._next if known is None else known.number
        name = key.encode()
        body = len(name).to_bytes(_LENGTH, "little") + name + data
        try:
            replace_file(self._path(number), sha256(body) + body)
        except OSError as error:
            raise StoreError(f"{self._folder}: {error.strerror}") from None
        self._records = {**self._records, key: _Record(number, data)}
        self._next = max(self._next, number + 1)

    def remove(self, key: str) -> None:
        """Remove a record, if it is there. Raises `StoreError`."""
        known = self._records.get(key)
        if known is None:
            return
        try:
            self._path(known.number).unlink(missing_ok=True)
            sync_folder(self._folder)
        except OSError as error:
            raise StoreError(f"{self._folder}: {error.strerror}") from None
        self._records = {name: record for name, record in self._records.items() if name != key}

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:016d}{_SUFFIX}"

    def _read(self, path: Path) -> None:
        """Read one file. Files beyond the bounds are left alone, as after a bound was lowered."""
        content = b""
        if path.is_file():  # a folder cannot be read, and a pipe would be read for ever
            with reading_regular(path) as file:
                content = file.read(_CHECKSUM + _LENGTH + (1 << 16) + self._most_bytes + 1)
        body = content[_CHECKSUM:]
        length = int.from_bytes(body[:_LENGTH], "little")
        whole = len(body) >= _LENGTH + length and sha256(body) == content[:_CHECKSUM]
        if not whole or not path.stem.isdecimal():
            self.damaged += 1
            log(GovernanceRecordDamaged(str(path.with_suffix(".damaged"))))
            path.rename(path.with_suffix(".damaged"))
            return
        number, key = int(path.stem), body[_LENGTH : _LENGTH + length].decode()
        self._records[key] = _Record(number, body[_LENGTH + length :])
        self._next = max(self._next, number + 1)
