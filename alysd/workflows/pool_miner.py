"""A small merge-miner, which searches for headers that are proofs of work for Bitcoin and Alys, and submits them.

It mines in rounds: fetch a template and an offer, search until a nonce meets a target or one of the two is stale,
submit. It is for regtest and test networks, where a CPU can find blocks. It submits at most one proof per Alys
head, because a second proof of the same blocks has no use.
"""

from collections.abc import Awaitable, Callable, Iterator
from functools import partial

import attrs
import trio
from trio_util import wait_any

from alysd.bitcoin_ports import AuxWorkSource, MiningNode
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
from alysd.types.auxpow import AuxPow
from alysd.types.bitcoin import BlockTemplate, CommitmentPlace
from alysd.types.hashes import AuxHash, BitcoinHash, EvmAddress, sha256d
from alysd.types.mining import AuxOffer
from alysd.wire.bitcoin_block import ParentCandidate, build_candidate
from alysd.workflows.nonce_search import ALL_NONCES, NonceSearch

OFFER_SECONDS = 0.5
"""Seconds between two requests for the Alys node's offer: a quarter of a slot of 2 s, to waste little work."""

TEMPLATE_SECONDS = 15.0
"""Seconds for which one template is used. A newer one has newer transactions and their fees."""

FIRST_RETRY_SECONDS = 0.5
LAST_RETRY_SECONDS = 15.0
"""The longest wait, in seconds, between two attempts while a node does not answer.

This suits a Bitcoin node that is starting. The first wait is `FIRST_RETRY_SECONDS`; each next one is doubled.
"""

SUBMIT_SECONDS = 120.0
"""Seconds for which a block or proof is submitted again to a node that does not answer.

After this time the block or proof is always stale.
"""


@attrs.frozen
class MiningPlan:
    """The recipients of a miner's income, the place of the commitment, and the number of Bitcoin blocks to mine.

    `payout_script` is the output script that the Bitcoin coinbase pays. Without `fee_recipient` the Alys fees go
    to the recipient in the node's configuration. Without `blocks` the miner continues until it is cancelled.
    """

    payout_script: bytes
    fee_recipient: EvmAddress | None
    place: CommitmentPlace
    blocks: int | None = None


async def wait_for_script(bitcoin: MiningNode, address: str | None, report: Callable[[LogEvent], object]) -> bytes:
    """Get the output script that the coinbase pays; repeat the request until the Bitcoin node answers.

    Raises `UserError` when the address is invalid, or when it is None and the node has no wallet.
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
    """The waits after failed attempts, in seconds."""
    pause = FIRST_RETRY_SECONDS
    while True:
        yield pause
        pause = min(2 * pause, LAST_RETRY_SECONDS)


class PoolMiner:
    """Mines Bitcoin and Alys together; `report` is called with each event, in order."""

    def __init__(
        self,
        bitcoin: MiningNode,
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
        """Mine until the planned number of Bitcoin blocks is accepted, or for ever. Waits while a node is down."""
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
        """Wait for an offer that has not been proved yet; then fetch the newest template."""
        offer = await self._alys.create_work(self._plan.fee_recipient)
        while offer.aux_hash == self._proven:
            await trio.sleep(OFFER_SECONDS)
            offer = await self._alys.create_work(self._plan.fee_recipient)
        return offer, await self._bitcoin.block_template()

    async def _mine(self, offer: AuxOffer, template: BlockTemplate) -> None:
        """Search and submit until a Bitcoin block is found, all nonces are tried, or the work is out of date."""
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
            # Alys has its proof; continue the search for Bitcoin alone.
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
        """Wait until Bitcoin has a new block, the template is old, or the node does not answer."""
        try:
            await self._bitcoin.wait_for_new_block(tip, TEMPLATE_SECONDS)
        except (Unavailable, ComponentError):
            await trio.sleep(OFFER_SECONDS)  # the next round gets the same error and reports it

    async def _until_new_offer(self, offer: AuxOffer) -> None:
        """Wait until the Alys node offers other work.

        While the node does not answer, the current work stays valid.
        """
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
            # "duplicate": the node has accepted an earlier attempt whose answer was lost.
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
        """Submit until the node answers, for at most `SUBMIT_SECONDS`. Raises the node's last error."""
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
