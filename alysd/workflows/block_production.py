"""Block production: makes one block on the head in each slot of this authority, or reports why the slot is missed.

Waiting → Preparing → Building → Signing → Importing, and back to Waiting with one of three outcomes: produced,
missed, halted. Work that does not end within its slot is cancelled. If the guard has recorded a signature by then,
the record stays.
"""

from collections.abc import Callable
from contextlib import suppress
from enum import Enum

import attrs
import trio

from alysd.consensus.aura import halted, slot_at, slot_start
from alysd.consensus.federation import federation_at
from alysd.consensus.payload import payload_attributes
from alysd.errors import ApprovalForbidden, NoQuorum, NotNow, Refused, StoreError, Unavailable
from alysd.messages.approval import ApprovalGathering, AwaitQuorum, ProposeBlock
from alysd.messages.auxpow import MergedMining, WorkFor
from alysd.messages.chain import Chain, GetForkchoice, GetState
from alysd.messages.engine import BuildPayload, Engine
from alysd.messages.events import BlockProduced, ProductionHalted, SlotMissed, WorkflowMoved
from alysd.messages.federation_update import FederationUpdates, GetUpdateFor
from alysd.messages.log.base import log
from alysd.messages.log.chain import WorkNotIncluded
from alysd.messages.log.governance_update import UpdateNotIncluded
from alysd.messages.sync import GetSyncProgress, Sync
from alysd.nurseries import Address, NotAnswered
from alysd.ports import Clock, Signer, Tracing
from alysd.timing import Timing
from alysd.types.auxpow import AuxPowHeader
from alysd.types.block import Approvals, Block, SignedBlock
from alysd.types.chain import ChainState, Forkchoice
from alysd.types.chain_spec import ChainContext
from alysd.types.federation import Federation
from alysd.types.federation_update import FederationUpdate
from alysd.types.units import Slot
from alysd.workflows.clock_watch import ClockWatch
from alysd.workflows.peg_contents import ContentsPause, PegAuthor

BUSY = "the node was busy or suspended until the slot had ended"
"""The reason in the log for a slot that ended before the node began to work on it."""


class ProductionStep(Enum):
    """The steps of the workflow. The values appear in metrics and in the reasons of missed slots."""

    WAITING = "Waiting"  # the workflow waits for the next slot of this authority
    FINISHING = "Finishing the late block"  # the import of the last slot's block has to end first
    PREPARING = "Preparing"  # it asks for the head and for a proof to include
    BUILDING = "Building"  # the execution client builds a payload
    SIGNING = "Signing"  # the signing guard records the complete block, and this authority approves it
    IMPORTING = "Importing"  # a quorum approves the signed block, and it is imported like every other block


@attrs.frozen
class _LateBlock:
    """A block whose import did not end within its slot, for this `reason`.

    A slow disk may still store it later.
    """

    signed: SignedBlock
    reason: str
    begun: float


