"""The parameters that all nodes of a chain have in common (docs/protocol.md, "Chain specification")."""

from collections.abc import Mapping
from typing import Any, Literal, cast

import attrs

from alysd.types.bounds import between
from alysd.types.federation import Federation
from alysd.types.federation_update import FORMER_ADDRESS_DAYS, MAX_GOVERNANCE_KEYS
from alysd.types.hashes import BlockHash, BlsPublicKey, BlsSignature, EvmAddress, SchnorrSignature, XOnlyKey
from alysd.types.peg import BRIDGE_ADDRESS, PegRules
from alysd.types.units import MAX_SAT, Sat

MAX_CHAIN_ID = 2**32 - 1
"""The largest chain id: the index arithmetic of merged mining uses 32 bits (docs/protocol.md, "Commitment")."""

BIP9_VERSIONS = range(0x2000, 0x4000)
"""The chain ids that would make almost all proofs invalid.

A Bitcoin block version under BIP-9 begins with the bits 001, so its upper 16 bits are in this range. These upper
bits of a parent block must not be the chain's id (docs/protocol.md, "Proof").
"""


MAX_PEG_MEMBERS = 20
"""The maximum number of members of a federation on a chain with a peg.

The witness of one more would have 1,671 bytes, and nodes of Bitcoin Knots do not relay more than 1,650.
"""


@attrs.frozen
class ChainParameters:
    """The parameters in the file of a chain specification; docs/protocol.md defines each of them.

    `authorities`, `federation_bitcoin_keys` and `federation_fee_addresses` are those of the chain's first
    federation, in order. The proofs show that the members have the secrets of their keys. The fee rates are in sat
    per 1,000 virtual bytes. `governance_threshold` of the `governance_keys` (BIP-340) sign changes of the
    federation; without keys it never changes. Deposits to the address of a former federation are credited for
    `former_address_days` days after the update.
    """

    name: str
    chain_id: int = attrs.field(metadata=between(1, MAX_CHAIN_ID))
    authorities: tuple[BlsPublicKey, ...]
    authority_proofs: tuple[BlsSignature, ...]
    federation_fee_addresses: tuple[EvmAddress, ...]
    federation_bitcoin_keys: tuple[XOnlyKey, ...]
    federation_bitcoin_proofs: tuple[SchnorrSignature, ...]
    bitcoin_network: Literal["mainnet", "testnet", "signet", "regtest"]
    peg_in_minimum: Sat = attrs.field(metadata=between(1, MAX_SAT))
    peg_out_minimum: Sat = attrs.field(metadata=between(1, MAX_SAT))
    bits: int = attrs.field(metadata=between(0, 2**32 - 1))
    pow_limit: int = attrs.field(metadata=between(0, 2**32 - 1))
    peg_out_service_fee: Sat = attrs.field(default=Sat(0), metadata=between(0, MAX_SAT))
    peg_out_max_fee_rate: int = attrs.field(default=500_000, metadata=between(1_000, 10_000_000))
    peg_out_fallback_fee_rate: int = attrs.field(default=2_000, metadata=between(1_000, 10_000_000))
    slot_seconds: int = attrs.field(default=2, metadata=between(1, 60))
    bitcoin_start_height: int = attrs.field(default=0, metadata=between(0, 2**31 - 1))
    peg_in_confirmations: int = attrs.field(default=6, metadata=between(1, 1_000))
    auxpow_spacing_slots: int = attrs.field(default=30, metadata=between(1, 100_000))
    auxpow_max_adjustment_percent: int = attrs.field(default=20, metadata=between(1, 99))
    max_blocks_without_auxpow: int = attrs.field(default=10_000, metadata=between(1, 1_000_000))
    max_withdrawals: int = attrs.field(default=16, metadata=between(1, 16))  # Cancun's limit per payload
    max_block_bytes: int = attrs.field(default=8 * 1024**2, metadata=between(64 * 1024, 16 * 1024**2))
    governance_keys: tuple[XOnlyKey, ...] = ()
    governance_threshold: int = attrs.field(default=0, metadata=between(0, MAX_GOVERNANCE_KEYS))
    former_address_days: int = attrs.field(default=FORMER_ADDRESS_DAYS, metadata=between(1, 3_650))


@attrs.frozen
class ChainSpec(ChainParameters):
    """A chain's parameters; `execution_genesis` is a genesis file in geth's format, parsed from JSON."""

    execution_genesis: Mapping[str, Any] = attrs.field(kw_only=True)


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
