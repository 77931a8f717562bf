"""Compares everything on which the ledger relies with Bitcoin: minted deposits, and confirmed payments.

A reorganisation of Bitcoin that is deeper than `peg_in_confirmations` can remove a minted deposit or a confirmed
payment. The Bitcoin watch notices only the reorganisations that it follows. A node that has not followed one,
because the node is new or has lost its database, finds the lost transactions here. `bridge_thefts` finds outputs
of the ledger that others have spent.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar, cast

import attrs
import trio

from alysd.actors.bridge_reads import BridgeReads, answered
from alysd.actors.bridge_thefts import TheftWatch
from alysd.consensus.federation import deposit_holders
from alysd.consensus.violations import UnknownParent
from alysd.errors import NotNow
from alysd.messages.bitcoin_watch import MAX_ITEMS, GetLost, GetMissing, NoteLost
from alysd.messages.bridge import PegHealth
from alysd.messages.chain import ListEntries
from alysd.messages.log.base import LogEvent
from alysd.messages.log.peg import PegHalted, PegResumed
from alysd.nurseries import NotAnswered
from alysd.types.bitcoin_watch import Expected, Stolen
from alysd.types.federation_update import Holders
from alysd.types.hashes import BitcoinHash, BlockHash, displayed
from alysd.types.peg import Minted, PaidOut
from alysd.types.tables import Table
from alysd.types.units import Sat

Reply = TypeVar("Reply")

PAGE = 1_000
"""The number of entries that are compared in one step: some milliseconds of the chain actor and of the watch."""

PAUSE = 0.05
"""The seconds between two steps, so that a long comparison leaves the chain actor most of its time."""

LEAST_REST = 30.0
"""The least number of seconds between two comparisons of the whole ledger."""

REST_FACTOR = 20
"""The rest lasts this many times as long as the comparison, so that comparisons take at most 5 % of the time."""

SECOND_LOOK = 60.0
"""Seconds after which missing transactions are looked for again, before they count as lost.

