"""SSZ of values made of values: lists, options, and containers that are attrs classes."""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import attrs

from alysd.errors import Malformed
from alysd.wire.ssz import ByteList, SszCodec, merkleize, mix_in_length

Value = TypeVar("Value")

_OFFSET = 4
"""Bytes of the offset that stands for a part of variable length among the fixed ones."""


def _parts(sizes: Sequence[int | None], data: bytes) -> list[bytes]:
    """Cut `data` into one part a size: fixed ones in place, the others where their offsets say.

    Only the encoding that SSZ defines is accepted: no gap, no overlap, nothing left over, so that two different
    byte strings are never the same value.
    """
    fixed = sum(_OFFSET if size is None else size for size in sizes)
    if len(data) < fixed or (len(data) > fixed and None not in sizes):
        raise Malformed(f"{fixed} bytes expected, found {len(data)}")
    parts: list[bytes] = []
    offsets: list[int] = []
    at = 0
    for size in sizes:
        end = at + (_OFFSET if size is None else size)
        if size is None:
            offsets.append(int.from_bytes(data[at:end], "little"))
        parts.append(data[at:end])
        at = end
    if offsets:
        ends = [*offsets[1:], len(data)]
        if offsets[0] != fixed or any(start > end for start, end in zip(offsets, ends, strict=True)):
            raise Malformed("the offsets are not in ascending order")
        variable = iter(zip(offsets, ends, strict=True))
        for place, size in enumerate(sizes):
            if size is None:
                start, end = next(variable)
                parts[place] = data[start:end]
    return parts


def _joined(sizes: Sequence[int | None], parts: Sequence[bytes]) -> bytes:
    """The inverse of `_parts`."""
    offset = sum(_OFFSET if size is None else size for size in sizes)
    front: list[bytes] = []
    back: list[bytes] = []
    for size, part in zip(sizes, parts, strict=True):
        if size is None:
            front.append(offset.to_bytes(_OFFSET, "little"))
            back.append(part)
            offset += len(part)
        else:
            front.append(part)
    return b"".join(front + back)


@attrs.frozen
class ListOf(Generic[Value]):
    """A list of values of a type that is not packed into chunks: containers, byte strings.

    The SSZ type has at most `limit` elements. `most` is the number that is accepted, by default `limit`. It is
    checked before any element is decoded.
    """

    element: SszCodec[Value]
    limit: int
    most: int = attrs.field(default=attrs.Factory(lambda self: self.limit, takes_self=True))
    size: None = None

    def encode(self, value: Sequence[Value]) -> bytes:
        """The elements one after the other, behind their offsets if they are of variable length."""
        self._check(len(value))
        return _joined([self.element.size] * len(value), [self.element.encode(one) for one in value])

    def decode(self, data: bytes) -> tuple[Value, ...]:
        """The inverse of `encode`."""
        size = self.element.size
        if size is not None:
            count, rest = divmod(len(data), size)
        else:
            # The first element follows the offsets, so its offset determines the number of elements.
            count, rest = divmod(int.from_bytes(data[:_OFFSET], "little"), _OFFSET)
        if rest or (data and not count):
            raise Malformed(f"the {len(data)} bytes of a list are not a whole number of elements")
        self._check(count)
        if size is None and count * _OFFSET > len(data):
            raise Malformed(f"{count} offsets expected, but the list has {len(data)} bytes")
        return tuple(self.element.decode(part) for part in _parts([size] * count, data))

    def root(self, value: Sequence[Value]) -> bytes:
        """Root over the elements' roots, with their number mixed in."""
        self._check(len(value))
        return mix_in_length(merkleize([self.element.root(one) for one in value], self.limit), len(value))

    def _check(self, count: int) -> None:
        if count > self.most:
            raise Malformed(f"at most {self.most} elements expected, found {count}")


@attrs.frozen
class Option(Generic[Value]):
    """A value or None, as a list of at most one."""

    element: SszCodec[Value]
    size: None = None

    def encode(self, value: Value | None) -> bytes:
        """As a list."""
        return self._list.encode(() if value is None else (value,))

    def decode(self, data: bytes) -> Value | None:
        """The inverse of `encode`."""
        return next(iter(self._list.decode(data)), None)

    def root(self, value: Value | None) -> bytes:
        """As a list's."""
        return self._list.root(() if value is None else (value,))

    @property
    def _list(self) -> ListOf[Value]:
        return ListOf(self.element, 1)


@attrs.frozen
class Foreign(Generic[Value]):
    """A value that has a serialization of its own, which SSZ sees as at most `limit` bytes.

    `reads` is the inverse of `writes`, and may accept more than one form: only the one that `writes` makes is.
    """

    writes: Callable[[Value], bytes]
    reads: Callable[[bytes], Value]
    limit: int
    size: None = None

    def encode(self, value: Value) -> bytes:
        """The value's own serialization."""
        return ByteList(self.limit).encode(self.writes(value))

    def decode(self, data: bytes) -> Value:
        """The inverse of `encode`."""
        value = self.reads(ByteList(self.limit).decode(data))
        if self.writes(value) != data:
            raise Malformed(f"{len(data)} bytes are not in the only form that is allowed for this value")
        return value

    def root(self, value: Value) -> bytes:
        """As a byte list's."""
        return ByteList(self.limit).root(self.writes(value))


class Container(Generic[Value]):
    """A value of the attrs class `kind`: its `fields`, by their names in the class, in SSZ's order."""

    def __init__(self, kind: type[Value], **fields: SszCodec[Any]) -> None:
        self._kind = kind
        self._fields = fields
        self._sizes = [codec.size for codec in fields.values()]
        fixed = [size for size in self._sizes if size is not None]
        self.size = sum(fixed) if len(fixed) == len(fields) else None

    def encode(self, value: Value) -> bytes:
        """The fields in order, those of variable length behind their offsets."""
        return _joined(self._sizes, [codec.encode(getattr(value, name)) for name, codec in self._fields.items()])

    def decode(self, data: bytes) -> Value:
        """The inverse of `encode`."""
        fields = zip(self._fields.items(), _parts(self._sizes, data), strict=True)
        return self._kind(**{name: codec.decode(part) for (name, codec), part in fields})

    def root(self, value: Value) -> bytes:
        """Root over the fields' roots."""
        roots = [codec.root(getattr(value, name)) for name, codec in self._fields.items()]
        return merkleize(roots, len(roots))
