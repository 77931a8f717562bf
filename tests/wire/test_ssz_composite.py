"""Lists, options and containers: one encoding per value, and no other bytes."""

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alysd.errors import Malformed
from alysd.wire.ssz import ByteList, SszCodec, UInt
from alysd.wire.ssz_composite import Container, Foreign, ListOf, Option
from tests.wire.ssz_oracle import ByteList as OracleByteList
from tests.wire.ssz_oracle import List as OracleList
from tests.wire.ssz_oracle import container, uint16


@attrs.frozen
class Fixed:
    first: int
    second: int


@attrs.frozen
class Mixed:
    name: bytes
    number: int
    pairs: tuple[Fixed, ...]
    note: bytes | None
    notes: tuple[bytes, ...]


FIXED = Container(Fixed, first=UInt(2), second=UInt(2))
MIXED = Container(
    Mixed,
    name=ByteList(40),
    number=UInt(2),
    pairs=ListOf(FIXED, 5),
    note=Option(ByteList(40)),
    notes=ListOf(ByteList(40), 5),
)


OracleFixed = container("OracleFixed", first=uint16, second=uint16)
OracleMixed = container(
    "OracleMixed",
    name=OracleByteList[40],
    number=uint16,
    pairs=OracleList[OracleFixed, 5],
    note=OracleList[OracleByteList[40], 1],
    notes=OracleList[OracleByteList[40], 5],
)

small = st.integers(0, 2**16 - 1)
texts = st.binary(max_size=40)
values = st.builds(
    Mixed,
    name=texts,
    number=small,
    pairs=st.lists(st.builds(Fixed, small, small), max_size=5).map(tuple),
    note=st.none() | texts,
    notes=st.lists(texts, max_size=5).map(tuple),
)


@given(values)
def test_containers_agree_with_a_second_library(value: Mixed) -> None:
    oracle = OracleMixed(
        name=value.name,
        number=value.number,
        pairs=[OracleFixed(first=pair.first, second=pair.second) for pair in value.pairs],
        note=[] if value.note is None else [value.note],
        notes=list(value.notes),
    )
    data = MIXED.encode(value)
    assert data == oracle.encode_bytes()
    assert MIXED.decode(data) == value
    assert MIXED.root(value) == oracle.hash_tree_root()


@given(values, st.data())
def test_changed_bytes_are_another_value_or_malformed(value: Mixed, data: st.DataObject) -> None:
    """Two encodings of one block would be two blocks on disk with one hash."""
    encoded = bytearray(MIXED.encode(value))
    encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        decoded = MIXED.decode(bytes(encoded))
    except Malformed:
        return
    assert decoded != value
    assert MIXED.encode(decoded) == bytes(encoded)


@given(st.binary(max_size=120))
def test_random_bytes_are_their_value_or_malformed(data: bytes) -> None:
    for codec in (MIXED, FIXED, ListOf(ByteList(40), 5), ListOf(FIXED, 5), Option(FIXED)):
        only_encoding(codec, data)


def only_encoding(codec: SszCodec[Any], data: bytes) -> None:
    try:
        value = codec.decode(data)
    except Malformed:
        return
    assert codec.encode(value) == data


@pytest.mark.parametrize(
    "data",
    [
        "0400",  # half an offset
        "05000000 00",  # no multiple of an offset
        "04000000" + "00" * 41,  # an element above its limit
        "08000000 04000000",  # backwards
        "08000000 ffffffff 00",  # past the end
        "18000000" * 6,  # six elements
        "ffffff7f",  # half a billion elements
        "00000000",  # no element, but bytes
    ],
)
def test_lists_with_wrong_offsets_are_malformed(data: str) -> None:
    assert ListOf(ByteList(40), 5).decode(b"") == ()
    with pytest.raises(Malformed):
        ListOf(ByteList(40), 5).decode(bytes.fromhex(data))


def test_fixed_containers_are_exactly_their_bytes() -> None:
    assert FIXED.size == 4
    assert MIXED.size is None
    assert FIXED.decode(bytes.fromhex("01000200")) == Fixed(1, 2)
    for length in (0, 3, 5):
        with pytest.raises(Malformed):
            FIXED.decode(bytes(length))


def test_lists_have_a_limit_before_their_elements_are_read() -> None:
    with pytest.raises(Malformed, match="at most 5"):
        ListOf(FIXED, 5).decode(bytes(24))
    with pytest.raises(Malformed, match="at most 5"):
        ListOf(FIXED, 5).encode((Fixed(0, 0),) * 6)
    with pytest.raises(Malformed, match="at most 5"):
        ListOf(FIXED, 5).root((Fixed(0, 0),) * 6)
    with pytest.raises(Malformed, match="at most 1"):
        Option(FIXED).decode(bytes(8))


def test_a_foreign_serialization_has_one_form() -> None:
    """Without this, a block could be written in two ways that hash alike after reading."""
    decimal = Foreign(lambda number: b"%d" % number, int, 4)
    assert decimal.decode(b"17") == 17
    assert decimal.root(17) == ByteList(4).root(b"17")
    for data in (b"017", b"+17"):
        with pytest.raises(Malformed, match="canonical encoding"):
            decimal.decode(data)
    with pytest.raises(Malformed, match="at most 4"):
        decimal.decode(b"12345")
    with pytest.raises(Malformed, match="at most 4"):
        decimal.encode(12345)
