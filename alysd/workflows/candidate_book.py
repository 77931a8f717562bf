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
from alysd.types.hashes import BlockHash, BlsPublicKey, BlsSignature
from alysd.types.proposal import Proposal
from alysd.types.units import Slot
from alysd.workflows.candidate_asks import CandidateAsks
from alysd.workflows.machine import Machine, Transitions

KEPT_SLOTS = 4
"""The number of slots, up to the present one, whose candidates are kept. Approvals are given in two of them.

The candidates of the other slots are kept because they may be the parents of later proposals.
"""

PER_SLOT = 2
"""The number of candidates that are kept per slot and author. Two are evidence against their author.

A slot has several authors only while the federation changes: each of the federations has one."""

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

    `federation` is that of the block, which is assumed as long as the parent is unknown. `signed` has the
    approvals with which the block arrived, and `approvals` those of single authorities that came later, by their
    keys. `proved` are the approvals of a quorum that came with a child of the block. `approved` is the block with
    a quorum's approvals, once it has them. `parents` are the approvals of the parent, None if they are unknown or
    the parent is the genesis block; `parents_in` is the federation by which they are numbered, None for that of
    the parent. `source` is the peer that sent the proposal, None for this node's own block. `seconds` is the time
    of arrival, from the start of the slot, and `steps` has the times of later steps. `asks` are answered when the
    block is imported or given up. `queued` says whether an `AdvanceCandidate` waits.
    """

    def __init__(
        self,
        proposal: Proposal,
        federation: Federation,
        source: str | None,
        seconds: float,
        publish: Callable[[WorkflowMoved], object],
        parents_in: Federation | None = None,
    ) -> None:
        self.machine = Machine[CandidateState, CandidateEvent]("approval", TRANSITIONS, CandidateBlock(), publish)
        self.signed = proposal.signed
        self.federation: Federation = federation
        self.parents = proposal.parent_approvals
        self.parents_in = parents_in
        self.source = source
        self.seconds = seconds
        self.steps = SlotSteps()
        self.approvals: dict[BlsPublicKey, BlsSignature] = {}
        self.proved: Approvals | None = None
        self.approved: SignedBlock | None = None
        self.asks = CandidateAsks()
        self.queued = False

    def belongs_to(self, federation: Federation) -> bool:
        """Number the approvals as in `federation`, that of the block. Returns whether its author is among them.

        Until the parent was known, another federation was assumed, whose author may have been another authority.
        """
        if federation != self.federation:
            before, self.federation = self.federation, federation
            self.proved = None if self.proved is None else _renumbered(self.proved, before, federation)
            author, single = federation.author_key(self.slot), self.approvals.get(federation.author_key(self.slot))
            own = _renumbered(self.signed.approvals, before, federation)
            if own is None and single is not None:
                own = Approvals(tuple(key == author for key in federation.authorities), single)
            if own is None:
                return False
            self.signed = attrs.evolve(self.signed, approvals=own)
        return self.signers[federation.author(self.slot)]

    @property
    def state(self) -> CandidateState:
        """The state of the candidate."""
        return self.machine.state

    @property
    def slot(self) -> Slot:
        """The slot of the block."""
        return self.signed.block.slot

    @property
    def author(self) -> BlsPublicKey:
        """The key of the block's author."""
        return self.federation.author_key(self.slot)

    @property
    def signers(self) -> tuple[bool, ...]:
        """One bit per authority: whether it has approved, as far as this node knows."""
        known = (self.proved or self.signed.approvals).signers
        pairs = zip(known, self.federation.authorities, strict=True)
        return tuple(approved or key in self.approvals for approved, key in pairs)

    @property
    def has_quorum(self) -> bool:
        """Whether a quorum has approved the block, as far as this node knows."""
        return self.federation.has_quorum(self.signers)

    def has_approval(self, key: BlsPublicKey) -> bool:
        """Whether the approval of the authority with this key is known. It may be one of another federation."""
        index = self.federation.index_of(key)
        return key in self.approvals or (index is not None and self.signers[index])

    def approved_by(self, key: BlsPublicKey) -> SignedBlock | None:
        """The block with approvals that include this authority's, or None if it has not approved the block."""
        index, known = self.federation.index_of(key), self.proved or self.signed.approvals
        if index is None:
            return None
        if (signature := self.approvals.get(key)) is not None:
            bits = tuple(place == index for place in range(len(known.signers)))
            return attrs.evolve(self.signed, approvals=Approvals(bits, signature))
        return attrs.evolve(self.signed, approvals=known) if known.signers[index] else None

    def prove(self, approvals: Approvals | None, numbered: Federation | None = None) -> None:
        """Use the approvals of a quorum that came with a child, unless such approvals are known already.

        `numbered` is the federation by which they are numbered, None for that of the block. The child's author has
        chosen whose approvals these are, but a block is invalid without its author's. So the author's approval,
        which came with the proposal, is added. If the proposal came with a sum of several approvals, the author's
        cannot be taken from it; `approvals` are then used only if they include all of it.
        """
        own = self.signed.approvals
        if self.proved is not None or approvals is None:
            return
        found = _renumbered(approvals, numbered or self.federation, self.federation)
        if found is None or not self.federation.has_quorum(found.signers):
            return
        if own.count == 1:
            self.proved = found
            self.approvals[self.federation.authorities[own.signers.index(True)]] = own.signature
        elif all(given for given, known in zip(found.signers, own.signers, strict=True) if known):
            self.proved = found

    @property
    def settled(self) -> bool:
        """Whether the block is imported or was given up for good."""
        return isinstance(self.state, ImportedCandidate | AbandonedCandidate)


