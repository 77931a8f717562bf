"""Block production: in each of this authority's slots, one block on the head, or a slot missed and why.

Waiting → Preparing → Building → Signing → Importing, and back to Waiting with one of three outcomes: produced,
missed, halted. The work of a slot must end within the slot. What is late is given up; only the guard's record of
a signature remains.
"""

from collections.abc import Callable
from enum import Enum

import attrs
import trio

from alysd.consensus.aura import halted, slot_at, slot_start
from alysd.consensus.federation import approval_message, federation_at
from alysd.consensus.payload import payload_attributes
from alysd.errors import NotNow, Refused, StoreError, Unavailable, WouldDoubleSign
from alysd.messages.auxpow import MergedMining, WorkFor
from alysd.messages.block_import import BlockImport, ImportBlock
from alysd.messages.chain import Chain, GetForkchoice
from alysd.messages.engine import BuildPayload, Engine
from alysd.messages.events import BlockProduced, ProductionHalted, SlotMissed, WorkflowMoved
from alysd.messages.log.base import log
from alysd.messages.log.chain import WorkNotIncluded
from alysd.nurseries import Address, NotAnswered
from alysd.ports import Clock, Signer, Tracing
from alysd.timing import Timing
from alysd.types.auxpow import AuxPowHeader
from alysd.types.block import Approvals, Block, SignedBlock
from alysd.types.chain import Forkchoice
from alysd.types.chain_spec import ChainContext
from alysd.types.federation import Federation
from alysd.types.units import Slot
from alysd.wire.block_ssz import block_hash


class ProductionStep(Enum):
    """The step that the workflow is at; its value is the name in metrics and in the reason of a missed slot."""

    WAITING = "Waiting"  # for the next slot of this authority
    PREPARING = "Preparing"  # asking for the head and for work to include
    BUILDING = "Building"  # the execution client fills a payload
    SIGNING = "Signing"  # the block is whole: the guard records it and this authority approves
    IMPORTING = "Importing"  # the signed block is imported as every other block


@attrs.define(eq=False)
class BlockProduction:
    """The workflow's task: `run` never returns.

    `federation` is the one at the newest head that this workflow has seen: it says which slots are this node's.
    """

    context: ChainContext
    clock: Clock
    signer: Signer
    chain: Address[Chain]
    engine: Address[Engine]
    merged_mining: Address[MergedMining]
    block_import: Address[BlockImport]
    publish: Callable[[object], object]
    tracing: Tracing
    timing: Timing
    federation: Federation = attrs.field(
        init=False, default=attrs.Factory(lambda workflow: workflow.context.first_federation, takes_self=True)
    )
    _step: ProductionStep = attrs.field(init=False, default=ProductionStep.WAITING)

    @property
    def authority(self) -> int | None:
        """This node's index among the authorities; None while it is no member of the federation."""
        return self.federation.index_of(self.signer.public_key)

    async def run(self) -> None:
        """Slot after slot, beginning with the next that starts; a block in those of this authority."""
        slot = Slot(self._present_slot() + 1)
        while True:
            await self._sleep_until(slot_start(slot, self.context.spec.slot_seconds))
            now = self._present_slot()
            if now > slot:
                self._miss_between(slot, now)
            elif self.federation.author(slot) == self.authority:
                await self._slot(slot)
                self._enter(ProductionStep.WAITING)
            else:
                await self._look_at_head()
            slot = Slot(max(slot + 1, self._present_slot()))

    async def _slot(self, slot: Slot) -> None:
        begun = self.clock.time()
        budget = slot_start(slot, self.context.spec.slot_seconds) + self.timing.slot_work - begun
        with trio.move_on_after(budget) as deadline:
            try:
                with self.tracing.span("slot", slot=slot):
                    signed = await self._produce(slot)
            except (Refused, Unavailable, WouldDoubleSign, StoreError, NotAnswered) as error:
                self._miss(slot, str(error))
            else:
                if signed is not None:
                    self.publish(BlockProduced(signed, self.clock.time() - begun))
        if deadline.cancelled_caught:
            self._miss(slot, f"{self._step.value.lower()} took more than {budget:.1f} s")

    async def _produce(self, slot: Slot) -> SignedBlock | None:
        self._enter(ProductionStep.PREPARING)
        with self.tracing.span("prepare"):
            tip = await self.chain.ask(GetForkchoice(), seconds=self.timing.slot_ask)
            if tip.head.slot >= slot:
                raise NotNow(f"the head is of slot {tip.head.slot} already: is this machine's clock behind?")
            self.federation = federation_at(tip.head, self.context)
            if self.federation.author(slot) != self.authority:
                return None  # the federation has changed: the slot is another authority's now
            work = await self._work(tip)
        if work is None and halted(tip.head, self.context.spec):
            self.publish(ProductionHalted(slot, tip.head.height - tip.head.last_final_height))
            return None
        self._enter(ProductionStep.BUILDING)
        attributes = payload_attributes(tip.head, slot, work, self.context)
        with self.tracing.span("build"):
            payload = await self.engine.ask(BuildPayload(tip, attributes), seconds=self.timing.slot_ask)
        block = Block(tip.head.hash, slot, payload, auxpow_header=work)
        self._enter(ProductionStep.SIGNING)
        with self.tracing.span("sign"):
            signed = await self._approve(block)
        self._enter(ProductionStep.IMPORTING)
        with self.tracing.span("import"):
            await self.block_import.ask(ImportBlock(signed), seconds=self.timing.slot_ask)
        return signed

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

    async def _approve(self, block: Block) -> SignedBlock:
        # Hashing a full block takes some milliseconds, signing one: both belong in a thread.
        identity = await trio.to_thread.run_sync(block_hash, block)
        message = approval_message(self.context.genesis, identity)
        signature = await self.signer.approve(block.slot, identity, message)
        own = self.signer.public_key
        signers = tuple(key == own for key in self.federation.authorities)
        return SignedBlock(identity, block, Approvals(signers, signature))

    async def _sleep_until(self, moment: float) -> None:
        # Wall time has no event to wait for, and may be set while we sleep: look again each time.
        while (seconds := moment - self.clock.time()) > 0:  # noqa: ASYNC110
            await trio.sleep(min(seconds, self.context.spec.slot_seconds))

    def _present_slot(self) -> Slot:
        return slot_at(self.clock.time(), self.context.spec.slot_seconds)

    async def _look_at_head(self) -> None:
        """Learn in another authority's slot whether the federation has changed: this node's turn may be next."""
        try:
            tip = await self.chain.ask(GetForkchoice(), seconds=self.timing.chain_lookup)
        except NotAnswered:
            return  # it is asked again in the next slot
        self.federation = federation_at(tip.head, self.context)

    def _miss_between(self, first: Slot, end: Slot) -> None:
        """Report this authority's slots from `first` up to, not including, `end`."""
        if self.authority is None:
            return
        members = len(self.federation.authorities)
        own = Slot(first + (self.authority - first) % members)
        if own < end:
            self._miss(own, "the node was held up past the slot's end", (end - 1 - own) // members + 1)

    def _miss(self, slot: Slot, reason: str, count: int = 1) -> None:
        self.publish(SlotMissed(slot, count, reason))
