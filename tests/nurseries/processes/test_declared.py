"""Whether a value has a declared type."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Generic, Literal, NewType, Protocol, TypeVar

import attrs
import pytest

from alysd.nurseries.processes.declared import check_of

T = TypeVar("T")
Hash = NewType("Hash", bytes)
Named = NewType("Named", Hash)


class Shaped(Protocol):
    size: int


class Own(Generic[T]):
    """Not a collection."""


@attrs.frozen
class Point:
    x: int


CASES: list[tuple[Any, list[Any], list[Any]]] = [
    (int, [5, True], [None, "5", 5.0]),
    (float, [5.0, 5], ["5"]),
    (type(None), [None], [0]),
    (Named, [b"x"], ["x"]),
    (Point, [Point(1)], [1, None]),
    (Point | None, [Point(1), None], [1]),
    (tuple[Point, ...], [(), (Point(1), Point(2))], [(1,), [Point(1)], Point(1)]),
    (tuple[int, str | None], [(1, None), (1, "a")], [(1,), (1, 2), (1, "a", "b"), None]),
    (tuple[()], [()], [(1,)]),
    (Mapping[str, int], [{}, {"a": 5}], [5, {"a": "5"}, {5: 5}]),
    (list[int], [[], [5]], [(5,), ["5"], [5, None]]),
    (Sequence[str], [["a"], ("a",), "abc"], [["a", 5], {"a"}]),
    (frozenset[tuple[int, int]], [frozenset({(1, 2)})], [frozenset({(1, "2")}), {(1, 2)}]),
    (dict, [{"a": "unchecked"}], [[]]),
    (Own[int], [Own()], [[]]),
    (Literal["a", 5], ["a", 5], ["b", None, []]),
    (Annotated[int, "a comment"], [5], ["5"]),
    (Any, [5, None], []),
    (T, [5, None], []),
    (Shaped, [5, None], []),
]


@pytest.mark.parametrize(("declared", "right", "wrong"), CASES)
def test_a_value_has_the_declared_type(declared: Any, right: list[Any], wrong: list[Any]) -> None:
    check = check_of(declared)
    assert [value for value in right if not check(value)] == []
    assert [value for value in wrong if check(value)] == []
