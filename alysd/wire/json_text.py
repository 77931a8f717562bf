"""JSON from outside, parsed with a bound on nesting, because Python's parser is recursive.

The parser's own guard is the interpreter's recursion limit, which some libraries raise above what the C stack
can hold.
"""

import json
import re
from collections.abc import Callable
from itertools import accumulate
from typing import Any

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
