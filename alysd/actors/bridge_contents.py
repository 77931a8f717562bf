"""Makes the peg contents of a block from the transactions on Bitcoin and from the ledger after the block's parent.

The deposits and confirmed payments in the contents have one confirmation more than the rules require, so that a
member whose Bitcoin node is a block behind agrees too.
"""

from collections.abc import Container, Iterator, Mapping, Sequence

import attrs
import trio

from alysd.actors.bridge_reads import BridgeReads, answered
from alysd.consensus.federation import deposit_holders
from alysd.messages.bitcoin_watch import GetDeposits
from alysd.nurseries import NotAnswered
from alysd.types.bitcoin_watch import Confirmation, SeenDeposit
from alysd.types.chain import ChainState
from alysd.types.federation_update import Holders
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
    Transaction,
)

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


@attrs.define
class BridgeMemory:
    """The memory of the bridge, which outlives its instances.

    All deposits up to the number `final` are minted in final blocks. `minted` maps some newer blocks to a number
    up to which all deposits are minted after the block, and so after all its descendants. `signed` maps the txid
    of each signed version in flight to the height of Bitcoin at which this node first saw the version's witnesses;
    the Bitcoin watch keeps it over a restart of the node.

    `final` and `minted` are about the deposits to `holders`, the federations of a branch. After a change of the
    federation they begin again: a deposit that paid the new federation before its time counts from then on.
    """

    final: int = 0
    minted: dict[BlockHash, int] = attrs.field(factory=dict[BlockHash, int])
    signed: dict[BitcoinHash, int] = attrs.field(factory=dict[BitcoinHash, int])
    holders: tuple[Holders, ...] = ()

    def begin(self, holders: tuple[Holders, ...]) -> None:
        """Begin again if these are not the federations of before."""
        if holders != self.holders:
            self.holders, self.final = holders, 0
            self.minted.clear()

    def note_minted(self, block: BlockHash, number: int) -> None:
        """Remember the number for `block`, and forget the oldest block if there are too many."""
        self.minted[block] = number
        if len(self.minted) > MAX_BACK:
            del self.minted[next(iter(self.minted))]


@attrs.frozen
class Versions:
    """The payments in flight after a block, and the transactions on Bitcoin of their versions, by txid."""

    payments: Sequence[Payment]
    seen: Mapping[BitcoinHash, Confirmation]

    def unconfirmed(self, payment: Payment) -> bool:
        """Whether Bitcoin shows no version of the payment."""
        return not any(version.txid in self.seen for version in payment.versions)

    def each(self) -> Iterator[tuple[Payment, PaymentVersion]]:
        """Each version, with its payment."""
        return ((payment, version) for payment in self.payments for version in payment.versions)

    def without(self, confirmed: Container[BitcoinHash]) -> "Versions":
        """The payments without a confirmed version."""
        ended = [payment for payment, version in self.each() if version.txid in confirmed]
        return Versions([payment for payment in self.payments if payment not in ended], self.seen)


@attrs.frozen
class _Page:
    """Deposits, each with its `Minted` entry after a block; None for one that is not minted.

    `unknown` are the numbers of those that may have more outputs than this node knows yet (`Deposits`).
    """

    entries: tuple[tuple[SeenDeposit, Minted | None], ...]
    unknown: tuple[int, ...]


@attrs.frozen
class ContentsMaker:
    """Makes the contents of children of a block."""

    reads: BridgeReads
    memory: BridgeMemory

    async def make(self, parent: ChainState, versions: Versions) -> PegContents:
        """The contents for a child of `parent`, without a proposal. `versions` are the payments in flight."""
        confirmed = self.confirmed(versions)
        return PegContents(await self._peg_ins(parent), None, await self._finalized(versions), confirmed)

    async def _peg_ins(self, parent: ChainState) -> tuple[PegIn, ...]:
        """The oldest deposits that are not minted after `parent`. The author leaves out those without room."""
        found: list[PegIn] = []
        waits = False
        holders = deposit_holders(parent, self.reads.context)
        self.memory.begin(holders)
        after = first = max(self.memory.final, await self._minted_below(parent))
        for _ in range(MAX_PAGES):
            page, following = await self._page(after, parent)
            for seen, entry in page.entries:
                if entry is None and seen.number in page.unknown:
                    waits = True  # its number may stay the same, so the next block begins here
                elif entry is None:
                    found.append(seen.peg_in)
                elif not found and not waits:
                    first = seen.number
            if following is None or len(found) >= MAX_PEG_INS:
                break
            after = following
            first = first if found or waits else following
        if holders == self.memory.holders:
            self.memory.note_minted(parent.hash, first)
        return tuple(found[:MAX_PEG_INS])

    async def follow_final(self) -> None:
        """Raise `BridgeMemory.final` past the deposits that are minted in final blocks, until cancelled.

        After a start, it goes through all deposits since the first one. No block waits for this: until it is done,
        this node makes fewer peg-ins, and judges the peg-ins of other nodes as always.
        """
        while True:
            more = await answered(self._follow_page)
            await trio.sleep(FOLLOW_PAUSE if more else FOLLOW_SECONDS)

    async def _follow_page(self) -> bool:
        """Raise `BridgeMemory.final` by at most one page. Returns whether a full page was passed."""
        head = await self.reads.head()
        holders = deposit_holders(head, self.reads.context)
        self.memory.begin(holders)
        page, following = await self._page(self.memory.final, head)
        for seen, entry in page.entries:
            if holders != self.memory.holders or entry is None or entry.height > head.last_final_height:
                return False
            self.memory.final = seen.number
        if following is not None and holders == self.memory.holders:
            self.memory.final = following
        return following is not None

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

    async def _page(self, after: int, parent: ChainState) -> tuple["_Page", int | None]:
        """The next deposits, and the number after which the next page begins; None if this page is the last."""
        context = self.reads.context
        needed = context.spec.peg_in_confirmations + 1
        page = await self.reads.watch_ask(GetDeposits(needed, after, PAGE, deposit_holders(parent, context)))
        minted = await self.reads.minted([one.peg_in.txid for one in page.deposits], parent.hash)
        return _Page(tuple(zip(page.deposits, minted, strict=True)), page.unknown), page.next

    def confirmed(self, versions: Versions) -> tuple[ConfirmedPegOut, ...]:
        """The payments that have enough confirmations."""
        needed = self.reads.context.spec.peg_in_confirmations + 1
        found = (
            ConfirmedPegOut(version.txid, versions.seen[version.txid].bitcoin_block)
            for payment in versions.payments
            for version in payment.versions
            if version.txid in versions.seen and versions.seen[version.txid].confirmations >= needed
        )
        return tuple(found)[:MAX_CONFIRMED_PAYMENTS]

    async def _finalized(self, versions: Versions) -> tuple[Transaction, ...]:
        """Payments with the witnesses that the members have made. None is of use once Bitcoin shows a version."""
        unsigned = {
            version.txid
            for payment in versions.payments
            for version in payment.versions
            if version.signed is None and versions.unconfirmed(payment)
        }
        if not unsigned:
            return ()
        try:
            found = [one for one in await self.reads.finalized() if one.txid in unsigned]
        except NotAnswered:
            return ()
        return tuple(found[:MAX_SIGNED_PAYMENTS])
