"""A federation with a peg whose former quorum stops for ever, while users still pay to its address."""

from alysd.testing.federation.peg.run import SETTLE_SLOTS
from alysd.testing.federation.peg.world import SimulatedPeg, repeatable_signatures
from alysd.testing.federation.run import rare_collections
from alysd.testing.federation.shared_work import shared_work
from alysd.testing.federation.simulation import SimulatedFederation, open_federation
from alysd.testing.virtual_time import run_virtually
from alysd.types.chain import ChainState
from tests.simulation.change_kit import (
    EFFECTIVE,
    change_members,
    check_change,
    head_of,
    the_peg,
    until_height,
)

MEMBERS = (0, 4, 5, 6)
GONE = (1, 2, 3)
"""Members of the first federation alone. The one that remains is no quorum of it."""

RESERVE = 10_000_000_000
"""More than all deposits to the old address, so that the newest federation has enough for every request."""


async def until_only_moves_wait(federation: SimulatedFederation, peg: SimulatedPeg) -> ChainState:
    """Wait until nothing is open but payments that only former members can sign. Returns the last state."""
    peg.users.busy = False
    left, head = ["nothing was looked at"], await head_of(federation.members[0])
    for _ in range(SETTLE_SLOTS):
        await federation.slots(1)
        head = await head_of(federation.members[0])
        left = [one for one in peg.unsettled(head) if not one.startswith("the ledger has something in flight")]
        if not left and not (head.peg.owed or head.peg.refunds_due or head.peg.paying):
            return head
    raise AssertionError(f"after {SETTLE_SLOTS} slots: {left}, {head.peg}")


def test_all_users_are_paid_after_the_former_quorum_has_stopped() -> None:
    async def main() -> tuple[ChainState, int]:
        async with open_federation(4, 1, newcomers=3, peg={}) as federation:
            peg = the_peg(federation)
            peg.users.fill_reserve(5_000_000)
            await federation.slots(3)
            await change_members(federation, MEMBERS)
            await until_height(federation, EFFECTIVE + 12, EFFECTIVE + 60)
            await check_change(federation, MEMBERS)
            peg.users.fill_reserve(RESERVE)
            while (await head_of(federation.members[0])).peg.reserve < RESERVE:
                await federation.slots(1)
            for member in GONE:
                federation.members[member].crash()
            before = len(peg.oracle.burns)
            await federation.slots(80)
            requested = len(peg.oracle.burns) - before
            return await until_only_moves_wait(federation, peg), requested

    with shared_work(), rare_collections(), repeatable_signatures():
        head, requested = run_virtually(main, seed=1)
    assert requested > 10
    assert (head.peg.paying, head.peg.moving) == ((), (1,))
