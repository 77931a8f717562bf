"""Fields from another program: whatever is wrong is named, and nothing unbounded gets through."""

from collections.abc import Callable
from typing import Any

import pytest

from alysd.errors import Malformed
from alysd.wire.json_fields import displayed_hash, hex_field, integer_field, list_field, object_of, text_field

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
        (lambda: object_of([], "template"), "template: not a JSON object"),
        (lambda: integer_field(FIELDS, "n", 6, 9), "n: not an integer from 6 to 8"),
        (lambda: integer_field(FIELDS, "n", 0, 5), "n: not an integer from 0 to 4"),
        (lambda: integer_field(FIELDS, "t", 0, 5), "t: not an integer"),
        (lambda: integer_field({"b": True}, "b", 0, 5), "b: not an integer"),
        (lambda: integer_field(FIELDS, "missing", 0, 5), "missing: not an integer"),
        (lambda: text_field(FIELDS, "n"), "n: not a string"),
        (lambda: list_field(FIELDS, "t", 1), "t: not a list"),
        (lambda: list_field(FIELDS, "l", 1), "l: 2 of them, more than 1"),
        (lambda: hex_field(FIELDS, "t", 0, 9), "t: not hex"),
        (lambda: hex_field(FIELDS, "x", 3, 9), "x: 2 bytes, fewer than 3"),
        (lambda: hex_field(FIELDS, "x", 0, 1), "x: 4 characters, more than 2"),
        (lambda: displayed_hash(FIELDS, "x"), "x: 2 bytes, fewer than 32"),
    ],
)
def test_wrong_fields_are_named(read: Callable[[], Any], words: str) -> None:
    """A person could not tell what the other program answers wrongly, or its answer would crash the reader."""
    with pytest.raises(Malformed, match=words):
        read()
