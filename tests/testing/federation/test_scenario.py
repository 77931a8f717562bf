"""The scenarios that seeds draw cover all faults and all ways to lie, and ask no more than the rules promise."""

import attrs
import pytest
from hypothesis import given

from alysd.testing.federation.adversary import Habits
from alysd.testing.federation.scenario import COSTLY, KINDS, OFF_SECONDS, FederationScenario, draw_scenario
from alysd.testing.federation.strategies import scenarios
from alysd.types.federation import quorum_of


def faults_of(scenarios: list[FederationScenario]) -> set[str]:
    return {fault.kind for one in scenarios for faults in one.rounds for fault in faults}


def weak(scenario: FederationScenario) -> set[int]:
    """The members on which the others cannot count: those that lie, lose data, or have a wrong clock."""
    costly = {
        member
        for faults in scenario.rounds
        for fault in faults
        if fault.kind in COSTLY
        for member in fault.members
    }
    off = {index for index, skew in enumerate(scenario.skews) if abs(skew) == OFF_SECONDS}
    return costly | off | set(scenario.liars)


def test_thirty_seeds_draw_every_fault_and_every_lie() -> None:
    drawn = [draw_scenario(seed, 4, 10.0) for seed in range(1, 31)]
    assert faults_of(drawn) == set(KINDS)
    for habit in attrs.fields(Habits):
        assert any(getattr(one, habit.name) for each in drawn for one in each.liars.values()), habit.name
    assert {skew for one in drawn for skew in one.skews if abs(skew) > 0.1} == {OFF_SECONDS, -OFF_SECONDS}
    cut = {
        len(fault.members) for one in drawn for each in one.rounds for fault in each if fault.kind == "partition"
    }
    assert {1, 2, 3} <= cut, "three against one, and two against two"
    assert {one.quality.duplication > 0 for one in drawn} == {True, False}
    assert max(one.quality.jitter for one in drawn) > min(one.quality.latency for one in drawn), "reordering"


@pytest.mark.parametrize("members", [1, 3, 4, 7, 21])
def test_a_quorum_is_always_honest_and_keeps_its_data(members: int) -> None:
    for seed in range(50):
        scenario = draw_scenario(seed, members, 2.0)
        assert len(scenario.liars) <= (members - 1) // 3
        assert members - len(weak(scenario)) >= quorum_of(members)


@given(scenarios())
def test_scenarios_of_hypothesis_keep_a_quorum_too(scenario: FederationScenario) -> None:
    assert len(scenario.liars) <= (scenario.members - 1) // 3
    assert scenario.members - len(weak(scenario)) >= quorum_of(scenario.members)
    for faults in scenario.rounds:
        for fault in faults:
            assert fault.after + fault.slots <= 16
