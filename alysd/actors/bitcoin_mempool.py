"""Polls the Bitcoin node's mempool for deposits, and for payments by the federation.

Nothing in the peg depends on it: only users see it. So each poll is bounded, a failure has no consequence but
the `problem` of the view, and a mempool that is too large is not read at all.
"""

from collections.abc import Iterable, Sequence

import attrs
import trio

from alysd.actors.bitcoin_follower import BitcoinFollower
from alysd.actors.bitcoin_scan import Watched, scan_unconfirmed
from alysd.bitcoin_ports import BitcoinNode
from alysd.errors import BitcoinUnavailable, Malformed, NotNow
from alysd.messages.bitcoin_watch import MAX_ITEMS
from alysd.nurseries import Deferred
from alysd.types.bitcoin_watch import Unconfirmed, UnconfirmedDeposit
from alysd.types.hashes import BitcoinHash
from alysd.wire.bitcoin_transaction import decode_transaction

POLL_SECONDS = 15.0
"""The least number of seconds between two polls that nobody has asked for."""

LEAST_REST = 1.0
"""The least number of seconds between a poll and one that somebody has asked for."""

MAX_ASKS = 16
"""The maximum number of asks that wait for a poll. The JSON-RPC sends four at a time."""

REST_FACTOR = 20
"""The rest lasts at least this many times as long as the poll, so that polls take at most 5 % of the time."""

MAX_MEMPOOL = 100_000
"""The largest mempool that is read: its txids are 6.7 MB of JSON, and take 15 MB of memory."""

MAX_READ = 500
"""The maximum number of transactions that one poll reads. Some 10 new ones a second appear on mainnet."""

BATCH = 50
"""The number of transactions that one request reads: some 100 KB in hex."""

READ_SECONDS = 5.0
"""The number of seconds after which a poll reads no further transactions."""

NOT_READ = "the mempool has not been read yet"


@attrs.define
class MempoolReader:
    """Reads the mempool of `node` into `view`, while `follower` has no problem.

    `known` are the transactions of the mempool that were read, `waiting` the others, as of the last poll.
    """

    node: BitcoinNode
    follower: BitcoinFollower
    view: Unconfirmed = attrs.field(factory=lambda: Unconfirmed((), (), 0, NOT_READ))
    known: frozenset[BitcoinHash] = frozenset()
    waiting: frozenset[BitcoinHash] = frozenset()
    _asked: list[Deferred[None]] = attrs.field(init=False, factory=list[Deferred[None]])
    _wake: trio.Event = attrs.field(init=False, factory=trio.Event)

    def ask(self) -> Deferred[None]:
        """Ask for a poll soon: the answer is replied to after the next poll. Raises `NotNow` if too many wait."""
        if len(self._asked) >= MAX_ASKS:
            raise NotNow(f"{MAX_ASKS} asks wait already until the mempool is read")
        answer = Deferred[None]()
        self._asked.append(answer)
        self._wake.set()
        return answer

    async def run(self) -> None:
        """Poll the mempool, and rest after each poll, until cancelled."""
        while True:
            began, self._wake = trio.current_time(), trio.Event()
            asked, self._asked = self._asked, []
            try:
                await self._poll()
            except BitcoinUnavailable as error:
                self.view = attrs.evolve(self.view, problem=str(error))
            for answer in asked:
                answer.reply(None)
            rest = max(LEAST_REST, REST_FACTOR * (trio.current_time() - began))
            await trio.sleep(rest)
            with trio.move_on_after(max(0.0, POLL_SECONDS - rest)):
                await self._wake.wait()

    async def _poll(self) -> None:
        if self.follower.problem is not None:
            self.view = attrs.evolve(self.view, problem=self.follower.problem)
            return
        listed = await self.node.mempool(MAX_MEMPOOL)
        if listed is None:
            self.known = self.waiting = frozenset()
            self.view = Unconfirmed((), (), 0, f"the mempool has more than {MAX_MEMPOOL} transactions")
            return
        self._forget(listed)
        arrived = listed - self.known - self.waiting
        self.waiting = listed - self.known
        with trio.move_on_after(READ_SECONDS):
            for txids in _batches([*arrived, *(self.waiting - arrived)][:MAX_READ]):
                # First, so that transactions that cannot be read in time keep no others from being read.
                self.known |= frozenset(txids)
                self.waiting -= frozenset(txids)
                await self._read(txids)
        self.view = attrs.evolve(self.view, unread=len(self.waiting), problem=None)

    def _forget(self, listed: frozenset[BitcoinHash]) -> None:
        """Forget the transactions that are not in the mempool any more."""
        self.known &= listed
        self.view = attrs.evolve(
            self.view,
            deposits=tuple(one for one in self.view.deposits if one.txid in listed),
            payments=tuple(txid for txid in self.view.payments if txid in listed),
        )

    async def _read(self, txids: Sequence[BitcoinHash]) -> None:
        found = await self.node.transactions(txids)
        seen = await trio.to_thread.run_sync(read_unconfirmed, txids, found, self.follower.federations.scripts)
        deposits = (one for one in seen if isinstance(one, UnconfirmedDeposit))
        payments = (one for one in seen if not isinstance(one, UnconfirmedDeposit))
        self.view = attrs.evolve(
            self.view,
            deposits=(*self.view.deposits, *deposits)[:MAX_ITEMS],
            payments=(*self.view.payments, *payments)[:MAX_ITEMS],
        )


def read_unconfirmed(
    txids: Sequence[BitcoinHash], found: Sequence[bytes | None], watched: Watched
) -> tuple[UnconfirmedDeposit | BitcoinHash, ...]:
    """The deposits among transactions of the mempool, and the txids of the federation's payments among them.

    `found` has the bytes for each of `txids`, None where there are none. Bytes that cannot be parsed, or that have
    another txid, are left out.
    """
    return tuple(_read_each(txids, found, watched))


def _read_each(
    txids: Sequence[BitcoinHash], found: Sequence[bytes | None], watched: Watched
) -> Iterable[UnconfirmedDeposit | BitcoinHash]:
    for txid, data in zip(txids, found, strict=True):
        if data is None or not any(needle in data for needle in watched.needles):
            continue
        try:
            transaction = decode_transaction(data)
        except Malformed:
            continue
        seen = scan_unconfirmed(transaction, watched)
        if seen is not None and transaction.txid == txid:
            yield seen


def _batches(txids: Sequence[BitcoinHash]) -> Iterable[Sequence[BitcoinHash]]:
    return (txids[start : start + BATCH] for start in range(0, len(txids), BATCH))
