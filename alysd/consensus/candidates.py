"""The rules of candidates: blocks that a quorum has not approved yet.

The source is docs/protocol.md, "Proposals" and "Approvals between nodes". `check_proposal` and
`check_slot_approval` are the checks that a node makes before it passes a message on. They need no state of the
chain, so their cost does not depend on it.
"""

from collections.abc import Callable, Mapping, Sequence

from alysd.consensus.aura import check_begins, slot_at
from alysd.consensus.federation import (
    Aggregator,
    Verifier,
    approval_message,
    check_approvals,
    check_length,
    check_quorum,
    check_signature,
)
from alysd.consensus.violations import (
    ForgedApproval,
    GenesisApproved,
    NoSuchAuthority,
    NotTheAuthorAlone,
    ParentApprovalsMissing,
    SlotPassed,
)
from alysd.errors import Refused
from alysd.types.block import Approvals
from alysd.types.chain_spec import ChainContext, ChainSpec
from alysd.types.federation import Federation
from alysd.types.hashes import BlsSignature
from alysd.types.proposal import Proposal, SlotApproval
from alysd.types.units import Slot


def check_window(slot: Slot, spec: ChainSpec, now: float) -> None:
    """Check that authorities may approve a block of `slot` at the Unix time `now`: in this slot or in the next.

    As clocks differ, the slot may also begin up to half a slot from now. Raises `SlotTooEarly` or `SlotPassed`.
    """
    check_begins(slot, spec.slot_seconds, now)
    present = slot_at(now, spec.slot_seconds)
    if present > slot + 1:
        raise SlotPassed(slot, present)


def check_proposal(
    proposal: Proposal,
    federation: Federation,
    context: ChainContext,
    now: float,
    verify: Verifier,
    *,
    author_alone: bool = True,
    former: Federation | None = None,
) -> None:
    """Check that the author of the slot has made the proposal, now, on a parent with a quorum of approvals.

    `federation` is that of the block, and `former` that of the parent if it is another one.
    Without `author_alone`, other authorities may have approved it too, as in the answer of a peer that was asked
    for proposals. Does not check the block itself. The signatures come last; the two checks take about 5 ms.
    Raises `SlotTooEarly`, `SlotPassed`, `WrongApprovalLength`, `AuthorMissing`, `NotTheAuthorAlone`,
    `ParentApprovalsMissing`, `GenesisApproved`, `BelowQuorum`, `BelowFormerQuorum` or `BadApprovalSignature`.
    """
    signed, parents, parent_federation = proposal.signed, proposal.parent_approvals, former or federation
    check_window(signed.block.slot, context.spec, now)
    if author_alone and signed.approvals.count > 1:
        raise NotTheAuthorAlone(signed.approvals.count)
    on_genesis = signed.block.parent_hash == context.genesis
    if parents is None:
        if not on_genesis:
            raise ParentApprovalsMissing(signed.block.parent_hash)
    else:
        if on_genesis:
            raise GenesisApproved
        check_length(parents, parent_federation)
        check_quorum(parents, parent_federation)
    check_approvals(signed, federation, context, verify, quorum=False)
    if parents is not None:
        check_signature(parents, signed.block.parent_hash, parent_federation, context, verify)


def check_slot_approval(
    approval: SlotApproval, federation: Federation, context: ChainContext, now: float, verify: Verifier
) -> None:
    """Check that an authority has made this approval, for a block that may be approved now.

    The block's hash, which the authority signs, follows from the proof of the slot. So no approval is valid for
    another slot. Raises `SlotTooEarly`, `SlotPassed`, `NoSuchAuthority` or `ForgedApproval`.
    """
    check_window(approval.slot, context.spec, now)
    if not 0 <= approval.authority < len(federation.authorities):
        raise NoSuchAuthority(len(federation.authorities), approval.authority)
    key = federation.authorities[approval.authority]
    if not verify([key], approval_message(context.genesis, approval.block), approval.signature):
        raise ForgedApproval(approval.authority)


def check_with_any(
    federations: Sequence[Federation], check: Callable[[Federation, Federation | None], None]
) -> tuple[Federation, Federation]:
    """The one of the `federations`, in their order in time, for which `check` accepts a message, and its parent's.

    `check` gets a federation, and the one before it if it is to assume that the parent has that one. Raises the
    error for the first federation if none accepts the message.
    """
    errors: list[Refused] = []
    for place, federation in enumerate(federations):
        for former in (None, federations[place - 1]) if place else (None,):
            try:
                check(federation, former)
            except Refused as error:
                errors.append(error)
            else:
                return federation, former or federation
    raise errors[0]


def add_approvals(approvals: Approvals, further: Mapping[int, BlsSignature], aggregate: Aggregator) -> Approvals:
    """Add the approvals `further`, by the index of the authority. One that `approvals` already has is left out."""
    new = {index: signature for index, signature in further.items() if not approvals.signers[index]}
    if not new:
        return approvals
    signers = tuple(approved or index in new for index, approved in enumerate(approvals.signers))
    return Approvals(signers, aggregate([approvals.signature, *new.values()]))
