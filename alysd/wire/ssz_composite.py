"""SSZ of composite values: lists, optional values, and containers, which are attrs classes."""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import attrs

from alysd.errors import Malformed
from alysd.wire.ssz import ByteList, SszCodec, merkleize, mix_in_length

Value = TypeVar("Value")

_OFFSET = 4
"""The size of an offset in bytes. Among the parts of fixed size, an offset replaces each part of variable size."""


def _parts(sizes: Sequence[int | None], data: bytes) -> list[bytes]:
    """Cut `data` into one part per size. A size of None means a variable size: the part begins at its offset.

    The parts must follow each other without gaps and overlaps, and end at the end of `data`. Therefore two
    different byte strings never decode to the same value.
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
            raise Malformed(
                f"the offsets must begin with {fixed}, ascend, and be at most {len(data)}, found {offsets[:8]}"
            )
        variable = iter(zip(offsets, ends, strict=True))
        for place, size in enumerate(sizes):
            if size is None:
                start, end = next(variable)
                parts[place] = data[start:end]
    return parts


def _joined(sizes: Sequence[int | None], parts: Sequence[bytes]) -> bytes:
    """Join the parts: first the parts of fixed size and the offsets, then the parts of variable size."""
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
    """The type of lists whose elements are containers or byte strings. SSZ does not pack these into shared chunks.

    `limit` is the maximum number of elements of the SSZ type, and determines the root. `most` is the maximum
    number that is accepted, by default `limit`. The number is checked before any element is decoded.
    """

    element: SszCodec[Value]
    limit: int
    most: int = attrs.field(default=attrs.Factory(lambda self: self.limit, takes_self=True))
    size: None = None

    def encode(self, value: Sequence[Value]) -> bytes:
        """Encode the elements one after the other. If their size is variable, their offsets come first."""
        self._check(len(value))
        return _joined([self.element.size] * len(value), [self.element.encode(one) for one in value])

    def decode(self, data: bytes) -> tuple[Value, ...]:
        """Decode a list."""
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
        """The root of the tree of the elements' roots, with the number of elements mixed in."""
        self._check(len(value))
        return mix_in_length(merkleize([self.element.root(one) for one in value], self.limit), len(value))

    def _check(self, count: int) -> None:
        if count > self.most:
            raise Malformed(f"at most {self.most} elements expected, found {count}")


@attrs.frozen
class Option(Generic[Value]):
    """The type of an optional value: a list that is empty for None and otherwise contains the value."""

    element: SszCodec[Value]
    size: None = None

    def encode(self, value: Value | None) -> bytes:
        """Encode the value as a list of at most one element."""
        return self._list.encode(() if value is None else (value,))

    def decode(self, data: bytes) -> Value | None:
        """Decode a list of at most one element."""
        return next(iter(self._list.decode(data)), None)

    def root(self, value: Value | None) -> bytes:
        """The root of the list."""
        return self._list.root(() if value is None else (value,))

    @property
    def _list(self) -> ListOf[Value]:
        return ListOf(self.element, 1)


@attrs.frozen
class Foreign(Generic[Value]):
    """The type of values with a serialization of their own. For SSZ it is a byte list of at most `limit` bytes.

    `writes` serializes a value, and `reads` parses it. `reads` may accept several serializations of one value, but
    `decode` accepts only the one that `writes` makes.
    """

    writes: Callable[[Value], bytes]
    reads: Callable[[bytes], Value]
    limit: int
    size: None = None

    def encode(self, value: Value) -> bytes:
        """Serialize the value with `writes`."""
        return ByteList(self.limit).encode(self.writes(value))

    def decode(self, data: bytes) -> Value:
        """Parse the value with `reads`. Raises `Malformed` unless `writes` gives the same bytes for the value."""
        value = self.reads(ByteList(self.limit).decode(data))
        if self.writes(value) != data:
            raise Malformed(f"{len(data)} bytes are not the canonical encoding of their value")
        return value

    def root(self, value: Value) -> bytes:
        """The root of the serialized value as a byte list."""
        return ByteList(self.limit).root(self.writes(value))


class Container(Generic[Value]):
    """The type of instances of the attrs class `kind`. `fields` has the type of each field, in SSZ's order."""

    def __init__(self, kind: type[Value], /, **fields: SszCodec[Any]) -> None:
        self._kind = kind
        self._fields = fields
        self._sizes = [codec.size for codec in fields.values()]
        fixed = [size for size in self._sizes if size is not None]
        self.size = sum(fixed) if len(fixed) == len(fields) else None

    def encode(self, value: Value) -> bytes:
        """Encode the fields in order. An offset replaces each field of variable size, which follows at the end."""
        return _joined(self._sizes, [codec.encode(getattr(value, name)) for name, codec in self._fields.items()])

    def decode(self, data: bytes) -> Value:
        """Decode all fields and make an instance of `kind`."""
        fields = zip(self._fields.items(), _parts(self._sizes, data), strict=True)
        return self._kind(**{name: codec.decode(part) for (name, codec), part in fields})

    def root(self, value: Value) -> bytes:
        """The root of the tree of the fields' roots."""
        roots = self.field_roots(value)
        return merkleize(roots, len(roots))

    def field_roots(self, value: Value) -> list[bytes]:
        """The roots of the fields, in order."""
        return [codec.root(getattr(value, name)) for name, codec in self._fields.items()]
