"""The candidates that the approval workflow knows, with their states and approvals. All memory is bounded.

The states of a candidate:

    CandidateBlock → ValidCandidate → ExecutedCandidate → ApprovedCandidate → QuorumCandidate → ImportedCandidate

A candidate that breaks a rule becomes a `RefusedCandidate`, and one that this authority may not approve a
`DeclinedCandidate`. The other authorities may think otherwise, so every earlier state leads to `QuorumCandidate`
once a quorum has approved. Block import then checks the block again, and decides.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import product

import attrs

from alysd.messages.events import WorkflowMoved
from alysd.types.block import Approvals, SignedBlock
from alysd.types.federation import Federation, SlotSteps
from alysd.types.hashes import BlockHash, BlsSignature
from alysd.types.proposal import Proposal, SlotApproval
from alysd.types.units import Slot
from alysd.workflows.candidate_asks import CandidateAsks
from alysd.workflows.machine import Machine, Transitions

KEPT_SLOTS = 4
"""The number of slots, up to the present one, whose candidates are kept. Approvals are given in two of them.

The candidates of the other slots are kept because they may be the parents of later proposals.
"""

PER_SLOT = 2
"""The number of candidates of other authorities that are kept per slot. Two are evidence against their author."""

EARLY_PER_AUTHORITY = KEPT_SLOTS
"""The number of approvals of unknown blocks that are kept per authority. An honest one approves one per slot."""


@attrs.frozen
class CandidateBlock:
    """The author and the slot are right; nothing else is known. The parent may be unknown."""


@attrs.frozen
class ValidCandidate:
    """All rules hold; only the quorum and the execution are not checked yet."""


@attrs.frozen
class ExecutedCandidate:
    """The execution client finds the payload valid."""


@attrs.frozen
class ApprovedCandidate:
    """This authority has approved the block."""


@attrs.frozen
class DeclinedCandidate:
    """The block breaks no rule, but the guard forbids its approval, or Bitcoin does not show its peg contents."""


@attrs.frozen
class RefusedCandidate:
    """The block breaks a rule, so this authority does not approve it."""


@attrs.frozen
class QuorumCandidate:
    """A quorum has approved the block, so it can be imported."""


@attrs.frozen
class ImportedCandidate:
    """The block is part of this node's chain."""


@attrs.frozen
class AbandonedCandidate:
    """A quorum has approved the block, but block import has refused it."""


CandidateState = (
    CandidateBlock
    | ValidCandidate
    | ExecutedCandidate
    | ApprovedCandidate
    | DeclinedCandidate
    | RefusedCandidate
    | QuorumCandidate
    | ImportedCandidate
    | AbandonedCandidate
)
GATHERING = (
    CandidateBlock,
    ValidCandidate,
    ExecutedCandidate,
    ApprovedCandidate,
    DeclinedCandidate,
    RefusedCandidate,
)
"""The states in which approvals are gathered."""

WAITING = (CandidateBlock, ValidCandidate, ExecutedCandidate)
"""The states in which this authority may still approve the block."""


@attrs.frozen
class RulesHold:
    """Every rule that needs no execution holds."""


@attrs.frozen
class PayloadHolds:
    """The execution client has found the payload valid."""


@attrs.frozen
class RuleBroken:
    """The block breaks a rule."""


@attrs.frozen
class OwnApproval:
    """This authority has approved the block, as its author or after judging it."""


@attrs.frozen
class ApprovalWithheld:
    """The signer has refused to sign, or the block differs from the view of this node's Bitcoin node."""


@attrs.frozen
class QuorumReached:
    """A quorum has approved the block."""


@attrs.frozen
class BlockStored:
    """The block was imported, by this workflow or in another way."""


CandidateEvent = (
    RulesHold | PayloadHolds | RuleBroken | OwnApproval | ApprovalWithheld | QuorumReached | BlockStored
)

