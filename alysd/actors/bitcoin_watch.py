"""The Bitcoin watch reads the Bitcoin chain for the peg, and answers the requests of other actors about it.

A background task reads the chain (`bitcoin_follower`) into a database of the watch, and the handlers answer from
this database. No other part of the daemon uses the Bitcoin node.
"""

from collections.abc import Callable, Iterable

import attrs
import trio

from alysd.actors.bitcoin_again import WatchedFederations
from alysd.actors.bitcoin_counting import Numbers, never_counts, on_branch
from alysd.actors.bitcoin_follower import BitcoinFollower
from alysd.actors.bitcoin_mempool import MempoolReader
from alysd.actors.bitcoin_scan import Watched
from alysd.bitcoin_ports import BitcoinNode, BitcoinRecords
from alysd.errors import BitcoinUnavailable, NotBroadcast, NotNow, NotSeenOnBitcoin
from alysd.messages.bitcoin_watch import (
    MAX_ITEMS,
    BitcoinWatch,
    Broadcast,
    CheckPegIns,
    FindOnBitcoin,
    GetBitcoinStatus,
    GetConfirmations,
    GetDeposits,
    GetFeeRate,
    GetLost,
    GetMissing,
    GetNeverCounted,
    GetSpends,
    GetUnconfirmed,
    GetUncredited,
    NoteLost,
    NoteSigned,
    ReadMempool,
    WatchFederations,
)
from alysd.messages.log.base import LogEvent, log
from alysd.nurseries import Actor, Deferred, handles
from alysd.types.bitcoin_watch import (
    BitcoinStatus,
    Confirmation,
    Deposits,
    Expected,
    Seen,
    SeenDeposit,
    SeenPayment,
    SeenUncredited,
    SpendPage,
    Unconfirmed,
    Uncredited,
    may_be_minted,
)
from alysd.types.hashes import BitcoinHash, displayed
from alysd.types.peg import OutPoint, PegIn, Transaction
from alysd.wire.bitcoin_transaction import encode_transaction

MAX_BROADCASTS = 16
"""The maximum number of transactions that wait to be sent. The federation actor sends one after the other."""


MAX_SPENT = 4_000
"""The number of spent outputs that are read at once: some milliseconds."""


@attrs.frozen
class _Sending:
    """A transaction that waits to be sent."""

    transaction: Transaction
    answer: Deferred[None]


