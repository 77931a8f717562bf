"""Block production: in each of this authority's slots, one block on the head, or a slot missed and why.

Waiting → Preparing → Building → Signing → Importing → and back to Waiting by one of three ends: produced, missed,
halted. The whole of a slot's work is bounded by the slot: what is late is given up, and nothing of it is kept but
the guard's record that something was signed.
"""

from collections.abc import Callable

import attrs
import structlog
import trio

from alysd.consensus.approvals import approval_message
from alysd.consensus.aura import expected_author, slot_at, slot_start
from alysd.consensus.payload import payload_attributes
from alysd.consensus.production import halted
from alysd.errors import NotNow, Refused, StoreError, Unavailable, WouldDoubleSign
from alysd.messages.auxpow import MergedMining, WorkFor
from alysd.messages.block_import import BlockImport, ImportBlock
from alysd.messages.chain import Chain, GetForkchoice
from alysd.messages.engine import BuildPayload, Engine
from alysd.messages.events import BlockProduced, ProductionHalted, SlotMissed
from alysd.nurseries import Address, NotAnswered
from alysd.ports import Clock, Signer, Tracing
from alysd.types.auxpow import AuxPowHeader
from alysd.types.block import Approvals, Block, SignedBlock
from alysd.types.chain import Forkchoice
from alysd.types.chain_spec import ChainSpec
from alysd.types.hashes import BlockHash
from alysd.types.units import Slot
from alysd.wire.block_ssz import block_hash
from alysd.workflows.machine import Machine, Transitions

ASK_SECONDS = 2.0
"""Chain and merged-mining actor answer from memory; longer than a slot of the default length is no answer."""

WORK_SECONDS = 0.3
"""Looking for work to include may cost this much of a slot; the block is made without it then."""

LAST_MOMENT = 0.95
"""The part of a slot after which its work is given up: the rest is for the next slot's start to be on time."""


@attrs.frozen
class Waiting:
    """For the start of `slot`, the next one of this authority."""

    slot: Slot


@attrs.frozen
class Preparing:
    """Asking for the head and for work to include."""

    slot: Slot


@attrs.frozen
class Building:
    """The execution client fills a payload on `head`."""

    slot: Slot
    head: Forkchoice
    work: AuxPowHeader | None


@attrs.frozen
class Signing:
    """The block is whole; the guard records it and this authority approves."""

    block: Block


@attrs.frozen
class Importing:
    """The signed block goes the way of every block."""

    signed: SignedBlock


@attrs.frozen
class SlotBegun:
    """The slot that was waited for has begun."""


@attrs.frozen
class Prepared:
    """Head and work are known."""

    head: Forkchoice
    work: AuxPowHeader | None


@attrs.frozen
class Built:
    """The payload is there."""

    block: Block


@attrs.frozen
class Signed:
    """The approval is given."""

    signed: SignedBlock


@attrs.frozen
class SlotOver:
    """The slot's work has ended, one way or another; `next` is this authority's next slot."""

    next: Slot


ProductionState = Waiting | Preparing | Building | Signing | Importing
ProductionEvent = SlotBegun | Prepared | Built | Signed | SlotOver

TRANSITIONS: Transitions = {
    (Waiting, SlotBegun): lambda state, _event: Preparing(state.slot),
    (Waiting, SlotOver): lambda _state, event: Waiting(event.next),
    (Preparing, Prepared): lambda state, event: Building(state.slot, event.head, event.work),
    (Preparing, SlotOver): lambda _state, event: Waiting(event.next),
    (Building, Built): lambda _state, event: Signing(event.block),
    (Building, SlotOver): lambda _state, event: Waiting(event.next),
    (Signing, Signed): lambda _state, event: Importing(event.signed),
    (Signing, SlotOver): lambda _state, event: Waiting(event.next),
    (Importing, SlotOver): lambda _state, event: Waiting(event.next),
}


