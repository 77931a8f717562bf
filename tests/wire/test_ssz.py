"""Simple SSZ values against a second library, and against bytes that nobody wrote."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alysd.errors import Malformed
from alysd.wire.ssz import BitList, ByteList, Bytes, SszCodec, UInt, merkleize
from tests.wire import ssz_oracle


def agree(codec: SszCodec[Any], value: object, oracle: Any) -> None:
    data = oracle.encode_bytes()
    assert codec.encode(value) == data
    assert codec.decode(data) == value
    assert codec.root(value) == oracle.hash_tree_root()


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**256 - 1))
def test_numbers(small: int, word: int, large: int) -> None:
    agree(UInt(4), small, ssz_oracle.uint32(small))
    agree(UInt(8), word, ssz_oracle.uint64(word))
    agree(UInt(32), large, ssz_oracle.uint256(large))


@pytest.mark.parametrize("size", [1, 20, 32, 33, 48, 96, 256])
def test_byte_vectors(size: int) -> None:
    value = bytes(range(size % 256)) or bytes(range(256))
    agree(Bytes(size), value, ssz_oracle.ByteVector[size](value))


@given(st.binary(max_size=200), st.sampled_from([200, 256, 1000, 2**20, 2**30]))
def test_byte_lists(value: bytes, limit: int) -> None:
    agree(ByteList(limit), value, ssz_oracle.ByteList[limit](value))


@given(st.lists(st.booleans(), max_size=600).map(tuple), st.sampled_from([600, 1024, 2**20]))
def test_bit_lists(value: tuple[bool, ...], limit: int) -> None:
    agree(BitList(limit), value, ssz_oracle.Bitlist[limit](value))


@pytest.mark.parametrize(
    "broken",
    [
        lambda: UInt(8).encode(2**64),
        lambda: UInt(8).encode(-1),
        lambda: UInt(8).decode(bytes(7)),
        lambda: UInt(8).root(2**64),
        lambda: Bytes(32).encode(bytes(31)),
        lambda: Bytes(32).decode(bytes(33)),
        lambda: Bytes(32).root(b""),
        lambda: ByteList(3).encode(bytes(4)),
        lambda: ByteList(3).decode(bytes(4)),
        lambda: ByteList(3).root(bytes(4)),
        lambda: BitList(3).encode((True,) * 4),
        lambda: BitList(3).root((True,) * 4),
        lambda: BitList(3).decode(b""),
        lambda: BitList(3).decode(b"\x00"),
        lambda: BitList(3).decode(b"\x10"),
        lambda: BitList(8).decode(b"\x01\x00"),
        lambda: BitList(8).decode(bytes(10**6) + b"\x01"),
    ],
)
def test_what_does_not_fit_is_malformed(broken: Callable[[], object]) -> None:
    """Any other exception, from bytes of a stranger, would crash an actor."""
    with pytest.raises(Malformed):
        broken()


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=9))
def test_room_above_the_chunks_given_is_zero(chunks: list[bytes]) -> None:
    assert merkleize(chunks, 16) == merkleize([*chunks, *[bytes(32)] * (16 - len(chunks))], 16)
    assert merkleize([bytes(32)], 1) == bytes(32)
