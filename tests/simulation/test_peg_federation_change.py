"""A federation with a peg that replaces a member while deposits and burns flow.

The oracle of the simulation counts deposits, burns and payments by itself. After a change, every output of the
former federation ends at the address of the new one, and nobody's satoshi is lost.
"""

import re
from collections.abc import Sequence

import pytest

from alysd.consensus.federation import halted_at
from alysd.messages.federation_update import SubmitFederationUpdate
from alysd.testing.federation.peg.run import settle
from alysd.testing.federation.peg.world import SimulatedPeg, repeatable_signatures
from alysd.testing.federation.run import rare_collections, run_round
from alysd.testing.federation.scenario import FAULT_SLOTS, draw_fault
from alysd.testing.federation.shared_work import shared_work
from alysd.testing.federation.simulation import SimulatedFederation, open_federation
from alysd.testing.updates import halt_update, members_update
from alysd.testing.virtual_time import run_virtually, seeded
from alysd.types.federation_update import FederationUpdate
from tests.simulation.change_kit import EFFECTIVE, check_change, head_of, until_height
from tests.thorough import cases

RESERVED = 5_000_000
MOVE_SLOTS = 120
"""The slots within which the outputs of the former federation move: some payments of four Bitcoin blocks each."""


def the_peg(federation: SimulatedFederation) -> SimulatedPeg:
    assert federation.world.peg is not None
    return federation.world.peg


async def send(federation: SimulatedFederation, update: FederationUpdate) -> None:
    """Governance sends an update to every node that runs."""
    for member in federation.members:
        if member.life is not None:
            await member.life.to.updates.ask(SubmitFederationUpdate(update))


async def change(federation: SimulatedFederation, members: Sequence[int], height: int = EFFECTIVE) -> None:
    """Governance names new members, to whose address users pay at once."""
    update = members_update(federation.world.hand.context, 1, height, members)
    await send(federation, update)
    the_peg(federation).add_federation(update.federation.bitcoin_keys)


async def until_moved(federation: SimulatedFederation) -> None:
    """Wait until former federations have no output that the ledger holds."""
    peg = the_peg(federation)
    peg.users.fill_reserve(RESERVED)
    for _ in range(MOVE_SLOTS):
        if not peg.left_behind():
            return
        await federation.slots(1)
    raise AssertionError(f"former federations still have {len(peg.left_behind())} outputs")


async def settled(federation: SimulatedFederation) -> None:
    """Everything ends, and the ledger of each node agrees with Bitcoin."""
    await settle(federation, the_peg(federation))
    await until_moved(federation)
    await settle(federation, the_peg(federation))


@pytest.mark.parametrize("members", [(0, 1, 2, 4), (4, 0, 1)][: cases(1, 2)])
def test_the_bitcoin_ends_at_the_new_address(members: tuple[int, ...]) -> None:
    """A member is replaced, and with it the threshold; the leavers' nodes follow and sign."""

    async def main() -> SimulatedFederation:
        async with open_federation(4, 1, newcomers=1, peg={}) as federation:
            the_peg(federation).users.fill_reserve(RESERVED)
            await federation.slots(3)
            await change(federation, members)
            await until_height(federation, EFFECTIVE + 12, EFFECTIVE + 60)
            await check_change(federation, members)
            await settled(federation)
            await check_change(federation, members)
        return federation

    with shared_work(), rare_collections(), repeatable_signatures():
        federation = run_virtually(main, seed=1)
    shown = federation.world.history.shown()
    assert "made no block" not in shown
    assert bool(re.search(r"member 4 +approves", shown))
    oracle, bitcoin = the_peg(federation).oracle, the_peg(federation).bitcoin
    newest = oracle.federations[-1]
    moves = [one for one in bitcoin.payments.values() if [out.script for out in one.outputs] == [newest]]
    assert moves, "a payment without payees has moved outputs"
    assert sum(one.height is not None for one in oracle.burns.values()) > 5
    assert len(oracle.minted) > 5


@pytest.mark.parametrize("seed", range(cases(1, 5)))
def test_faults_around_the_change_lose_no_bitcoin(seed: int) -> None:
    """Members lose power, links fail and clocks are set around the height, while users pay both addresses.

    A quorum of both federations always remains.
    """
    choices = seeded(seed)
    members = choices.choice([(0, 1, 2, 4), (4, 1, 2, 3), (0, 1, 2, 3, 4)])

    async def main() -> None:
        async with open_federation(4, seed, newcomers=1, peg={}) as federation:
            the_peg(federation).users.fill_reserve(RESERVED)
            await federation.slots(3)
            await change(federation, members)
            await until_height(federation, EFFECTIVE - choices.randint(2, FAULT_SLOTS), 2 * EFFECTIVE)
            fragile = [choices.randrange(3)]
            faults = [draw_fault(choices, 4, fragile) for _ in range(choices.randint(1, 3))]
            await run_round(federation, faults, 40)
            await until_height(federation, EFFECTIVE + 12, 80)
            await settled(federation)
            await check_change(federation, members)

    with shared_work(), rare_collections(), repeatable_signatures():
        run_virtually(main, seed=seed)


def test_governance_halts_the_peg_and_resumes_it() -> None:
    """Blocks and burns go on meanwhile, nothing is minted or proposed, and at last everything ends."""

    async def main() -> None:
        async with open_federation(4, 1, newcomers=1, peg={}) as federation:
            context, peg = federation.world.hand.context, the_peg(federation)
            await federation.slots(3)
            await send(federation, halt_update(context, 1, EFFECTIVE, "halt"))
            await until_height(federation, EFFECTIVE, EFFECTIVE + 60)
            await send(federation, halt_update(context, 2, 2 * EFFECTIVE, "resume"))
            await until_height(federation, 2 * EFFECTIVE - 4, EFFECTIVE + 60)
            heights = range(EFFECTIVE, 2 * EFFECTIVE)
            assert not [height for height in peg.oracle.minted.values() if height in heights]
            burns = [one.height for one in peg.oracle.burns.values() if one.height is not None]
            assert [height for height in burns if height in heights]
            sums = peg.oracle.sums
            assert sums[EFFECTIVE].refunded == sums[2 * EFFECTIVE - 6].refunded
            head = await head_of(federation.members[0])
            assert halted_at(head)
            await until_height(federation, 2 * EFFECTIVE + 2, 60)
            await settle(federation, peg)
            assert not halted_at(await head_of(federation.members[0]))

    with shared_work(), rare_collections(), repeatable_signatures():
        run_virtually(main, seed=1)
