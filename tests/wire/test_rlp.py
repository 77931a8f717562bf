"""RLP reads back what it wrote, agrees with the specification's, and takes only canonical encodings."""

from typing import Any

import pytest
from ethereum_rlp import rlp as specification
from hypothesis import given
from hypothesis import strategies as st

from alysd.errors import Malformed
from alysd.wire.rlp import (
    RlpInput,
    as_bytes,
    as_list,
    decode,
    decode_bounded,
    decode_integer,
    encode,
    encode_integer,
    rlp_size,
)

strings = st.one_of(
    st.binary(max_size=3), st.binary(min_size=32, max_size=32), st.binary(min_size=50, max_size=300)
)
items: st.SearchStrategy[Any] = st.recursive(strings, lambda inner: st.lists(inner, max_size=5), max_leaves=20)


@given(items)
def test_what_is_written_reads_back_and_is_what_the_specification_writes(item: RlpInput) -> None:
    encoded = encode(item)
    assert decode(encoded) == item
    assert encoded == specification.encode(item)  # type: ignore[arg-type]


@given(st.binary(max_size=80))
def test_whatever_decodes_is_canonical_and_the_specification_decodes_it_too(data: bytes) -> None:
    try:
        item = decode(data)
    except Malformed:
        return
    assert encode(item) == data
    assert specification.decode(data) == item


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("", "ends at byte 0, before the item"),
        ("8100", "must be encoded as itself"),
        ("83aabb", "more than the \\d+ that are left"),
        ("b800", "not in its shortest form"),
        ("b90001", "not in its shortest form"),
        ("b9", "truncated"),
        ("bf" + "ff" * 8, "more than the \\d+ that are left"),
        ("f800", "not in its shortest form"),
        ("c2830102", "more than the \\d+ that are left"),
        ("c0c0", "1 bytes after the item"),
        ("c1a0", "more than the \\d+ that are left"),
    ],
)
def test_what_is_not_canonical_is_refused(data: str, words: str) -> None:
    with pytest.raises(Malformed, match=words):
        decode(bytes.fromhex(data))


def test_nesting_has_a_bound_far_below_pythons() -> None:
    """A few kilobytes of nested lists from outside must not end in a RecursionError."""
    nested = b"\xc0"
    for _ in range(15):
        nested = bytes((0xC0 + len(nested),)) + nested
    assert encode(decode(nested)) == nested
    with pytest.raises(Malformed, match="nested more than 16 deep"):
        decode(bytes((0xC0 + len(nested),)) + nested)


def count(item: RlpInput) -> int:
    """The number of items in an item, itself included."""
    return 1 if isinstance(item, bytes) else 1 + sum(map(count, item))


@given(items)
def test_the_bound_of_items_is_exact(item: RlpInput) -> None:
    """A valid transaction would be refused, or a hostile one decoded."""
    encoded, number = encode(item), count(item)
    assert decode_bounded(encoded, number) == item
    with pytest.raises(Malformed, match=f"more than {number - 1} items in {len(encoded)} bytes"):
        decode_bounded(encoded, number - 1)


@given(st.binary(max_size=80), st.integers(0, 80))
def test_no_bytes_get_more_items_past_the_bound(data: bytes, most: int) -> None:
    try:
        item = decode_bounded(data, most)
    except Malformed:
        return
    assert item == decode(data)
    assert count(item) <= most


@given(st.integers(0, 2**256 - 1))
def test_integers_read_back(number: int) -> None:
    assert decode_integer(encode_integer(number)) == number


@pytest.mark.parametrize("item", [b"\0", b"\0\1", [], b"\1" * 9])
def test_an_integer_has_no_leading_zeros_and_a_bound(item: Any) -> None:
    with pytest.raises(Malformed, match="an integer of at most 64 bits"):
        decode_integer(item, 64)


def test_kinds_and_sizes_are_checked() -> None:
    assert as_bytes(b"ab", 2) == b"ab"
    assert as_list([b""], 1) == [b""]
    for call in (lambda: as_bytes([]), lambda: as_bytes(b"ab", 3), lambda: as_list(b""), lambda: as_list([], 1)):
        with pytest.raises(Malformed, match="expected"):
            call()


@pytest.mark.parametrize("length", [2, 55, 56, 255, 256, 70_000])
def test_sizes_are_known_without_encoding(length: int) -> None:
    assert rlp_size(length) == len(encode(b"\xff" * length))
