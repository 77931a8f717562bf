"""The records of the node's own database: codecs generated from the fields of attrs classes, and checksums.

A record consists of the fields in order: integers are big-endian, hashes and addresses are unchanged, and a nested
class is its own record. Byte strings and tuples of variable length begin with their length in 2 bytes, and a field
that may be None begins with 1 byte, which is 0 for None. The class determines the layout of its record, so a
changed class is another database format (`integrations.lmdb_store`). Every stored value ends with a checksum over
the table's name, the key and the value, which detects damaged records and records under a wrong key.
"""

from collections.abc import Mapping
from functools import cache
from hashlib import blake2b
from types import UnionType
from typing import Any, Generic, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints

import attrs

from alysd.errors import RESTORE_DATABASE, Corrupt
from alysd.types.hashes import (
    AuxHash,
    BitcoinHash,
    BlockHash,
    BlsPublicKey,
    EvmAddress,
    PayloadHash,
    TransactionHash,
)
from alysd.types.units import Gwei, Height, Sat, SatSum, Slot, Wei

T = TypeVar("T")

BYTES: Mapping[object, int] = {
    BlockHash: 32,
    PayloadHash: 32,
    AuxHash: 32,
    BitcoinHash: 32,
    TransactionHash: 32,
    EvmAddress: 20,
    BlsPublicKey: 48,
}
"""The byte string types that a field may have, with their widths in bytes."""

INTEGERS: Mapping[object, int] = {int: 8, Height: 8, Slot: 8, Sat: 8, SatSum: 16, Gwei: 8, Wei: 32}
"""The unsigned integer types that a field may have, with their widths in bytes.

Wei take 32 bytes, because 8 bytes would end at 18 BTC."""

CHECKSUM_BYTES = 8


_COUNT_BYTES = 2
"""The width of the length of a byte string or tuple."""


class _Part(Protocol):
    """The codec of a field. `width` is that of its encoding in bytes, None if it varies."""

    @property
    def width(self) -> int | None: ...

    @property
    def layout(self) -> str: ...

    def encode(self, value: Any) -> bytes: ...

    def read(self, data: bytes, start: int) -> tuple[Any, int]:
        """Read the field that begins at `start`; return its value and its end."""
        ...


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

    def read(self, data: bytes, start: int) -> tuple[bytes, int]:
        end = start + self.width
        return data[start:end], end


@attrs.frozen
class _Integer:
    width: int

    @property
    def layout(self) -> str:
        return f"uint{8 * self.width}"

    def encode(self, value: int) -> bytes:
        return value.to_bytes(self.width, "big")

    def read(self, data: bytes, start: int) -> tuple[int, int]:
        end = start + self.width
        return int.from_bytes(data[start:end], "big"), end


@attrs.frozen
class _Flag:
    width: int = 1
    layout: str = "flag"

    def encode(self, value: bool) -> bytes:
        return b"\x01" if value else b"\0"

    def read(self, data: bytes, start: int) -> tuple[bool, int]:
        return data[start : start + 1] == b"\x01", start + 1


@attrs.frozen
class _Text:
    width: None = None
    layout: str = "bytes"

    def encode(self, value: bytes) -> bytes:
        return len(value).to_bytes(_COUNT_BYTES, "big") + value

    def read(self, data: bytes, start: int) -> tuple[bytes, int]:
        begin = start + _COUNT_BYTES
        end = begin + int.from_bytes(data[start:begin], "big")
        return data[begin:end], end


@attrs.frozen
class _Option:
    part: _Part
    width: None = None

    @property
    def layout(self) -> str:
        return f"{self.part.layout}?"

    def encode(self, value: object) -> bytes:
        return b"\0" if value is None else b"\x01" + self.part.encode(value)

    def read(self, data: bytes, start: int) -> tuple[Any, int]:
        return self.part.read(data, start + 1) if data[start : start + 1] == b"\x01" else (None, start + 1)


@attrs.frozen
class _Tuple:
    part: _Part
    width: None = None

    @property
    def layout(self) -> str:
        return f"{self.part.layout}*"

    def encode(self, value: tuple[object, ...]) -> bytes:
        return len(value).to_bytes(_COUNT_BYTES, "big") + b"".join(self.part.encode(one) for one in value)

    def read(self, data: bytes, start: int) -> tuple[Any, int]:
        at = start + _COUNT_BYTES
        values: list[Any] = []
        for _ in range(int.from_bytes(data[start:at], "big")):
            value, at = self.part.read(data, at)
            values.append(value)
        return tuple(values), at


class RecordCodec(Generic[T]):
    """The codec of one class.

    `width` is the length of a record in bytes, None if it varies. `layout` is a description of the fields.
    """

    def __init__(self, kind: type[T]) -> None:
        hints = get_type_hints(kind)
        self._kind = kind
        self._parts = [(field.name, _part(hints[field.name])) for field in attrs.fields(kind)]  # pyright: ignore[reportArgumentType]  T is an attrs class
        widths = [part.width for _, part in self._parts]
        fixed = [width for width in widths if width is not None]
        self.width = sum(fixed) if len(fixed) == len(widths) else None
        self.layout = f"{kind.__name__}({', '.join(f'{name} {part.layout}' for name, part in self._parts)})"

    def encode(self, value: T) -> bytes:
        """Encode a value. Raises `ValueError` or `OverflowError` if one of its fields does not fit."""
        return b"".join(part.encode(getattr(value, name)) for name, part in self._parts)

    def decode(self, data: bytes) -> T:
        """Decode a record. Raises `Corrupt` for a record of another length."""
        value, end = self.read(data, 0) if self.width in (None, len(data)) else (None, self.width)
        if value is None or end != len(data):
            raise Corrupt(f"a record of {self._kind.__name__} must have {end} bytes, found {len(data)}")
        return value

    def read(self, data: bytes, start: int) -> tuple[T, int]:
        """Read the record that begins at `start`; return its value and its end, which may be after the data's."""
        values: dict[str, Any] = {}
        for name, part in self._parts:
            values[name], start = part.read(data, start)
        return self._kind(**values), start


def _part(kind: Any) -> _Part:
    if kind in BYTES:
        return _Bytes(BYTES[kind])
    if kind in INTEGERS:
        return _Integer(INTEGERS[kind])
    if kind is bool:
        return _Flag()
    if kind is bytes:
        return _Text()
    origin, inner = get_origin(kind), get_args(kind)
    if origin is tuple and inner[1:] == (...,):
        return _Tuple(_part(inner[0]))
    if origin in (Union, UnionType) and inner[1:] == (type(None),):
        return _Option(_part(inner[0]))
    return record_codec(kind)


@cache
def record_codec(kind: type[T]) -> RecordCodec[T]:
    """The codec of an attrs class. Raises `TypeError` for a class with a field of an unknown type."""
    if not attrs.has(kind):
        raise TypeError(f"{kind} has no record: add it to BYTES or INTEGERS in alysd.wire.records")
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
