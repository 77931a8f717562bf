"""The targets that chaos picks, and those that it never picks."""

import pytest

from alysd.nurseries import Priority
from alysd.testing.targets import AnyChildren, BlastRadius, ByName, ByPriority, Percentage, Target
from alysd.testing.virtual_time import seeded
from tests.samples import CHILDREN, child


@pytest.mark.parametrize(
    ("target", "count", "among"),
    [
        (AnyChildren(3), 3, {each.name for each in CHILDREN}),
        (AnyChildren(99), 10, {each.name for each in CHILDREN}),
        (ByPriority(Priority.CRITICAL, 1), 1, {"a", "b"}),
        (ByPriority(Priority.CRITICAL), 2, {"a", "b"}),
        (ByPriority(Priority.NORMAL, count=2), 2, {f"n{number}" for number in range(7)}),
        (ByPriority(Priority.BACKGROUND), 0, set[str]()),
        (ByName(["c", "n0", "nobody"]), 2, {"c", "n0"}),
        (Percentage(25), 2, {each.name for each in CHILDREN}),
        (Percentage(1), 1, {each.name for each in CHILDREN}),
    ],
)
def test_a_target_picks_so_many_of_those(target: Target, count: int, among: set[str]) -> None:
    for seed in range(20):
        selected = target.select(CHILDREN, seeded(seed))
        assert len(selected) == count
        assert set(selected) <= among
        assert list(selected) == [each.name for each in CHILDREN if each.name in selected], "start order"


def test_chance_reaches_everybody_and_repeats() -> None:
    reached = {AnyChildren(1).select(CHILDREN, seeded(seed)) for seed in range(100)}
    assert len(reached) == len(CHILDREN)
    assert AnyChildren(3).select(CHILDREN, seeded(5)) == AnyChildren(3).select(CHILDREN, seeded(5))


def test_the_radius_leaves_out_supervisors_and_the_protected() -> None:
    radius = BlastRadius(share=0.5, protected=frozenset({"a"}))
    eligible = radius.eligible([child("root", kind="supervisor"), child("a"), child("b"), child("w", kind="task")])
    assert [each.name for each in eligible] == ["b", "w"]


def test_the_radius_rounds_down_but_allows_one() -> None:
    assert BlastRadius(share=0.34).limit(10) == 3
    assert BlastRadius(share=0.34).limit(2) == 1
    with pytest.raises(ValueError, match="share"):
        BlastRadius(share=1.5)
