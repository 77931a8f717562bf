"""The bloom filters of canonical blocks in memory, by which a search for logs skips blocks without reading them.

They are kept in sections of consecutive numbers, each with the hashes of its blocks. Each search compares these
hashes with the index of canonical blocks, and reads the headers of those that differ. So a search is right after a
reorganisation or a restart too, although nothing reports these events to it.
"""

import threading
from collections.abc import Iterator
from typing import Protocol

import attrs

from alysd.embedded.engine.log_filter import may_hold
from alysd.embedded.engine.records import damage, read_header

_BLOCKS = 64
"""The number of blocks in a section. The first search in a section reads all its headers, which takes 3 ms."""

_SECTIONS = 1024
"""The maximum number of sections: 65,536 blocks, more than a query may ask for.

A block takes 40 bytes, and another 300 if it has logs: 3 to 22 MB altogether.
"""

_HASH_BYTES = 32


class HeaderRecords(Protocol):
    """The part of the database that has the headers, and the index of canonical blocks."""

    def canonical_hashes(self, first: int, count: int) -> bytes:
        """The hashes of up to `count` canonical blocks from the number `first` on, one after the other."""
        ...

    def get(self, table: str, key: bytes) -> bytes | None:
        """One value of a table, or None."""
        ...


@attrs.frozen
class _Section:
    hashes: bytes = b""
    blooms: tuple[int, ...] = ()


class BlockBlooms:
    """The bloom filters of the canonical blocks searched last. Several threads may search at the same time."""

    def __init__(self, records: HeaderRecords, sections: int = _SECTIONS) -> None:
        self._records = records
        self._most = sections
        self._sections: dict[int, _Section] = {}
        self._lock = threading.Lock()

    def search(self, first: int, last: int, wanted: tuple[tuple[int, ...], ...]) -> Iterator[bytes]:
        """The hashes of the canonical blocks `first` to `last` that can contain a log, in order.

        `wanted` is the result of `LogFilter.blooms`. Numbers without a block are left out. Raises `Corrupt` when a
        header is missing or damaged.
        """
        for number in range(first // _BLOCKS, last // _BLOCKS + 1):
            base, section = number * _BLOCKS, self._section(number)
            for index in range(max(first - base, 0), min(last - base + 1, len(section.blooms))):
                bloom = section.blooms[index]
                if bloom and may_hold(bloom, wanted):
                    yield _hash_at(section.hashes, index)

    def _section(self, number: int) -> _Section:
        """The section, as the index of canonical blocks has it now."""
        hashes = self._records.canonical_hashes(number * _BLOCKS, _BLOCKS)
        known = self._sections.get(number, _Section())
        if known.hashes == hashes:
            return known
        new = _Section(
            hashes,
            tuple(
                known.blooms[index]
                if index < len(known.blooms) and _hash_at(known.hashes, index) == _hash_at(hashes, index)
                else self._bloom(number * _BLOCKS + index, _hash_at(hashes, index))
                for index in range(len(hashes) // _HASH_BYTES)
            ),
        )
        with self._lock:
            self._sections.pop(number, None)
            self._sections[number] = new
            if len(self._sections) > self._most:
                del self._sections[next(iter(self._sections))]
        return new

    def _bloom(self, number: int, block: bytes) -> int:
        found = self._records.get("headers", block)
        if found is None:
            raise damage(f"block {block.hex()} is missing")
        header = read_header(block, found)
        if header.number != number:
            raise damage(f"block {header.number} is recorded as canonical block {number}")
        return int.from_bytes(header.logs_bloom, "big")


def _hash_at(hashes: bytes, index: int) -> bytes:
    return hashes[index * _HASH_BYTES : (index + 1) * _HASH_BYTES]
