"""A federation with a peg that replaces a member while deposits and burns flow.

The oracle of the simulation counts deposits, burns and payments by itself. After a change, every output of the
former federation ends at the address of the new one, and nobody's satoshi is lost.
"""

import re

import pytest

from alysd.consensus.federation import halted_at
from alysd.testing.federation.peg.run import settle
from alysd.testing.federation.peg.world import repeatable_signatures
from alysd.testing.federation.run import rare_collections, run_round
from alysd.testing.federation.scenario import FAULT_SLOTS, draw_fault
from alysd.testing.federation.shared_work import shared_work
from alysd.testing.federation.simulation import SimulatedFederation, open_federation
from alysd.testing.updates import halt_update
from alysd.testing.virtual_time import run_virtually, seeded
from alysd.types.federation_update import UpdateKind
from tests.simulation.change_kit import (
    EFFECTIVE,
    RESERVED,
    change_members,
    check_change,
    head_of,
    send,
    the_peg,
    until_height,
    until_moved,
)
from tests.thorough import cases


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
            await change_members(federation, members)
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
            await change_members(federation, members)
            await until_height(federation, EFFECTIVE - choices.randint(2, FAULT_SLOTS), 2 * EFFECTIVE)
            fragile = [choices.randrange(3)]
            faults = [draw_fault(choices, 4, fragile) for _ in range(choices.randint(1, 3))]
            await run_round(federation, faults, 40)
            await until_height(federation, EFFECTIVE + 12, 80)
            await settled(federation)
            await check_change(federation, members)

    with shared_work(), rare_collections(), repeatable_signatures():
        run_virtually(main, seed=seed)


async def soon(federation: SimulatedFederation, kind: UpdateKind, sequence: int) -> int:
    """Governance halts or resumes the peg within some blocks. Returns the height."""
    heads = [await head_of(member) for member in federation.members if member.life is not None]
    height = max(head.height for head in heads) + 6
    await send(federation, halt_update(federation.world.hand.context, sequence, height, kind))
    return height


def test_governance_halts_the_peg_and_resumes_it_while_the_members_change() -> None:
    """Blocks and burns go on meanwhile, nothing is minted or proposed, and at last everything ends.

    The halt begins while new members are pending, and the resumption is included while they are too. The oracle
    finds any block with peg contents between the two heights.
    """

    async def main() -> None:
        async with open_federation(4, 1, newcomers=1, peg={}) as federation:
            peg = the_peg(federation)
            peg.users.fill_reserve(RESERVED)
            await federation.slots(3)
            await change_members(federation, (0, 1, 2, 4))
            await federation.slots(40)
            start = await soon(federation, "halt", 1)
            await until_height(federation, start + 30, 60)
            end = await soon(federation, "resume", 2)
            await until_height(federation, end + 2, 40)
            assert end < EFFECTIVE
            heights = range(start, end)
            assert peg.oracle.halts == [(start, True), (end, False)]
            assert not [height for height in peg.oracle.minted.values() if height in heights]
            burns = [one.height for one in peg.oracle.burns.values() if one.height is not None]
            assert [height for height in burns if height in heights]
            assert peg.oracle.sums[start].refunded == peg.oracle.sums[end - 1].refunded
            await until_height(federation, EFFECTIVE + 12, 2 * EFFECTIVE)
            await check_change(federation, (0, 1, 2, 4))
            await settled(federation)
            assert not halted_at(await head_of(federation.members[0]))

    with shared_work(), rare_collections(), repeatable_signatures():
        run_virtually(main, seed=1)


@pytest.mark.parametrize("seed", range(cases(1, 10)))
def test_a_halt_around_the_height_of_new_members_survives_faults(seed: int) -> None:
    """Members lose power, links fail and clocks are set, and all nodes still agree about both tracks."""
    choices = seeded(seed)

    async def main() -> None:
        async with open_federation(4, seed, newcomers=1, peg={}) as federation:
            the_peg(federation).users.fill_reserve(RESERVED)
            await federation.slots(3)
            await change_members(federation, (0, 1, 2, 4))
            await until_height(federation, EFFECTIVE - choices.randint(4, FAULT_SLOTS), 2 * EFFECTIVE)
            await soon(federation, "halt", 1)
            faults = [draw_fault(choices, 4, [choices.randrange(3)]) for _ in range(choices.randint(1, 2))]
            await run_round(federation, faults, 40)
            await until_height(federation, EFFECTIVE + 12, 80)
            await check_change(federation, (0, 1, 2, 4))
            states = [await head_of(member) for member in federation.members]
            assert len({(one.governance.sequence, one.governance.peg) for one in states if one.governance}) == 1
            halted = halted_at(states[0])
            assert halted == bool(the_peg(federation).oracle.halts)
            if halted:
                await soon(federation, "resume", 2)
            await settled(federation)

    with shared_work(), rare_collections(), repeatable_signatures():
        run_virtually(main, seed=seed)
