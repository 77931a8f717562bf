"""Scenarios with a peg are drawn from a seed, and are those of the federation with more faults."""

from alysd.testing.federation.peg.scenario import BITCOIN_KINDS, draw_peg_scenario
from alysd.testing.federation.scenario import COSTLY, OFF_SECONDS


def test_a_seed_gives_one_scenario() -> None:
    assert draw_peg_scenario(7, 4, 10.0) == draw_peg_scenario(7, 4, 10.0)
    assert str(draw_peg_scenario(7, 4, 10.0)) != str(draw_peg_scenario(8, 4, 10.0))


def test_all_kinds_of_faults_and_liars_occur_and_no_liar_is_fragile() -> None:
    kinds: set[str] = set()
    liars = 0
    for seed in range(200):
        scenario = draw_peg_scenario(seed, 4, 5.0)
        kinds |= {fault.kind for faults in scenario.bitcoin for fault in faults}
        assert scenario.liars.keys() == scenario.federation.liars.keys()
        assert len(scenario.bitcoin) == len(scenario.federation.rounds)
        liars += len(scenario.liars)
        for fault in (fault for faults in scenario.federation.rounds for fault in faults):
            if fault.kind in COSTLY:
                assert not set(fault.members) & scenario.liars.keys()
    assert kinds == set(BITCOIN_KINDS)
    assert 60 < liars < 180


def test_a_liar_and_a_costly_fault_are_never_more_than_f() -> None:
    """Peers keep a liar away, and a member after a costly fault approves nothing: two of four stop the chain."""
    seen = {True: 0, False: 0}
    for seed in range(300):
        scenario = draw_peg_scenario(seed, 4, 2.0)
        kinds = {fault.kind for faults in scenario.federation.rounds for fault in faults}
        costly = bool(kinds & set(COSTLY)) or max(map(abs, scenario.federation.skews)) >= OFF_SECONDS
        assert not (costly and scenario.liars), seed
        seen[costly] += bool(costly or scenario.liars)
    assert min(seen.values()) > 30
