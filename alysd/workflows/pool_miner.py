"""A small merge-miner: one header that is work for Bitcoin and for Alys at once, handed in to both.

It mines in rounds: fetch a template and an offer, search until a nonce meets a target or one of the two is stale,
hand in. It is made for regtest and test networks, where a processor finds blocks; there it makes one block for
each new Alys head, since nothing is gained by proving the same blocks twice.
"""

from collections.abc import Awaitable, Callable, Iterator

import attrs
import trio

from alysd.consensus.commitment import commitment
from alysd.errors import ComponentError, NotNow, Unavailable
from alysd.messages.log.base import LogEvent
from alysd.messages.log.miner import (
    MinedBlockAccepted,
    MinedBlockRefused,
    MiningInterrupted,
    MiningResumed,
    ProofAccepted,
    ProofRefused,
)
from alysd.ports import AuxWorkSource, BitcoinNode
from alysd.types.auxpow import AuxPow
from alysd.types.bitcoin import BlockTemplate, CommitmentPlace
from alysd.types.hashes import AuxHash, BitcoinHash, EvmAddress, sha256d
from alysd.types.mining import AuxOffer
from alysd.wire.bitcoin_block import ParentCandidate, build_candidate
from alysd.workflows.nonce_search import find_nonce

OFFER_SECONDS = 0.5
"""Between two looks at what the Alys node offers: a quarter of a slot, so that little work is on an old head."""

TEMPLATE_SECONDS = 15.0
"""How long a template serves at most: newer ones have newer transactions, and their fees."""

FIRST_RETRY_SECONDS = 0.5
LAST_RETRY_SECONDS = 15.0
"""Between two attempts while a side is away: doubled from the first up to the last, a Bitcoin node's start."""

HAND_IN_SECONDS = 120.0
"""How long a found block or proof is offered to a side that is away: longer, and it is stale for certain."""


@attrs.frozen
class MiningPlan:
    """Whom a miner works for, and for how many Bitcoin blocks; without a number, until he is stopped.

    Without `fee_recipient` the Alys fees go to the miner that the node is configured with.
    """

    payout_script: bytes
    fee_recipient: EvmAddress | None
    place: CommitmentPlace
    blocks: int | None = None


async def wait_for_script(
    bitcoin: BitcoinNode, address: str | None, report: Callable[[LogEvent], object]
) -> bytes:
    """The output script to be paid (`BitcoinNode.payout_script`), as soon as the Bitcoin node is there to say it.

    Raises `UserError` when the address is wrong, or the node has no wallet to make one.
    """
    pauses = _pauses()
    while True:
        try:
            return await bitcoin.payout_script(address)
        except (Unavailable, ComponentError) as error:
            pause = next(pauses)
            report(MiningInterrupted(str(error), pause))
        await trio.sleep(pause)


def _pauses() -> Iterator[float]:
    """How long to wait between attempts, one after the other."""
    pause = FIRST_RETRY_SECONDS
    while True:
        yield pause
        pause = min(2 * pause, LAST_RETRY_SECONDS)


