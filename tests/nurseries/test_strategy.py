"""Group strategies as plain functions of the children's order."""

import pytest

from alysd.nurseries import OneForAll, OneForOne, RestForOne, Strategy


@pytest.mark.parametrize(
    ("strategy", "affected"), [(OneForOne(), "b"), (OneForAll(), "abc"), (RestForOne(), "bc")]
)
def test_the_affected_children_in_start_order(strategy: Strategy, affected: str) -> None:
    assert list(strategy.affected("abc", "b")) == list(affected)
