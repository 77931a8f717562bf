"""The merged-mining actor: offers work to miners, checks their proofs, and keeps the best for the next block.

The next block is usually that of another node, so the best proof goes to all peers, and proofs of peers are queued
here. A peer that is behind cannot judge a proof, and gossip is lossy. Therefore each node that has the best proof
sends it again, in the slot after its head has changed or after `SENT_AGAIN`, until a block includes the proof.
"""

from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from math import inf
from typing import TypeVar

import attrs
import trio

from alysd.actors.auxpow_offers import OfferBook, RememberedOffer, worth_new_work
from alysd.actors.auxpow_queue import WorkQueue
from alysd.consensus.approval import commits
from alysd.consensus.auxpow import (
    aux_hash,
    check_auxpow,
    check_header,
    covered,
    next_bits,
    proof_value,
    target_of,
)
from alysd.consensus.payload import miner_share
from alysd.consensus.violations import UnknownParent
from alysd.consensus.work_violations import NotEnoughWork, WorkMissing, WrongBits, WrongRangeEnd
from alysd.messages.auxpow import (
    ConsiderProof,
    CreateWork,
    Finalized,
    GetQueuedWork,
    MergedMining,
    MiningOffer,
    PassOnAgain,
    QueuedWork,
    StaleWork,
    SubmitWork,
    UnknownWork,
    WorkFor,
)
from alysd.messages.chain import Chain, GetAncestry, GetBundle, GetForkchoice, GetState
from alysd.messages.events import WorkQueued
from alysd.messages.network import Network, PublishProof
from alysd.nurseries import Actor, Address, Ask, NotAnswered, handles
from alysd.timing import Timing
from alysd.types.auxpow import AuxPow, AuxPowHeader, AuxWork
from alysd.types.chain import ChainState
from alysd.types.chain_spec import ChainSpec
from alysd.types.hashes import AuxHash, BlockHash
from alysd.types.units import Slot, gwei_to_sat_floor

R = TypeVar("R")

IN_PLACE = 4096
"""The maximum size, in bytes, of a coinbase whose proof is checked in the event loop, in well under 1 ms.

Proofs with larger coinbases are checked in a worker thread. A usual coinbase has some hundred bytes.
"""

SENT_AGAIN = 10
"""The number of slots after which a proof is sent again although the head is the same, as on a halted chain."""

KEPT_FINAL_BLOCKS = 2
"""The number of newest final blocks for which proofs are kept: proofs whose range follows one of these blocks.

Until a second proof is included, a reorganisation can remove the block with the last included proof. The new
branch then has to include that proof again.
"""


@attrs.define
class MiningMemory:
    """The state of the actor. It survives a restart of the actor, so that miners do not lose their work.

    A `PersistentState` would replace the whole value, and copy up to 32 768 offers for each new one. Changing the
    offers in place is safe, because no handler waits in the middle of a change.
    """

    offers: OfferBook
    queue: WorkQueue = attrs.field(factory=WorkQueue)
    final_blocks: tuple[BlockHash, ...] = ()


