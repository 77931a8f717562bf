"""The bridge makes the peg contents of this node's blocks, and judges those of other blocks, by its Bitcoin node.

The bridge compares the findings of the Bitcoin watch with the ledger. When Bitcoin has lost a minted deposit or a
confirmed payment, or a transaction outside of the protocol has spent an output of the ledger, the peg halts: until
Bitcoin agrees again, this node makes no peg contents, approves no block with a peg-in or a proposal, and signs no
payment (`bridge_audit`).
"""

from collections.abc import Callable

import attrs
import trio

from alysd.actors.bridge_audit import LedgerAudit
from alysd.actors.bridge_contents import BridgeMemory, ContentsMaker, Versions
from alysd.actors.bridge_judging import ProposalJudge
from alysd.actors.bridge_proposals import Proposals
from alysd.actors.bridge_reads import BridgeReads, answered
from alysd.actors.bridge_search import ProposalsBeside
from alysd.actors.bridge_thefts import TheftWatch
from alysd.consensus.federation import deposit_holders, halted_at, pending_holders
from alysd.consensus.peg_ledger import take_contents
from alysd.errors import InvalidBlock, NotNow, NotSeenOnBitcoin, PaymentDeclined
from alysd.messages.bitcoin_watch import CheckPegIns, WatchFederations
from alysd.messages.bridge import (
    Bridge,
    CheckNotHalted,
    GetPegContents,
    GetPegHealth,
    JudgePegContents,
    PegHealth,
)
from alysd.messages.log.base import LogEvent, log
from alysd.messages.log.governance_update import PegHaltedByGovernance, PegResumedByGovernance
from alysd.nurseries import Actor, NotAnswered, handles
from alysd.ports import Clock
from alysd.types.auxpow import AuxPowHeader
from alysd.types.chain import ChainState, LedgerChange
from alysd.types.hashes import BlockHash, displayed
from alysd.types.peg import ConfirmedPegOut, Payment, PegContents, PegOutProposal, PegRules
from alysd.workflows.ledger_reads import ledger_entries


