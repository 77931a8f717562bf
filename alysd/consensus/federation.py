"""The choice of the federation that makes and approves a block (docs/protocol.md, "Slots and authors").

The federation's Bitcoin script and address are in `peg.federation`.
"""

from alysd.types.chain import ChainState
from alysd.types.chain_spec import ChainContext
from alysd.types.federation import Federation


def federation_at(state: ChainState, context: ChainContext) -> Federation:  # noqa: ARG001
    """The federation that may make and approve the children of a block; `state` is the chain's state after it.

    A rule about a block calls this with the state of the block's parent. In this version the federation never
    changes: every state has the one of the chain specification.
    """
    return context.first_federation
