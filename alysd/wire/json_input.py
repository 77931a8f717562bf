"""JSON from outside: parsed with a bound on nesting; fields read one by one, with errors that name the field."""

import json
import re
from collections.abc import Callable
from itertools import accumulate
from typing import Any, cast

from alysd.errors import Malformed

DEEPEST = 64
"""Levels of arrays and objects: the deepest request of the JSON-RPC, a filter inside a batch, has six."""

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_NO_BRACKET = bytes(set(range(256)) - set(b"[]{}"))
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


def parse_json(data: bytes, constant: Callable[[str], Any] | None = None) -> Any:
    """Parse a JSON text; `constant` is called for NaN and the infinities, as `json.loads` has it.

    Raises `ValueError` for what is no JSON or nests deeper than `DEEPEST`. Takes some 20 ns per byte: large texts
    belong in a thread.
    """
    brackets = _STRING.sub(b"", data).translate(None, _NO_BRACKET)
    if len(brackets) > DEEPEST and max(accumulate(map(_STEP.__getitem__, brackets))) > DEEPEST:
        raise ValueError(f"nested deeper than {DEEPEST} levels")
    return json.loads(data, parse_constant=constant)


def object_of(value: Any, what: str) -> dict[str, Any]:
    """`value` as an object, called `what` in the error. Raises `Malformed`."""
    if not isinstance(value, dict):
        raise Malformed(f"{what}: not a JSON object")
    return cast("dict[str, Any]", value)


def list_field(fields: dict[str, Any], key: str, most: int) -> list[Any]:
    """The list at `key`, of at most `most` items. Raises `Malformed`."""
    value = fields.get(key)
    if not isinstance(value, list):
        raise Malformed(f"{key}: not a list")
    items = cast("list[Any]", value)
    if len(items) > most:
        raise Malformed(f"{key}: {len(items)} of them, more than {most}")
    return items


def text_field(fields: dict[str, Any], key: str) -> str:
    """The string at `key`. Raises `Malformed`."""
    value = fields.get(key)
    if not isinstance(value, str):
        raise Malformed(f"{key}: not a string")
    return value


def integer_field(fields: dict[str, Any], key: str, least: int, bound: int) -> int:
    """The integer at `key`, from `least` up to but not including `bound`. Raises `Malformed`."""
    value = fields.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < bound:
        raise Malformed(f"{key}: not an integer from {least} to {bound - 1}")
    return value


def hex_field(fields: dict[str, Any], key: str, least: int, most: int) -> bytes:
    """The bytes that stand in hex at `key`, from `least` to `most` of them. Raises `Malformed`."""
    text = text_field(fields, key)
    if len(text) > 2 * most:
        raise Malformed(f"{key}: {len(text)} characters, more than {2 * most}")
    try:
        data = bytes.fromhex(text)
    except ValueError as error:
        raise Malformed(f"{key}: not hex") from error
    if len(data) < least:
        raise Malformed(f"{key}: {len(data)} bytes, fewer than {least}")
    return data


def displayed_hash(fields: dict[str, Any], key: str) -> bytes:
    """The hash at `key` in internal byte order; the document has it as Bitcoin displays it. Raises `Malformed`."""
    return hex_field(fields, key, 32, 32)[::-1]
