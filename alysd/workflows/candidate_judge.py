"""The part of an authority: judging a candidate, having it executed, and approving it.

CandidateBlock → ValidCandidate → ExecutedCandidate → ApprovedCandidate, or refused or declined.
"""

import trio

from alysd.consensus.aura import slot_at, slot_start
from alysd.consensus.federation import federation_at
from alysd.consensus.validity import apply_block, check_candidate
from alysd.errors import ApprovalForbidden, NotNow, NotSeenOnBitcoin, PaymentDeclined, Refused, StoreError
from alysd.messages.bridge import JudgePegContents
from alysd.messages.chain import GetAncestry
from alysd.messages.engine import ExecutePayload
from alysd.messages.log.base import log
from alysd.messages.log.chain import CandidateDeclined, CandidatePostponed, CandidateRefused
from alysd.messages.sync import GetSyncProgress
from alysd.nurseries import NotAnswered
from alysd.ports import Bls, Clock, Signer
from alysd.timing import Timing
from alysd.types.block import Block
from alysd.types.chain import ChainState, ReceivedBlock, ValidBlock
from alysd.types.chain_spec import ChainContext
from alysd.types.hashes import BlockHash
from alysd.types.proposal import SlotApproval
from alysd.types.units import Slot
from alysd.wire.block_ssz import encode_block
from alysd.workflows.approval_peers import ApprovalPeers
from alysd.workflows.candidate_book import (
    ApprovalWithheld,
    Candidate,
    CandidateBlock,
    ExecutedCandidate,
    OwnApproval,
    PayloadHolds,
    RuleBroken,
    RulesHold,
    ValidCandidate,
)
from alysd.workflows.clock_watch import ClockWatch
from alysd.workflows.ledger_reads import ledger_entries
from alysd.workflows.recovery import RecoveringMembers
from alysd.workflows.update_checks import update_checks


