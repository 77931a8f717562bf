"""Reads JSON from outside: a parser with a bound on nesting, and readers of fields whose errors name the field."""

import json
import re
from itertools import accumulate
from typing import Any, cast

from alysd.errors import Malformed
from alysd.wire.hex import from_hex

DEEPEST = 64
"""The maximum number of nested arrays and objects.

The deepest request of the JSON-RPC, a filter in a batch, has 6.
"""

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_NO_BRACKET = bytes(set(range(256)) - set(b"[]{}"))
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


_DECODER = json.JSONDecoder()


def parse_json(data: bytes, decoder: json.JSONDecoder = _DECODER) -> Any:
    """Parse a JSON text with `decoder`.

    Raises `ValueError` if the text is not JSON, or is nested deeper than `DEEPEST`. Takes about 20 ns per byte:
    parse large texts in a thread.
    """
    if data.count(b"[") + data.count(b"{") > DEEPEST:
        brackets = _STRING.sub(b"", data).translate(None, _NO_BRACKET)
        if len(brackets) > DEEPEST and max(accumulate(map(_STEP.__getitem__, brackets))) > DEEPEST:
            raise ValueError(f"nested deeper than {DEEPEST} levels")
    return decoder.decode(data.decode(json.detect_encoding(data), "surrogatepass"))  # as json.loads


def _found(value: object) -> str:
    """The end of an error's text: the value found, shortened, or the kind of an object or a list."""
    if value is None:
        return "(found nothing)"
    if isinstance(value, dict | list):
        return "(found an object)" if isinstance(value, dict) else "(found a list)"
    return f"(found {value[:40]!r})" if isinstance(value, str) else f"(found {str(value)[:40]})"


def object_of(value: Any, what: str) -> dict[str, Any]:
    """`value` as an object, called `what` in the error. Raises `Malformed`."""
    if not isinstance(value, dict):
        raise Malformed(f"{what}: not a JSON object {_found(value)}")
    return cast("dict[str, Any]", value)


def list_field(fields: dict[str, Any], key: str, most: int) -> list[Any]:
    """The list at `key`, of at most `most` items. Raises `Malformed`."""
    value = fields.get(key)
    if not isinstance(value, list):
        raise Malformed(f"{key}: not a list {_found(value)}")
    items = cast("list[Any]", value)
    if len(items) > most:
        raise Malformed(f"{key}: {len(items)} items; at most {most} are allowed")
    return items


def text_field(fields: dict[str, Any], key: str) -> str:
    """The string at `key`. Raises `Malformed`."""
    value = fields.get(key)
    if not isinstance(value, str):
        raise Malformed(f"{key}: not a string {_found(value)}")
    return value


def integer_field(fields: dict[str, Any], key: str, least: int, bound: int) -> int:
    """The integer at `key`, from `least` up to but not including `bound`. Raises `Malformed`."""
    value = fields.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < bound:
        raise Malformed(f"{key}: not an integer from {least} to {bound - 1} {_found(value)}")
    return value


def hex_field(fields: dict[str, Any], key: str, least: int, most: int) -> bytes:
    """The bytes that are in hex at `key`: at least `least` and at most `most` bytes. Raises `Malformed`."""
    text = text_field(fields, key)
    if len(text) > 2 * most:
        raise Malformed(f"{key}: {len(text)} characters, more than {2 * most}")
    try:
        data = bytes.fromhex(text)
    except ValueError as error:
        raise Malformed(f"{key}: not hex {_found(text)}") from error
    if len(data) < least:
        raise Malformed(f"{key}: {len(data)} bytes, fewer than {least}")
    return data


def displayed_hash(fields: dict[str, Any], key: str) -> bytes:
    """The hash at `key`, converted from Bitcoin's display order to internal byte order. Raises `Malformed`."""
    return hex_field(fields, key, 32, 32)[::-1]


def data_field(fields: dict[str, Any], key: str, length: int) -> bytes:
    """The `length` bytes at `key` (execution-apis, "DATA"). Raises `Malformed`."""
    data = bytes_field(fields, key, length)
    if len(data) != length:
        raise Malformed(f"{key}: {len(data)} bytes instead of {length}")
    return data


def bytes_field(fields: dict[str, Any], key: str, most: int) -> bytes:
    """The bytes at `key`, at most `most`, as `0x` and hex digits (execution-apis, "DATA"). Raises `Malformed`."""
    text = text_field(fields, key)
    if not text.startswith("0x"):
        raise Malformed(f"{key}: {text[:40]!r} does not begin with 0x")
    if len(text) > 2 + 2 * most:
        raise Malformed(f"{key}: {len(text) // 2 - 1} bytes, more than {most}")
    try:
        return from_hex(text)
    except Malformed as error:
        raise Malformed(f"{key}: {error}") from error


def quantity_field(fields: dict[str, Any], key: str, bits: int = 64) -> int:
    """The number below 2^`bits` at `key`: `0x` and hex digits without leading zeros (execution-apis, "QUANTITY").

    Raises `Malformed`.
    """
    text = text_field(fields, key)
    digits = text.removeprefix("0x")
    if len(text) > 2 + bits // 4:
        raise Malformed(
            f"{key}: {len(text)} characters, but a quantity of {bits} bits has at most {2 + bits // 4}"
        )
    # int() alone would accept signs, underscores, spaces and digits of other scripts.
    if digits == text or not digits or not set(digits) <= set("0123456789abcdefABCDEF"):
        raise Malformed(f"{key}: {text[:80]!r} is not a quantity in hex")
    if digits[0] == "0" and len(digits) > 1:
        raise Malformed(f"{key}: {text[:80]!r} has leading zeros")
    return int(digits, 16)
