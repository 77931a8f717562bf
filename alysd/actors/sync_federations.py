"""The federations by which sync checks the approvals of a peer's blocks (docs/protocol.md, "Sync")."""

import attrs

from alysd.consensus.federation_update import next_federations
from alysd.consensus.violations import UnknownParent
from alysd.messages.chain import Chain, GetAncestry, GetState
from alysd.nurseries import Address
from alysd.types.chain import ChainState, Forkchoice
from alysd.types.chain_spec import ChainContext
from alysd.types.federation import Federation
from alysd.types.federation_update import LEAST_NOTICE, GovernanceState
from alysd.types.hashes import BlockHash


@attrs.frozen
class KnownFederations:
    """The federations that may have approved some blocks.

    No other federation has approved the blocks at the heights in `heights`; None stands for all heights. A block
    at another height may be of a federation that this node does not know.
    """

    federations: tuple[Federation, ...]
    heights: range | None


@attrs.frozen
class SyncFederations:
    """Finds the federations by the states of this node's blocks; a `chain` lookup may take `seconds`.

    A change is included at least `LEAST_NOTICE` blocks before it takes effect. So the state of a block has the
    federations of all its descendants that are at most as many blocks above it.
    """

    context: ChainContext
    chain: Address[Chain]
    seconds: float

    async def after(self, parent: BlockHash, tip: Forkchoice) -> KnownFederations:
        """The federations of a child of `parent`, and of the next blocks on any branch above it.

        If this node does not have `parent`, it may be a block of a branch that forks off anywhere above the final
        block, before or after changes of the federation. They are then those of the whole branch of this node.
        """
        if tip.head.governance is None:
            return KnownFederations(next_federations(tip.head, self.context), None)
        state = await self.chain.ask(GetState(parent), seconds=self.seconds)
        if state is not None:
            return KnownFederations(next_federations(state, self.context), _next_heights(state))
        found: dict[Federation, None] = {}
        before: GovernanceState | None = None
        for one in await self._branch(tip):
            if one.governance != before:
                found |= dict.fromkeys(next_federations(one, self.context))
                before = one.governance
        return KnownFederations(tuple(found), _next_heights(tip.finalized))

    async def _branch(self, tip: Forkchoice) -> tuple[ChainState, ...]:
        try:
            above = await self.chain.ask(GetAncestry(tip.head.hash), seconds=self.seconds)
        except UnknownParent:  # the node has left the branch meanwhile
            above = (tip.head,)
        return (tip.finalized, *above)


def _next_heights(state: ChainState) -> range:
    return range(state.height + 1, state.height + 1 + LEAST_NOTICE)
