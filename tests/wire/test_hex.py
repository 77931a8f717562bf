import pytest
from hypothesis import given
from hypothesis import strategies as st

from alysd.errors import Malformed
from alysd.types.hashes import displayed
from alysd.wire.hex import from_displayed, from_hex, to_hex


@given(st.binary(max_size=100))
def test_what_is_shown_reads_back(data: bytes) -> None:
    assert to_hex(data) == "0x" + data.hex()
    assert from_hex(to_hex(data)) == from_hex(data.hex()) == from_hex(data.hex().upper()) == data


def test_hashes_are_displayed_turned_round() -> None:
    value = bytes(range(32))
    assert displayed(value).startswith("1f1e")
    assert from_displayed(displayed(value)) == value


@pytest.mark.parametrize("text", ["0xabc", "zz", "ab cd", " abcd", "0x0xab", "ab\n", "٠٠", "-1"])
def test_what_is_not_hex_is_malformed(text: str) -> None:
    with pytest.raises(Malformed, match="not hex"):
        from_hex(text)


def test_a_wrong_length_is_malformed_and_long_text_is_not_repeated() -> None:
    with pytest.raises(Malformed, match="20 bytes in hex expected, found 19"):
        from_hex("0x" + "ab" * 19, 20)
    with pytest.raises(Malformed, match="32 bytes"):
        from_displayed("ab")
    with pytest.raises(Malformed) as caught:
        from_hex("z" * 10_000)
    assert len(str(caught.value)) < 200