class PoolMiner:
    """Mines Bitcoin and Alys together; `report` is called with each event, in order."""

    def __init__(
        self,
        bitcoin: BitcoinNode,
        alys: AuxWorkSource,
        plan: MiningPlan,
        report: Callable[[LogEvent], object],
    ) -> None:
        self._bitcoin = bitcoin
        self._alys = alys
        self._plan = plan
        self._report = report
        self._extra_nonce = 0
        self._mined = 0
        self._proven: AuxHash | None = None

    async def run(self) -> None:
        """Mine until the planned number of Bitcoin blocks is accepted, or for ever. Waits out whatever is away."""
        pauses, since = _pauses(), None
        while self._plan.blocks is None or self._mined < self._plan.blocks:
            try:
                offer, template = await self._fetch()
            except (Unavailable, ComponentError, NotNow) as error:
                since = trio.current_time() if since is None else since
                pause = next(pauses)
                self._report(MiningInterrupted(str(error), pause))
                await trio.sleep(pause)
                continue
            if since is not None:
                self._report(MiningResumed(trio.current_time() - since))
            pauses, since = _pauses(), None
            await self._mine(offer, template)

    async def _fetch(self) -> tuple[AuxOffer, BlockTemplate]:
        """What to work on: an offer that is not proven yet, which may take a slot, and the newest template."""
        offer = await self._alys.create_work(self._plan.fee_recipient)
        while offer.aux_hash == self._proven:
            await trio.sleep(OFFER_SECONDS)
            offer = await self._alys.create_work(self._plan.fee_recipient)
        return offer, await self._bitcoin.block_template()

    async def _mine(self, offer: AuxOffer, template: BlockTemplate) -> None:
        """One round: search and hand in until the template is used up or either side has something newer."""
        self._extra_nonce += 1
        candidate = build_candidate(
            template, self._plan.payout_script, commitment(offer.aux_hash), self._plan.place, self._extra_nonce
        )
        target, nonce = max(offer.target, template.target), 0
        while (found := await self._search(candidate, target, nonce, offer)) is not None:
            value = int.from_bytes(sha256d(candidate.header(found)), "little")
            for_bitcoin = value <= template.target
            for_alys = value <= offer.target and offer.aux_hash != self._proven
            async with trio.open_nursery() as nursery:
                if for_bitcoin:
                    nursery.start_soon(self._hand_in_block, candidate, found)
                if for_alys:
                    self._proven = offer.aux_hash
                    nursery.start_soon(self._hand_in_proof, offer, candidate.auxpow(found))
            if for_bitcoin:
                return
            # Proven for Alys: the search goes on for Bitcoin, where the same block is still worth finding.
            target, nonce = template.target, found + 1

    async def _search(self, candidate: ParentCandidate, target: int, first: int, offer: AuxOffer) -> int | None:
        """Find the next nonce; None when all are tried, or the candidate is stale."""
        found = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._until_new_block, candidate.template.previous, nursery.cancel_scope)
            nursery.start_soon(self._until_new_offer, offer, nursery.cancel_scope)
            found = await find_nonce(candidate.header_start, target, first)
            nursery.cancel_scope.cancel()
        return found

    async def _until_new_block(self, tip: BitcoinHash, stale: trio.CancelScope) -> None:
        """Cancel `stale` when Bitcoin has a new block, the template is old, or the node is away."""
        try:
            await self._bitcoin.wait_for_new_block(tip, TEMPLATE_SECONDS)
        except (Unavailable, ComponentError):
            await trio.sleep(OFFER_SECONDS)  # the next round meets the same error and reports it
        stale.cancel()

    async def _until_new_offer(self, offer: AuxOffer, stale: trio.CancelScope) -> None:
        """Cancel `stale` when the Alys node offers other work; while it is away the present work is still good."""
        while True:
            await trio.sleep(OFFER_SECONDS)
            try:
                newest = await self._alys.create_work(self._plan.fee_recipient)
            except (Unavailable, ComponentError, NotNow):
                continue
            if newest.aux_hash != offer.aux_hash:
                stale.cancel()
                return

    async def _hand_in_block(self, candidate: ParentCandidate, nonce: int) -> None:
        height = candidate.template.height
        try:
            await self._insist(lambda: self._bitcoin.submit_block(candidate.block(nonce)))
        except (ComponentError, Unavailable) as error:
            # After a lost answer the same block is handed in again: that it is there already is what was wanted.
            if not (isinstance(error, ComponentError) and error.message == "duplicate"):
                self._report(MinedBlockRefused(height, str(error)))
                return
        self._mined += 1
        block_hash = BitcoinHash(sha256d(candidate.header(nonce)))
        self._report(MinedBlockAccepted(height, 1 + len(candidate.template.transactions), block_hash))

    async def _hand_in_proof(self, offer: AuxOffer, auxpow: AuxPow) -> None:
        try:
            await self._insist(lambda: self._alys.submit_work(offer.aux_hash, auxpow))
        except (ComponentError, Unavailable, NotNow) as error:
            self._report(ProofRefused(offer.height, offer.aux_hash, str(error)))
        else:
            self._report(ProofAccepted(offer.height, offer.reward, offer.aux_hash))

    async def _insist(self, hand_in: Callable[[], Awaitable[None]]) -> None:
        """Hand in again while the side is away, for `HAND_IN_SECONDS`; what it says at last is raised."""
        deadline, pauses = trio.current_time() + HAND_IN_SECONDS, _pauses()
        while True:
            pause = next(pauses)
            try:
                return await hand_in()
            except (Unavailable, NotNow) as error:
                if trio.current_time() + pause > deadline:
                    raise
                self._report(MiningInterrupted(str(error), pause))
            await trio.sleep(pause)
