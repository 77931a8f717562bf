"""SSZ: encoding, decoding and hash tree roots of the simple kinds of values (`ssz_composite` has the rest).

After the Ethereum consensus specifications, "SimpleSerialize (SSZ)". A general library (py-ssz 0.6) needs 12 ms
for the root of a block of 200 transactions and as much to decode it, and holds thousands of transactions in its
caches; this takes less than half, nearly all of it the hashing itself, and holds nothing. Tests compare it with
remerkleable.

Everything raises `Malformed` for a value or bytes that do not fit, before it allocates anything for them.
"""

import hashlib
from collections.abc import Sequence
from typing import Protocol, TypeVar

import attrs

from alysd.errors import Malformed

Value = TypeVar("Value")

_CHUNK = 32
_sha256 = hashlib.sha256


def _zero_roots() -> list[bytes]:
    roots = [bytes(_CHUNK)]
    for _ in range(64):
        roots.append(_sha256(roots[-1] * 2).digest())
    return roots


_ZEROS = _zero_roots()
"""Roots of trees of zero chunks, by depth."""


class SszCodec(Protocol[Value]):
    """How values of one SSZ type are written, read and hashed; `size` in bytes if it is the same for all."""

    @property
    def size(self) -> int | None:
        """Encoded length if it is fixed."""
        ...

    def encode(self, value: Value, /) -> bytes:
        """Bytes of `value`."""
        ...

    def decode(self, data: bytes, /) -> Value:
        """The value of which `data` are the bytes, all of them."""
        ...

    def root(self, value: Value, /) -> bytes:
        """`hash_tree_root`, 32 bytes."""
        ...


def merkleize(chunks: Sequence[bytes], limit: int) -> bytes:
    """Root of a tree with room for `limit` chunks (at least 1), of which the first are given and the rest zero."""
    depth = (limit - 1).bit_length()
    if not chunks:
        return _ZEROS[depth]
    layer, level = list(chunks), 0
    while len(layer) > 1:
        if len(layer) & 1:
            layer.append(_ZEROS[level])
        layer = [_sha256(layer[at] + layer[at + 1]).digest() for at in range(0, len(layer), 2)]
        level += 1
    root = layer[0]
    for zero in _ZEROS[level:depth]:
        root = _sha256(root + zero).digest()
    return root


def mix_in_length(root: bytes, length: int) -> bytes:
    """Root of a list, from that of its tree and how many elements it has."""
    return _sha256(root + length.to_bytes(_CHUNK, "little")).digest()


def _chunks(data: bytes) -> list[bytes]:
    """`data` cut into chunks, the last one padded with zeros."""
    padded = data + bytes(-len(data) % _CHUNK)
    return [padded[at : at + _CHUNK] for at in range(0, len(padded), _CHUNK)]


@attrs.frozen
class UInt:
    """An unsigned number of `size` bytes."""

    size: int

    def encode(self, value: int) -> bytes:
        """Little-endian."""
        try:
            return value.to_bytes(self.size, "little")
        except OverflowError as error:
            raise Malformed(f"{value} does not fit in {self.size} bytes") from error

    def decode(self, data: bytes) -> int:
        """The inverse of `encode`."""
        if len(data) != self.size:
            raise Malformed(f"a number must have {self.size} bytes, found {len(data)}")
        return int.from_bytes(data, "little")

    def root(self, value: int) -> bytes:
        """The number itself, padded."""
        return self.encode(value).ljust(_CHUNK, b"\0")


@attrs.frozen
class Bytes:
    """Exactly `size` bytes (`ByteVector`)."""

    size: int

    def encode(self, value: bytes) -> bytes:
        """The bytes themselves."""
        if len(value) != self.size:
            raise Malformed(f"{self.size} bytes expected, found {len(value)}")
        return value

    decode = encode

    def root(self, value: bytes) -> bytes:
        """Root over chunks of 32."""
        return merkleize(_chunks(self.encode(value)), (self.size + _CHUNK - 1) // _CHUNK)


@attrs.frozen
class ByteList:
    """At least `least` and at most `limit` bytes. Only `limit` is a part of the SSZ type."""

    limit: int
    least: int = 0
    size: None = None

    def encode(self, value: bytes) -> bytes:
        """The bytes themselves."""
        if len(value) > self.limit:
            raise Malformed(f"at most {self.limit} bytes expected, found {len(value)}")
        if len(value) < self.least:
            raise Malformed(f"at least {self.least} bytes expected, found {len(value)}")
        return value

    decode = encode

    def root(self, value: bytes) -> bytes:
        """Root over chunks of 32, with the length mixed in."""
        chunks = _chunks(self.encode(value))
        return mix_in_length(merkleize(chunks, (self.limit + _CHUNK - 1) // _CHUNK), len(value))


@attrs.frozen
class BitList:
    """At most `limit` booleans."""

    limit: int
    size: None = None

    def encode(self, value: Sequence[bool]) -> bytes:
        """Bit i is value i; a last set bit marks the end."""
        if len(value) > self.limit:
            raise Malformed(f"at most {self.limit} bits expected, found {len(value)}")
        number = 1 << len(value) | sum(1 << place for place, bit in enumerate(value) if bit)
        return number.to_bytes(len(value) // 8 + 1, "little")

    def decode(self, data: bytes) -> tuple[bool, ...]:
        """The inverse of `encode`."""
        if not data or not data[-1] or len(data) > self.limit // 8 + 1:
            raise Malformed(f"a list of at most {self.limit} bits has no end bit, or too many bytes: {len(data)}")
        number = int.from_bytes(data, "little")
        length = number.bit_length() - 1
        if length > self.limit:
            raise Malformed(f"at most {self.limit} bits expected, found {length}")
        return tuple(bool(number >> place & 1) for place in range(length))

    def root(self, value: Sequence[bool]) -> bytes:
        """Root over chunks of 256 bits, with the length mixed in."""
        self.encode(value)
        bits = sum(1 << place for place, bit in enumerate(value) if bit)
        chunks = _chunks(bits.to_bytes((len(value) + 7) // 8, "little"))
        return mix_in_length(merkleize(chunks, (self.limit + 255) // 256), len(value))