class BitcoinWatchActor(Actor[BitcoinWatch]):
    """Follows the chain of `node` from the height `start` on, and answers from `records`.

    `confirmations` is the number that a deposit needs.
    """

    def __init__(
        self,
        node: BitcoinNode,
        records: BitcoinRecords,
        watched: Watched,
        start: int,
        confirmations: int,
        report: Callable[[LogEvent], None] = log,
    ) -> None:
        self._node = node
        self._records = records
        self._federations = WatchedFederations(node, records, watched, report)
        self._follower = BitcoinFollower(node, records, self._federations, start, confirmations, report)
        self._mempool = MempoolReader(node, self._follower)
        self._send, self._sendings = trio.open_memory_channel[_Sending](MAX_BROADCASTS)

    async def background(self) -> None:
        """Follow the chain, poll the mempool, and send transactions one after the other."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follower.run)
            nursery.start_soon(self._mempool.run)
            async for sending in self._sendings:
                await self._broadcast(sending)

    @handles(GetDeposits)
    async def get_deposits(self, message: GetDeposits) -> Deposits:
        """Read the deposits from the database."""
        self._follower.require()
        numbers, known = self._federations.numbers(message.holders), tuple(self._federations.known)
        tip = self._follower.height
        limit = min(message.limit, MAX_ITEMS)
        found = await trio.to_thread.run_sync(
            self._records.deposits, message.after, tip - message.confirmations + 1, limit
        )
        self._follower.require()  # the chain may have changed while they were read
        counted = ((seen, on_branch(seen, numbers)) for seen in found)
        deposits = tuple(attrs.evolve(seen, peg_in=one) for seen, one in counted if isinstance(one, PegIn))
        holders = message.holders
        of = self._federations.unknown_of
        unknown = tuple(one.number for one in deposits if of(one, holders, known) is not None)
        return Deposits(deposits, tip, found[-1].number if len(found) == limit else None, unknown)

    @handles(CheckPegIns)
    async def check_peg_ins(self, message: CheckPegIns) -> None:
        """Compare each peg-in with the database."""
        numbers, known = self._federations.numbers(message.holders), tuple(self._federations.known)
        found = await self._find(peg_in.txid for peg_in in message.peg_ins)
        highest = self._follower.height - message.confirmations + 1
        for peg_in, seen in zip(message.peg_ins, found, strict=True):
            if (unknown := self._federations.unknown_of(seen, message.holders, known)) is not None:
                raise NotNow(unknown)
            _check(peg_in, seen, highest, numbers)

    @handles(WatchFederations)
    async def watch_federations(self, message: WatchFederations) -> None:
        """Have the background task look for them."""
        self._federations.tell(message.holders, message.pending)

    @handles(GetConfirmations)
    async def get_confirmations(self, message: GetConfirmations) -> tuple[Confirmation | None, ...]:
        """Read the transactions from the database."""
        found = await self._find(message.txids)
        height = self._follower.height
        return tuple(_confirmation(seen, height) for seen in found)

    @handles(GetMissing)
    async def get_missing(self, message: GetMissing) -> tuple[Expected, ...]:
        """Look for the transactions in the database."""
        self._follower.require()
        self._federations.watch(message.holders)
        is_behind = self._federations.unknown_of(None, message.holders) is not None
        highest = self._follower.height - message.confirmations + 1
        found = await trio.to_thread.run_sync(self._records.missing, message.expected[:MAX_ITEMS], highest)
        if found and is_behind:
            seen = await trio.to_thread.run_sync(self._records.find, tuple(one.txid for one in found))
            found = tuple(one for one, at in zip(found, seen, strict=True) if _is_known(one, at))
        self._follower.require()
        return found

    @handles(NoteLost)
    async def note_lost(self, message: NoteLost) -> None:
        """Write the transactions to the database."""
        self._follower.require()
        await trio.to_thread.run_sync(self._records.note_lost, message.expected[:MAX_ITEMS])

    @handles(GetLost)
    async def get_lost(self, message: GetLost) -> tuple[Expected, ...]:
        """Read the lost transactions from the database."""
        self._follower.require()
        highest = self._follower.height - message.confirmations + 1
        found = await trio.to_thread.run_sync(self._records.lost, message.after, highest, MAX_ITEMS)
        self._follower.require()
        return found

    @handles(GetSpends)
    async def get_spends(self, message: GetSpends) -> SpendPage:
        """Read the spends from the database."""
        self._follower.require()
        found = await trio.to_thread.run_sync(self._records.spends, message.after, MAX_SPENT)
        self._follower.require()
        return found

    @handles(GetNeverCounted)
    async def get_never_counted(self, message: GetNeverCounted) -> tuple[OutPoint, ...]:
        """Read the deposits from the database, and judge them by these federations."""
        numbers, outputs = self._federations.numbers(message.holders), message.outputs[:MAX_ITEMS]
        found = await self._find(one.txid for one in outputs)
        return tuple(
            one
            for one, seen in zip(outputs, found, strict=True)
            if isinstance(seen, SeenDeposit) and never_counts(seen, one.index, numbers)
        )

    @handles(NoteSigned)
    async def note_signed(self, message: NoteSigned) -> tuple[int, ...]:
        """Read the noted heights from the database, and note the present height for the other payments."""
        self._follower.require()
        txids = message.txids[:MAX_ITEMS]
        return await trio.to_thread.run_sync(self._records.note_signed, txids, self._follower.height)

    @handles(GetFeeRate)
    async def get_fee_rate(self, message: GetFeeRate) -> int | None:
        """Return the newest estimate."""
        self._follower.require()
        return self._follower.fee_rate

    @handles(Broadcast)
    async def broadcast(self, message: Broadcast) -> Deferred[None]:
        """Pass the transaction to the background task, which sends it and answers the ask."""
        answer = Deferred[None]()
        try:
            self._send.send_nowait(_Sending(message.transaction, answer))
        except trio.WouldBlock:
            raise NotNow(f"{MAX_BROADCASTS} transactions wait to be sent to the Bitcoin node") from None
        return answer

    @handles(FindOnBitcoin)
    async def find(self, message: FindOnBitcoin) -> Seen | None:
        """Read the finding from the database, and judge it by the newest branch that the watch knows."""
        (found,) = await trio.to_thread.run_sync(self._records.find, (message.txid,))
        if not isinstance(found, SeenDeposit):
            return found
        counted, whole = self._federations.as_told(found), found.peg_in
        if isinstance(counted, PegIn):
            return attrs.evolve(found, peg_in=counted)
        refused = Uncredited(whole.txid, whole.bitcoin_block, whole.amount, counted)
        return SeenUncredited(found.number, found.height, refused)

    @handles(GetUncredited)
    async def get_uncredited(self, message: GetUncredited) -> tuple[SeenUncredited, ...]:
        """Read the payments from the database."""
        limit = min(message.limit, MAX_ITEMS)
        return await trio.to_thread.run_sync(self._records.uncredited, message.after, limit)

    @handles(GetUnconfirmed)
    async def get_unconfirmed(self, message: GetUnconfirmed) -> Unconfirmed:
        """Return the findings of the last poll that the database does not have."""
        seen = self._mempool.view
        txids = (*(one.txid for one in seen.deposits), *seen.payments)
        found = await trio.to_thread.run_sync(self._records.find, txids)
        confirmed = {txid for txid, one in zip(txids, found, strict=True) if one is not None}
        return attrs.evolve(
            seen,
            deposits=tuple(one for one in seen.deposits if one.txid not in confirmed),
            payments=tuple(txid for txid in seen.payments if txid not in confirmed),
        )

    @handles(ReadMempool)
    async def read_mempool(self, message: ReadMempool) -> Deferred[None]:
        """Have the background task poll soon, which answers the ask."""
        return self._mempool.ask()

    @handles(GetBitcoinStatus)
    async def status(self, message: GetBitcoinStatus) -> BitcoinStatus:
        """Return the follower's status."""
        return self._follower.status

    async def _find(self, txids: Iterable[BitcoinHash]) -> tuple[Seen | None, ...]:
        """The findings of some transactions. Raises `NotNow` unless the database agrees with the best chain."""
        self._follower.require()
        found = await trio.to_thread.run_sync(self._records.find, tuple(txids))
        self._follower.require()  # the chain may have changed while they were read
        return found

    async def _broadcast(self, sending: _Sending) -> None:
        if not sending.answer.waiting:
            return
        try:
            await self._node.broadcast(encode_transaction(sending.transaction))
        except NotBroadcast as error:
            sending.answer.fail(error)
        except BitcoinUnavailable as error:
            sending.answer.fail(NotNow(str(error)))
        else:
            sending.answer.reply(None)


