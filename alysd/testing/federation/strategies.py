"""A Hypothesis strategy of scenarios, which shrink to few members, few faults and good links.

@given(scenarios())
def test_no_scenario_breaks_an_invariant(scenario: FederationScenario) -> None:
    run_scenario(scenario)
"""

from collections.abc import Sequence

from hypothesis import strategies as st

from alysd.testing.federation.adversary import Habits
from alysd.testing.federation.links import LinkQuality
from alysd.testing.federation.scenario import (
    COSTLY,
    FAULT_SLOTS,
    KINDS,
    OFF_SECONDS,
    FaultKind,
    FederationFault,
    FederationScenario,
)
from alysd.types.federation import quorum_of

SIZES = (1, 3, 4, 7)
"""The numbers of members: alone, and federations in which none, one and two members may lie."""

_LINKS = st.builds(
    LinkQuality,
    latency=st.sampled_from((0.05, 0.01, 0.1)),
    jitter=st.sampled_from((0.0, 0.05, 0.2)),
    loss=st.sampled_from((0.0, 0.05)),
    duplication=st.sampled_from((0.0, 0.05)),
)

_SOMETIMES = st.sampled_from((0.0, 0.3, 0.9))

_HABITS = st.builds(Habits, _SOMETIMES, _SOMETIMES, _SOMETIMES, _SOMETIMES, _SOMETIMES) | st.builds(
    Habits, garbage=_SOMETIMES, false_answers=_SOMETIMES
)


@st.composite
def scenarios(draw: st.DrawFn, sizes: Sequence[int] = SIZES, most_rounds: int = 2) -> FederationScenario:
    """Scenarios of federations of these `sizes`, with at most `most_rounds` rounds of faults.

    As in `draw_scenario`, at most f members lie, and costly faults concern only members without which the others
    are still a quorum.
    """
    members = draw(st.sampled_from(sizes))
    everyone = range(members)
    lying = _some(draw, everyone, (members - 1) // 3)
    honest = [index for index in everyone if index not in lying]
    fragile = _some(draw, honest, members - quorum_of(members) - len(lying))
    skews = [draw(st.sampled_from((0.0, 0.1, -0.1))) for _ in everyone]
    if fragile:
        skews[fragile[0]] = draw(st.sampled_from((0.0, OFF_SECONDS, -OFF_SECONDS)))
    rounds = st.lists(_faults(everyone, fragile), min_size=1, max_size=3).map(tuple)
    return FederationScenario(
        seed=draw(st.integers(0, 2**16)),
        members=members,
        quality=draw(_LINKS),
        skews=tuple(skews),
        liars={index: draw(_HABITS) for index in lying},
        rounds=tuple(draw(st.lists(rounds, min_size=1, max_size=most_rounds))),
    )


def _some(draw: st.DrawFn, members: Sequence[int], most: int) -> Sequence[int]:
    if most <= 0 or not members:
        return ()
    return draw(st.lists(st.sampled_from(members), max_size=most, unique=True))


def _faults(everyone: Sequence[int], fragile: Sequence[int]) -> st.SearchStrategy[FederationFault]:
    """Faults whose beginning and length are tenths of slots, up to half of the time for faults."""
    kinds: Sequence[FaultKind] = [kind for kind in KINDS if fragile or kind not in COSTLY]
    return st.sampled_from(kinds).flatmap(
        lambda kind: st.builds(
            FederationFault,
            kind=st.just(kind),
            members=_groups(fragile if kind in COSTLY else everyone),
            after=_TENTHS,
            slots=_TENTHS,
        )
    )


_TENTHS = st.integers(2, 5 * FAULT_SLOTS).map(lambda tenths: tenths / 10)


def _groups(members: Sequence[int]) -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(st.sampled_from(members), min_size=1, max_size=3, unique=True).map(sorted).map(tuple)
