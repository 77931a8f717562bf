"""The hex values of Ethereum's JSON-RPC: all valid forms are read, and errors say what is wrong."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alysd.api.hex_values import (
    address,
    boolean,
    data,
    hash32,
    kind,
    quantity,
    storage_key,
    text,
    to_data,
    to_quantity,
    uint64,
)
from alysd.errors import Malformed


@given(st.integers(0, 2**256 - 1))
def test_a_quantity_reads_back(value: int) -> None:
    assert quantity(to_quantity(value)) == value


@given(st.binary(max_size=100))
def test_data_reads_back(value: bytes) -> None:
    assert data(to_data(value)) == value


def test_quantities_have_no_leading_zeros_and_data_keeps_them() -> None:
    assert (to_quantity(0), to_quantity(31), to_data(b""), to_data(b"\0\xff")) == ("0x0", "0x1f", "0x", "0x00ff")


def test_capitals_are_read_and_leading_zeros_only_in_data() -> None:
    assert (quantity("0XFF"), data("0x00Ff")) == (255, b"\0\xff")
    for wrong in ("0x00ff", "0x00"):
        with pytest.raises(Malformed, match=f"must not have leading zero digits, got '{wrong}'"):
            quantity(wrong)


@pytest.mark.parametrize(
    ("decode", "value", "words"),
    [
        (text, 5, "must be a string, got a number"),
        (text, None, "must be a string, got null"),
        (boolean, "true", "must be true or false, got a string"),
        (quantity, "12", "must start with 0x, got '12'"),
        (quantity, "0x", "a quantity must have at least one digit, such as 0x0, got '0x'"),
        (quantity, "0x1g", "must have only the hex digits 0-9 and a-f after 0x, got '0x1g'"),
        (quantity, "0x 1", "must have only the hex digits 0-9 and a-f after 0x, got '0x 1'"),
        (quantity, "0x" + "1" * 65, "a quantity must have at most 64 digits, got 65"),
        (quantity, 5, "must be a string, got a number"),
        (uint64, "0x10000000000000000", "must be at most 0xffffffffffffffff, got 0x10000000000000000"),
        (data, "0x123", "each byte must have two hex digits, got 3 digits"),
        (data, [], "must be a string, got an array"),
        (address, "0x12", "an EVM address must have 20 bytes, got 1"),
        (address, {}, "must be a string, got an object"),
        (hash32, "0x" + "00" * 31, "a hash must have 32 bytes, got 31"),
        (storage_key, "0x" + "0" * 65, "a storage key must have at most 64 hex digits, got 65"),
    ],
)
def test_what_is_wrong_is_said(decode: Callable[[Any], object], value: Any, words: str) -> None:
    with pytest.raises(Malformed) as caught:
        decode(value)
    assert str(caught.value) == words


def test_what_is_right_is_read() -> None:
    assert text("x") == "x"
    assert boolean(False) is False
    assert uint64("0xffffffffffffffff") == 2**64 - 1
    assert address("0x" + "Ab" * 20) == b"\xab" * 20
    assert hash32("0x" + "ab" * 32) == b"\xab" * 32


@pytest.mark.parametrize("written", ["0x1", "0x01", "0x" + "0" * 63 + "1"])
def test_a_storage_slot_may_be_a_quantity_or_data(written: str) -> None:
    assert storage_key(written) == bytes(31) + b"\x01"


def test_the_first_storage_slot_may_be_empty_data() -> None:
    assert storage_key("0x") == bytes(32)


def test_json_s_kinds_are_named_as_json_names_them() -> None:
    values: list[Any] = [None, True, 1, 1.5, "", [], {}]
    assert [kind(value) for value in values] == [
        "null",
        "a boolean",
        "a number",
        "a number",
        "a string",
        "an array",
        "an object",
    ]


@pytest.mark.parametrize("half", ["\ud800", "a\udfff", "é\ud83d"])
def test_a_text_has_whole_characters(half: str) -> None:
    """Nothing can encode half of a character: the connection ended with an internal error."""
    with pytest.raises(Malformed, match="surrogate"):
        text(half)
    assert text("é😀") == "é😀"
