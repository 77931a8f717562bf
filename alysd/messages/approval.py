"""The messages to the approval workflow, which gathers a quorum for the candidates of the present slots."""

import attrs

from alysd.nurseries import Ask, Tell
from alysd.types.block import SignedBlock
from alysd.types.chain import Forkchoice
from alysd.types.federation import Federation
from alysd.types.hashes import BlockHash
from alysd.types.proposal import Proposal, RecoveryStatement, SlotApproval
from alysd.types.units import Slot


class ApprovalGathering:
    """Protocol of the approval workflow."""


@attrs.frozen
class ProposeBlock(Ask[ApprovalGathering, Forkchoice]):
    """Send this node's own block, approved by itself, to the other authorities; import it with a quorum.

    The reply is the forkchoice after the import. Raises `NoQuorum` when the slot is about to end without a quorum
    (`Timing.quorum_wait`), and the errors of `ImportBlock`. A block that gets its quorum later is still imported.
    Proposing a block again has no effect except for the reply.
    """

    signed: SignedBlock


@attrs.frozen
class ConsiderProposal(Tell[ApprovalGathering]):
    """Consider the proposal of another authority, which `consensus.candidates.check_proposal` has accepted.

    `source` is the peer that has sent it: it probably has the block's ancestors too. `federation` is the one for
    which it was accepted, and `parents` that of the parent's approvals; None is that at the head.
    """

    proposal: Proposal
    source: str
    federation: Federation | None = None
    parents: Federation | None = None


@attrs.frozen
class CountApproval(Tell[ApprovalGathering]):
    """Count the approval of another authority, which `check_slot_approval` has accepted for `federation`.

    The index of the authority is that in this federation; None is the federation at the head.
    """

    approval: SlotApproval
    federation: Federation | None = None


@attrs.frozen
class NoteRecovery(Tell[ApprovalGathering]):
    """Record an authority's statement that it has lost its signing guard, which `check_statement` has accepted.

    The index of the authority is that in `federation`; None is the federation at the head.
    """

    statement: RecoveryStatement
    federation: Federation | None = None


@attrs.frozen
class GetCandidates(Ask[ApprovalGathering, tuple[Proposal, ...]]):
    """Get the known proposals from slot `since` on, with the approvals so far, oldest first.

    In this answer the approvals of a proposal are all that the node knows, not the author's alone.
    """

    since: Slot


@attrs.frozen
class BlockImported(Tell[ApprovalGathering]):
    """Report that `block` was imported in another way, such as by sync: candidates may have waited for it."""

    block: BlockHash


@attrs.frozen
class AwaitQuorum(Ask[ApprovalGathering, None]):
    """Wait until a candidate of `slot` is imported or given up. Without a candidate, the reply comes at once."""

    slot: Slot


# From the workflow to itself


@attrs.frozen
class AdvanceCandidate(Tell[ApprovalGathering]):
    """Do the next work on a candidate: get its parent, judge it, or import it."""

    block: BlockHash


@attrs.frozen
class AnnounceProposal(Tell[ApprovalGathering]):
    """Send this node's own block to the other nodes."""

    block: BlockHash


@attrs.frozen
class GiveUpQuorum(Tell[ApprovalGathering]):
    """Answer the asks that wait for the import of this node's own block: the block has no quorum."""

    block: BlockHash


@attrs.frozen
class SlotBegan(Tell[ApprovalGathering]):
    """A slot has begun: forget old candidates, and go on with those that could not be judged or imported yet."""
