"""Helpers of the tests about changes of a simulated federation."""

from collections.abc import Sequence

from alysd.consensus.federation import federation_at
from alysd.integrations.bls import public_key
from alysd.messages.chain import GetForkchoice
from alysd.testing.chain import authority_secret
from alysd.testing.federation.members import SimulatedMember
from alysd.testing.federation.simulation import SimulatedFederation
from alysd.types.chain import ChainState

EFFECTIVE = 112
"""The height at which the changes take effect."""


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
