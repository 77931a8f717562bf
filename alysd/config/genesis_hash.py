"""The hash of the genesis block, which names a chain."""

from alysd.consensus.genesis import genesis_block
from alysd.types.chain_spec import ChainSpec
from alysd.types.hashes import BlockHash
from alysd.wire.block_ssz import block_hash
from alysd.wire.execution_genesis import genesis_payload


def genesis_hash(spec: ChainSpec) -> BlockHash:
    """Compute it from the specification; raises `ConfigError` for an execution genesis that is none."""
    return block_hash(genesis_block(spec, genesis_payload(spec.execution_genesis)))