class CandidateBook:
    """The candidates of the last `KEPT_SLOTS` slots and of the next, and the approvals of unknown blocks."""

    def __init__(self) -> None:
        self._candidates: dict[BlockHash, Candidate] = {}
        # By the key of the authority: block, signature, and the slot at the time of arrival.
        self._early: dict[BlsPublicKey, deque[tuple[BlockHash, BlsSignature, Slot]]] = {}

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

    def doubles(
        self, candidate: Candidate, key: BlsPublicKey
    ) -> Iterator[tuple[SignedBlock, SignedBlock, Federation]]:
        """Pairs of the candidate and another candidate of its slot, if this authority has approved both.

        The federation is that of the other candidate.
        """
        one = candidate.approved_by(key)
        for other in self.of_slot(candidate.slot):
            double = None if other is candidate else other.approved_by(key)
            if one is not None and double is not None:
                yield one, double, other.federation

    def has_room(self, slot: Slot, present: Slot, author: BlsPublicKey) -> bool:
        """Whether one more candidate of `slot` by the authority `author` may be added at the slot `present`."""
        found = [one for one in self.of_slot(slot) if one.author == author]
        return present - KEPT_SLOTS < slot <= present + 1 and len(found) < PER_SLOT

    def add(self, candidate: Candidate) -> None:
        """Add a candidate, and give it the approvals that arrived before it."""
        block = candidate.signed.hash
        self._candidates[block] = candidate
        for key, kept in self._early.items():
            found = next((entry for entry in kept if entry[0] == block), None)
            if found is not None:
                candidate.approvals[key] = found[1]
                kept.remove(found)

    def remove(self, candidate: Candidate) -> None:
        """Remove a candidate, so that its block can come again."""
        del self._candidates[candidate.signed.hash]

    def keep_early(self, key: BlsPublicKey, block: BlockHash, signature: BlsSignature, present: Slot) -> None:
        """Keep the approval of an unknown block. It replaces the authority's oldest one if there are too many."""
        kept = self._early.setdefault(key, deque(maxlen=EARLY_PER_AUTHORITY))
        if all(entry[0] != block for entry in kept):
            kept.append((block, signature, present))

    def prune(self, present: Slot) -> Sequence[Candidate]:
        """Remove the candidates that are too old at the slot `present`, and return the removed candidates."""
        removed = [one for one in self if not present - KEPT_SLOTS < one.slot <= present + 1]
        for candidate in removed:
            del self._candidates[candidate.signed.hash]
        for key, kept in tuple(self._early.items()):
            recent = [entry for entry in kept if present - KEPT_SLOTS < entry[2] <= present]
            self._early[key] = deque(recent, maxlen=EARLY_PER_AUTHORITY)
            if not recent:
                del self._early[key]
        return removed


def _renumbered(approvals: Approvals, former: Federation, federation: Federation) -> Approvals | None:
    """Approvals with the bits of `federation` instead of `former`; None if they have another authority."""
    signers = federation.renumbered(approvals.signers, former)
    return None if signers is None else attrs.evolve(approvals, signers=signers)
