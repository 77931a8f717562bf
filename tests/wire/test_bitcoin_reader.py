import pytest
from hypothesis import given
from hypothesis import strategies as st

from alysd.errors import Malformed
from alysd.wire.bitcoin_reader import BitcoinReader


def test_bytes_are_taken_in_order_and_nothing_past_the_end() -> None:
    reader = BitcoinReader(b"abcdef")
    assert reader.take(2) == b"ab"
    assert reader.number(2) == int.from_bytes(b"cd", "little")
    assert reader.since(1) == b"bcd"
    with pytest.raises(Malformed, match="3 bytes expected at 4, 2 are left"):
        reader.take(3)
    with pytest.raises(Malformed, match="2 bytes are left over"):
        reader.end()
    assert reader.take(2) == b"ef"
    reader.end()


def test_a_marker_is_passed_only_where_it_stands() -> None:
    reader = BitcoinReader(b"\x00\x01rest")
    assert not reader.skip_if(b"\x01")
    assert reader.at == 0
    assert reader.skip_if(b"\x00\x01")
    assert reader.take(4) == b"rest"


@pytest.mark.parametrize(
    ("data", "value"),
    [("00", 0), ("05", 5), ("fc", 252), ("fdfd00", 253), ("fdffff", 65535), ("fe00000100", 65536)],
)
def test_counts_are_compact_sizes(data: str, value: int) -> None:
    reader = BitcoinReader(bytes.fromhex(data) + bytes(value))
    assert reader.count() == value


@pytest.mark.parametrize(
    "data", ["fdfc00", "fe00000000", "feffff0000", "ff00000000ffffffff00", "ffffffffff00000000"]
)
def test_a_longer_form_than_needed_is_malformed(data: str) -> None:
    """Two forms of one count would be two serializations of one transaction."""
    with pytest.raises(Malformed):
        BitcoinReader(bytes.fromhex(data) + bytes(70_000)).count()


@pytest.mark.parametrize("data", ["", "01", "fd", "fd00", "fdffff", "feffffffff", "ffffffffffffffffff"])
def test_a_count_that_the_bytes_cannot_hold_is_malformed(data: str) -> None:
    """Nothing is allocated or looped over for a number that a stranger made up."""
    with pytest.raises(Malformed):
        BitcoinReader(bytes.fromhex(data)).count()


@given(st.binary(max_size=20))
def test_any_bytes_are_a_count_or_malformed(data: bytes) -> None:
    reader = BitcoinReader(data)
    try:
        value = reader.count()
    except Malformed:
        return
    assert reader.at + value <= len(data)