class CandidateJudge:
    """Judges candidates, and approves them with `signer`. It logs why it does not approve one."""

    def __init__(
        self,
        context: ChainContext,
        clock: Clock,
        watch: ClockWatch,
        signer: Signer,
        bls: Bls,
        recovery: RecoveringMembers,
        to: ApprovalPeers,
        timing: Timing,
    ) -> None:
        self._context = context
        self._clock = clock
        self._watch = watch
        self._signer = signer
        self._bls = bls
        self._updates = update_checks(bls)
        self._to = to
        self._timing = timing
        # The slot of the last block that this instance has approved. The signer remembers it over restarts.
        self._approved = Slot(0)
        self._recovery = recovery

    async def judge(self, candidate: Candidate, parent: ChainState) -> SlotApproval | None:
        """Approve the child of `parent` if all rules allow it, and if it is time; otherwise return None.

        Steps that were completed before are left out. Raises `NotAnswered`.
        """
        federation = federation_at(parent, self._context)
        own = federation.index_of(self._signer.public_key)
        if own is None or candidate.slot <= self._approved or not self._in_time(candidate.slot):
            return None
        if not await self._synced():
            return None
        await self._check(candidate, parent)
        if not isinstance(candidate.state, ExecutedCandidate) or not self._in_time(candidate.slot):
            return None
        # In a hand-over two federations approve, to which the argument for this exception does not apply.
        supported = not federation.former and self._recovery.supports(candidate.signers, own, federation)
        if self._signer.last.recovering and parent.slot < self._signer.last.lock and not supported:
            return None  # the candidate is judged again with each approval of another authority
        try:
            approval = await self._signer.approve(candidate.signed.block, parent.slot, supported=supported)
        except (ApprovalForbidden, StoreError) as error:
            candidate.machine.move(ApprovalWithheld())
            log(CandidateDeclined(*self._named(candidate, parent), str(error)))
            return None
        self._approved = candidate.slot
        candidate.machine.move(OwnApproval())
        return SlotApproval(approval.proof, own, approval.signature)

    def _in_time(self, slot: Slot) -> bool:
        """Whether the present slot is the block's `slot` or the next, by a clock that is trusted."""
        present = slot_at(self._clock.time(), self._context.spec.slot_seconds)
        return slot <= present <= slot + 1 and not self._watch.doubt()

    async def _synced(self) -> bool:
        try:
            progress = await self._to.sync.ask(GetSyncProgress(), seconds=self._timing.chain_lookup)
        except NotAnswered:
            return False  # without sync, the node cannot know whether it has the best block
        return progress.synced

    async def _check(self, candidate: Candidate, parent: ChainState) -> None:
        """Check the rules, then execute the block. The candidate keeps its state if that is not possible now."""
        block, machine = candidate.signed.block, candidate.machine
        ancestry: tuple[ChainState, ...] = ()
        if block.auxpow_header is not None:
            ancestry = await self._to.chain.ask(GetAncestry(parent.hash), seconds=self._timing.chain_lookup)
        try:
            if isinstance(machine.state, CandidateBlock):
                await self._check_rules(candidate, parent, ancestry)
                machine.move(RulesHold())
            if isinstance(machine.state, ValidCandidate):
                await self._compare_with_bitcoin(block)
                if (seconds := self._execution_seconds(candidate.slot, parent)) <= 0:
                    raise NotNow("this authority makes its own block first, whose slot has begun")
                work = ExecutePayload(block.payload, block.parent_hash, trio.current_time() + seconds)
                results = await self._to.engine.ask(work, seconds=seconds)
                apply_block(parent, candidate.signed, results.fees, ancestry)  # burns break no rule
                machine.move(PayloadHolds())
        except (NotSeenOnBitcoin, PaymentDeclined) as error:
            machine.move(ApprovalWithheld())
            log(CandidateDeclined(*self._named(candidate, parent), str(error)))
        except NotNow as error:
            log(CandidatePostponed(*self._named(candidate, parent), str(error)))
        except Refused as error:
            machine.move(RuleBroken())
            log(CandidateRefused(*self._named(candidate, parent), type(error).__name__, str(error)))

    async def _compare_with_bitcoin(self, block: Block) -> None:
        """Compare the peg's parts of a block with Bitcoin. An authority that cannot do so abstains.

        Raises `NotSeenOnBitcoin`, `PaymentDeclined`, `NotNow` and `NotAnswered`.
        """
        if not block.peg:
            return
        if self._to.bridge is None:
            raise NotNow("the block has peg contents, and this node has no Bitcoin node to compare them with")
        await self._to.bridge.ask(JudgePegContents(block), seconds=self._timing.bridge_ask)

    def _execution_seconds(self, slot: Slot, parent: ChainState) -> float:
        """The time that the execution of a candidate of `slot` may take. It must not delay the next own block.

        The author of a slot waits for the quorum of the slot before for `Timing.late_quorum`, but for no other.
        """
        now, slot_seconds = self._clock.time(), self._context.spec.slot_seconds
        federation, present = federation_at(parent, self._context), slot_at(now, slot_seconds)
        for own in (present, Slot(present + 1)):
            if own > slot and federation.authorities[federation.author(own)] == self._signer.public_key:
                spare = self._timing.late_quorum if own == slot + 1 else 0.0
                return min(self._timing.candidate_execution, slot_start(own, slot_seconds) + spare - now)
        return self._timing.candidate_execution

    async def _check_rules(
        self, candidate: Candidate, parent: ChainState, ancestry: tuple[ChainState, ...]
    ) -> None:
        block, context, seconds = candidate.signed.block, self._context, self._timing.chain_lookup
        chain, header = self._to.chain, block.auxpow_header
        entries = await ledger_entries(chain, block.peg, header, parent, context, seconds)

        def check() -> ValidBlock:
            received = ReceivedBlock(candidate.signed, len(encode_block(candidate.signed)))
            now, verify = self._clock.time(), self._bls.verify
            return check_candidate(received, parent, ancestry, context, now, verify, entries, self._updates)

        # In a thread, because a signature and the hashes of a proof take about 3 ms.
        await trio.to_thread.run_sync(check)

    def _named(self, candidate: Candidate, parent: ChainState) -> tuple[Slot, int, BlockHash]:
        """The first fields of the log lines about a candidate."""
        author = federation_at(parent, self._context).author(candidate.slot)
        return candidate.slot, author, candidate.signed.hash
