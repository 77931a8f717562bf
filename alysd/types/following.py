"""The values from which a signer of payments knows the chain: parts of blocks, and proofs that these are final.

The signer has no node. It follows the chain from the genesis block by steps, one per proof of work. The rules are
in `consensus.following` and `peg.followed` (docs/protocol.md, "Signer").
"""

import attrs

from alysd.types.auxpow import AuxPowHeader
from alysd.types.block import Approvals
from alysd.types.hashes import BlockHash
from alysd.types.peg import ConfirmedPegOut, PegIn, PegOutProposal
from alysd.types.slot_proof import SlotProof
from alysd.types.units import Height, Slot


@attrs.frozen
class PegView:
    """A block of which only those parts of the peg are known that a signer needs.

    Of the other fields it has the roots, so the block's hash follows from it (`wire.following.peg_view_hash`).
    """

    parent_hash: BlockHash
    slot: Slot
    payload: bytes
    peg_ins: tuple[PegIn, ...]
    peg_out_proposal: PegOutProposal | None
    auxpow_header: bytes
    finalized_peg_outs: bytes
    confirmed_peg_outs: tuple[ConfirmedPegOut, ...]
    federation_update: bytes


@attrs.frozen
class WorkView:
    """A block of which only the merged-mining header is known. Of the other fields it has the roots."""

    parent_hash: BlockHash
    slot: Slot
    payload: bytes
    peg_ins: bytes
    peg_out_proposal: bytes
    auxpow_header: AuxPowHeader | None
    finalized_peg_outs: bytes
    confirmed_peg_outs: bytes
    federation_update: bytes


@attrs.frozen
class FinalityStep:
    """The proof that the blocks with these `hashes`, oldest first, are final. A signer follows their parent.

    `first` and `last` prove the slots of the first and the last of them. `carrier` is the block that includes the
    proof of work. `path` are its descendants, oldest first, up to a block that follows its parent in the very next
    slot; `approvals` are those of this last block.
    """

    hashes: tuple[BlockHash, ...]
    first: SlotProof
    last: SlotProof
    carrier: WorkView
    path: tuple[SlotProof, ...]
    approvals: Approvals


@attrs.frozen
class Followed:
    """The last final block that a signer knows. `bits` is the target of the proof that covers it."""

    hash: BlockHash
    height: Height
    slot: Slot
    bits: int
