"""Evidence that authorities have broken the approval rule (docs/protocol.md, "Evidence")."""

from enum import Enum

import attrs

from alysd.types.block import Approvals
from alysd.types.slot_proof import SlotProof


class Offence(Enum):
    """The condition of the approval rule that an authority has broken."""

    TWO_BLOCKS = "two blocks of one slot"
    BROKEN_LOCK = "a parent older than the lock"


@attrs.frozen
class Approved:
    """The approvals of a block, with the proof of its slot. `parent` proves the slot of its parent, if known."""

    block: SlotProof
    approvals: Approvals
    parent: SlotProof | None


@attrs.frozen
class Evidence:
    """Two blocks of which no authority may approve both. Every authority that has signed both is an offender.

    Anyone who knows the genesis hash and the authorities' keys can check it, without knowing the blocks. `first`
    has the earlier slot. For two blocks of one slot, `first` has the lower hash, and the parents are None.
    """

    first: Approved
    second: Approved

    @property
    def offence(self) -> Offence:
        """The condition that the offenders have broken."""
        return Offence.TWO_BLOCKS if self.first.block.slot == self.second.block.slot else Offence.BROKEN_LOCK

    @property
    def offenders(self) -> tuple[int, ...]:
        """The indices of the authorities that have approved both blocks."""
        signers = zip(self.first.approvals.signers, self.second.approvals.signers, strict=False)
        return tuple(index for index, both in enumerate(signers) if all(both))
