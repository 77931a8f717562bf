"""Members of a federation that crash or lose data at the same time: the chain goes on once they are back.

    ALYSD_FEDERATION_SEEDS=300 pytest tests/simulation/test_recovery.py

runs ten seeds of each case instead of one.
"""

import os
from collections.abc import Callable, Sequence

import pytest
import trio

from alysd.consensus.stored_data import Claim
from alysd.testing.federation.members import SimulatedMember
from alysd.testing.federation.simulation import SimulatedFederation, open_federation
from alysd.testing.virtual_time import run_virtually
from tests.thorough import cases

SEEDS = range(1, 2 + int(os.environ.get("ALYSD_FEDERATION_SEEDS", cases(0, 30))) // 30)


@pytest.fixture(autouse=True)
def _simulated() -> None:
    """These tests have threads of their own, instead of those of the other simulations."""


Loss = Callable[[SimulatedMember], object]


def keep(_member: SimulatedMember) -> None:
    """A member that loses nothing but its memory."""


def lose_database(member: SimulatedMember) -> None:
    """A member with its signing guard and an empty disk."""
    member.restore_database(0)


def old_database(member: SimulatedMember) -> None:
    """A member with its signing guard and an old backup."""
    member.restore_database(len(member.disk.commits) // 2)


def lose_all(member: SimulatedMember) -> None:
    """A member that has lost its guard too. Its operator has used `alysd recover --join-others`."""
    member.wipe(Claim.OTHERS_HONEST)


async def slots_until_commit(federation: SimulatedFederation) -> int:
    """Wait until all members have committed a block from now on; returns the number of slots."""
    begun = federation.slot()
    while any(federation.world.ledger.committed_slot.get(one.index, 0) <= begun for one in federation.members):
        await federation.slots(1)
        assert federation.slot() - begun < 40, federation.world.history.shown(last=60)
    return federation.slot() - begun


def restarted(members: int, seed: int, losing: Sequence[int], lose: Loss, *, apart: float = 0.0) -> None:
    """Crash `losing`, one every `apart` slots, let them lose data, and start them again."""

    async def main() -> None:
        async with open_federation(members, seed=seed) as federation:
            await federation.slots(8 + federation.world.choices.random())
            downs = [federation.members[index] for index in losing]
            for member in downs:
                member.crash()
                lose(member)
                await trio.sleep(apart * federation.slot_seconds)
            await trio.sleep(federation.world.choices.random() * federation.slot_seconds)
            for member in downs:
                await federation.start(member)
                await trio.sleep(apart * federation.slot_seconds)
            assert await slots_until_commit(federation) <= 20

    run_virtually(main, seed=seed)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("lose", [keep, lose_database, old_database, lose_all])
@pytest.mark.parametrize("losing", [(1,), (0, 2)])
def test_up_to_half_of_four_members_lose_data_at_once(seed: int, lose: Loss, losing: Sequence[int]) -> None:
    restarted(4, seed, losing, lose)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("losing", [(0, 1, 2), (0, 1, 2, 3)])
@pytest.mark.parametrize("apart", [0.0, 0.7])
def test_three_or_all_members_crash(seed: int, losing: Sequence[int], apart: float) -> None:
    restarted(4, seed, losing, keep, apart=apart)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("lose", [lose_database, lose_all])
def test_members_that_lose_data_one_after_the_other(seed: int, lose: Loss) -> None:
    restarted(4, seed, (3, 1), lose, apart=1.3)


@pytest.mark.parametrize("seed", SEEDS)
def test_one_of_two_members_loses_everything(seed: int) -> None:
    """Neither is a quorum without the other."""
    restarted(2, seed, (1,), lose_all)


@pytest.mark.parametrize("seed", SEEDS)
def test_four_of_seven_members_lose_everything(seed: int) -> None:
    restarted(7, seed, (0, 2, 3, 6), lose_all)


def test_without_the_claim_of_the_operators_the_chain_waits() -> None:
    """Two that have forgotten a block and one that lies could otherwise commit another one."""
    with pytest.raises(AssertionError):
        restarted(4, 1, (0, 2), SimulatedMember.wipe)
    restarted(4, 1, (2,), SimulatedMember.wipe)
