"""Helpers of the tests about changes of a simulated federation."""

from collections.abc import Sequence

from alysd.consensus.federation import federation_at
from alysd.integrations.bls import public_key
from alysd.messages.chain import GetForkchoice
from alysd.messages.federation_update import SubmitFederationUpdate
from alysd.testing.chain import authority_secret
from alysd.testing.federation.members import SimulatedMember
from alysd.testing.federation.peg.world import SimulatedPeg
from alysd.testing.federation.simulation import SimulatedFederation
from alysd.testing.updates import members_update
from alysd.types.chain import ChainState
from alysd.types.federation_update import FederationUpdate

EFFECTIVE = 112
"""The height at which the changes take effect."""

RESERVED = 5_000_000
MOVE_SLOTS = 120
"""The slots within which the outputs of the former federation move: some payments of four Bitcoin blocks each."""


async def head_of(member: SimulatedMember) -> ChainState:
    assert member.life is not None
    return (await member.life.to.chain.ask(GetForkchoice())).head


async def until_height(federation: SimulatedFederation, height: int, slots: int) -> None:
    """Wait until the federation has committed the height."""
    for _ in range(slots):
        if len(federation.world.ledger.committed) > height:
            return
        await federation.slots(1)
    raise AssertionError(f"{len(federation.world.ledger.committed) - 1} blocks are committed, not {height}")


async def check_change(federation: SimulatedFederation, members: Sequence[int]) -> None:
    """Every node knows the new federation, which alone makes the blocks; who left it follows."""
    keys = tuple(public_key(authority_secret(member)) for member in members)
    heads = [await head_of(member) for member in federation.members]
    for head in heads:
        assert federation_at(head, federation.world.hand.context).authorities == keys
    assert max(head.height for head in heads) - min(head.height for head in heads) <= 3


def the_peg(federation: SimulatedFederation) -> SimulatedPeg:
    assert federation.world.peg is not None
    return federation.world.peg


async def send(federation: SimulatedFederation, update: FederationUpdate) -> None:
    """Governance sends an update to every node that runs."""
    for member in federation.members:
        if member.life is not None:
            await member.life.to.updates.ask(SubmitFederationUpdate(update))


async def change_members(federation: SimulatedFederation, members: Sequence[int], height: int = EFFECTIVE) -> None:
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
