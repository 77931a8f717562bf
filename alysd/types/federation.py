"""The members of a federation: who makes and approves blocks, and who holds the deposits."""

from typing import Literal

import attrs

from alysd.types.hashes import BlsPublicKey, EvmAddress
from alysd.types.units import Slot

Role = Literal["authority", "follower"]
"""What a node is: an authority makes and approves blocks with its key; a follower without key only checks them."""


def quorum_of(members: int) -> int:
    """How many of `members` must agree: ceil(2n/3) (docs/protocol.md, "Approvals and quorum")."""
    return -(-2 * members // 3)


@attrs.frozen
class Federation:
    """Authorities and Bitcoin keys in order, so that a member is an index, and the addresses that share its fees.

    `bitcoin_keys` are x-only (32 bytes, BIP-340).
    """

    authorities: tuple[BlsPublicKey, ...]
    bitcoin_keys: tuple[bytes, ...]
    fee_addresses: tuple[EvmAddress, ...]

    @property
    def quorum(self) -> int:
        """How many approvals make a block approved."""
        return quorum_of(len(self.authorities))

    def author(self, slot: Slot) -> int:
        """The index of the authority that may make the block of `slot`: they take turns in their order."""
        return slot % len(self.authorities)

    def index_of(self, key: BlsPublicKey) -> int | None:
        """The index of the authority with this key; None for a key that is no member's."""
        return self.authorities.index(key) if key in self.authorities else None
