"""The merged-mining actor: offers work to miners, judges their proofs, and keeps the best for the next block."""

from collections.abc import Callable
from typing import TypeVar

import attrs
import trio

from alysd.actors.auxpow_offers import OfferBook, RememberedOffer
from alysd.actors.auxpow_queue import WorkQueue
from alysd.consensus.auxpow import aux_hash, check_auxpow, proof_value
from alysd.consensus.difficulty import next_bits, target_of
from alysd.consensus.payload import miner_share
from alysd.errors import NotNow
from alysd.messages.auxpow import (
    CreateWork,
    Finalized,
    GetQueuedWork,
    MergedMining,
    MiningOffer,
    QueuedWork,
    StaleWork,
    SubmitWork,
    UnknownWork,
    WorkFor,
)
from alysd.messages.chain import Chain, GetAncestry, GetBundle, GetForkchoice, GetState
from alysd.messages.events import WorkQueued
from alysd.nurseries import Actor, Address, Ask, handles
from alysd.timing import Timing
from alysd.types.auxpow import AuxPow, AuxPowHeader, AuxWork
from alysd.types.chain import ChainState
from alysd.types.chain_spec import ChainSpec
from alysd.types.hashes import AuxHash, BlockHash
from alysd.types.units import gwei_to_sat_floor

R = TypeVar("R")

IN_PLACE = 4096
"""Bytes of a coinbase that is judged without a thread: pools' take some hundred, and cost well under 1 ms."""

KEPT_FINAL_BLOCKS = 2
"""Proofs are kept that follow the last final block or the one before it: until a second proof is in, a branch that
does not have the first one can still win, and then needs it again."""


@attrs.define
class MiningMemory:
    """What the actor remembers. It is made outside and outlives a restart: a crash costs no miner his work.

    It is no `PersistentState`, which keeps a value and replaces it whole: the offers are up to 32 768, are changed
    in place, and would be copied per offer. No handler waits in the middle of a change.
    """

    offers: OfferBook
    queue: WorkQueue = attrs.field(factory=WorkQueue)
    final_blocks: tuple[BlockHash, ...] = ()


class AuxPowActor(Actor[MergedMining]):
    """Offers and judges proofs of work (docs/protocol.md, "Merged mining"); decides nothing about the chain.

    `publish` is told of every proof that is queued. The queue ends with the process: as a rule a proof waits for
    one slot only, and its miner can hand it in again while its blocks are not final. Asks of this actor raise
    `NotAnswered` while the chain actor does not answer.
    """

    def __init__(
        self,
        chain: Address[Chain],
        spec: ChainSpec,
        memory: MiningMemory,
        publish: Callable[[WorkQueued], object],
        timing: Timing,
    ) -> None:
        self._chain = chain
        self._spec = spec
        self._memory = memory
        self._publish = publish
        self._timing = timing

    @handles(CreateWork)
    async def create_work(self, message: CreateWork) -> MiningOffer:
        """Offer the present bundle. Raises `NotNow` while there is none."""
        bundle = await self._ask(GetBundle())
        tip = await self._ask(GetState(bundle.hashes[-1]))
        if tip is None:
            raise NotNow("the chain has just been reorganised: ask again")
        work = AuxWork(
            aux_hash=aux_hash(bundle.hashes, message.fee_recipient),
            bundle=bundle,
            fee_recipient=message.fee_recipient,
            bits=next_bits(tip.bits, bundle.end_slot - bundle.previous_end_slot, self._spec),
        )
        offer = RememberedOffer(
            aux_hash=work.aux_hash,
            header=_header_without_proof(work, self._spec.chain_id),
            bundle_length=len(bundle.hashes),
            previous=tip.last_final,
        )
        self._memory.offers.add(offer, trio.current_time())
        return MiningOffer(
            work=work,
            target=target_of(work.bits),
            previous=tip.last_final,
            reward=gwei_to_sat_floor(miner_share(tip.unpaid_fees)),
        )

    @handles(SubmitWork)
    async def submit_work(self, message: SubmitWork) -> QueuedWork:
        """Judge a proof and queue it. Raises a subclass of `InvalidWork` for the check that fails."""
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
        if self._memory.queue.add(queued, offer.previous):
            self._publish(WorkQueued(queued))
        return queued

    @handles(WorkFor)
    async def work_for(self, message: WorkFor) -> AuxPowHeader | None:
        """The best queued proof that is valid in a child of the given block."""
        queued = await self._best_for(message.parent)
        return queued.header if queued else None

    @handles(GetQueuedWork)
    async def queued_work(self, message: GetQueuedWork) -> QueuedWork | None:
        """The proof that a child of the head would include."""
        return await self._best_for((await self._ask(GetForkchoice())).head)

    @handles(Finalized)
    async def finalized(self, message: Finalized) -> None:
        """Forget the proofs that only branches without the last two could use; offers go by their age."""
        memory, final = self._memory, message.head.finalized.hash
        if final not in memory.final_blocks:
            memory.final_blocks = (*memory.final_blocks, final)[-KEPT_FINAL_BLOCKS:]
        memory.queue.keep(frozenset((*memory.final_blocks, message.head.head.last_final)))

    async def _best_for(self, parent: ChainState) -> QueuedWork | None:
        """The first queued proof whose range ends in the ancestry of `parent`.

        An offered bundle is a piece of a branch, from the child of the last final block on, and its bits follow
        from that block and its own end. So a proof that ends in this ancestry covers there what it covered here.
        """
        candidates = self._memory.queue.after(parent.last_final)
        if not candidates:
            return None
        ancestry = {state.hash for state in await self._ask(GetAncestry(parent.hash))}
        return next((work for work in candidates if work.header.range_end in ancestry), None)

    async def _ask(self, question: Ask[Chain, R]) -> R:
        return await self._chain.ask(question, seconds=self._timing.chain_lookup)


async def _check(auxpow: AuxPow, work: AuxHash, chain_id: int, target: int) -> None:
    """Judge a proof: a usual one takes 20 µs, the worst that can be made up 20 ms, in a thread."""
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
