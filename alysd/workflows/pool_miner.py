"""A small merge-miner: searches headers that are work for Bitcoin and Alys at once, and submits them to both.

It mines in rounds: fetch a template and an offer, search until a nonce meets a target or one of the two is stale,
submit. It is made for regtest and test networks, where a processor finds blocks. It makes one Bitcoin block per
Alys head, because a second proof of the same blocks gains nothing.
"""

from collections.abc import Awaitable, Callable, Iterator
from functools import partial

import attrs
import trio
from trio_util import wait_any

from alysd.consensus.auxpow import commitment
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
from alysd.workflows.nonce_search import ALL_NONCES, NonceSearch

OFFER_SECONDS = 0.5
"""Between two requests for the Alys node's offer: a quarter of a slot, so that little work is on an old head."""

TEMPLATE_SECONDS = 15.0
"""The longest use of one template: newer ones have newer transactions, and their fees."""

FIRST_RETRY_SECONDS = 0.5
LAST_RETRY_SECONDS = 15.0
"""Between two attempts while a node is away: doubled from the first up to the last, a Bitcoin node's start."""

SUBMIT_SECONDS = 120.0
"""How long a block or proof is submitted again to a node that is away. After that it is certainly stale."""


@attrs.frozen
class MiningPlan:
    """The recipients of a miner's income, and the number of Bitcoin blocks after which it stops.

    `payout_script` is the output script that Bitcoin pays. Without `fee_recipient` the Alys fees go to the miner
    that the node is configured with. `place` is where the coinbase commits to Alys. Without `blocks` it mines
    until it is cancelled.
    """

    payout_script: bytes
    fee_recipient: EvmAddress | None
    place: CommitmentPlace
    blocks: int | None = None


async def wait_for_script(
    bitcoin: BitcoinNode, address: str | None, report: Callable[[LogEvent], object]
) -> bytes:
    """Ask for the output script to be paid (`BitcoinNode.payout_script`) until the Bitcoin node answers.

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
    """Seconds to wait after each failed attempt."""
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
        search: NonceSearch = ALL_NONCES,
    ) -> None:
        self._bitcoin = bitcoin
        self._alys = alys
        self._plan = plan
        self._report = report
        self._nonces = search
        self._extra_nonce = 0
        self._mined = 0
        self._proven: AuxHash | None = None

    async def run(self) -> None:
        """Mine until the planned number of Bitcoin blocks is accepted, or for ever. Waits while a node is away."""
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
        """Wait for an offer that is not proven yet, which may take a slot; then fetch the newest template."""
        offer = await self._alys.create_work(self._plan.fee_recipient)
        while offer.aux_hash == self._proven:
            await trio.sleep(OFFER_SECONDS)
            offer = await self._alys.create_work(self._plan.fee_recipient)
        return offer, await self._bitcoin.block_template()

    async def _mine(self, offer: AuxOffer, template: BlockTemplate) -> None:
        """One round: search and submit until the template is used up or one of the nodes has something newer."""
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
                    nursery.start_soon(self._submit_block, candidate, found)
                if for_alys:
                    self._proven = offer.aux_hash
                    nursery.start_soon(self._submit_proof, offer, candidate.auxpow(found))
            if for_bitcoin:
                return
            # Proven for Alys: the search goes on for Bitcoin, where the same block is still worth finding.
            target, nonce = template.target, found + 1

    async def _search(self, candidate: ParentCandidate, target: int, first: int, offer: AuxOffer) -> int | None:
        """Find the next nonce from `first` on; None when all are tried, or the candidate is stale."""
        found: int | None = None

        async def search() -> None:
            nonlocal found
            found = await self._nonces.find(candidate.header_start, target, first)

        await wait_any(
            search,
            partial(self._until_new_block, candidate.template.previous),
            partial(self._until_new_offer, offer),
        )
        return found

    async def _until_new_block(self, tip: BitcoinHash) -> None:
        """Wait until Bitcoin has a new block, the template is old, or the node is away."""
        try:
            await self._bitcoin.wait_for_new_block(tip, TEMPLATE_SECONDS)
        except (Unavailable, ComponentError):
            await trio.sleep(OFFER_SECONDS)  # the next round meets the same error and reports it

    async def _until_new_offer(self, offer: AuxOffer) -> None:
        """Wait until the Alys node offers other work; while it is away, the present work stays valid."""
        while True:
            await trio.sleep(OFFER_SECONDS)
            try:
                newest = await self._alys.create_work(self._plan.fee_recipient)
            except (Unavailable, ComponentError, NotNow):
                continue
            if newest.aux_hash != offer.aux_hash:
                return

    async def _submit_block(self, candidate: ParentCandidate, nonce: int) -> None:
        height = candidate.template.height
        try:
            await self._submit(lambda: self._bitcoin.submit_block(candidate.block(nonce)))
        except (ComponentError, Unavailable) as error:
            # The answer to an earlier attempt may have been lost: then the block is there already.
            if not (isinstance(error, ComponentError) and error.message == "duplicate"):
                self._report(MinedBlockRefused(height, str(error)))
                return
        self._mined += 1
        block_hash = BitcoinHash(sha256d(candidate.header(nonce)))
        self._report(MinedBlockAccepted(height, 1 + len(candidate.template.transactions), block_hash))

    async def _submit_proof(self, offer: AuxOffer, auxpow: AuxPow) -> None:
        try:
            await self._submit(lambda: self._alys.submit_work(offer.aux_hash, auxpow))
        except (ComponentError, Unavailable, NotNow) as error:
            self._report(ProofRefused(offer.height, offer.aux_hash, str(error)))
        else:
            self._report(ProofAccepted(offer.height, offer.reward, offer.aux_hash))

    async def _submit(self, submit: Callable[[], Awaitable[None]]) -> None:
        """Submit again while the node is away, for `SUBMIT_SECONDS`. Raises the node's last error."""
        deadline, pauses = trio.current_time() + SUBMIT_SECONDS, _pauses()
        while True:
            pause = next(pauses)
            try:
                return await submit()
            except (Unavailable, NotNow) as error:
                if trio.current_time() + pause > deadline:
                    raise
                self._report(MiningInterrupted(str(error), pause))
            await trio.sleep(pause)
