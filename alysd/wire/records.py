"""Values <-> records of the node's own database, by one codec that is generated from an attrs class's fields.

A record is its fields in order, each of a fixed width: integers big-endian, hashes and addresses as they are, a
class as its own record. So the layout of a record follows from its class, and a class that changes makes another
format of the database (`integrations.lmdb_store`). Every stored value ends with a checksum over the table's name,
the key and the value: a damaged record is seen, and so is one that stands under another record's key.
"""

from collections.abc import Mapping
from functools import cache
from hashlib import blake2b
from typing import Any, Generic, TypeVar, get_type_hints

import attrs

from alysd.errors import Corrupt
from alysd.types.hashes import BitcoinHash, BlockHash, EvmAddress, PayloadHash
from alysd.types.units import Gwei, Height, Sat, Slot, Wei

T = TypeVar("T")

BYTES: Mapping[object, int] = {BlockHash: 32, PayloadHash: 32, BitcoinHash: 32, EvmAddress: 20}
"""The byte strings that a field may hold, with their widths."""

INTEGERS: Mapping[object, int] = {int: 8, Height: 8, Slot: 8, Sat: 8, Gwei: 8, Wei: 32}
"""The unsigned integers that a field may hold, with their widths: 64 bits of wei end at 18 BTC."""

CHECKSUM_BYTES = 8


@attrs.frozen
class _Bytes:
    width: int

    @property
    def layout(self) -> str:
        return f"bytes{self.width}"

    def encode(self, value: bytes) -> bytes:
        if len(value) != self.width:
            raise ValueError(f"{len(value)} bytes where a record has {self.width}")
        return value

    def decode(self, data: bytes) -> bytes:
        return data


@attrs.frozen
class _Integer:
    width: int

    @property
    def layout(self) -> str:
        return f"uint{8 * self.width}"

    def encode(self, value: int) -> bytes:
        return value.to_bytes(self.width, "big")

    def decode(self, data: bytes) -> int:
        return int.from_bytes(data, "big")


class RecordCodec(Generic[T]):
    """The codec of one class: `width` is the length of its records in bytes, `layout` their fields in words."""

    def __init__(self, kind: type[T]) -> None:
        hints = get_type_hints(kind)
        self._kind = kind
        self._parts = [(field.name, _part(hints[field.name])) for field in attrs.fields(kind)]  # pyright: ignore[reportArgumentType]  T is an attrs class
        self.width = sum(part.width for _, part in self._parts)
        self.layout = f"{kind.__name__}({', '.join(f'{name} {part.layout}' for name, part in self._parts)})"

    def encode(self, value: T) -> bytes:
        """The record of a value. Raises `ValueError` or `OverflowError` for one that does not fit its fields."""
        return b"".join(part.encode(getattr(value, name)) for name, part in self._parts)

    def decode(self, data: bytes) -> T:
        """The value of a record; `Corrupt` for one of another width."""
        if len(data) != self.width:
            raise Corrupt(f"a record of {self._kind.__name__} takes {self.width} bytes, found {len(data)}")
        values: dict[str, Any] = {}
        start = 0
        for name, part in self._parts:
            values[name] = part.decode(data[start : start + part.width])
            start += part.width
        return self._kind(**values)


def _part(kind: Any) -> "_Bytes | _Integer | RecordCodec[Any]":
    if kind in BYTES:
        return _Bytes(BYTES[kind])
    if kind in INTEGERS:
        return _Integer(INTEGERS[kind])
    return record_codec(kind)


@cache
def record_codec(kind: type[T]) -> RecordCodec[T]:
    """The codec of an attrs class. Raises `TypeError` for a class with a field that has no fixed width."""
    if not attrs.has(kind):
        raise TypeError(f"{kind} has no fixed width: give it one in alysd.wire.records")
    return RecordCodec(kind)


def seal(table: str, key: bytes, value: bytes) -> bytes:
    """The value as it is stored: with its checksum."""
    return value + _checksum(table, key, value)


def unseal(table: str, key: bytes, record: bytes) -> bytes:
    """The value in a stored record; `Corrupt`, naming table and key, if it is not what was stored there."""
    value, checksum = record[:-CHECKSUM_BYTES], record[-CHECKSUM_BYTES:]
    if checksum != _checksum(table, key, value):
        raise Corrupt(
            f"the record {key.hex()} of the table {table} in the node's database is damaged: "
            "stop the node and restore its data folder from a backup"
        )
    return value


def _checksum(table: str, key: bytes, value: bytes) -> bytes:
    digest = blake2b(key, digest_size=CHECKSUM_BYTES, person=table.encode())
    digest.update(value)
    return digest.digest()
