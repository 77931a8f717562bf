"""A miner beside any node of a federation: the next author includes its proof, and blocks are final everywhere."""

from collections.abc import Sequence

import pytest

from alysd.messages.auxpow import CreateWork
from alysd.testing.blocks import MINER
from alysd.testing.federation.life import Life
from alysd.testing.federation.simulation import SimulatedFederation, open_federation
from alysd.testing.mining import solved
from alysd.testing.node import NO_MINING
from alysd.testing.virtual_time import run_virtually
from alysd.types.hashes import BlockHash


@pytest.fixture(autouse=True)
def _simulated() -> None:
    """These tests have threads of their own, instead of those of the other simulations."""


def lives(federation: SimulatedFederation) -> Sequence[Life]:
    found = [member.life for member in (*federation.members, *federation.followers)]
    return [life for life in found if life is not None]


async def work_for(life: Life) -> BlockHash:
    """Submit a proof of work to a node; returns the newest block that it covers."""
    offer = await life.to.auxpow.ask(CreateWork(MINER))
    await life.to.auxpow.ask(solved(offer))
    return offer.work.bundle.hashes[-1]


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("place", [2, 4, 5])
def test_work_that_is_submitted_to_any_node_makes_blocks_final_everywhere(place: int, seed: int) -> None:
    """Nodes 4 and 5 are followers. The work must not wait for a slot of the node that has it."""

    async def main() -> None:
        async with open_federation(4, seed=seed, mining=NO_MINING, followers=2) as federation:
            await federation.slots(12)
            while federation.slot() % 4 != 2:  # the next three slots are of others
                await federation.slots(1)
            end = await work_for(lives(federation)[place])
            await federation.slots(2.9)
            assert {life.store.forkchoice().finalized.hash for life in lives(federation)} == {end}
            assert len(lives(federation)) == 6

    run_virtually(main, seed=seed)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_work_of_a_follower_that_was_cut_off_is_included_after_it_finds_back(seed: int) -> None:
    """Its proof reached nobody. It sends the proof again with its next heads."""

    async def main() -> None:
        async with open_federation(4, seed=seed, mining=NO_MINING, followers=1) as federation:
            await federation.slots(12)
            (follower,) = federation.followers
            federation.world.network.partition([[follower.name]])
            await federation.slots(1)
            assert follower.life is not None
            end = await work_for(follower.life)
            await federation.slots(5)
            assert {life.store.forkchoice().finalized.height for life in lives(federation)} == {0}
            federation.world.network.heal()
            await federation.slots(20)
            assert {life.store.forkchoice().finalized.hash for life in lives(federation)} == {end}

    run_virtually(main, seed=seed)
