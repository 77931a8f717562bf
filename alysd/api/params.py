"""The parameters of a JSON-RPC request, read one by one with an error that says which one is wrong and why."""

from collections.abc import Callable
from typing import Any, TypeVar

import attrs

from alysd.errors import Malformed, Refused

T = TypeVar("T")
D = TypeVar("D")


class InvalidParams(Refused):
    """A parameter is missing, too many, or not what the method takes."""


@attrs.frozen
class Params:
    """Parameters by position. A decoder turns a JSON value into what a method wants, or raises `Malformed`."""

    values: tuple[Any, ...]

    def required(self, position: int, decode: Callable[[Any], T]) -> T:
        """Decode the parameter at `position`. Raises `InvalidParams` when it is not there, or wrong."""
        if position >= len(self.values):
            raise InvalidParams(f"missing value for required argument {position}")
        try:
            return decode(self.values[position])
        except Malformed as error:
            raise InvalidParams(f"params[{position}]: {error}") from error

    def optional(self, position: int, decode: Callable[[Any], T], default: D) -> T | D:
        """Decode the parameter at `position`, or give `default` when it is absent or null."""
        if position >= len(self.values) or self.values[position] is None:
            return default
        return self.required(position, decode)
