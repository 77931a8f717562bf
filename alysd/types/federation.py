"""A federation: its members make and approve blocks and hold the deposits."""

from typing import Literal

import attrs

from alysd.types.hashes import BlsPublicKey, EvmAddress
from alysd.types.units import Slot

Role = Literal["authority", "follower"]
"""The role of a node. An authority has a key and makes and approves blocks; a follower only validates blocks."""


def quorum_of(members: int) -> int:
    """The quorum of a federation of n `members`: ceil(2n/3) (docs/protocol.md, "Approvals and quorum")."""
    return -(-2 * members // 3)


@attrs.frozen
class Federation:
    """The authorities' keys, the members' Bitcoin keys, and the addresses that share the federation's fees.

    A member is identified by its index in these tuples. `bitcoin_keys` are x-only (32 bytes, BIP-340).
    """

    authorities: tuple[BlsPublicKey, ...]
    bitcoin_keys: tuple[bytes, ...]
    fee_addresses: tuple[EvmAddress, ...]

    @property
    def quorum(self) -> int:
        """The number of approvals that a block needs to count as approved."""
        return quorum_of(len(self.authorities))

    def author(self, slot: Slot) -> int:
        """The index of the authority that may make the block of `slot`. Slots rotate through the authorities."""
        return slot % len(self.authorities)

    def index_of(self, key: BlsPublicKey) -> int | None:
        """The index of the authority with this key; None if no authority has it."""
        return self.authorities.index(key) if key in self.authorities else None


@attrs.frozen
class SlotSteps:
    """The times of a block's steps at a node after its arrival, each in seconds from the start of its slot.

    The steps are: this authority approved the block, the node knew the approvals of a quorum, and the node had
    imported the block. The time of a step that the block has not reached is None.
    """

    approved: float | None = None
    quorum: float | None = None
    imported: float | None = None


@attrs.frozen
class SlotRecord:
    """A node's record of a slot, made when the time in which authorities approve its block is over.

    `author` is the index of the slot's author. `seconds` is the time from the start of the slot until the author's
    block arrived, by the node's clock; None without a block. For the author's own node, that is when the block was
    signed. `approved` has the indices of the authorities that have approved it, as far as the node knows; `quorum`
    says whether they are a quorum. `steps` has the times of the later steps on this node.
    """

    slot: Slot
    author: int
    seconds: float | None
    approved: tuple[int, ...]
    quorum: bool
    steps: SlotSteps = SlotSteps()
