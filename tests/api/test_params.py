"""Reading parameters by position."""

from typing import Any

import pytest

from alysd.api.params import InvalidParams, Params
from alysd.errors import Malformed


def even(value: Any) -> int:
    if not isinstance(value, int) or value % 2:
        raise Malformed("an even number is wanted")
    return value


def test_a_required_parameter_is_decoded() -> None:
    assert Params((4, 6)).required(1, even) == 6


def test_a_missing_parameter_is_named_by_its_position() -> None:
    with pytest.raises(InvalidParams, match=r"^missing value for required argument 1$"):
        Params((4,)).required(1, even)


def test_a_wrong_parameter_is_named_with_the_decoder_s_words() -> None:
    with pytest.raises(InvalidParams, match=r"^params\[0\]: an even number is wanted$"):
        Params((5,)).required(0, even)


@pytest.mark.parametrize("values", [(), (None,)])
def test_an_optional_parameter_may_be_absent_or_null(values: tuple[Any, ...]) -> None:
    assert Params(values).optional(0, even, "default") == "default"


def test_an_optional_parameter_that_is_there_is_checked() -> None:
    assert Params((2,)).optional(0, even, "default") == 2
    with pytest.raises(InvalidParams, match=r"params\[0\]"):
        Params((3,)).optional(0, even, "default")
