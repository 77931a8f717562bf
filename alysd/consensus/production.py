"""When block production stops (docs/protocol.md, "Merged mining")."""

from alysd.types.chain import ChainState
from alysd.types.chain_spec import ChainSpec


def halted(state: ChainState, spec: ChainSpec) -> bool:
    """Whether so many blocks wait for a proof of work that the next one must include it.

    This bounds what a proof covers, and what a node keeps in memory: nobody can build on a block that no miner
    has looked at for `max_blocks_without_auxpow` blocks.
    """
    return state.height - state.last_final_height > spec.max_blocks_without_auxpow