@attrs.define(eq=False)
class BlockProduction:
    """The block production workflow. `run` is its task.

    `federation` is the federation at the newest head that the workflow has seen. It decides which slots are this
    node's. `updates` is None on a chain without governance keys.
    """

    context: ChainContext
    clock: Clock
    watch: ClockWatch
    signer: Signer
    chain: Address[Chain]
    engine: Address[Engine]
    merged_mining: Address[MergedMining]
    approval: Address[ApprovalGathering]
    sync: Address[Sync]
    publish: Callable[[object], object]
    tracing: Tracing
    timing: Timing
    peg: PegAuthor
    updates: Address[FederationUpdates] | None = None
    federation: Federation = attrs.field(
        init=False, default=attrs.Factory(lambda workflow: workflow.context.first_federation, takes_self=True)
    )
    _step: ProductionStep = attrs.field(init=False, default=ProductionStep.WAITING)
    _pause_of_contents: ContentsPause = attrs.field(init=False, factory=ContentsPause)
    _importing: SignedBlock | None = attrs.field(init=False, default=None)
    _late: "_LateBlock | None" = attrs.field(init=False, default=None)

    @property
    def authority(self) -> int | None:
        """This node's index among the members, or None while its key is none of theirs."""
        index = self.federation.index_of(self.signer.public_key)
        return index if index is not None and index < self.federation.members else None

    @property
    def _alone(self) -> bool:
        """Whether the approval of one authority is a quorum, so that this node depends on no other."""
        return self.federation.quorum == 1

    async def run(self) -> None:
        """Make a block in each slot of this authority, beginning with the next slot. Never returns."""
        slot = Slot(self._present_slot() + 1)
        while True:
            await self._sleep_until(slot_start(slot, self.context.spec.slot_seconds))
            if self.watch.look().step:
                slot = await self._pause()
                continue
            await self._settle()
            now = self._present_slot()
            if now > slot:
                self._miss_between(slot, now)
            elif await self._is_own(slot):
                await self._slot(slot)
                self._enter(ProductionStep.WAITING)
            slot = Slot(max(slot + 1, self._present_slot()))

    async def _pause(self) -> Slot:
        """Miss this authority's slots until the clock is trusted again. Returns the first slot after that."""
        while doubt := self.watch.doubt():
            slot = self._present_slot()
            if self.federation.author(slot) == self.authority:
                self._miss(slot, doubt)
            await trio.sleep(self.context.spec.slot_seconds)
        return Slot(self._present_slot() + 1)

    async def _slot(self, slot: Slot) -> None:
        begun = self.clock.boottime()
        budget = slot_start(slot, self.context.spec.slot_seconds) + self.timing.slot_work - self.clock.time()
        if budget <= 0:
            self._miss(slot, BUSY)
            return
        with trio.move_on_after(budget) as deadline:
            try:
                with self.tracing.span("slot", slot=slot):
                    signed = await self._produce(slot)
            except NoQuorum as error:
                self._give_up(slot, str(error), begun)
            except Refused as error:
                self._miss(slot, str(error))
            except (Unavailable, ApprovalForbidden, StoreError, NotAnswered) as error:
                self._give_up(slot, str(error), begun)
            else:
                if signed is not None:
                    self._pause_of_contents.note(signed.block.peg, approved=True)
                    self.publish(BlockProduced(signed, self.clock.boottime() - begun))
        if deadline.cancelled_caught:
            self._give_up(slot, f"{self._step.value.lower()} took more than {budget:.1f} s", begun)
        self._importing = None

    def _give_up(self, slot: Slot, reason: str, begun: float) -> None:
        """Report the slot as missed. If its block is still being imported, leave the report to `_settle`."""
        if self._importing is None:
            self._miss(slot, reason)
        else:
            if not self._alone:
                self._pause_of_contents.note(self._importing.block.peg, approved=False)
            self._late = _LateBlock(self._importing, reason, begun)

    async def _settle(self) -> None:
        """Report a late block as produced if it is stored by now.

        In a federation of several authorities, the slot is missed if the block is not stored one slot later: from
        then on nobody approves it.
        """
        late = self._late
        if late is None:
            return
        try:
            stored = await self.chain.ask(GetState(late.signed.hash), seconds=self.timing.chain_lookup)
        except NotAnswered:
            return  # the chain actor is still storing it, so the next slot asks again
        if stored is not None:
            self._report(late)
        elif not self._alone and self._present_slot() > late.signed.block.slot + 1:
            self._late = None
            self._miss(late.signed.block.slot, late.reason)

    async def _finish_late_block(self) -> None:
        """Import the late block, if there is one, so that the next block builds on it.

        Only an authority that is a quorum alone has a late block here. The late block is signed, so another block
        on the same parent would be a fork. To import a block that is stored already has no effect. If the late
        block is refused, no block will ever build on it.
        """
        late = self._late
        if late is None:
            return
        self._enter(ProductionStep.FINISHING)
        try:
            await self.approval.ask(ProposeBlock(late.signed), seconds=self.timing.slot_ask)
        except Refused:
            self._late = None
            self._miss(late.signed.block.slot, late.reason)
        else:
            self._report(late)

    def _report(self, late: _LateBlock) -> None:
        self._late = None
        self._pause_of_contents.note(late.signed.block.peg, approved=True)
        self.publish(BlockProduced(late.signed, self.clock.boottime() - late.begun))

    async def _produce(self, slot: Slot) -> SignedBlock | None:
        await self._finish_late_block()
        self._enter(ProductionStep.PREPARING)
        with self.tracing.span("prepare"):
            tip = await self._tip(slot)
            if tip.head.slot >= slot:
                raise NotNow(
                    f"the head already has slot {tip.head.slot}: check whether the clock of this machine is behind"
                )
            self.federation = federation_at(tip.head, self.context)
            if self.federation.author(slot) != self.authority:
                return None  # the federation has changed, and the slot now belongs to another authority
            work = await self._work(tip)
            peg = await self.peg.choose(tip.head, work, self._pause_of_contents)
        if work is None and halted(tip.head, self.context.spec):
            self.publish(ProductionHalted(slot, tip.head.height - tip.head.last_final_height))
            return None
        self._enter(ProductionStep.BUILDING)
        attributes = payload_attributes(tip.head, slot, work, self.context, peg.mints)
        with self.tracing.span("build"):
            payload = await self.engine.ask(BuildPayload(tip, attributes), seconds=self.timing.slot_ask)
        update = await self._update(tip.head)
        block = Block.with_peg(tip.head.hash, slot, payload, work, peg.contents, update)
        if doubt := self.watch.doubt():
            raise NotNow(doubt)
        self._enter(ProductionStep.SIGNING)
        with self.tracing.span("sign"):
            signed = await self._approve(block, tip.head.slot)
        self._enter(ProductionStep.IMPORTING)
        self._importing = signed
        with self.tracing.span("import"):
            await self.approval.ask(ProposeBlock(signed), seconds=self.timing.slot_ask)
        return signed

    async def _tip(self, slot: Slot) -> Forkchoice:
        """The head to build on. Among several authorities, wait a little for the quorum of the slot before."""
        tip = await self.chain.ask(GetForkchoice(), seconds=self.timing.slot_ask)
        if self._alone:
            return tip
        progress = await self.sync.ask(GetSyncProgress(), seconds=self.timing.chain_lookup)
        if not progress.synced:
            raise NotNow(f"this node is not synced: it has block {progress.current} of {progress.target}")
        if tip.head.slot < slot - 1:
            with suppress(NotAnswered):  # then the block has no quorum in time, and is not built on
                await self.approval.ask(AwaitQuorum(Slot(slot - 1)), seconds=self.timing.late_quorum)
            tip = await self.chain.ask(GetForkchoice(), seconds=self.timing.slot_ask)
        return tip

    def _enter(self, step: ProductionStep) -> None:
        self._step = step
        self.publish(WorkflowMoved("block production", step.value))

    async def _work(self, tip: Forkchoice) -> AuxPowHeader | None:
        try:
            return await self.merged_mining.ask(WorkFor(tip.head), seconds=self.timing.work_ask)
        except (NotAnswered, Refused) as error:
            # A proof may wait for the next block; a slot does not.
            log(WorkNotIncluded(str(error)))
            return None

    async def _update(self, parent: ChainState) -> FederationUpdate | None:
        """The change of the federation that the block includes. A change may wait for a later block."""
        if self.updates is None or parent.governance is None:
            return None
        try:
            return await self.updates.ask(GetUpdateFor(parent), seconds=self.timing.chain_lookup)
        except NotAnswered as error:
            log(UpdateNotIncluded(str(error)))
            return None

    async def _approve(self, block: Block, parent_slot: Slot) -> SignedBlock:
        approval = await self.signer.approve(block, parent_slot)
        own = self.signer.public_key
        signers = tuple(key == own for key in self.federation.authorities)
        return SignedBlock(approval.block, block, Approvals(signers, approval.signature))

    async def _sleep_until(self, moment: float) -> None:
        # The wall clock may be set while this task sleeps, so read it again after each sleep.
        while (seconds := moment - self.clock.time()) > 0:
            await trio.sleep(min(seconds, self.context.spec.slot_seconds))
            if self.watch.look().step:
                return

    def _present_slot(self) -> Slot:
        return slot_at(self.clock.time(), self.context.spec.slot_seconds)

    async def _is_own(self, slot: Slot) -> bool:
        """Whether the slot is this authority's, as far as this node knows.

        In a slot of another authority, look at the head: its block may have changed the federation, and the first
        slot of a new member is the one after that block.
        """
        if self.federation.author(slot) != self.authority:
            try:
                tip = await self.chain.ask(GetForkchoice(), seconds=self.timing.chain_lookup)
            except NotAnswered:
                return False  # the next slot asks again
            self.federation = federation_at(tip.head, self.context)
        return self.federation.author(slot) == self.authority

    def _miss_between(self, first: Slot, end: Slot) -> None:
        """Report this authority's slots from `first` up to, not including, `end`."""
        if self.authority is None:
            return
        members = self.federation.members
        own = Slot(first + (self.authority - first) % members)
        if own < end:
            self._miss(own, BUSY, (end - 1 - own) // members + 1)

    def _miss(self, slot: Slot, reason: str, count: int = 1) -> None:
        self.publish(SlotMissed(slot, count, reason))
