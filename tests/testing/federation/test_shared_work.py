"""Shared work changes no result of a simulation, and is over after its block."""

import pytest

from alysd.actors import gossip_judge
from alysd.errors import Malformed
from alysd.testing.federation.run import run_scenario
from alysd.testing.federation.scenario import draw_scenario
from alysd.testing.federation.shared_work import SHARED, shared_work
from alysd.wire import gossip


def test_modules_call_the_shared_versions_in_the_block_only() -> None:
    before = gossip_judge.decode_proposal
    assert before in SHARED
    with shared_work():
        assert gossip_judge.decode_proposal is gossip.decode_proposal is not before
    assert gossip_judge.decode_proposal is gossip.decode_proposal is before


def test_an_error_is_not_kept() -> None:
    with shared_work():
        for _ in range(2):
            with pytest.raises(Malformed):
                gossip.decode_proposal(b"no proposal")


def test_a_run_is_the_same_with_and_without_it() -> None:
    """A shared result that a node could tell from its own would make the simulation another one."""
    scenario = draw_scenario(3, 4, 0.5)
    alone, shared = run_scenario(scenario, share=False), run_scenario(scenario)
    assert alone.world.history.shown() == shared.world.history.shown()
