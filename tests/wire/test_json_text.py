"""JSON from outside: what is JSON is parsed as ever, and no nesting reaches the parser's recursion."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alysd.wire.json_text import DEEPEST, parse_json

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
