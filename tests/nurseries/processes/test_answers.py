"""The types of answers, as asks declare them."""

from typing import Any, Generic, TypeVar

import attrs
import pytest

from alysd.nurseries import Ask
from alysd.nurseries.processes.answers import is_answer

T = TypeVar("T")


class Querying:
    pass


@attrs.frozen
class Point:
    x: int


@pytest.mark.parametrize(
    ("declared", "right", "wrong"),
    [
        (int, [5, True], [None, "5", 5.0]),
        (None, [None], [0]),
        (tuple[Point, ...], [(), (Point(1), Point(2))], [(1,), [Point(1)], Point(1)]),
    ],
)
def test_an_answer_has_the_declared_type(declared: Any, right: list[Any], wrong: list[Any]) -> None:
    kind = new_ask(Ask[Querying, declared])
    assert [value for value in right if not is_answer(kind, value)] == []
    assert [value for value in wrong if is_answer(kind, value)] == []


def new_ask(base: Any) -> Any:
    class Query(base):
        pass

    class Refined(Query):
        """Declares its answer in its base."""

    return Refined


class Untyped(Ask):  # pyright: ignore[reportMissingTypeArgument]
    pass


class Between(Generic[T]):
    pass


class Late(Between[int], Ask[Querying, str]):
    pass


def test_an_ask_that_declares_nothing_has_any_answer() -> None:
    assert is_answer(Untyped, object())
    assert is_answer(Late, "text")
    assert not is_answer(Late, 5)
