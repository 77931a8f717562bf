"""The bloom filters of canonical blocks in memory, by which a search for logs skips blocks without reading them.

They are kept in sections of consecutive numbers, each with the hashes of its blocks. The first search after a
change of the index of canonical blocks compares these hashes with the index, and reads the headers of those that
differ. So a search is right after a reorganisation or a restart too, although nothing reports these events to it.
"""

import threading
from collections.abc import Iterator, Sequence
from typing import Protocol

import attrs

from alysd.embedded.engine.log_filter import LogFilter, may_hold
from alysd.embedded.engine.records import damage, read_header

_BLOCKS = 64
"""The number of blocks in a section. The first search in a section reads all its headers, which takes 3 ms."""

_SECTIONS = 1024
"""The maximum number of sections: 65,536 blocks, more than a query may ask for.

A block takes 40 bytes, and another 300 if it has logs: 3 to 22 MB altogether.
"""

_HASH_BYTES = 32

_FEW_SECTIONS = 128
_FEW_ALTERNATIVES = 16
_FEW_COMPARISONS = 2_048
"""The limits of a search without the database. It takes 0.5 ms at most, with 0.2 µs for each comparison."""

Wanted = tuple[tuple[int, ...], ...]
"""The result of `LogFilter.blooms`."""


class HeaderRecords(Protocol):
    """The part of the database that has the headers, and the index of canonical blocks."""

    @property
    def canonical_version(self) -> int:
        """A number that rises after each change of the index."""
        ...

    def canonical_hashes(self, first: int, count: int) -> bytes:
        """The hashes of up to `count` canonical blocks from the number `first` on, one after the other."""
        ...

    def get(self, table: str, key: bytes) -> bytes | None:
        """One value of a table, or None."""
        ...


@attrs.frozen
class _Section:
    """Consecutive blocks, as the index has them at `version`. `union` has the bits of all `blooms`."""

    version: int = -1
    hashes: bytes = b""
    blooms: tuple[int, ...] = ()
    union: int = 0

    def may_hold(self, wanted: Wanted) -> bool:
        """Whether one of the blocks can contain a matching log."""
        return self.union != 0 and may_hold(self.union, wanted)

    def matching(self, first: int, last: int, wanted: Wanted) -> Iterator[bytes]:
        """The hashes of the blocks from index `first` to `last` that can contain a matching log."""
        for index in range(max(first, 0), min(last + 1, len(self.blooms))):
            bloom = self.blooms[index]
            if bloom and may_hold(bloom, wanted):
                yield _hash_at(self.hashes, index)


class BlockBlooms:
    """The bloom filters of the canonical blocks searched last. Several threads may search at the same time."""

    def __init__(self, records: HeaderRecords, sections: int = _SECTIONS) -> None:
        self._records = records
        self._most = sections
        self._sections: dict[int, _Section] = {}
        self._lock = threading.Lock()

    def search(self, first: int, last: int, wanted: Wanted) -> Iterator[bytes]:
        """The hashes of the canonical blocks `first` to `last` that can contain a log, in order.

        Numbers without a block are left out. Raises `Corrupt` when a header is missing or damaged.
        """
        for number in _numbers(first, last):
            section = self._section(number)
            if section.may_hold(wanted):
                yield from section.matching(first - number * _BLOCKS, last - number * _BLOCKS, wanted)

    def excludes(self, first: int, last: int, logs: LogFilter) -> bool:
        """Whether `search` certainly finds nothing, as far as that can be said at once, without the database.

        It takes less than a millisecond, so the event loop may call it.
        """
        numbers, version = _numbers(first, last), self._records.canonical_version
        if len(numbers) > _FEW_SECTIONS or logs.alternatives > _FEW_ALTERNATIVES:
            return False
        wanted, left = logs.blooms(), _FEW_COMPARISONS
        for number in numbers:
            section = self._sections.get(number)
            if section is None or section.version != version:
                return False
            if section.may_hold(wanted):
                left -= _BLOCKS * max(logs.alternatives, 1)
                base = number * _BLOCKS
                if left < 0 or any(True for _ in section.matching(first - base, last - base, wanted)):
                    return False
        return True

    def _section(self, number: int) -> _Section:
        """The section, as the index of canonical blocks has it now."""
        version = (
            self._records.canonical_version
        )  # read first: a change in between is then found by the next search
        known = self._sections.get(number, _Section())
        if known.version == version:
            return known
        hashes = self._records.canonical_hashes(number * _BLOCKS, _BLOCKS)
        if known.hashes == hashes:
            new = attrs.evolve(known, version=version)
        else:
            new = self._read(number, version, hashes, known)
        with self._lock:
            self._sections.pop(number, None)
            self._sections[number] = new
            if len(self._sections) > self._most:
                del self._sections[next(iter(self._sections))]
        return new

    def _read(self, number: int, version: int, hashes: bytes, known: _Section) -> _Section:
        """The section with these hashes; `known` is what it was before."""
        blooms = [
            known.blooms[index]
            if index < len(known.blooms) and _hash_at(known.hashes, index) == _hash_at(hashes, index)
            else self._bloom(number * _BLOCKS + index, _hash_at(hashes, index))
            for index in range(len(hashes) // _HASH_BYTES)
        ]
        return _Section(version, hashes, tuple(blooms), _union(blooms))

    def _bloom(self, number: int, block: bytes) -> int:
        found = self._records.get("headers", block)
        if found is None:
            raise damage(f"block {block.hex()} is missing")
        header = read_header(block, found)
        if header.number != number:
            raise damage(f"block {header.number} is recorded as canonical block {number}")
        return int.from_bytes(header.logs_bloom, "big")


def _numbers(first: int, last: int) -> range:
    """The numbers of the sections with the blocks `first` to `last`."""
    return range(first // _BLOCKS, last // _BLOCKS + 1)


def _union(blooms: Sequence[int]) -> int:
    union = 0
    for bloom in blooms:
        union |= bloom
    return union


def _hash_at(hashes: bytes, index: int) -> bytes:
    return hashes[index * _HASH_BYTES : (index + 1) * _HASH_BYTES]
