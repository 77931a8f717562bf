"""Evidence that authorities have broken the approval rule (docs/protocol.md, "Evidence")."""

from enum import Enum

import attrs

from alysd.types.block import Approvals
from alysd.types.hashes import BlsPublicKey
from alysd.types.slot_proof import SlotProof


class Offence(Enum):
    """The condition of the approval rule that an authority has broken."""

    TWO_BLOCKS = "two blocks of one slot"
    BROKEN_LOCK = "a parent older than the lock"


@attrs.frozen
class Approved:
    """The approvals of a block, with the proof of its slot. `parent` proves the slot of its parent, if known.

    `authorities` are the keys of the block's federation, one for each bit of the approvals.
    """

    block: SlotProof
    approvals: Approvals
    parent: SlotProof | None
    authorities: tuple[BlsPublicKey, ...]

    @property
    def signers(self) -> tuple[BlsPublicKey, ...]:
        """The keys of the authorities whose bits are set."""
        pairs = zip(self.authorities, self.approvals.signers, strict=False)
        return tuple(key for key, signed in pairs if signed)


@attrs.frozen
class Evidence:
    """Two blocks of which no authority may approve both. Every authority that has signed both is an offender.

    Anyone who knows the genesis hash can check it, without knowing the blocks, and compare the keys with those of
    the chain's federations. `first` has the earlier slot. For two blocks of one slot, `first` has the lower hash,
    and the parents are None.
    """

    first: Approved
    second: Approved

    @property
    def offence(self) -> Offence:
        """The condition that the offenders have broken."""
        return Offence.TWO_BLOCKS if self.first.block.slot == self.second.block.slot else Offence.BROKEN_LOCK

    @property
    def offenders(self) -> tuple[tuple[int, BlsPublicKey], ...]:
        """The keys of the authorities that have approved both blocks, with their indices for the first block."""
        pairs, both = enumerate(self.first.authorities), {*self.first.signers} & {*self.second.signers}
        return tuple((index, key) for index, key in pairs if key in both)