A Bitcoin node that has just started does not know the newest blocks, nor that it lacks them."""

NOT_COMPARED = "the deposits that blocks have minted have not been compared with Bitcoin since the start"


@attrs.define
class LedgerAudit:
    """Compares the ledger of the chain's head with Bitcoin, again and again.

    `doubt` is the reason why this node does not know yet whether Bitcoin has everything; None once it knows.
    `lost` are the transactions on which the ledger relied at the last look and that Bitcoin had lost; `stolen` is
    what others had spent of the ledger's outputs.
    """

    reads: BridgeReads
    thefts: TheftWatch
    report: Callable[[LogEvent], None]
    doubt: str | None = NOT_COMPARED
    lost: tuple[Expected, ...] = ()
    stolen: tuple[Stolen, ...] = ()
    _spend_doubt: str | None = None
    _failing: tuple[float, str] | None = None

    @property
    def health(self) -> PegHealth:
        """The result of the last look, for operators."""
        return PegHealth(self.lost, self.doubt or self._spend_doubt or self._failure, self.stolen)

    async def health_at(self, block: BlockHash) -> PegHealth:
        """Compare the ledger after `block` with Bitcoin.

        Logs when the peg halts, and when it goes on. Raises `NotNow` while there is a doubt.
        """
        if self.doubt is not None:
            raise NotNow(self.doubt)
        await self._look(block)
        if self._spend_doubt is not None:
            raise NotNow(self._spend_doubt)
        return self.health

    async def run(self) -> None:
        """Compare the whole ledger, and rest."""
        while True:
            began = trio.current_time()
            await self._note(await self._missing())
            await self._answered(self._look_at_head)
            self.doubt = None
            rest_until = max(began + LEAST_REST, trio.current_time() + REST_FACTOR * (trio.current_time() - began))
            while True:  # also a node that makes no blocks logs that the peg halts
                await self._answered(self._look_at_head)
                if trio.current_time() >= rest_until:
                    break
                await trio.sleep(min(LEAST_REST, rest_until - trio.current_time()))

    async def _missing(self) -> tuple[Expected, ...]:
        """The first transactions, at most `MAX_ITEMS`, on which the ledger relies and that Bitcoin does not have.

        Those that are `lost` already are left out: a new doubt because of them would hide the halt, and delay its
        end. Missing transactions are looked for a second time, because a Bitcoin node that was down may be behind.
        """
        found: list[Expected] = []
        for table in (Table.MINTED, Table.CONFIRMED):
            after: bytes | None = b""
            while after is not None and len(found) < MAX_ITEMS:
                missing, after = await self._answered(lambda table=table, after=after: self._page(table, after))
                found += (one for one in missing if one not in self.lost)
                await trio.sleep(PAUSE)
        suspects = tuple(found[:MAX_ITEMS])
        if not suspects:
            return ()
        self.doubt = (
            f"Bitcoin does not have {displayed(suspects[0].txid)}, on which the ledger relies: the Bitcoin node "
            f"may be behind; this node looks again after {SECOND_LOOK:.0f} s"
        )
        await trio.sleep(SECOND_LOOK)
        return await self._answered(lambda: self._still_missing(suspects))

    async def _page(self, table: Table, after: bytes) -> tuple[tuple[Expected, ...], bytes | None]:
        """Compare the next entries of a table. Returns the missing ones, and where to go on."""
        head = await self.reads.head()
        page = await self.reads.chain.ask(
            ListEntries(table, after, PAGE, head.hash), seconds=self.reads.timing.chain_lookup
        )
        entries = cast("Sequence[tuple[bytes, Minted | PaidOut]]", page.entries)
        relied_on = {_expected(BitcoinHash(key), entry): entry for key, entry in entries}
        holders = deposit_holders(head, self.reads.context)
        missing = await self._ask_missing(tuple(relied_on), holders)
        return await self._lost_of([(one, relied_on[one]) for one in missing], holders), page.next

    async def _still_missing(self, suspects: tuple[Expected, ...]) -> tuple[Expected, ...]:
        """Those that Bitcoin does not have now either."""
        head = await self.reads.head()
        holders = deposit_holders(head, self.reads.context)
        missing = await self._ask_missing(suspects, holders)
        return await self._lost_of(await self.reads.relied_on(missing, head.hash), holders)

    async def _lost_of(
        self, missing: Sequence[tuple[Expected, Minted | PaidOut]], holders: tuple[Holders, ...]
    ) -> tuple[Expected, ...]:
        """Those of the missing transactions for which Bitcoin has no other version that would do as well.

        `holders` are the federations of the branch.
        """
        lost: list[Expected] = []
        for one, entry in missing:
            others = tuple(Expected(txid, None) for txid in entry.others) if isinstance(entry, PaidOut) else ()
            if len(await self._ask_missing(others, holders)) == len(others):
                lost.append(one)
        return tuple(lost)

    async def _ask_missing(
        self, expected: tuple[Expected, ...], holders: tuple[Holders, ...]
    ) -> tuple[Expected, ...]:
        """Those that Bitcoin does not have, without those in blocks that the watch has still to read again."""
        found: list[Expected] = []
        for start in range(0, len(expected), MAX_ITEMS):
            some = expected[start : start + MAX_ITEMS]
            found += await self.reads.watch_ask(GetMissing(some, self._confirmations, holders))
        return tuple(found)

    async def _note(self, missing: tuple[Expected, ...]) -> None:
        """Have the watch keep the `missing` transactions: after a restart, the peg is then still halted."""
        if missing:
            await self._answered(lambda: self.reads.watch_ask(NoteLost(missing)))

    async def _look_at_head(self) -> None:
        await self._look((await self.reads.head()).hash)

    async def _look(self, block: BlockHash) -> None:
        lost: list[Expected] = []
        after = b""
        while page := await self.reads.watch_ask(GetLost(self._confirmations, after)):
            holders = deposit_holders(await self.reads.state(block), self.reads.context)
            lost += await self._lost_of(await self.reads.relied_on(page, block), holders)
            after = page[-1].key
        thefts = await self.thefts.look(block)
        was, self.lost, self.stolen = self.health, tuple(lost), thefts.stolen
        self._spend_doubt = thefts.doubt
        if (self.lost and not was.lost) or (self.stolen and not was.stolen):
            self.report(_halted(self.health))
        if was.halted and not self.health.halted:
            self.report(PegResumed())

    async def _answered(self, question: Callable[[], Awaitable[Reply]]) -> Reply:
        """Repeat a request until it is answered, and remember since when it is not."""

        async def remembered() -> Reply:
            try:
                found = await question()
            except (NotNow, NotAnswered, UnknownParent) as error:
                since = trio.current_time() if self._failing is None else self._failing[0]
                self._failing = since, str(error)
                raise
            self._failing = None
            return found

        return await answered(remembered)

    @property
    def _failure(self) -> str | None:
        """The reason why the results are old, if they are."""
        if self._failing is None or trio.current_time() - self._failing[0] <= SECOND_LOOK:
            return None
        since, reason = f"for more than {SECOND_LOOK:.0f} s", self._failing[1]
        return f"this node could not compare the ledger with Bitcoin {since}: {reason}"

    @property
    def _confirmations(self) -> int:
        return self.reads.context.spec.peg_in_confirmations


def _expected(txid: BitcoinHash, entry: Minted | PaidOut) -> Expected:
    return Expected(txid, entry.amount if isinstance(entry, Minted) else None)


def _halted(health: PegHealth) -> PegHalted:
    lost, stolen = health.lost, health.stolen
    deposits = [one.amount for one in lost if one.amount is not None]
    txid = stolen[0].txid if stolen else lost[0].txid
    return PegHalted(
        len(deposits), Sat(sum(deposits)), len(lost) - len(deposits), txid, len(stolen), health.stolen_sat
    )
