"""The messages to the approval workflow, which gathers a quorum for the candidates of the present slots."""

import attrs

from alysd.nurseries import Ask, Tell
from alysd.types.block import SignedBlock
from alysd.types.chain import Forkchoice
from alysd.types.hashes import BlockHash
from alysd.types.proposal import Proposal, SlotApproval
from alysd.types.units import Slot


class ApprovalGathering:
    """Protocol of the approval workflow."""


@attrs.frozen
class ProposeBlock(Ask[ApprovalGathering, Forkchoice]):
    """Send this node's own block, approved by itself, to the other authorities; import it with a quorum.

    The reply is the forkchoice after the import. Raises `NoQuorum` when the slot after the block's has begun
    without a quorum, and the errors of `ImportBlock`.
    """

    signed: SignedBlock


@attrs.frozen
class ConsiderProposal(Tell[ApprovalGathering]):
    """Consider the proposal of another authority. Its slot and its author's approval have been checked.

    `source` is the peer that has sent it: it probably has the block's ancestors too.
    """

    proposal: Proposal
    source: str


@attrs.frozen
class CountApproval(Tell[ApprovalGathering]):
    """Count the approval of another authority. Its signature has been checked."""

    approval: SlotApproval


@attrs.frozen
class GetCandidates(Ask[ApprovalGathering, tuple[Proposal, ...]]):
    """Get the known proposals from slot `since` on, with the approvals so far, oldest first.

    In this answer the approvals of a proposal are all that the node knows, not the author's alone.
    """

    since: Slot


@attrs.frozen
class BlockImported(Tell[ApprovalGathering]):
    """Report that `block` was imported by another way, such as sync: candidates may have waited for it."""

    block: BlockHash
