"""A miner inside the node, which makes blocks of a development chain final without a Bitcoin node.

The rules do not require that a parent block is part of a Bitcoin chain, so the miner makes a parent block of its
own. At the target of a development chain a proof takes about two hashes. The miner waits until the spacing between
proofs has passed, so that the target does not become harder.
"""

from alysd.consensus.auxpow import commitment
from alysd.errors import InvalidWork, NotNow
from alysd.messages.auxpow import CreateWork, GetQueuedWork, MergedMining, MiningOffer, SubmitWork
from alysd.messages.chain import Chain, GetForkchoice
from alysd.messages.events import HeadMoved
from alysd.messages.log.base import log
from alysd.messages.log.chain import NoProofYet
from alysd.nurseries import Address, Bus, NotAnswered
from alysd.ports import Clock
from alysd.timing import Timing
from alysd.types.bitcoin import BlockTemplate, CommitmentPlace
from alysd.types.chain import Forkchoice
from alysd.types.chain_spec import ChainSpec
from alysd.types.hashes import BitcoinHash, EvmAddress
from alysd.types.latest import Latest
from alysd.types.units import Sat
from alysd.wire.bitcoin_block import ParentCandidate, build_candidate
from alysd.workflows.nonce_search import ALL_NONCES, NonceSearch

_PARENT_VERSION = 2
"""The version of the parent header.

The upper half of the version contains a chain id. Here this id is 0, which no Alys chain has.
"""

_ANYONE_CAN_SPEND = b"\x51"
"""OP_TRUE, the output script that the coinbase of the parent block pays. It pays zero."""


class InternalMiner:
    """Mines for `fee_recipient` whenever work is due; `run` is a task of the tree."""

    def __init__(
        self,
        chain: Address[Chain],
        auxpow: Address[MergedMining],
        spec: ChainSpec,
        fee_recipient: Latest[EvmAddress | None],
        clock: Clock,
        bus: Bus,
        timing: Timing,
        search: NonceSearch = ALL_NONCES,
    ) -> None:
        self._chain = chain
        self._auxpow = auxpow
        self._spec = spec
        self._fee_recipient = fee_recipient
        self._clock = clock
        self._bus = bus
        self._timing = timing
        self._nonces = search

    async def run(self) -> None:
        """Follow the head, and mine when work is due. Never returns."""
        with self._bus.subscribe(HeadMoved, capacity=1) as moves:
            tip = await self._chain.ask(GetForkchoice(), seconds=self._timing.local_answer)
            while True:
                if work_due(tip, self._spec):
                    await self._prove()
                tip = (await moves.receive()).new

    async def _prove(self) -> None:
        """Find and submit one proof. If it is refused, the next attempt comes with the next head."""
        try:
            queued = await self._auxpow.ask(GetQueuedWork(), seconds=self._timing.local_answer)
            recipient = self._fee_recipient.value
            if recipient is None or queued is not None:
                return
            offer = await self._auxpow.ask(CreateWork(recipient), seconds=self._timing.local_answer)
            candidate, nonce = await self._search(offer)
            proof = SubmitWork(offer.work.aux_hash, candidate.auxpow(nonce))
            await self._auxpow.ask(proof, seconds=self._timing.local_answer)
        except (NotNow, NotAnswered, InvalidWork) as error:
            log(NoProofYet(str(error)))

    async def _search(self, offer: MiningOffer) -> tuple[ParentCandidate, int]:
        """Try all nonces with one coinbase after another until a header meets the target."""
        extra_nonce = 0
        while True:
            candidate = parent_candidate(offer, int(self._clock.time()), extra_nonce)
            nonce = await self._nonces.find(candidate.header_start, offer.target)
            if nonce is not None:
                return candidate, nonce
            extra_nonce += 1


def work_due(tip: Forkchoice, spec: ChainSpec) -> bool:
    """Whether committed blocks wait for a proof, over a range of at least `spec.auxpow_spacing_slots` slots.

    Proofs that come earlier make the target smaller (docs/protocol.md, "Merged mining", "Target").
    """
    head, end = tip.head, tip.safe
    waiting = end.height > head.last_final_height
    return waiting and end.slot - head.last_final_slot >= spec.auxpow_spacing_slots


def parent_candidate(offer: MiningOffer, time: int, extra_nonce: int) -> ParentCandidate:
    """A parent block that contains only a coinbase with the commitment to `offer`; `time` is in Unix seconds."""
    template = BlockTemplate(
        version=_PARENT_VERSION,
        previous=BitcoinHash(bytes(32)),
        height=1,
        time=time,
        bits=offer.work.bits,
        target=offer.target,
        coinbase_value=Sat(0),
        transactions=(),
    )
    committed = commitment(offer.work.aux_hash)
    return build_candidate(template, _ANYONE_CAN_SPEND, committed, CommitmentPlace.SCRIPT_SIG, extra_nonce)
