"""The bounds of a number, as metadata of its field. `config.structure` refuses values outside them."""

from collections.abc import Mapping
from typing import Any


def between(low: int, high: int) -> Mapping[str, Any]:
    """Return metadata for a field whose value must be a whole number of at least `low` and at most `high`."""
    return {"between": (low, high)}