class AuxPowActor(Actor[MergedMining]):
    """Offers work and checks proofs of work (docs/protocol.md, "Merged mining"). It does not change the chain.

    The actor calls `publish` for every proof that it queues. The queue and the offers are lost when the process
    ends: a proof usually waits for one slot only, and peers have those that were sent to them. Miners then request
    new work. An ask that needs the chain's state raises `NotAnswered` while the chain actor does not answer.
    """

    def __init__(
        self,
        chain: Address[Chain],
        network: Address[Network],
        spec: ChainSpec,
        memory: MiningMemory,
        publish: Callable[[WorkQueued], object],
        timing: Timing,
    ) -> None:
        self._chain = chain
        self._network = network
        self._spec = spec
        self._memory = memory
        self._publish = publish
        self._timing = timing
        self._sent: tuple[int, BlockHash] | None = None
        self._sent_at = -inf

    async def pre_start(self) -> None:
        """Start the timer for proofs that no block has included yet."""
        self.timers.every(self._timing.slot_seconds, PassOnAgain())

    @handles(CreateWork)
    async def create_work(self, message: CreateWork) -> MiningOffer:
        """Offer work on the current bundle, or repeat the recipient's last offer if new work is not worth it.

        Raises `NotNow` while there is no bundle.
        """
        waiting = await self._ask(GetBundle())
        bundle, head = waiting.bundle, waiting.head
        work = AuxWork(
            aux_hash=aux_hash(bundle.hashes, message.fee_recipient),
            bundle=bundle,
            fee_recipient=message.fee_recipient,
            bits=next_bits(head.bits, bundle.end_slot - bundle.previous_end_slot, self._spec),
        )
        offer = MiningOffer(
            work=work,
            target=target_of(work.bits),
            previous=head.last_final,
            reward=gwei_to_sat_floor(miner_share(head.unpaid_fees)),
        )
        offers, now = self._memory.offers, trio.current_time()
        current = offers.current(message.fee_recipient, now)
        if current is None or worth_new_work(current, offer):
            offers.show(offer, now)
        else:
            offer = current
        offers.add(self._remembered(offer), now)
        return offer

    @handles(SubmitWork)
    async def submit_work(self, message: SubmitWork) -> QueuedWork:
        """Check a proof and queue it. Raises the subclass of `InvalidWork` for the failed check."""
        offer = self._memory.offers.find(message.aux_hash, trio.current_time())
        if offer is None:
            raise UnknownWork(message.aux_hash)
        target = target_of(offer.header.bits)
        await _check(message.auxpow, offer.aux_hash, self._spec.chain_id, target)
        head = (await self._ask(GetForkchoice())).head
        if head.last_final != offer.previous:
            raise StaleWork(offer.previous, head.last_final)
        queued = QueuedWork(
            header=attrs.evolve(offer.header, auxpow=message.auxpow),
            aux_hash=offer.aux_hash,
            bundle_length=offer.bundle_length,
            proof_value=proof_value(message.auxpow),
        )
        self._memory.offers.proven(offer.header.fee_recipient)
        if self._queue(queued, offer.previous):
            due = trio.current_time() - self._sent_at >= self._timing.slot_seconds
            if due and self._memory.queue.after(offer.previous)[0] == queued:
                self._pass_on(queued, head)
        return queued

    @handles(ConsiderProof)
    async def consider_proof(self, message: ConsiderProof) -> bool:
        """Check a proof that was submitted to another node, by the rules of a child of the head, and queue it.

        Returns whether it is new and was queued. Raises the subclass of `InvalidWork` for the failed check.
        """
        header, auxpow = message.header, message.header.auxpow
        if auxpow is None:
            raise WorkMissing
        head, value = (await self._ask(GetForkchoice())).head, proof_value(auxpow)
        if self._memory.queue.has(value, head.last_final):
            return False
        # The ancestry may have 10,000 blocks, so the chain actor collects it only for a proof that has work.
        end = await self._ask(GetState(header.range_end))
        if end is None or not head.last_final_height < end.height <= head.height:
            raise WrongRangeEnd(header.range_end)
        bits = self._bits(head, end.slot)
        if header.bits != bits:
            raise WrongBits(bits, header.bits)
        if value > target_of(bits):
            raise NotEnoughWork(target_of(bits), value)
        ancestry = await self._ask(GetAncestry(head.hash))
        if len(auxpow.coinbase.raw) <= IN_PLACE:
            check_header(header, head, ancestry, self._spec)
        else:
            await trio.to_thread.run_sync(check_header, header, head, ancestry, self._spec)
        hashes = covered(header, ancestry).hashes
        queued = QueuedWork(header, aux_hash(hashes, header.fee_recipient), len(hashes), value)
        if not self._queue(queued, head.last_final):
            return False
        if self._memory.queue.after(head.last_final)[0] == queued:
            self._note_sent(queued, head)  # the network passes it on
        return True

    @handles(PassOnAgain)
    async def pass_on_again(self, message: PassOnAgain) -> None:
        """Send again, to all peers, the proof that a child of the head would include.

        The proof is sent when the head has changed, and without a new head after `SENT_AGAIN` slots.
        """
        if not len(self._memory.queue):
            return
        try:
            head = (await self._ask(GetForkchoice())).head
            best = await self._best_for(head)
        except (NotAnswered, UnknownParent):
            return  # the next time comes in a slot
        if best is None:
            return
        age = trio.current_time() - self._sent_at
        if self._sent != (best.proof_value, head.hash) or age >= SENT_AGAIN * self._timing.slot_seconds:
            self._pass_on(best, head)

    @handles(WorkFor)
    async def work_for(self, message: WorkFor) -> AuxPowHeader | None:
        """The best queued proof that is valid in a child of the given block, or None."""
        queued = await self._best_for(message.parent)
        return queued.header if queued else None

    @handles(GetQueuedWork)
    async def queued_work(self, message: GetQueuedWork) -> QueuedWork | None:
        """The proof that a child of the head would include, or None."""
        return await self._best_for((await self._ask(GetForkchoice())).head)

    @handles(Finalized)
    async def finalized(self, message: Finalized) -> None:
        """Keep only the proofs whose range follows one of the last final blocks. Offers are removed by age."""
        memory, final = self._memory, message.head.finalized.hash
        if final not in memory.final_blocks:
            memory.final_blocks = (*memory.final_blocks, final)[-KEPT_FINAL_BLOCKS:]
        memory.queue.keep(frozenset((*memory.final_blocks, message.head.head.last_final)))

    async def _best_for(self, parent: ChainState) -> QueuedWork | None:
        """The best queued proof that is valid in a child of `parent`, or None.

        If a proof's range follows the last final block, a branch that commits the last block of the range contains
        the whole range. The target may differ: another branch may have come to the same final block with other
        proofs.
        """
        candidates = self._memory.queue.after(parent.last_final)
        if not candidates:
            return None
        ancestry = await self._ask(GetAncestry(parent.hash))
        ends = {state.hash: state.slot for state, child in pairwise(ancestry) if commits(state.slot, child.slot)}
        for work in candidates:
            end = ends.get(work.header.range_end)
            if end is not None and work.header.bits == self._bits(parent, end):
                return work
        return None

    def _bits(self, parent: ChainState, end: Slot) -> int:
        return next_bits(parent.bits, end - parent.last_final_slot, self._spec)

    def _queue(self, work: QueuedWork, previous: BlockHash) -> bool:
        """Queue a checked proof whose range follows `previous`. Returns whether the queue keeps it."""
        kept = self._memory.queue.add(work, previous)
        if kept:
            self._publish(WorkQueued(work))
        return kept

    def _pass_on(self, work: QueuedWork, head: ChainState) -> None:
        self._note_sent(work, head)
        with suppress(NotAnswered):  # without a network, the proof waits for a slot of this node
            self._network.tell(PublishProof(work.header))

    def _note_sent(self, work: QueuedWork, head: ChainState) -> None:
        self._sent, self._sent_at = (work.proof_value, head.hash), trio.current_time()

    def _remembered(self, offer: MiningOffer) -> RememberedOffer:
        return RememberedOffer(
            aux_hash=offer.work.aux_hash,
            header=_header_without_proof(offer.work, self._spec.chain_id),
            bundle_length=len(offer.work.bundle.hashes),
            previous=offer.previous,
        )

    async def _ask(self, question: Ask[Chain, R]) -> R:
        return await self._chain.ask(question, seconds=self._timing.chain_lookup)


async def _check(auxpow: AuxPow, work: AuxHash, chain_id: int, target: int) -> None:
    """Check a proof. A usual one takes 20 µs; one with a large coinbase takes up to 20 ms, in a worker thread."""
    if len(auxpow.coinbase.raw) <= IN_PLACE:
        check_auxpow(auxpow, work, chain_id, target)
    else:
        await trio.to_thread.run_sync(check_auxpow, auxpow, work, chain_id, target)


def _header_without_proof(work: AuxWork, chain_id: int) -> AuxPowHeader:
    return AuxPowHeader(
        range_start=work.bundle.hashes[0],
        range_end=work.bundle.hashes[-1],
        bits=work.bits,
        chain_id=chain_id,
        fee_recipient=work.fee_recipient,
        auxpow=None,
    )