TRANSITIONS: Transitions = {
    (CandidateBlock, RulesHold): lambda _state, _event: ValidCandidate(),
    (CandidateBlock, RuleBroken): lambda _state, _event: RefusedCandidate(),
    (CandidateBlock, OwnApproval): lambda _state, _event: ApprovedCandidate(),
    (ValidCandidate, PayloadHolds): lambda _state, _event: ExecutedCandidate(),
    (ValidCandidate, ApprovalWithheld): lambda _state, _event: DeclinedCandidate(),
    (ValidCandidate, RuleBroken): lambda _state, _event: RefusedCandidate(),
    (ExecutedCandidate, RuleBroken): lambda _state, _event: RefusedCandidate(),
    (ExecutedCandidate, OwnApproval): lambda _state, _event: ApprovedCandidate(),
    (ExecutedCandidate, ApprovalWithheld): lambda _state, _event: DeclinedCandidate(),
    (QuorumCandidate, RuleBroken): lambda _state, _event: AbandonedCandidate(),
    **{(state, QuorumReached): lambda _state, _event: QuorumCandidate() for state in GATHERING},
    **dict.fromkeys(
        product((*GATHERING, QuorumCandidate), (BlockStored,)), lambda _state, _event: ImportedCandidate()
    ),
}


class Candidate:
    """A candidate with its approvals.

    `signed` has the approvals with which the block arrived, and `approvals` those of single authorities that came
    later. `proved` are the approvals of a quorum that came with a child of the block. `approved` is the block with
    a quorum's approvals, once it has them. `parents` are the approvals of the parent, None if they are unknown or
    the parent is the genesis block. `source` is the peer that sent the proposal, None for this node's own block.
    `seconds` is the time of arrival, from the start of the slot, and `steps` has the times of later steps. `asks`
    are answered when the block is imported or given up. `queued` says whether an `AdvanceCandidate` waits.
    `federation` is that of the block, which is assumed as long as the parent is unknown. `judged` is the one whose
    keys have signed the approvals in `signed`.
    """

    def __init__(
        self, proposal: Proposal, source: str | None, seconds: float, publish: Callable[[WorkflowMoved], object]
    ) -> None:
        self.machine = Machine[CandidateState, CandidateEvent]("approval", TRANSITIONS, CandidateBlock(), publish)
        self.signed = proposal.signed
        self.parents = proposal.parent_approvals
        self.source = source
        self.seconds = seconds
        self.steps = SlotSteps()
        self.approvals: dict[int, BlsSignature] = {}
        self.proved: Approvals | None = None
        self.approved: SignedBlock | None = None
        self.asks = CandidateAsks()
        self.queued = False
        self.federation: Federation | None = None
        self.judged: Federation | None = None

    def belongs_to(self, federation: Federation) -> bool:
        """Number the later approvals as in `federation`, that of the block.

        Returns whether the approvals with which the block arrived are of the same keys in it. Otherwise the block
        came with the bits of another federation: anyone can change them so.
        """
        if self.federation is not None and self.federation != federation:
            self.approvals = federation.moved(self.approvals, self.federation)
            if self.proved is not None and not federation.agrees(self.proved.signers, self.federation):
                self.proved = None
        self.federation = federation
        self.judged = self.judged or federation
        return federation.agrees(self.signed.approvals.signers, self.judged)

    def place_of(self, authority: int, other: "Candidate") -> int | None:
        """The index in `other` of an authority of this candidate; None if it has no such authority."""
        if self.federation is None or other.federation is None or self.federation == other.federation:
            return authority
        return other.federation.index_of(self.federation.authorities[authority])

    @property
    def state(self) -> CandidateState:
        """The state of the candidate."""
        return self.machine.state

    @property
    def slot(self) -> Slot:
        """The slot of the block."""
        return self.signed.block.slot

    @property
    def signers(self) -> tuple[bool, ...]:
        """One bit per authority: whether it has approved, as far as this node knows."""
        known = (self.proved or self.signed.approvals).signers
        return tuple(approved or index in self.approvals for index, approved in enumerate(known))

    def approved_by(self, authority: int) -> SignedBlock | None:
        """The block with approvals that include this authority's, or None if it has not approved the block."""
        signature, known = self.approvals.get(authority), self.proved or self.signed.approvals
        if signature is not None:
            bits = tuple(index == authority for index in range(len(known.signers)))
            return attrs.evolve(self.signed, approvals=Approvals(bits, signature))
        return attrs.evolve(self.signed, approvals=known) if known.signers[authority] else None

    def prove(self, approvals: Approvals | None) -> None:
        """Use the approvals of a quorum that came with a child, unless such approvals are known already.

        The child's author has chosen whose approvals these are, but a block is invalid without its author's. So
        the author's approval, which came with the proposal, is added. If the proposal came with a sum of several
        approvals, the author's cannot be taken from it; `approvals` are then used only if they include all of it.
        """
        own = self.signed.approvals
        if self.proved is not None or approvals is None or len(approvals.signers) != len(own.signers):
            return
        if own.count == 1:
            self.proved = approvals
            self.approvals[own.signers.index(True)] = own.signature
        elif all(given for given, known in zip(approvals.signers, own.signers, strict=True) if known):
            self.proved = approvals

    @property
    def settled(self) -> bool:
        """Whether the block is imported or was given up for good."""
        return isinstance(self.state, ImportedCandidate | AbandonedCandidate)