class BridgeActor(Actor[Bridge]):
    """Answers block production and approval. `memory` outlives the instance."""

    def __init__(
        self,
        reads: BridgeReads,
        rules: PegRules,
        memory: BridgeMemory,
        clock: Clock,
        report: Callable[[LogEvent], None] = log,
    ) -> None:
        self._rules = rules
        self._reads = reads
        self._maker = ContentsMaker(reads, memory)
        self._halted_by_governance = False
        self._report = report
        self._proposals = Proposals(reads, memory, rules, report)
        self._judge = ProposalJudge(reads, memory)
        self._beside = ProposalsBeside(self._proposals.make, self._fits, reads.timing.proposal_search)
        self._audit = LedgerAudit(reads, TheftWatch(reads, clock), report)

    async def background(self) -> None:
        """Compare the ledger with Bitcoin, read the deposits that are minted for good, and make proposals."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._audit.run)
            nursery.start_soon(self._maker.follow_final)
            nursery.start_soon(self._beside.run)
            nursery.start_soon(self._watch_federations)

    @handles(GetPegContents)
    async def contents(self, message: GetPegContents) -> PegContents:
        """Make the contents of a child of the block; none while the peg is halted.

        The proposal is left out if making it takes too long.
        """
        parent = await self._reads.state(message.parent)
        if (await self._audit.health_at(parent.hash)).halted:
            return PegContents()
        versions = await self._versions(parent)
        if halted_at(parent):
            return PegContents(confirmed=self._maker.confirmed(versions))
        made = await self._maker.make(parent, versions)
        if made.confirmed or made.finalized:
            return made  # the proposal may need the change that a confirmation makes available
        return attrs.evolve(made, proposal=await self._beside.get(parent, versions))

    @handles(JudgePegContents)
    async def judge(self, message: JudgePegContents) -> None:
        """Compare each part with Bitcoin, except the witnesses of payments, which need no judgement."""
        block = message.block
        contents = block.peg
        if not contents:
            return
        parent = await self._reads.state(block.parent_hash)
        if contents.peg_ins or contents.proposal:
            await self._check_not_halted(parent.hash)
        needed = self._reads.context.spec.peg_in_confirmations
        if contents.peg_ins:
            holders = deposit_holders(parent, self._reads.context)
            await self._reads.watch_ask(CheckPegIns(contents.peg_ins, needed, holders))
        for one in contents.confirmed:
            await self._judge_confirmed(one, needed)
        versions = await self._versions(parent)
        if contents.proposal is not None:
            await self._judge_proposal(contents.proposal, contents, block.auxpow_header, parent, versions)

    @handles(CheckNotHalted)
    async def check_not_halted(self, message: CheckNotHalted) -> None:
        """Raise `NotSeenOnBitcoin` if Bitcoin does not have all that the ledger of the head relies on."""
        await self._check_not_halted((await self._reads.head()).hash)

    @handles(GetPegHealth)
    async def health(self, message: GetPegHealth) -> PegHealth:
        """Return the result of the last comparison, and whether governance has halted the peg of the head."""
        return attrs.evolve(self._audit.health, by_governance=self._halted_by_governance)

    async def _watch_federations(self) -> None:
        """Tell the watch of federations as soon as their updates are in blocks, before they take effect.

        Remember too whether governance has halted the peg, and log it.
        """
        told: WatchFederations | None = None
        while True:
            head = await answered(self._reads.head)
            if (halted := halted_at(head)) != self._halted_by_governance:
                self._halted_by_governance = halted
                self._report((PegHaltedByGovernance if halted else PegResumedByGovernance)(head.height))
            holders = WatchFederations(deposit_holders(head, self._reads.context), pending_holders(head))
            if holders != told:
                await answered(lambda holders=holders: self._reads.watch_ask(holders))
                told = holders
            await trio.sleep(self._reads.timing.slot_seconds)

    async def _check_not_halted(self, at: BlockHash) -> None:
        health = await self._audit.health_at(at)
        if health.halted:
            raise NotSeenOnBitcoin(f"the peg is halted: {health.reason}")

    async def _judge_confirmed(self, stated: ConfirmedPegOut, needed: int) -> None:
        found = (await self._reads.confirmations([stated.txid])).get(stated.txid)
        name = f"the payment {displayed(stated.txid)}"
        if found is None:
            raise NotSeenOnBitcoin(f"{name} is not in Bitcoin's best chain")
        if found.bitcoin_block != stated.bitcoin_block:
            raise NotSeenOnBitcoin(
                f"{name} is in the Bitcoin block {displayed(found.bitcoin_block)}, "
                f"not in {displayed(stated.bitcoin_block)}"
            )
        if found.confirmations < needed:
            raise NotSeenOnBitcoin(f"{name} has {found.confirmations} confirmations, and needs {needed}")

    async def _fits(self, proposal: PegOutProposal, parent: ChainState, versions: Versions) -> bool:
        """Whether a proposal that was made for another block is right in a child of `parent` too."""
        try:
            await self._judge_proposal(proposal, PegContents(proposal=proposal), None, parent, versions)
        except (InvalidBlock, NotSeenOnBitcoin, PaymentDeclined, NotNow, NotAnswered):
            return False
        return True

    async def _judge_proposal(
        self,
        proposal: PegOutProposal,
        contents: PegContents,
        header: AuxPowHeader | None,
        parent: ChainState,
        versions: Versions,
    ) -> None:
        """Judge a proposal by the payment that it makes. Raises `InvalidBlock` as import does."""
        change = await self._change(contents, header, parent)
        made = next(
            one.value
            for one in change.changes
            if isinstance(one.value, Payment) and one.value.versions[-1].txid == proposal.transaction.txid
        )
        await self._judge.judge(proposal, made, parent, versions, contents.confirmed)

    async def _versions(self, parent: ChainState) -> Versions:
        """The payments in flight after `parent`, and their transactions on Bitcoin."""
        payments = await self._reads.payments(parent)
        txids = [version.txid for payment in payments for version in payment.versions]
        versions = Versions(payments, await self._reads.confirmations(txids))
        await self._proposals.note_signed(versions)
        return versions

    async def _change(
        self, contents: PegContents, header: AuxPowHeader | None, parent: ChainState
    ) -> LedgerChange:
        """The change of the ledger by a child of `parent`. Raises `InvalidBlock`."""
        context = self._reads.context
        seconds = self._reads.timing.chain_lookup
        entries = await ledger_entries(self._reads.chain, contents, header, parent, context, seconds)
        step = await trio.to_thread.run_sync(
            take_contents, contents, header, parent, context, self._rules, entries
        )
        return step.change
