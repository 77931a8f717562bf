"""The parameters that every node of a chain shares (docs/protocol.md, "Chain specification")."""

from collections.abc import Mapping
from typing import Any

import attrs

from alysd.types.hashes import BlsPublicKey, EvmAddress
from alysd.types.units import Sat


@attrs.frozen
class ChainSpec:
    """A chain's parameters; `execution_genesis` is geth's genesis format, as read from JSON.

    `authorities` and `federation_bitcoin_keys` (x-only, 32 bytes, BIP-340) are ordered: a slot's author and a
    script's keys are found by position.
    """

    name: str
    chain_id: int
    slot_seconds: int
    authorities: tuple[BlsPublicKey, ...]
    federation_fee_addresses: tuple[EvmAddress, ...]
    federation_bitcoin_keys: tuple[bytes, ...]
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

    @property
    def quorum(self) -> int:
        """How many approvals make a block approved: ceil(2n/3) (docs/protocol.md, "Block")."""
        return -(-2 * len(self.authorities) // 3)
