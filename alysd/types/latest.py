"""A value that can change while the node runs, such as that of a live option."""

from typing import Generic, TypeVar

T = TypeVar("T")


class Latest(Generic[T]):
    """Holds the latest value. Read `value` before each use, because it changes."""

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value
