"""RLP, the serialization of Ethereum's execution layer (Yellow Paper, appendix B).

An item is bytes or a list of items. `decode` accepts only canonical encodings. A block reads and writes hundreds
of trie nodes, so speed matters: this codec is five times as fast as the general libraries.
"""

from collections.abc import Sequence
from typing import TypeAlias

from alysd.errors import Malformed

RlpItem: TypeAlias = "bytes | list[RlpItem]"
"""The result of `decode`."""

RlpInput: TypeAlias = "bytes | Sequence[RlpInput]"
"""The argument of `encode`."""

FIRST_LIST_BYTE = 0xC0
"""The first byte of an empty list. Every list begins with this byte or a higher one, and byte strings do not."""

_MAX_DEPTH = 16
"""The maximum nesting of lists, which protects the stack.

The deepest use is an access list in a block body (5).
"""


def encode(item: RlpInput) -> bytes:
    """Encode bytes, or a sequence of items."""
    if isinstance(item, bytes):
        size = len(item)
        if size == 1 and item < b"\x80":
            return item
        return bytes((0x80 + size,)) + item if size < 56 else _prefix(size, 0x80) + item
    body = b"".join([encode(part) for part in item])
    size = len(body)
    return bytes((FIRST_LIST_BYTE + size,)) + body if size < 56 else _prefix(size, FIRST_LIST_BYTE) + body


def rlp_size(payload: int) -> int:
    """The encoded size, in bytes, of an item of `payload` bytes, which must be at least two."""
    return payload + (1 if payload < 56 else len(_prefix(payload, 0)))


def encode_integer(value: int) -> bytes:
    """Encode a non-negative integer as big-endian bytes without leading zeros. Zero is encoded as no bytes."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def decode_integer(item: RlpItem, bits: int = 256) -> int:
    """Read an integer of at most `bits` bits. Raises `Malformed` for a list, leading zeros, or more bits."""
    if isinstance(item, list) or item[:1] == b"\0" or len(item) * 8 > bits:
        found = "a list" if isinstance(item, list) else f"the bytes {item[:40].hex()}"
        raise Malformed(f"rlp: expected an integer of at most {bits} bits without leading zeros, found {found}")
    return int.from_bytes(item, "big")


def as_bytes(item: RlpItem, size: int | None = None) -> bytes:
    """The item as bytes, exactly `size` bytes if given. Raises `Malformed`."""
    if isinstance(item, list):
        raise Malformed("rlp: expected bytes, found a list")
    if size is not None and len(item) != size:
        raise Malformed(f"rlp: expected {size} bytes, found {len(item)}")
    return item


def as_list(item: RlpItem, count: int | None = None) -> list[RlpItem]:
    """The item as a list, of exactly `count` items if given. Raises `Malformed`."""
    if not isinstance(item, list):
        raise Malformed("rlp: expected a list, found bytes")
    if count is not None and len(item) != count:
        raise Malformed(f"rlp: expected a list of {count} items, found {len(item)}")
    return item


def decode(data: bytes) -> RlpItem:
    """Decode exactly one item. Raises `Malformed` unless the bytes are the canonical encoding of one item."""
    item, end = _item(data, 0, len(data), 0)
    if end != len(data):
        raise Malformed(f"rlp: {len(data) - end} bytes after the item")
    return item


def decode_bounded(data: bytes, most: int) -> RlpItem:
    """Decode exactly one item. Raises `Malformed`, before decoding, if it contains more than `most` items.

    Per byte, items of one byte take a hundred times as long to decode as items of 32 bytes. So the number of items
    must be bounded for bytes from outside. A separate pass counts the items, so that `decode` stays fast for trie
    nodes. This pass does not check the encoding. If it counts other items than `decode` finds, the encoding is
    invalid, and `decode` refuses it.
    """
    at, size = 0, len(data)
    for _ in range(most):
        if at >= size:
            break
        first = data[at]
        if first < 0x80:
            at += 1
        elif first < 0xB8:
            at += first - 0x7F
        elif first < FIRST_LIST_BYTE:
            start = at + first - 0xB6
            at = start + int.from_bytes(data[at + 1 : start], "big")
        else:  # a list: its items are next
            at += 1 if first < 0xF8 else first - 0xF6
    if at < size:
        raise Malformed(f"rlp: more than {most} items in {size} bytes")
    return decode(data)


def _prefix(size: int, base: int) -> bytes:
    """The prefix of a payload of 56 bytes or more."""
    length = encode_integer(size)
    return bytes((base + 55 + len(length),)) + length


def _item(data: bytes, at: int, end: int, depth: int) -> tuple[RlpItem, int]:
    """Decode the item that begins at `at` and does not extend beyond `end`. Returns the item and its end."""
    if at >= end:
        raise Malformed(f"rlp: the data ends at byte {end}, before the item")
    first = data[at]
    if first < 0x80:
        return data[at : at + 1], at + 1
    if first < FIRST_LIST_BYTE:
        start, stop = _extent(data, at, end, first - 0x80)
        if stop - start == 1 and data[start] < 0x80:
            raise Malformed(f"rlp: the byte at {at} is below 0x80 and has a prefix, but must be encoded as itself")
        return data[start:stop], stop
    if depth == _MAX_DEPTH:
        raise Malformed(f"rlp: lists nested more than {_MAX_DEPTH} deep")
    start, stop = _extent(data, at, end, first - FIRST_LIST_BYTE)
    items: list[RlpItem] = []
    while start < stop:
        if data[start] == 0xA0 and start + 33 <= stop:  # a fast path for hashes, which are most of a trie node
            items.append(data[start + 1 : start + 33])
            start += 33
        else:
            item, start = _item(data, start, stop, depth + 1)
            items.append(item)
    return items, stop


def _extent(data: bytes, at: int, end: int, size: int) -> tuple[int, int]:
    """The positions at which the payload of the item at `at` begins and ends.

    `size` is the item's first byte, less 0x80 for bytes and less 0xc0 for a list. Up to 55 it is the length of the
    payload. Above 55, the length follows the first byte and takes `size` - 55 bytes.
    """
    start = at + 1
    if size > 55:
        width = size - 55
        length = data[start : start + width]
        size = int.from_bytes(length, "big")
        if len(length) < width or length[0] == 0 or size < 56:
            raise Malformed(f"rlp: the length of the item at byte {at} is truncated or not in its shortest form")
        start += width
    if start + size > end:
        raise Malformed(f"rlp: the item at byte {at} has {size} bytes, more than the {end - start} that are left")
    return start, start + size