@attrs.frozen
class BlockProduction:
    """The workflow's task: `run` never returns. `authority` is this node's index among the chain's authorities."""

    spec: ChainSpec
    genesis: BlockHash
    authority: int
    clock: Clock
    signer: Signer
    chain: Address[Chain]
    engine: Address[Engine]
    merged_mining: Address[MergedMining]
    block_import: Address[BlockImport]
    publish: Callable[[object], object]
    tracing: Tracing

    async def run(self) -> None:
        """Slot after slot of this authority, beginning with the next that starts."""
        slot = self._own_slot_from(Slot(slot_at(self.clock.time(), self.spec.slot_seconds) + 1))
        machine = Machine[ProductionState, ProductionEvent](
            "block production", TRANSITIONS, Waiting(slot), self.publish
        )
        while True:
            await self._sleep_until(slot_start(slot, self.spec.slot_seconds))
            now = slot_at(self.clock.time(), self.spec.slot_seconds)
            if now > slot:
                self._miss(slot, "the node was held up past the slot's end", self._own_slots_between(slot, now))
            else:
                machine.move(SlotBegun())
                await self._slot(machine, slot)
                now = max(slot, slot_at(self.clock.time(), self.spec.slot_seconds))
            slot = self._own_slot_from(Slot(max(slot + 1, now)))
            machine.move(SlotOver(slot))

    async def _slot(self, machine: Machine[ProductionState, ProductionEvent], slot: Slot) -> None:
        begun = self.clock.time()
        seconds = self.spec.slot_seconds
        budget = slot_start(slot, seconds) + seconds * LAST_MOMENT - begun
        with trio.move_on_after(budget) as deadline:
            try:
                with self.tracing.span("slot", slot=slot):
                    signed = await self._produce(machine, slot)
            except (Refused, Unavailable, WouldDoubleSign, StoreError, NotAnswered) as error:
                self._miss(slot, str(error))
            else:
                if signed is not None:
                    self.publish(BlockProduced(signed, self.clock.time() - begun))
        if deadline.cancelled_caught:
            self._miss(slot, f"{type(machine.state).__name__.lower()} took more than {budget:.1f} s")

    async def _produce(self, machine: Machine[ProductionState, ProductionEvent], slot: Slot) -> SignedBlock | None:
        with self.tracing.span("prepare"):
            tip = await self.chain.ask(GetForkchoice(), seconds=ASK_SECONDS)
            if tip.head.slot >= slot:
                raise NotNow(f"the head is of slot {tip.head.slot} already: is this machine's clock behind?")
            work = await self._work(tip)
        if work is None and halted(tip.head, self.spec):
            self.publish(ProductionHalted(slot, tip.head.height - tip.head.last_final_height))
            return None
        machine.move(Prepared(tip, work))
        attributes = payload_attributes(tip.head, slot, work, self.spec)
        with self.tracing.span("build"):
            payload = await self.engine.ask(BuildPayload(tip, attributes), seconds=ASK_SECONDS)
        block = Block(tip.head.hash, slot, payload, auxpow_header=work)
        machine.move(Built(block))
        with self.tracing.span("sign"):
            signed = await self._approve(block)
        machine.move(Signed(signed))
        with self.tracing.span("import"):
            await self.block_import.ask(ImportBlock(signed), seconds=ASK_SECONDS)
        return signed

    async def _work(self, tip: Forkchoice) -> AuxPowHeader | None:
        try:
            return await self.merged_mining.ask(WorkFor(tip.head), seconds=WORK_SECONDS)
        except (NotAnswered, Refused) as error:
            # A proof may wait for the next block; a slot does not.
            structlog.get_logger("alysd.block_production").warning("no work included", reason=str(error))
            return None

    async def _approve(self, block: Block) -> SignedBlock:
        # Hashing a full block takes some milliseconds, signing one: both belong in a thread.
        identity = await trio.to_thread.run_sync(block_hash, block)
        message = approval_message(self.genesis, identity)
        signature = await self.signer.approve(block.slot, identity, message)
        signers = tuple(index == self.authority for index in range(len(self.spec.authorities)))
        return SignedBlock(identity, block, Approvals(signers, signature))

    async def _sleep_until(self, moment: float) -> None:
        # Wall time has no event to wait for, and may be set while we sleep: look again each time.
        while (seconds := moment - self.clock.time()) > 0:  # noqa: ASYNC110
            await trio.sleep(min(seconds, self.spec.slot_seconds))

    def _own_slot_from(self, slot: Slot) -> Slot:
        while expected_author(slot, self.spec.authorities) != self.authority:
            slot = Slot(slot + 1)
        return slot

    def _own_slots_between(self, first: Slot, end: Slot) -> int:
        return max(1, (end - first) // len(self.spec.authorities))

    def _miss(self, slot: Slot, reason: str, count: int = 1) -> None:
        self.publish(SlotMissed(slot, count, reason))
