"""The records of the node's own database: codecs generated from the fields of attrs classes, and checksums.

A record consists of the fields in order, each with a fixed width: integers are big-endian, hashes and addresses
are unchanged, and a nested class is its own record. The class determines the layout of its record, so a changed
class is another database format (`integrations.lmdb_store`). Every stored value ends with a checksum over the
table's name, the key and the value, which detects damaged records and records under a wrong key.
"""

from collections.abc import Mapping
from functools import cache
from hashlib import blake2b
from typing import Any, Generic, TypeVar, get_type_hints

import attrs

from alysd.errors import RESTORE_DATABASE, Corrupt
from alysd.types.hashes import AuxHash, BitcoinHash, BlockHash, EvmAddress, PayloadHash
from alysd.types.units import Gwei, Height, Sat, Slot, Wei

T = TypeVar("T")

BYTES: Mapping[object, int] = {
    BlockHash: 32,
    PayloadHash: 32,
    AuxHash: 32,
    BitcoinHash: 32,
    EvmAddress: 20,
}
"""The byte string types that a field may have, with their widths in bytes."""

INTEGERS: Mapping[object, int] = {int: 8, Height: 8, Slot: 8, Sat: 8, Gwei: 8, Wei: 32}
"""The unsigned integer types that a field may have, with their widths in bytes.

Wei take 32 bytes, because 8 bytes would end at 18 BTC."""

CHECKSUM_BYTES = 8


@attrs.frozen
class _Bytes:
    width: int

    @property
    def layout(self) -> str:
        return f"bytes{self.width}"

    def encode(self, value: bytes) -> bytes:
        if len(value) != self.width:
            raise ValueError(f"the field must have {self.width} bytes, found {len(value)}")
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
    """The codec of one class. `width` is the length of a record in bytes, `layout` a description of its fields."""

    def __init__(self, kind: type[T]) -> None:
        hints = get_type_hints(kind)
        self._kind = kind
        self._parts = [(field.name, _part(hints[field.name])) for field in attrs.fields(kind)]  # pyright: ignore[reportArgumentType]  T is an attrs class
        self.width = sum(part.width for _, part in self._parts)
        self.layout = f"{kind.__name__}({', '.join(f'{name} {part.layout}' for name, part in self._parts)})"

    def encode(self, value: T) -> bytes:
        """Encode a value. Raises `ValueError` or `OverflowError` if one of its fields does not fit."""
        return b"".join(part.encode(getattr(value, name)) for name, part in self._parts)

    def decode(self, data: bytes) -> T:
        """Decode a record. Raises `Corrupt` for a record of another width."""
        if len(data) != self.width:
            raise Corrupt(f"a record of {self._kind.__name__} must have {self.width} bytes, found {len(data)}")
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
        raise TypeError(f"{kind} has no fixed width: add it to BYTES or INTEGERS in alysd.wire.records")
    return RecordCodec(kind)


def seal(table: str, key: bytes, value: bytes) -> bytes:
    """The stored form of a value: the value followed by its checksum."""
    return value + _checksum(table, key, value)


def unseal(table: str, key: bytes, record: bytes, advice: str = RESTORE_DATABASE) -> bytes:
    """The value of a stored record. Raises `Corrupt` with table, key and advice if the checksum does not match."""
    value, checksum = record[:-CHECKSUM_BYTES], record[-CHECKSUM_BYTES:]
    if checksum != _checksum(table, key, value):
        raise Corrupt(f"the record {key.hex()} of the table {table} in the node's database is damaged: {advice}")
    return value


def _checksum(table: str, key: bytes, value: bytes) -> bytes:
    digest = blake2b(key, digest_size=CHECKSUM_BYTES, person=table.encode())
    digest.update(value)
    return digest.digest()