def _check(peg_in: PegIn, seen: Seen | None, highest: int, numbers: Numbers) -> None:
    """Raise `NotSeenOnBitcoin` unless `seen` is exactly this deposit, in a block up to the height `highest`.

    `numbers` are those of the federations of the block's branch.
    """
    name = f"the deposit {displayed(peg_in.txid)}"
    if isinstance(seen, SeenUncredited):
        raise NotSeenOnBitcoin(f"{name} is not credited: {seen.payment.reason}")
    if not isinstance(seen, SeenDeposit):
        raise NotSeenOnBitcoin(f"{name} is not in Bitcoin's best chain")
    counted = on_branch(seen, numbers)
    if isinstance(counted, str):
        raise NotSeenOnBitcoin(f"{name} is not credited: {counted}")
    for field in attrs.fields(PegIn):
        stated, found = getattr(peg_in, field.name), getattr(counted, field.name)
        if stated != found:
            raise NotSeenOnBitcoin(f"{name} has {field.name} {_shown(found)}, not {_shown(stated)}")
    if seen.height > highest:
        missing = seen.height - highest
        raise NotSeenOnBitcoin(f"{name} in Bitcoin block {seen.height} lacks {missing} confirmations")


def _is_known(expected: Expected, seen: Seen | None) -> bool:
    """Whether the watch knows the transaction as it is expected, although in a block that is too new.

    Otherwise it may be in a block that has not been read again.
    """
    if expected.amount is None:
        return isinstance(seen, SeenPayment) or (isinstance(seen, SeenDeposit) and bool(seen.spends))
    return isinstance(seen, SeenDeposit) and may_be_minted(seen.peg_in, expected.amount)


def _shown(value: object) -> str:
    """A field of a peg-in as Bitcoin's tools show it, shortened."""
    text = displayed(value) if isinstance(value, bytes) else str(value)
    return text[:200]


def _confirmation(seen: Seen | None, height: int) -> Confirmation | None:
    if not isinstance(seen, SeenPayment):
        return None
    payment = seen.payment
    return Confirmation(payment.transaction, payment.bitcoin_block, seen.height, height - seen.height + 1)
