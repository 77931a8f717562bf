"""Whom chaos picks, and whom it never does."""

import pytest

from alysd.nurseries import ChildSnapshot, Health, Priority, State
from alysd.testing.replay import seeded
from alysd.testing.targets import AtRandom, BlastRadius, Named, OfPriority, Percentage, Target, TheCritical


def child(name: str, priority: Priority = Priority.NORMAL, kind: str = "actor") -> ChildSnapshot:
    return ChildSnapshot(
        name=name,
        kind=kind,
        state=State.RUNNING,
        health=Health.HEALTHY,
        priority=priority,
        restart="Immediate",
        strategy=None,
        restarts=0,
        last_error=None,
        last_error_at=None,
        uptime=1.0,
        mailbox=None,
    )


CHILDREN = [
    child("a", Priority.CRITICAL),
    child("b", Priority.CRITICAL),
    child("c", Priority.HIGH),
    *(child(f"n{number}") for number in range(7)),
]


@pytest.mark.parametrize(
    ("target", "count", "among"),
    [
        (AtRandom(3), 3, {each.name for each in CHILDREN}),
        (AtRandom(99), 10, {each.name for each in CHILDREN}),
        (TheCritical(), 1, {"a", "b"}),
        (OfPriority(Priority.CRITICAL), 2, {"a", "b"}),
        (OfPriority(Priority.NORMAL, count=2), 2, {f"n{number}" for number in range(7)}),
        (OfPriority(Priority.BACKGROUND), 0, set[str]()),
        (Named(["c", "n0", "nobody"]), 2, {"c", "n0"}),
        (Percentage(25), 2, {each.name for each in CHILDREN}),
        (Percentage(1), 1, {each.name for each in CHILDREN}),
    ],
)
def test_a_target_picks_so_many_of_those(target: Target, count: int, among: set[str]) -> None:
    for seed in range(20):
        picked = target.pick(CHILDREN, seeded(seed))
        assert len(picked) == count
        assert set(picked) <= among
        assert list(picked) == [each.name for each in CHILDREN if each.name in picked], "start order"


def test_chance_reaches_everybody_and_repeats() -> None:
    reached = {AtRandom(1).pick(CHILDREN, seeded(seed)) for seed in range(100)}
    assert len(reached) == len(CHILDREN)
    assert AtRandom(3).pick(CHILDREN, seeded(5)) == AtRandom(3).pick(CHILDREN, seeded(5))


def test_the_radius_leaves_out_supervisors_and_the_protected() -> None:
    radius = BlastRadius(share=0.5, protected=frozenset({"a"}))
    exposed = radius.exposed([child("root", kind="supervisor"), child("a"), child("b"), child("w", kind="task")])
    assert [each.name for each in exposed] == ["b", "w"]


def test_the_radius_rounds_down_but_allows_one() -> None:
    assert BlastRadius(share=0.34).limit(10) == 3
    assert BlastRadius(share=0.34).limit(2) == 1
    with pytest.raises(ValueError, match="share"):
        BlastRadius(share=1.5)
