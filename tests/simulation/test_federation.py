"""Federations of whole nodes: one chain, whatever some members and the network do.

    ALYSD_FEDERATION_SEEDS=300 pytest tests/simulation/test_federation.py -k scenario

runs more seeds. `python -m alysd.testing.federation --seed N --history` replays one.
"""

import os
from contextlib import suppress

import attrs
import pytest

from alysd.consensus.approval import check_approval
from alysd.testing.federation import signer
from alysd.testing.federation.run import run_scenario
from alysd.testing.federation.scenario import draw_scenario
from alysd.testing.federation.simulation import InvariantBroken, SimulatedFederation, open_federation
from alysd.testing.virtual_time import run_virtually
from alysd.types.hashes import BlockHash
from alysd.types.signing import SignedSlot
from alysd.types.units import Slot

SEEDS = int(os.environ.get("ALYSD_FEDERATION_SEEDS", "30"))


@pytest.fixture(autouse=True)
def _simulated() -> None:
    """These tests have threads of their own, instead of those of the other simulations."""


def test_four_members_make_one_chain_and_all_commit_every_slot() -> None:
    async def main() -> SimulatedFederation:
        async with open_federation(4, seed=1) as federation:
            await federation.slots(20.5)
            heads = {member.life.store.forkchoice().head for member in federation.members if member.life}
            assert len(heads) == 1
            assert heads.pop().height >= 19
        return federation

    federation = run_virtually(main, seed=1)
    ledger = federation.world.ledger
    assert len(ledger.committed) >= 19
    assert set(ledger.committed_slot) == {0, 1, 2, 3}
    assert len(set(ledger.committed_slot.values())) == 1


@pytest.mark.parametrize("seed", range(1, SEEDS + 1))
def test_no_scenario_breaks_an_invariant(seed: int) -> None:
    run_scenario(draw_scenario(seed, 4, 1.0 if SEEDS == 30 else 10.0))


def test_a_federation_without_the_lock_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three of the first twenty seeds of a minute find it."""

    def without_lock(slot: Slot, block: BlockHash, parent_slot: Slot, last: SignedSlot) -> None:
        check_approval(slot, block, parent_slot, attrs.evolve(last, lock=Slot(0)))

    monkeypatch.setattr(signer, "check_approval", without_lock)
    caught: list[str] = []
    for seed in (10, 11, 17):
        with suppress(InvariantBroken):
            run_scenario(draw_scenario(seed, 4, 1.0))
            continue
        caught.append(str(seed))
    assert caught


def test_a_federation_of_seven() -> None:
    run_scenario(draw_scenario(2, 7, 1.0))
