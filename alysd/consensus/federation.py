"""Which federation makes and approves a block (docs/protocol.md, "Slots and authors").

The federation's Bitcoin script and address are in `peg.federation`.
"""

from alysd.types.chain import ChainState
from alysd.types.chain_spec import ChainContext
from alysd.types.federation import Federation


def federation_at(state: ChainState, context: ChainContext) -> Federation:  # noqa: ARG001
    """The federation that may make and approve the children of the block that `state` is the state after.

    Every rule asks it of a block's parent. The chain specification's federation never changes in this version, so
    that all states have the same one.
    """
    return context.first_federation
