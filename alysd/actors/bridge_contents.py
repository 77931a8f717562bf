"""Makes the peg contents of a block from what Bitcoin shows and from the ledger after the block's parent.

The deposits and confirmed payments in the contents have one confirmation more than the rules require, so that a
member whose Bitcoin node is a block behind agrees too.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import attrs
import trio

from alysd.actors.bridge_reads import BridgeReads, answered
from alysd.consensus.peg_ledger import spendings_at
from alysd.messages.bitcoin_watch import GetDeposits
from alysd.nurseries import NotAnswered
from alysd.peg.authoring import Wish, make_proposal, make_replacement
from alysd.peg.estimates import LOW_RATE, STUCK_BLOCKS, bounded_estimate, least_replacement, rate_of
from alysd.peg.ledger import Draft, number_key
from alysd.peg.proposals import CONSOLIDATE_ABOVE, MAX_IN_FLIGHT, MAX_PAYEES
from alysd.peg.signing import SIGNATURE_BYTES, Spending
from alysd.types.bitcoin_watch import Confirmation, SeenDeposit
from alysd.types.chain import ChainState
from alysd.types.hashes import BitcoinHash, BlockHash
from alysd.types.peg import (
    MAX_CONFIRMED_PAYMENTS,
    MAX_PEG_INS,
    MAX_SIGNED_PAYMENTS,
    ConfirmedPegOut,
    Minted,
    Payment,
    PaymentVersion,
    PegContents,
    PegIn,
    PegOutProposal,
    Transaction,
)
from alysd.types.tables import Table
from alysd.wire.bitcoin_transaction import make_transaction

PAGE = 256
"""The number of deposits that one step reads and looks up in the ledger. A step takes some 2 ms."""

MAX_PAGES = 16
"""The maximum number of steps for one block. If all their deposits are minted, the next block continues there."""

FOLLOW_PAUSE = 0.005
"""The seconds between two pages while the bridge passes deposits that were minted long ago."""

FOLLOW_SECONDS = 5.0
"""The interval at which the bridge looks for deposits that have become minted in final blocks."""

MAX_BACK = 64
"""The maximum number of blocks in `BridgeMemory.minted`, and of ancestors that are looked up there."""

_SCRIPT_ITEMS = 2
"""The number of items at the end of a witness that are no signatures: the script and the control block."""

MARGIN = 50
"""Sat per 1,000 virtual bytes added to the smallest fee rate of a replacement, because rates are rounded down."""


@attrs.define
class BridgeMemory:
    """The memory of the bridge, which outlives its instances.

    All deposits up to the number `final` are minted in final blocks. `minted` maps some newer blocks to a number
    up to which all deposits are minted after the block, and so after all its descendants. `signed` maps the txid
    of each signed version in flight to the height of Bitcoin at which this node first saw the version's witnesses.
    """

    final: int = 0
    minted: dict[BlockHash, int] = attrs.field(factory=dict[BlockHash, int])
    signed: dict[BitcoinHash, int] = attrs.field(factory=dict[BitcoinHash, int])

    def note_minted(self, block: BlockHash, number: int) -> None:
        """Remember the number for `block`, and forget the oldest block if there are too many."""
        self.minted[block] = number
        if len(self.minted) > MAX_BACK:
            del self.minted[next(iter(self.minted))]


@attrs.frozen
class Versions:
    """The payments in flight after a block, and what Bitcoin shows of their versions, by txid."""

    payments: Sequence[Payment]
    seen: Mapping[BitcoinHash, Confirmation]

    def unconfirmed(self, payment: Payment) -> bool:
        """Whether Bitcoin shows no version of the payment."""
        return not any(version.txid in self.seen for version in payment.versions)


def has_plain_signatures(transaction: Transaction) -> bool:
    """Whether all signatures have the default hash type, as blocks require.

    A member can complete a payment with a signature of another type, which Bitcoin accepts.
    """
    return all(
        len(item) in (0, SIGNATURE_BYTES) for witness in transaction.witness for item in witness[:-_SCRIPT_ITEMS]
    )


@attrs.frozen
class ContentsMaker:
    """Makes the contents of children of a block."""

    reads: BridgeReads
    memory: BridgeMemory

    async def make(self, parent: ChainState, versions: Versions) -> PegContents:
        """The contents for a child of `parent`; `versions` are the payments in flight after it."""
        confirmed = self._confirmed(versions)
        finalized = await self._finalized(versions)
        # One after the other: the proposal may need the change that a confirmation makes available.
        proposal = None if confirmed or finalized else await self._proposal(parent, versions)
        return PegContents(await self._peg_ins(parent), proposal, finalized, confirmed)

    def note_signed(self, versions: Versions, tip: int) -> None:
        """Remember the height of Bitcoin `tip` for each version that has its witnesses since the last call."""
        signed = [one.txid for payment in versions.payments for one in payment.versions if one.signed is not None]
        self.memory.signed = {txid: self.memory.signed.get(txid, tip) for txid in signed}

    def is_stuck(self, payment: Payment, tip: int) -> bool:
        """Whether this node saw the newest version's witnesses at least `STUCK_BLOCKS` Bitcoin blocks ago."""
        since = self.memory.signed.get(payment.versions[-1].txid)
        return since is not None and tip - since >= STUCK_BLOCKS

    async def estimate(self) -> int:
        """This node's fee estimate, within the bounds of the chain."""
        spec = self.reads.context.spec
        return bounded_estimate(
            await self.reads.fee_rate(), spec.peg_out_fallback_fee_rate, spec.peg_out_max_fee_rate
        )

    async def _peg_ins(self, parent: ChainState) -> tuple[PegIn, ...]:
        """The oldest deposits that are not minted after `parent`. The author leaves out those without room."""
        found: list[PegIn] = []
        after = first = max(self.memory.final, await self._minted_below(parent))
        for _ in range(MAX_PAGES):
            page = await self._page(after, parent)
            for seen, entry in page:
                if entry is None:
                    found.append(seen.peg_in)
                elif not found:
                    first = seen.number
                after = seen.number
            if len(page) < PAGE or len(found) >= MAX_PEG_INS:
                break
        self.memory.note_minted(parent.hash, first)
        return tuple(found[:MAX_PEG_INS])

    async def follow_final(self) -> None:
        """Raise `BridgeMemory.final` past the deposits that are minted in final blocks, for ever.

        After a start, it goes through all deposits since the first one. No block waits for this: until it is done,
        this node makes fewer peg-ins, and judges the peg-ins of other nodes as always.
        """
        while True:
            more = await answered(self._follow_page)
            await trio.sleep(FOLLOW_PAUSE if more else FOLLOW_SECONDS)

    async def _follow_page(self) -> bool:
        """Raise `BridgeMemory.final` by at most one page. Returns whether a full page was passed."""
        head = await self.reads.head()
        page = await self._page(self.memory.final, head)
        for seen, entry in page:
            if entry is None or entry.height > head.last_final_height:
                return False
            self.memory.final = seen.number
        return len(page) == PAGE

    async def _minted_below(self, parent: ChainState) -> int:
        """The number up to which all deposits are minted after `parent`; 0 if the bridge remembers none."""
        state = parent
        for _ in range(MAX_BACK):
            if state.hash in self.memory.minted:
                return self.memory.minted[state.hash]
            if state.height <= parent.last_final_height:
                break
            state = await self.reads.state(state.parent_hash)
        return 0

    async def _page(self, after: int, parent: ChainState) -> tuple[tuple[SeenDeposit, Minted | None], ...]:
        """The next deposits, each with its `Minted` entry after `parent`; None for one that is not minted."""
        needed = self.reads.context.spec.peg_in_confirmations + 1
        page = await self.reads.watch_ask(GetDeposits(needed, after, PAGE))
        minted = await self.reads.minted([one.peg_in.txid for one in page.deposits], parent.hash)
        return tuple(zip(page.deposits, minted, strict=True))

    def _confirmed(self, versions: Versions) -> tuple[ConfirmedPegOut, ...]:
        needed = self.reads.context.spec.peg_in_confirmations + 1
        found = (
            ConfirmedPegOut(version.txid, versions.seen[version.txid].bitcoin_block)
            for payment in versions.payments
            for version in payment.versions
            if version.signed is not None
            and version.txid in versions.seen
            and versions.seen[version.txid].confirmations >= needed
        )
        return tuple(found)[:MAX_CONFIRMED_PAYMENTS]

    async def _finalized(self, versions: Versions) -> tuple[Transaction, ...]:
        """Payments with their witnesses: from Bitcoin, where anybody may have sent them, or from the members.

        Once Bitcoin shows one version of a payment, only that version can be confirmed, so the others are left
        out.
        """
        unsigned = {
            version.txid
            for payment in versions.payments
            for version in payment.versions
            if version.signed is None and (version.txid in versions.seen or versions.unconfirmed(payment))
        }
        if not unsigned:
            return ()
        shown = [versions.seen[txid].transaction for txid in unsigned if txid in versions.seen]
        found = [one for one in shown if has_plain_signatures(one)]
        if not found:
            try:
                found = [one for one in await self.reads.finalized() if one.txid in unsigned]
            except NotAnswered:
                return ()
        return tuple(found[:MAX_SIGNED_PAYMENTS])

    async def _proposal(self, parent: ChainState, versions: Versions) -> PegOutProposal | None:
        """A newer version of a payment that is stuck, or a payment of the requests at the front of the queue."""
        spendings = await trio.to_thread.run_sync(spendings_at, parent, self.reads.context)
        for payment in versions.payments:
            if versions.unconfirmed(payment) and self.is_stuck(payment, await self.reads.tip()):
                newer = await self._newer(payment, spendings)
                if newer is not None:
                    return newer
        totals = parent.peg
        if totals.payments >= MAX_IN_FLIGHT or totals.first_request == totals.next_request:
            return None
        return await self._payment(parent, spendings)

    async def _newer(self, payment: Payment, spendings: Sequence[Spending]) -> PegOutProposal | None:
        newest: PaymentVersion = payment.versions[-1]
        least = least_replacement(rate_of(payment, newest.fee, spendings)) + MARGIN
        rate = max(await self.estimate(), least)
        made = make_replacement(payment, rate, spendings, make_transaction)
        if made is None:
            return None
        fee = payment.spent - sum(output.amount for output in made.transaction.outputs)
        allowed = rate_of(payment, fee, spendings) <= self.reads.context.spec.peg_out_max_fee_rate
        return made if allowed else None

    async def _payment(self, parent: ChainState, spendings: Sequence[Spending]) -> PegOutProposal | None:
        totals = parent.peg
        last = min(totals.next_request, totals.first_request + MAX_PAYEES)
        numbers = [number_key(number) for number in range(totals.first_request, last)]
        draft = Draft(totals, await self.reads.ledger(Table.REQUESTS, numbers, parent.hash))
        coins = await self.reads.coins(parent.hash, spendings)
        rate = await self.estimate()
        consolidate = rate <= LOW_RATE and totals.outputs > CONSOLIDATE_ABOVE
        for wish in (Wish(rate, "minimize-fee", consolidate), Wish(rate, "largest-first")):
            made = await trio.to_thread.run_sync(
                partial(make_proposal, draft, coins, wish, spendings, make_transaction)
            )
            if made is not None:
                return made
        return None
