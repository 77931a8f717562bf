"""Approval: gathers a quorum for the candidates of the present slots, and imports those that have one.

`candidate_book` has the states of a candidate. A message about a candidate changes only its record; the work that
follows from it is one `AdvanceCandidate` per candidate, which does one of three things:

- If the parent is not in the chain, the workflow gets it: it imports a known candidate with the approvals that
  came with the proposal, or reports an unknown block to sync.
- If the candidate has a quorum, the workflow imports it.
- Otherwise, if this node is an authority, the workflow judges the block, has it executed and approves it.

So the handling of each message is bounded (`Timing`), and approvals are counted in between. A chain with one
authority needs no other node: its author's approval is the quorum, and the block is imported at once.

Nothing is kept over a restart. The signing guard prevents a second approval in a slot. Candidates that are lost
come back as the parents of later proposals.
"""

from collections.abc import Callable
from contextlib import suppress

import attrs

from alysd.consensus.aura import slot_at, slot_start
from alysd.consensus.federation import federation_at
from alysd.consensus.violations import AuthorMissing, UnknownParent
from alysd.errors import InvalidBlock, NoQuorum, NotNow, Refused
from alysd.messages.approval import (
    AdvanceCandidate,
    AnnounceProposal,
    ApprovalGathering,
    AwaitQuorum,
    BlockImported,
    ConsiderProposal,
    CountApproval,
    GetCandidates,
    GiveUpQuorum,
    NoteRecovery,
    ProposeBlock,
    SlotBegan,
)
from alysd.messages.block_import import ImportBlock
from alysd.messages.chain import GetForkchoice, GetState
from alysd.messages.events import QuorumChanged, SlotOver, WorkflowMoved
from alysd.messages.evidence import ReportConflict
from alysd.messages.log.base import log
from alysd.messages.log.chain import CandidatePostponed, CandidateRefused
from alysd.messages.network import PublishApproval, PublishRecovery
from alysd.messages.storage import GetBlockByHash
from alysd.messages.sync import BlockMissing
from alysd.nurseries import Actor, Deferred, NotAnswered, handles
from alysd.ports import Bls, Clock, Signer
from alysd.timing import Timing
from alysd.types.block import SignedBlock
from alysd.types.chain import Forkchoice
from alysd.types.chain_spec import ChainContext
from alysd.types.federation import Federation, SlotSteps
from alysd.types.hashes import BlockHash, BlsPublicKey, BlsSignature
from alysd.types.proposal import Proposal
from alysd.types.units import Slot
from alysd.workflows.approval_peers import ApprovalPeers, offer
from alysd.workflows.candidate_book import (
    GATHERING,
    WAITING,
    BlockStored,
    Candidate,
    CandidateBook,
    OwnApproval,
    QuorumCandidate,
    QuorumReached,
    RuleBroken,
)
from alysd.workflows.candidate_judge import CandidateJudge
from alysd.workflows.clock_watch import ClockWatch
from alysd.workflows.own_key import OwnKey
from alysd.workflows.proposal_sharing import ProposalSharing
from alysd.workflows.recovery import RecoveringMembers
from alysd.workflows.roll_call import RollCall


