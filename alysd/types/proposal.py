"""A proposed block and the approvals of single authorities, which members exchange during a slot.

The rules are in docs/protocol.md, "Approvals and quorum" and "The approval rule".
"""

import attrs

from alysd.types.block import Approvals, SignedBlock
from alysd.types.hashes import BlockHash, BlsSignature
from alysd.types.slot_proof import SlotProof
from alysd.types.units import Slot


@attrs.frozen
class Proposal:
    """A candidate, as its author sends it to the other nodes.

    The approvals of `signed` are those of the author alone. `parent_approvals` are the approvals of a quorum for
    the parent, so that a node that has missed them can import the parent. They are None on the genesis block,
    which nobody approves.
    """

    signed: SignedBlock
    parent_approvals: Approvals | None


@attrs.frozen
class SlotApproval:
    """The approval of a block by the authority with the index `authority`.

    An authority signs only the hash of the block. `proof` shows which slot the block has.
    """

    proof: SlotProof
    authority: int
    signature: BlsSignature

    @property
    def slot(self) -> Slot:
        """The slot of the block."""
        return self.proof.slot

    @property
    def block(self) -> BlockHash:
        """The hash of the block."""
        return self.proof.hash


@attrs.frozen
class RecoveryStatement:
    """The authority with the index `authority` states in `slot` that its signing guard is lost.

    It cannot know which blocks it has approved before `slot` (docs/protocol.md, "Recovery").
    """

    slot: Slot
    authority: int
    signature: BlsSignature
