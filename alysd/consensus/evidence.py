"""Evidence that an authority has broken the approval rule (docs/protocol.md, "Evidence").

Two approved blocks that conflict always contain such evidence against at least f + 1 authorities, as the proof in
"Committed blocks" shows. So there is no separate rule for conflicting committed blocks.
"""

import attrs

from alysd.consensus.federation import Verifier, approval_message
from alysd.consensus.violations import BadEvidence
from alysd.types.evidence import Approved, Evidence
from alysd.types.hashes import BlockHash, displayed

MAX_PER_AUTHORITY = 4
"""The number of pieces of evidence against one authority that a node keeps. Each has at most 5 kB."""


def forbidden(first: Approved, second: Approved) -> bool:
    """Whether no authority may approve both blocks. `first` must not have the later slot.

    A broken lock is found only if the slots of both parents are known.
    """
    if first.block.slot == second.block.slot:
        return first.block != second.block
    if first.parent is None or second.parent is None:
        return False
    return second.parent.slot < first.parent.slot


def find_evidence(one: Approved, other: Approved) -> Evidence | None:
    """The evidence in two approved blocks, in any order, or None. Does not check signatures."""
    first, second = sorted((one, other), key=lambda approved: (approved.block.slot, approved.block.hash))
    if not forbidden(first, second):
        return None
    if first.block.slot == second.block.slot:
        first, second = attrs.evolve(first, parent=None), attrs.evolve(second, parent=None)
    evidence = Evidence(first, second)
    return evidence if evidence.offenders else None


def check_evidence(evidence: Evidence, genesis: BlockHash, verify: Verifier) -> None:
    """Check that the offenders have approved both blocks, and thereby broken the approval rule.

    The caller checks that the keys are those of the blocks' federations, or of any of the chain. Takes about 5 ms
    for the two signatures. Raises `BadEvidence`.
    """
    found = find_evidence(evidence.first, evidence.second)
    if found != evidence:
        raise BadEvidence(_fault(evidence, found))
    for approved in (evidence.first, evidence.second):
        block, parent, bits = approved.block.hash, approved.parent, approved.approvals.signers
        if parent is not None and parent.hash != approved.block.parent:
            raise BadEvidence(
                f"the slot of the parent {displayed(parent.hash)} is proved, but the block has the parent "
                f"{displayed(approved.block.parent)}"
            )
        if len(bits) != len(approved.authorities):
            members = len(approved.authorities)
            raise BadEvidence(f"the approvals have {len(bits)} bits, and there are {members} authorities")
        if not verify(approved.signers, approval_message(genesis, block), approved.approvals.signature):
            raise BadEvidence(
                f"the signature of the block of slot {approved.block.slot} is not that of the authorities "
                "whose bits are set"
            )


def _fault(evidence: Evidence, found: Evidence | None) -> str:
    """The reason why `found`, the evidence in the two blocks, is not `evidence`."""
    slots = f"slots {evidence.first.block.slot} and {evidence.second.block.slot}"
    if found is None and evidence.offenders:
        return f"an authority may approve both of its blocks, which have {slots}"
    if found is None:
        return f"no authority has approved both of its blocks, which have {slots}"
    if found.first.block == evidence.second.block:
        return f"its blocks, which have {slots}, are in the wrong order: exchange them"
    return f"both of its blocks have slot {evidence.first.block.slot}, so their parents must be left out"


def worth_keeping(evidence: Evidence, kept: list[Evidence]) -> bool:
    """Whether a node that has `kept` also keeps this evidence.

    It does if the evidence is new, and if fewer than `MAX_PER_AUTHORITY` pieces against one of its offenders are
    kept. So a member that breaks the rules in every slot cannot crowd out the evidence against another one.
    """
    new = (evidence.first.block, evidence.second.block, evidence.offenders)
    if new in [(one.first.block, one.second.block, one.offenders) for one in kept]:
        return False
    against = [key for one in kept for _, key in one.offenders]
    return any(against.count(key) < MAX_PER_AUTHORITY for _, key in evidence.offenders)
