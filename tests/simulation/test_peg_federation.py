"""Federations with a peg: nothing is minted or paid twice, and everything ends, whatever Bitcoin and members do.

    ALYSD_PEG_SEEDS=200 pytest tests/simulation/test_peg_federation.py -k seed

runs more seeds. `python -m alysd.testing.federation --peg --seed N --minutes 2 --history` replays one.
"""

import os
from functools import cache

import pytest

from alysd.actors import bitcoin_watch
from alysd.peg import transition
from alysd.peg.ledger import Draft
from alysd.peg.peg_ins import mint_deposit
from alysd.testing.federation.adversary import Habits
from alysd.testing.federation.links import LinkQuality
from alysd.testing.federation.peg.adversary import PegHabits
from alysd.testing.federation.peg.run import PegResult, run_peg_scenario
from alysd.testing.federation.peg.scenario import PegScenario, draw_peg_scenario
from alysd.testing.federation.scenario import FederationScenario
from alysd.testing.federation.simulation import InvariantBroken
from alysd.types.peg import Minted, PegIn
from alysd.types.units import Height, Sat
from tests.thorough import cases

SEEDS = int(os.environ.get("ALYSD_PEG_SEEDS", cases(2, 4)))
MINUTES = 2.0 if "ALYSD_PEG_SEEDS" in os.environ else 1.0


@pytest.fixture(autouse=True)
def _simulated() -> None:
    """These tests have threads of their own, instead of those of the other simulations."""


@pytest.mark.parametrize("seed", range(1, SEEDS + 1))
def test_no_seed_breaks_an_invariant_of_the_peg(seed: int) -> None:
    run_peg_scenario(draw_peg_scenario(seed, 4, MINUTES))


def a_liar(seed: int = 1) -> PegScenario:
    """Nothing fails, but a member lies about the peg in nearly all of its blocks."""
    federation = FederationScenario(seed, 4, LinkQuality(), (0.0,) * 4, {3: Habits()}, ((),))
    return PegScenario(federation, ((),), {3: PegHabits(lie=0.9, withhold=0.5)})


@cache
def of_the_liar() -> PegResult:
    """The result of `a_liar`, which two tests look at."""
    return run_peg_scenario(a_liar())


def test_many_lies_are_told_and_none_is_believed() -> None:
    history = of_the_liar().federation.world.history
    assert len({line.text for line in history.lines if line.text.startswith("lies: ")}) >= 4


def test_a_run_is_the_same_every_time() -> None:
    again = run_peg_scenario(a_liar(), share=False)
    assert again.federation.world.history.shown() == of_the_liar().federation.world.history.shown()


def test_a_federation_that_does_not_look_at_bitcoin_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def believe(*_: object) -> None:
        return

    monkeypatch.setattr(bitcoin_watch, "_check", believe)
    with pytest.raises(InvariantBroken, match="which no user made"):
        run_peg_scenario(a_liar())


def test_a_federation_that_forgets_what_is_minted_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(draft: Draft, peg_in: PegIn, height: Height, minimum: Sat, federations: int) -> None:
        draft.changes.pop((Minted, peg_in.txid), None)
        draft.found = {**draft.found, (Minted, peg_in.txid): None}
        mint_deposit(draft, peg_in, height, minimum, federations)

    monkeypatch.setattr(transition, "mint_deposit", forgetful)

    def several() -> None:
        """Only one of the lies shows it, and about half of the runs have it."""
        for seed in range(9, 17):
            run_peg_scenario(a_liar(seed))

    with pytest.raises(InvariantBroken, match=r"mints the deposit .* again"):
        several()
