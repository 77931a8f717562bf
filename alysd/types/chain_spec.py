"""The parameters that all nodes of a chain have in common (docs/protocol.md, "Chain specification")."""

from collections.abc import Mapping
from typing import Any

import attrs

from alysd.types.federation import Federation
from alysd.types.hashes import BlockHash, BlsPublicKey, BlsSignature, EvmAddress, SchnorrSignature, XOnlyKey
from alysd.types.units import Sat


@attrs.frozen
class ChainSpec:
    """A chain's parameters; `execution_genesis` is a genesis file in geth's format, parsed from JSON.

    `authorities`, `federation_bitcoin_keys` and `federation_fee_addresses` are those of the chain's first
    federation, in order. The proofs show that the members have the secrets of their keys.
    """

    name: str
    chain_id: int
    slot_seconds: int
    authorities: tuple[BlsPublicKey, ...]
    authority_proofs: tuple[BlsSignature, ...]
    federation_fee_addresses: tuple[EvmAddress, ...]
    federation_bitcoin_keys: tuple[XOnlyKey, ...]
    federation_bitcoin_proofs: tuple[SchnorrSignature, ...]
    bitcoin_network: str
    bitcoin_start_height: int
    peg_in_confirmations: int
    peg_in_minimum: Sat
    peg_out_minimum: Sat
    bits: int
    pow_limit: int
    auxpow_spacing_slots: int
    auxpow_max_adjustment_percent: int
    max_blocks_without_auxpow: int
    max_withdrawals: int
    max_block_bytes: int
    execution_genesis: Mapping[str, Any]


@attrs.frozen
class ChainContext:
    """The context of the chain's rules: the parameters, the hash of the genesis block, and the first federation.

    `first_federation` is the federation in the chain specification. A rule about a block must call
    `consensus.federation.federation_at` instead of reading this field.
    """

    spec: ChainSpec
    genesis: BlockHash
    first_federation: Federation = attrs.field(
        init=False, default=attrs.Factory(lambda context: _first_federation(context.spec), takes_self=True)
    )


def _first_federation(spec: ChainSpec) -> Federation:
    return Federation(spec.authorities, spec.federation_bitcoin_keys, spec.federation_fee_addresses)