class CandidateBook:
    """The candidates of the last `KEPT_SLOTS` slots and of the next, and the approvals of unknown blocks."""

    def __init__(self) -> None:
        self._candidates: dict[BlockHash, Candidate] = {}
        # Per authority: block, signature, and the slot at the time of arrival.
        self._early: dict[int, deque[tuple[BlockHash, BlsSignature, Slot]]] = {}

    def __iter__(self) -> Iterator[Candidate]:
        """The candidates, oldest slot first."""
        return iter(sorted(self._candidates.values(), key=lambda candidate: candidate.slot))

    @property
    def early(self) -> int:
        """The number of kept approvals of unknown blocks."""
        return sum(map(len, self._early.values()))

    def get(self, block: BlockHash) -> Candidate | None:
        """The candidate with this hash, or None."""
        return self._candidates.get(block)

    def of_slot(self, slot: Slot) -> Sequence[Candidate]:
        """The candidates of a slot, in the order of their arrival."""
        return [candidate for candidate in self._candidates.values() if candidate.slot == slot]

    def children(self, block: BlockHash) -> Sequence[Candidate]:
        """The candidates that build on `block`."""
        return [candidate for candidate in self if candidate.signed.block.parent_hash == block]

    def doubles(self, candidate: Candidate, authority: int) -> Iterator[tuple[SignedBlock, SignedBlock]]:
        """Pairs of the candidate and another candidate of its slot, if the authority has approved both."""
        one = candidate.approved_by(authority)
        for other in self.of_slot(candidate.slot):
            place = None if other is candidate else candidate.place_of(authority, other)
            double = None if place is None else other.approved_by(place)
            if one is not None and double is not None:
                yield one, double

    def has_room(self, slot: Slot, present: Slot) -> bool:
        """Whether one more candidate of another authority's `slot` may be added at the slot `present`."""
        return present - KEPT_SLOTS < slot <= present + 1 and len(self.of_slot(slot)) < PER_SLOT

    def add(self, candidate: Candidate) -> None:
        """Add a candidate, and give it the approvals that arrived before it."""
        block = candidate.signed.hash
        self._candidates[block] = candidate
        for authority, kept in self._early.items():
            found = next((entry for entry in kept if entry[0] == block), None)
            if found is not None:
                candidate.approvals[authority] = found[1]
                kept.remove(found)

    def remove(self, candidate: Candidate) -> None:
        """Remove a candidate, so that its block can come again."""
        del self._candidates[candidate.signed.hash]

    def renumber(self, former: Federation, federation: Federation) -> None:
        """Number the approvals of unknown blocks as in `federation` instead of `former`."""
        self._early = federation.moved(self._early, former)

    def keep_early(self, approval: SlotApproval, present: Slot) -> None:
        """Keep the approval of an unknown block. It replaces the authority's oldest one if there are too many."""
        kept = self._early.setdefault(approval.authority, deque(maxlen=EARLY_PER_AUTHORITY))
        if all(entry[0] != approval.block for entry in kept):
            kept.append((approval.block, approval.signature, present))

    def prune(self, present: Slot) -> Sequence[Candidate]:
        """Remove the candidates that are too old at the slot `present`, and return the removed candidates."""
        removed = [one for one in self if not present - KEPT_SLOTS < one.slot <= present + 1]
        for candidate in removed:
            del self._candidates[candidate.signed.hash]
        for authority, kept in tuple(self._early.items()):
            recent = [entry for entry in kept if present - KEPT_SLOTS < entry[2] <= present]
            self._early[authority] = deque(recent, maxlen=EARLY_PER_AUTHORITY)
        return removed
