"""A bridge after a change of the federation: the new one, the state that names it, and deposits to the first."""

import attrs
import trio

from alysd.integrations.possession import x_only_key
from alysd.messages.log.bitcoin import FederationWatched
from alysd.peg.signing import spending_of
from alysd.testing.chain import bitcoin_secret
from alysd.types.federation_update import GovernanceState, Holders, PegTrack
from alysd.types.peg import PegContents
from tests.actors.bridge_kit import CONFIRMATIONS, BridgeRig

NEXT = spending_of((x_only_key(bitcoin_secret(7)),))
TO_RESERVE = b"\x07reserve"


def change(rig: BridgeRig, *, changed: bool = True, halted: bool = False) -> None:
    """The state after the head says that a second federation has come, or that the peg is halted."""
    first = rig.ledger.context.first_federation
    later = (Holders(NEXT.keys),) if changed else ()
    governance = GovernanceState(
        1, first, None, holders=(Holders(first.bitcoin_keys), *later), peg=PegTrack(1, halted)
    )
    rig.ledger.head = attrs.evolve(rig.ledger.head, governance=governance)
    rig.ledger.states[rig.ledger.head.hash] = rig.ledger.head


async def made(rig: BridgeRig) -> PegContents:
    """The contents, once the watch has read the blocks again for a federation that is new to it."""
    with trio.fail_after(120):
        while not any(isinstance(one, FederationWatched) for one in rig.logged):  # noqa: ASYNC110
            await trio.sleep(0.1)
    return await rig.contents()


async def minted(rig: BridgeRig, *deposits: tuple[int, bytes]) -> None:
    """Blocks have minted these deposits to the first federation."""
    for sat, data in deposits:
        rig.deposit(sat, data)
    await rig.mine(CONFIRMATIONS + 1)
    assert (await rig.step()).peg_ins
