"""JSON from outside: valid JSON is parsed, nesting is bounded, and a wrong field is named."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alysd.errors import Malformed
from alysd.wire.json_input import (
    DEEPEST,
    displayed_hash,
    hex_field,
    integer_field,
    list_field,
    object_of,
    parse_json,
    text_field,
)

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(values)
def test_what_json_writes_is_read_back(value: object) -> None:
    assert parse_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":', b'["]]]]",', b'["\\"]]",'])
def test_nesting_beyond_the_bound_is_refused_however_it_is_hidden(opening: bytes) -> None:
    """A megabyte of brackets would otherwise end the process, not the request."""
    with pytest.raises(ValueError, match="nested deeper than 64 levels"):
        parse_json(opening * 200_000)


def test_nesting_up_to_the_bound_is_taken() -> None:
    assert parse_json(b"[" * DEEPEST + b"]" * DEEPEST) is not None
    with pytest.raises(ValueError, match="nested deeper"):
        parse_json(b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1))


def test_brackets_in_strings_are_no_nesting() -> None:
    assert parse_json(json.dumps(["[" * 1000, "{" * 1000]).encode()) == ["[" * 1000, "{" * 1000]


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b'"', b'"\\', b"[1,]", b"]" * 100])
def test_what_is_no_json_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError, match="."):
        parse_json(text)


FIELDS: dict[str, Any] = {"n": 5, "t": "abc", "l": [1, 2], "x": "00ff", "h": "01" + "00" * 31}


def test_right_fields_are_read() -> None:
    assert object_of(FIELDS, "fields") is FIELDS
    assert integer_field(FIELDS, "n", 5, 6) == 5
    assert text_field(FIELDS, "t") == "abc"
    assert list_field(FIELDS, "l", 2) == [1, 2]
    assert hex_field(FIELDS, "x", 2, 2) == b"\x00\xff"
    assert displayed_hash(FIELDS, "h") == bytes(31) + b"\x01"


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (lambda: object_of([], "template"), r"template: not a JSON object \(found a list\)"),
        (lambda: integer_field(FIELDS, "n", 6, 9), r"n: not an integer from 6 to 8 \(found 5\)"),
        (lambda: integer_field(FIELDS, "n", 0, 5), "n: not an integer from 0 to 4"),
        (lambda: integer_field(FIELDS, "t", 0, 5), "t: not an integer"),
        (lambda: integer_field({"b": True}, "b", 0, 5), r"b: not an integer from 0 to 4 \(found True\)"),
        (lambda: integer_field(FIELDS, "missing", 0, 5), r"missing: not an integer from 0 to 4 \(found nothing\)"),
        (lambda: text_field({"o": {}}, "o"), r"o: not a string \(found an object\)"),
        (lambda: text_field(FIELDS, "n"), "n: not a string"),
        (lambda: list_field(FIELDS, "t", 1), "t: not a list"),
        (lambda: list_field(FIELDS, "l", 1), "l: 2 items; at most 1 are allowed"),
        (lambda: hex_field(FIELDS, "t", 0, 9), r"t: not hex \(found 'abc'\)"),
        (lambda: hex_field(FIELDS, "x", 3, 9), "x: 2 bytes, fewer than 3"),
        (lambda: hex_field(FIELDS, "x", 0, 1), "x: 4 characters, more than 2"),
        (lambda: displayed_hash(FIELDS, "x"), "x: 2 bytes, fewer than 32"),
    ],
)
def test_wrong_fields_are_named(read: Callable[[], Any], words: str) -> None:
    """A person could not tell what the other program answers wrongly, or its answer would crash the reader."""
    with pytest.raises(Malformed, match=words):
        read()
