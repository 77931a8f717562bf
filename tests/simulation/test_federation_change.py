"""A federation that replaces a member while blocks flow, with faults around the height of the change.

The ledger of the simulation computes from the blocks alone who may approve, with rules of its own. It finds any
approval outside of them, two approved blocks of one slot, and committed blocks that conflict.
"""

import re
from collections.abc import Sequence

import pytest

from alysd.messages.federation_update import GetKeptUpdates, SubmitFederationUpdate
from alysd.testing.federation.run import run_round
from alysd.testing.federation.scenario import FAULT_SLOTS, draw_fault
from alysd.testing.federation.shared_work import shared_work
from alysd.testing.federation.simulation import SimulatedFederation, open_federation
from alysd.testing.updates import members_update
from alysd.testing.virtual_time import run_virtually, seeded
from tests.simulation.change_kit import EFFECTIVE, check_change, until_height
from tests.thorough import cases


async def submit(federation: SimulatedFederation, members: Sequence[int], height: int = EFFECTIVE) -> None:
    """Governance sends the same change to every node."""
    update = members_update(federation.world.hand.context, 1, height, members)
    for member in federation.members:
        if member.life is not None:
            await member.life.to.updates.ask(SubmitFederationUpdate(update))


@pytest.mark.parametrize("members", [(0, 1, 2, 4), (4, 0, 1, 2), (0, 1, 2, 3, 4), (0, 1, 2)])
def test_a_change_takes_effect_on_all_nodes_without_a_restart(members: tuple[int, ...]) -> None:
    """One member is replaced, moved to another place, added, or taken out."""

    async def main() -> SimulatedFederation:
        async with open_federation(4, 1, newcomers=1) as federation:
            await federation.slots(3)
            await submit(federation, members)
            await until_height(federation, EFFECTIVE + 12, EFFECTIVE + 40)
            await check_change(federation, members)
        return federation

    with shared_work():
        federation = run_virtually(main, seed=1)
    shown = federation.world.history.shown()
    assert bool(re.search(r"member 4 +approves", shown)) == (4 in members)
    assert "made no block" not in shown


@pytest.mark.parametrize("seed", range(cases(1, 100)))
def test_faults_around_the_change_part_no_branches(seed: int) -> None:
    """Members lose power, links fail and clocks are set around the height; a quorum of both always remains."""
    choices = seeded(seed)
    members = choices.choice([(0, 1, 2, 4), (4, 1, 2, 3), (0, 1, 2, 3, 4)])

    async def main() -> SimulatedFederation:
        async with open_federation(4, seed, newcomers=1) as federation:
            await federation.slots(3)
            await submit(federation, members)
            await until_height(federation, EFFECTIVE - choices.randint(2, FAULT_SLOTS), 2 * EFFECTIVE)
            fragile = [choices.randrange(3)]
            faults = [draw_fault(choices, 4, fragile) for _ in range(choices.randint(1, 3))]
            await run_round(federation, faults, 40)
            await until_height(federation, EFFECTIVE + 12, 60)
            await check_change(federation, members)
        return federation

    with shared_work():
        run_virtually(main, seed=seed)


def test_a_node_that_slept_through_the_change_catches_up() -> None:
    """It knows only the old federation, so it cannot check the head of a peer, and must blame nobody for it."""

    async def main() -> SimulatedFederation:
        async with open_federation(4, 2, newcomers=1) as federation:
            await federation.slots(3)
            await submit(federation, (0, 1, 2, 4))
            await federation.slots(1)
            federation.members[3].crash()
            await until_height(federation, EFFECTIVE + 12, EFFECTIVE + 60)
            await federation.start(federation.members[3])
            await federation.slots(25)
            await check_change(federation, (0, 1, 2, 4))
        return federation

    with shared_work():
        run_virtually(main, seed=2)


def test_a_change_that_one_member_gets_reaches_all() -> None:
    """Any of them may make the next block; the member that got it may be down then."""

    async def main() -> SimulatedFederation:
        async with open_federation(4, 4, newcomers=1) as federation:
            await federation.slots(3)
            update = members_update(federation.world.hand.context, 1, EFFECTIVE, (0, 1, 2, 4))
            first = federation.members[0].life
            assert first is not None
            await first.to.updates.ask(SubmitFederationUpdate(update))
            await federation.slots(1)
            for member in federation.members:
                assert member.life is not None
                assert await member.life.to.updates.ask(GetKeptUpdates()) == (update,)
        return federation

    run_virtually(main, seed=4)