class ApprovalWorkflow(Actor[ApprovalGathering]):
    """Gathers approvals. Without a `signer` the node is a follower: it counts approvals and gives none."""

    def __init__(
        self,
        context: ChainContext,
        clock: Clock,
        watch: ClockWatch,
        signer: Signer | None,
        bls: Bls,
        to: ApprovalPeers,
        publish: Callable[[WorkflowMoved | SlotOver | QuorumChanged], object],
        timing: Timing,
    ) -> None:
        self._context = context
        self._clock = clock
        self._to = to
        self._publish = publish
        self._timing = timing
        self._recovery = RecoveringMembers(signer, watch)
        self._own_key = OwnKey(context, signer)
        # Only an authority judges.
        self._judge = None
        if signer is not None:
            self._judge = CandidateJudge(context, clock, watch, signer, bls, self._recovery, to, timing)
        self._book = CandidateBook()
        self._sharing = ProposalSharing(self._book, context.genesis, bls, to, timing)
        self._federation: Federation = context.first_federation
        self._roll_call = RollCall(
            context.spec.slot_seconds, publish, None if signer is None else signer.public_key
        )

    async def started(self) -> None:
        """Look at the head, and set the timer of the next slot."""
        self._wait_for_slot()
        await self._look_at_head()

    # The node's own block

    @handles(ProposeBlock)
    async def propose(self, message: ProposeBlock) -> Forkchoice | Deferred[Forkchoice]:
        """Import the block at once if its author is a quorum; otherwise send it to the others and wait."""
        signed = message.signed
        candidate = self._book.get(signed.hash)
        if candidate is None:
            candidate = await self._add(Proposal(signed, None), None, await self._federation_of(signed), None)
            candidate.machine.move(OwnApproval())
            candidate.steps = SlotSteps(approved=candidate.seconds)
            self.timers.after(0, AnnounceProposal(signed.hash))
        if candidate.has_quorum:
            return await self._import(candidate)
        left = slot_start(candidate.slot, self._context.spec.slot_seconds) + self._timing.quorum_wait
        left -= self._clock.time()
        if left <= 0:
            raise self._no_quorum(candidate)
        self.timers.after(left, GiveUpQuorum(signed.hash))
        return candidate.asks.until_imported()

    @handles(GiveUpQuorum)
    async def give_up(self, message: GiveUpQuorum) -> None:
        """Fail the asks of `ProposeBlock`. The block may still get its quorum."""
        candidate = self._book.get(message.block)
        if candidate is not None:
            candidate.asks.failed(self._no_quorum(candidate))

    @handles(AnnounceProposal)
    async def announce(self, message: AnnounceProposal) -> None:
        """Send the proposal with the approvals of its parent."""
        candidate = self._book.get(message.block)
        if candidate is not None and self._to.network.gone is None:
            await self._sharing.announce(candidate)

    # Blocks and approvals of others

    @handles(ConsiderProposal)
    async def consider(self, message: ConsiderProposal) -> None:
        """Add a candidate, unless it is too old or above the limit of its author.

        Its approvals were checked under `message.federation`. They are numbered anew as in that of the block. If
        the candidate is known, it may have come with the approval of another federation's author, so this one's
        is counted.
        """
        signed, found = message.proposal.signed, message.federation or self._federation
        slot, given = signed.block.slot, found.signed_by(signed.approvals.signers)
        known = self._book.get(signed.hash)
        if known is not None:
            if len(given) == 1:
                await self._count(next(iter(given)), signed.approvals.signature, slot, signed.hash, found)
            return
        federation = await self._federation_of(signed, message.federation)
        signers = federation.renumbered(signed.approvals.signers, found)
        if signers is None or not signers[federation.author(slot)]:
            return
        signed = attrs.evolve(signed, approvals=attrs.evolve(signed.approvals, signers=signers))
        if self._book.has_room(slot, self._present_slot(), federation.author_key(slot)):
            proposal = attrs.evolve(message.proposal, signed=signed)
            self._queue(await self._add(proposal, message.source, federation, message.parents))

    @handles(CountApproval)
    async def count(self, message: CountApproval) -> None:
        """Count an approval. The block with its quorum is imported; more approvals of it change nothing."""
        approval, found = message.approval, message.federation or self._federation
        key = found.authorities[approval.authority]
        await self._count(key, approval.signature, approval.slot, approval.block, found)

    async def _count(
        self, key: BlsPublicKey, signature: BlsSignature, slot: Slot, block: BlockHash, found: Federation
    ) -> None:
        """Count the approval of a block by `key`, an authority of the federation `found`."""
        await self._own_key.approved((key,), slot, block, found)
        candidate = self._book.get(block)
        if candidate is None:
            self._book.keep_early(key, block, signature, self._present_slot())
        elif not candidate.has_approval(key):
            had_quorum = candidate.has_quorum
            candidate.approvals[key] = signature
            self._roll_call.heard(key, slot)
            self._recovery.approved(key, slot, self._federation)
            self._report_doubles(candidate, key)
            if self._recovery.own or (not had_quorum and candidate.has_quorum):
                self._queue(candidate)

    @handles(NoteRecovery)
    async def note_recovery(self, message: NoteRecovery) -> None:
        """Record that an authority has lost its guard. A recovering member may then approve further candidates."""
        found = message.federation or self._federation
        key = found.authorities[message.statement.authority]
        self._recovery.note(key, message.statement.slot, self._federation)
        if self._recovery.own:
            self._queue_waiting()

    @handles(BlockImported)
    async def imported(self, message: BlockImported) -> None:
        """Go on with the candidates that may have waited for this block."""
        candidate = self._book.get(message.block)
        if candidate is not None and not candidate.settled:
            tip = await self._to.chain.ask(GetForkchoice(), seconds=self._timing.chain_lookup)
            self._stored(candidate, tip)
        for child in self._book.children(message.block):
            self._queue(child)

    @handles(AwaitQuorum)
    async def await_quorum(self, message: AwaitQuorum) -> Deferred[None] | None:
        """Answer when one of the candidates of the slot is settled."""
        candidates = self._book.of_slot(message.slot)
        if not candidates or any(candidate.settled for candidate in candidates):
            return None
        answer = Deferred[None]()
        for candidate in candidates:
            candidate.asks.until_settled(answer)
        return answer

    @handles(GetCandidates)
    async def candidates(self, message: GetCandidates) -> tuple[Proposal, ...]:
        """The known proposals."""
        return await self._sharing.since(message.since)

    # Work on a candidate

    @handles(SlotBegan)
    async def slot_began(self, message: SlotBegan) -> None:
        """Forget old candidates; go on with those that wait for their slot, their parent or the client."""
        self._wait_for_slot()
        self._roll_call.slot_began(self._present_slot(), self._federation, self._book)
        for candidate in self._book.prune(self._present_slot()):
            candidate.asks.failed(self._no_quorum(candidate))
        await self._look_at_head()
        statement = await self._recovery.state(self._present_slot(), self._federation)
        if statement is not None:
            offer(self._to.network, PublishRecovery(statement))
        self._queue_waiting()

    @handles(AdvanceCandidate)
    async def advance(self, message: AdvanceCandidate) -> None:
        """Do the next work on a candidate. Work that is not possible now is tried again in the next slot."""
        candidate = self._book.get(message.block)
        if candidate is None:
            return
        candidate.queued = False
        if candidate.settled:
            return
        try:
            with suppress(Refused):  # block import has logged its refusal
                await self._advance(candidate)
        except NotAnswered as error:
            log(CandidatePostponed(*self._named(candidate), str(error)))

    async def _advance(self, candidate: Candidate) -> None:
        parent_hash = candidate.signed.block.parent_hash
        parent = await self._to.chain.ask(GetState(parent_hash), seconds=self._timing.chain_lookup)
        if parent is None:
            await self._get_parent(candidate)
        elif not candidate.belongs_to(federation := federation_at(parent, self._context)):
            self._refuse(candidate, AuthorMissing(candidate.slot, federation.author(candidate.slot)))
            self._book.remove(candidate)
        elif candidate.has_quorum:
            await self._import(candidate)
        elif self._judge is not None:
            approval = await self._judge.judge(candidate, parent)
            if approval is not None:
                key = federation.authorities[approval.authority]
                candidate.approvals[key] = approval.signature
                candidate.steps = attrs.evolve(candidate.steps, approved=self._since_start(candidate.slot))
                self._recovery.approved(key, candidate.slot, self._federation)
                offer(self._to.network, PublishApproval(approval))
                if candidate.has_quorum:
                    self._queue(candidate)

    async def _get_parent(self, candidate: Candidate) -> None:
        """Import the parent if it is a candidate too, or let sync get it. A parent that is stored is too old.

        A peer can replace the parent's approvals by others that are a quorum of another federation only. Then sync
        gets the parent with its own.
        """
        parent_hash = candidate.signed.block.parent_hash
        parent = self._book.get(parent_hash)
        if parent is not None:
            parent.prove(candidate.parents, candidate.parents_in)
            self._queue(parent)
            if not parent.has_quorum:
                offer(self._to.sync, BlockMissing(parent_hash, candidate.source or ""))
        elif await self._to.storage.ask(GetBlockByHash(parent_hash), seconds=self._timing.chain_lookup) is None:
            offer(self._to.sync, BlockMissing(parent_hash, candidate.source or ""))
        else:
            self._refuse(candidate, UnknownParent(parent_hash))

    def _refuse(self, candidate: Candidate, error: InvalidBlock) -> None:
        """Give a candidate up that breaks a rule, unless it was approved or given up before."""
        if isinstance(candidate.state, WAITING):
            candidate.machine.move(RuleBroken())
            log(CandidateRefused(*self._named(candidate), type(error).__name__, str(error)))

    async def _import(self, candidate: Candidate) -> Forkchoice:
        """Import a block that a quorum has approved. Raises the errors of `ImportBlock`, also to all who wait."""
        self._note_quorum(candidate)
        candidate.approved = candidate.approved or await self._sharing.with_approvals(candidate)
        machine = candidate.machine
        if isinstance(machine.state, GATHERING):
            machine.move(QuorumReached())
        try:
            tip = await self._to.block_import.ask(
                ImportBlock(candidate.approved), seconds=self._timing.approval_import
            )
        except (Refused, NotAnswered) as error:
            if not isinstance(error, NotNow | NotAnswered) and isinstance(machine.state, QuorumCandidate):
                machine.move(RuleBroken())
            candidate.asks.failed(error)
            raise
        self._stored(candidate, tip)
        return tip

    def _stored(self, candidate: Candidate, tip: Forkchoice) -> None:
        """A candidate is part of the chain, and `tip` is the forkchoice: answer all who wait for that."""
        if not candidate.settled:
            candidate.machine.move(BlockStored())
            candidate.steps = attrs.evolve(candidate.steps, imported=self._since_start(candidate.slot))
        self._federation = federation_at(tip.head, self._context)
        candidate.asks.imported(tip)
        for child in self._book.children(candidate.signed.hash):
            self._queue(child)

    # Small parts

    async def _add(
        self, proposal: Proposal, source: str | None, federation: Federation, parents_in: Federation | None
    ) -> Candidate:
        slot = proposal.signed.block.slot
        candidate = Candidate(proposal, federation, source, self._since_start(slot), self._publish, parents_in)
        self._book.add(candidate)
        keys = federation.signed_by(candidate.signers)
        await self._own_key.approved(keys, slot, proposal.signed.hash, federation)
        self._roll_call.heard(federation.author_key(slot), slot)
        self._report_doubles(candidate, *keys)
        return candidate

    def _report_doubles(self, candidate: Candidate, *keys: BlsPublicKey) -> None:
        """Report each of the authorities that has also approved another candidate of the slot."""
        for key in keys:
            for one, other, its in self._book.doubles(candidate, key):
                offer(self._to.evidence, ReportConflict(one, other, (candidate.federation, its)))

    def _queue(self, candidate: Candidate) -> None:
        """Send an `AdvanceCandidate` about a candidate to this actor, unless one waits already."""
        self._note_quorum(candidate)
        if not candidate.queued:
            candidate.queued = True
            self.timers.after(0, AdvanceCandidate(candidate.signed.hash))

    def _queue_waiting(self) -> None:
        """Queue the blocks whose import was not possible, and the candidates that are not approved yet, again."""
        for candidate in self._book:
            if isinstance(candidate.state, (*WAITING, QuorumCandidate)):
                self._queue(candidate)

    def _note_quorum(self, candidate: Candidate) -> None:
        """Record the time at which the node first knew the approvals of a quorum for a candidate."""
        if candidate.steps.quorum is None and candidate.has_quorum:
            candidate.steps = attrs.evolve(candidate.steps, quorum=self._since_start(candidate.slot))

    def _since_start(self, slot: Slot) -> float:
        """The seconds since a slot began, by this node's clock."""
        return self._clock.time() - slot_start(slot, self._context.spec.slot_seconds)

    def _no_quorum(self, candidate: Candidate) -> NoQuorum:
        signers, federation = candidate.signers, candidate.federation
        silent = self._roll_call.silent(signers, federation)
        quorum, found, of = federation.lacking(signers)
        return NoQuorum(candidate.slot, quorum, found, silent, of)

    def _named(self, candidate: Candidate) -> tuple[Slot, int, BlockHash]:
        """The first fields of the log lines about a candidate."""
        return candidate.slot, candidate.federation.author(candidate.slot), candidate.signed.hash

    def _present_slot(self) -> Slot:
        return slot_at(self._clock.time(), self._context.spec.slot_seconds)

    async def _look_at_head(self) -> None:
        """Update the federation: it is that of the newest head that this node has seen."""
        with suppress(NotAnswered):  # the next slot asks again
            tip = await self._to.chain.ask(GetForkchoice(), seconds=self._timing.chain_lookup)
            self._federation = federation_at(tip.head, self._context)

    async def _federation_of(self, signed: SignedBlock, assumed: Federation | None = None) -> Federation:
        """The federation of a block; while its parent is unknown, the `assumed` one, or that of the head."""
        if not self._context.spec.governance_keys:
            return self._federation
        parent = await self._to.chain.ask(GetState(signed.block.parent_hash), seconds=self._timing.chain_lookup)
        return assumed or self._federation if parent is None else federation_at(parent, self._context)

    def _wait_for_slot(self) -> None:
        following = Slot(self._present_slot() + 1)
        seconds = slot_start(following, self._context.spec.slot_seconds) - self._clock.time()
        self.timers.after(max(0.0, seconds), SlotBegan())
