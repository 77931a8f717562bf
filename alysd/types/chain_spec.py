"""The parameters that all nodes of a chain have in common (docs/protocol.md, "Chain specification")."""

from collections.abc import Mapping
from typing import Any, cast

import attrs

from alysd.types.federation import Federation
from alysd.types.hashes import BlockHash, BlsPublicKey, BlsSignature, EvmAddress, SchnorrSignature, XOnlyKey
from alysd.types.peg import BRIDGE_ADDRESS, PegRules
from alysd.types.units import Sat


@attrs.frozen
class ChainSpec:
    """A chain's parameters; `execution_genesis` is a genesis file in geth's format, parsed from JSON.

    The fee rates are in sat per 1,000 virtual bytes. `authorities`, `federation_bitcoin_keys` and
    `federation_fee_addresses` are those of the chain's first federation, in order. The proofs show that the
    members have the secrets of their keys.
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
    peg_out_service_fee: Sat
    peg_out_max_fee_rate: int
    peg_out_fallback_fee_rate: int
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
    `consensus.federation.federation_at` instead of reading this field. `peg` has the parameters of the peg; it is
    None on a chain without a peg.
    """

    spec: ChainSpec
    genesis: BlockHash
    first_federation: Federation = attrs.field(
        init=False, default=attrs.Factory(lambda context: _first_federation(context.spec), takes_self=True)
    )
    peg: PegRules | None = attrs.field(
        init=False, default=attrs.Factory(lambda context: _peg_rules(context.spec), takes_self=True)
    )


def _first_federation(spec: ChainSpec) -> Federation:
    return Federation(spec.authorities, spec.federation_bitcoin_keys, spec.federation_fee_addresses)


def _peg_rules(spec: ChainSpec) -> PegRules | None:
    if not has_peg(spec.execution_genesis):
        return None
    return PegRules(
        spec.bitcoin_network,
        spec.peg_in_minimum,
        spec.peg_out_minimum,
        spec.peg_out_service_fee,
        spec.peg_out_max_fee_rate,
        spec.max_withdrawals,
    )


def has_peg(execution_genesis: Mapping[str, Any]) -> bool:
    """Whether the chain has a peg: its genesis then sets the bridge contract's only storage slot.

    `config.bridge.check_bridge` ensures that the slot has no other value than 1.
    """
    account = bridge_account_of(execution_genesis)
    return account is not None and bool(account.get("storage"))


def bridge_account_of(execution_genesis: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The account at the bridge's address, which may have a 0x; None if there is none."""
    alloc: Any = execution_genesis.get("alloc")
    accounts = cast("dict[str, Any]", alloc) if isinstance(alloc, dict) else {}
    found = next((v for k, v in accounts.items() if k.lower().removeprefix("0x") == BRIDGE_ADDRESS.hex()), None)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None
