"""The transaction pool of the embedded engine: limited in size, ordered by nonce and price, updated at each head.

The RPC's threads and the engine's thread (`best`, `discard`) call it, so it has a lock, which is held only for
bookkeeping and for reading one account. A pool with a journal (`journal.py`) can be restored after a restart.
"""

import heapq
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import attrs

from alysd.embedded.engine.pending_source import AccountReader
from alysd.embedded.engine.transaction import SignedTransaction, TransactionRefused, read_transaction
from alysd.embedded.engine.values import AccountState
from alysd.embedded.pool.checks import PoolLimits, check_account, check_transaction
from alysd.embedded.pool.journal import PoolJournal
from alysd.embedded.pool.refusals import (
    AccountLimitExceeded,
    AlreadyKnown,
    Dropped,
    Oversized,
    ReplacementUnderpriced,
    Underpriced,
)
from alysd.embedded.pool.sender_line import Pooled, SenderLine
from alysd.errors import Refused
from alysd.types.hashes import EvmAddress, PayloadHash

Transactions = Sequence[SignedTransaction]

SLOW_BLOCKS = 32
"""The number of blocks for which a sender is set back after its transaction took time for which nobody pays.

A block sets back at most `1 / TRIAL_SHARE` senders, so there are never more than 640 of them.
"""

REMEMBERED = 1024
"""The number of discarded transactions whose reason is remembered, also across restarts: some 300 kB."""


@attrs.frozen
class Restored:
    """The result of reading the journal: the transactions that wait again, and the others.

    `unreadable_bytes` are those at the end of the file that are not whole records.
    """

    waiting: int
    refused: int
    unreadable_bytes: int


@attrs.frozen
class PoolContent:
    """The transactions of the pool, by sender and then by nonce."""

    pending: dict[EvmAddress, Transactions]
    queued: dict[EvmAddress, Transactions]


class TransactionPool:
    """Transactions of the chain `chain_id` that wait for a block; the engine's `PendingSource`.

    Each transaction is also written to the file `journal`, if given, by the thread that adds it. The drops with
    their reasons are written by `sync_journal`, because the thread that builds a block must not wait for the disk.
    If the process ends suddenly before, these transactions wait again, and the engine tries them once more.
    """

    def __init__(
        self,
        chain_id: int,
        limits: PoolLimits = PoolLimits(),  # noqa: B008  frozen, shareable
        journal: Path | None = None,
    ) -> None:
        self._chain_id = chain_id
        self._journal = None if journal is None else PoolJournal(journal, self._all_raw, self._reasons)
        self.limits = limits
        self._lock = threading.Lock()
        self._lines: dict[EvmAddress, SenderLine] = {}
        self._known: dict[bytes, SignedTransaction] = {}
        self._version = 0
        self._bytes = 0
        self._order = itertools.count()
        self._slow: dict[EvmAddress, int] = {}
        self._heads = 0
        self._dropped: dict[bytes, str] = {}
        self._unwritten: dict[bytes, str] = {}  # those of `_dropped` that the journal may not have yet
        self._interrupted: dict[bytes, int] = {}
        self.followed: PayloadHash | None = None
        """The head that the pool has followed last; None before the first one."""

    def add(
        self, new: SignedTransaction, account_of: Callable[[EvmAddress], AccountState], gas_limit: int, now: float
    ) -> Transactions:
        """Add a transaction. `account_of` reads an account at the newest head; `now` is in monotonic seconds.

        The account is read with the lock held (0.1 ms). Otherwise the pool could follow a new block between the
        read and the use of the account, and the sender's line would return to a nonce that the block has used.

        Returns the transactions that have become executable: `new` and those that waited for it, or none. If it
        raises `TransactionRefused`, the pool is unchanged.
        """
        executable = self._add(new, account_of, gas_limit, now)
        if self._journal is not None:
            self._journal.add([new.raw])
        return executable

    def restore(self, account_of: Callable[[EvmAddress], AccountState], gas_limit: int, now: float) -> Restored:
        """Add the transactions of the journal that are still possible, and write the journal anew.

        Those that were discarded stay so, with their reasons.

        The arguments are those of `add`. The three hours of a transaction with a missing nonce begin again. The
        check of a transaction takes 0.2 ms, and a full pool has 5,120.
        """
        if self._journal is None:
            return Restored(0, 0, 0)
        content = self._journal.read()
        with self._lock:
            self._dropped = dict(content.dropped)  # all of them, until no transaction of the file can return
        kept = dict.fromkeys(content.transactions)  # a transaction can have been written twice
        read: list[SignedTransaction] = []
        for raw in kept:
            with suppress(Refused):  # of another chain, or of a kind that this version does not take
                read.append(read_transaction(raw, self._chain_id))
        # By nonce, because only few of a sender's transactions may be there before the one that they wait for.
        for transaction in sorted(read, key=lambda one: one.nonce):
            with suppress(TransactionRefused):  # a block has included it, or the account has changed
                self._add(transaction, account_of, gas_limit, now)
        with self._lock:
            self._forget_reasons()
        waiting = sum(self.counts())
        if kept or content.unreadable_bytes:
            self._journal.renew()
        return Restored(waiting, len(kept) - waiting, content.unreadable_bytes)

    def sync_journal(self) -> None:
        """Write the new drops to the journal, if there is one, and sync it to the disk. This can take a second."""
        if self._journal is None:
            return
        with self._lock:
            drops, self._unwritten = self._unwritten, {}
        for hash_, reason in drops.items():
            self._journal.drop(hash_, reason)
        self._journal.sync()

    def check_size(self, raw: bytes) -> None:
        """Raise `Oversized` for a transaction that is too large, before it is decoded."""
        if len(raw) > self.limits.transaction_bytes:
            raise Oversized(len(raw), self.limits.transaction_bytes)

    def get(self, hash_: bytes) -> SignedTransaction | None:
        """The transaction with this hash, or None."""
        return self._known.get(hash_)

    def drop_reason(self, hash_: bytes) -> str | None:
        """The reason for which the engine discarded the transaction; None for any other transaction."""
        return self._dropped.get(hash_)

    def next_nonce(self, sender: EvmAddress, nonce: int) -> int:
        """The nonce after the sender's pending transactions; `nonce` is the account's at the head."""
        with self._lock:
            line = self._lines.get(sender)
            return nonce if line is None else max(nonce, line.next_nonce)

    @property
    def version(self) -> int:
        """A number that rises when a transaction is added or removed."""
        return self._version

    def counts(self) -> tuple[int, int]:
        """The numbers of pending and of queued transactions."""
        with self._lock:
            queued = self._queued()
            return len(self._known) - queued, queued

    def content(self) -> PoolContent:
        """All transactions of the pool."""
        with self._lock:
            pending = {sender: _plain(line.pending) for sender, line in self._lines.items() if line.pending}
            queued = {sender: _plain(line.queued) for sender, line in self._lines.items() if line.queued_count}
        return PoolContent(pending, queued)

    def best(self, base_fee: int, accounts: AccountReader) -> Iterator[SignedTransaction]:
        """The transactions for a block: the highest tip first, each sender's by nonce. For the engine's thread."""
        with self._lock:
            lines = [
                line.pending for sender, line in self._lines.items() if line.pending and sender not in self._slow
            ]
        heap = [(*_rank(line[0], base_fee), 0, line) for line in lines]
        heapq.heapify(heap)
        while heap:
            minus_tip, _, at, line = heapq.heappop(heap)
            if minus_tip > 0:
                return  # this one and all that follow do not pay the base fee
            start = _start(line, accounts) if at == 0 else at
            if start == at:
                yield line[at].transaction
                start += 1
            if start < len(line):
                heapq.heappush(heap, (*_rank(line[start], base_fee), start, line))

    def slow(self, base_fee: int, accounts: AccountReader) -> Iterator[SignedTransaction]:
        """The transactions of the senders that were set back; those of the earliest set back come first."""
        with self._lock:
            lines = [line.pending for sender in self._slow if (line := self._lines.get(sender)) and line.pending]
        for line in lines:
            for one in line[_start(line, accounts) :]:
                if one.transaction.tip(base_fee) < 0:
                    break
                yield one.transaction

    def set_back(self, transaction: SignedTransaction) -> None:
        """Let `slow` offer the transactions of this sender, during the next `SLOW_BLOCKS` blocks."""
        with self._lock:
            self._slow.pop(transaction.sender, None)
            self._slow[transaction.sender] = self._heads + SLOW_BLOCKS

    def interrupted(self, transaction: SignedTransaction) -> int:
        """Count a turn that the machine's other work ended, and return how many there were. 0 if it is gone."""
        with self._lock:
            if transaction.hash not in self._known:
                return 0
            turns = self._interrupted[transaction.hash] = self._interrupted.get(transaction.hash, 0) + 1
            return turns

    def discard(self, transaction: SignedTransaction, reason: str) -> None:
        """Remove a transaction that can never be included, and remember the reason. For the engine's thread."""
        with self._lock:
            if transaction.hash not in self._known:
                return
            self._remove(transaction)
            self._dropped[transaction.hash] = reason
            if self._journal is not None:
                self._unwritten[transaction.hash] = reason
            self._forget_reasons()

    def remove(self, transaction: SignedTransaction) -> None:
        """Forget a transaction, which may come again; unlike `discard`, this remembers nothing about it."""
        with self._lock:
            if transaction.hash in self._known:
                self._remove(transaction)
        if self._journal is not None:
            self._journal.renew()

    def follow(
        self,
        included: Iterable[SignedTransaction],
        abandoned: Iterable[SignedTransaction],
        account_of: Callable[[EvmAddress], AccountState],
        gas_limit: int,
        now: float,
    ) -> Transactions:
        """Follow a new head: remove `included` and impossible transactions, and add `abandoned` ones again.

        `account_of` reads an account at the new head. Returns the transactions that have become executable. Call
        this in a worker thread: it reads the account of each sender, at most `limits.transactions` of them.
        """
        done = {transaction.hash for transaction in included}
        back = [transaction for transaction in abandoned if transaction.hash not in done]
        with self._lock:
            senders = {*self._lines, *(transaction.sender for transaction in back)}
        accounts = {sender: account_of(sender) for sender in senders}
        with self._lock:
            self._heads += 1
            self._slow = {sender: until for sender, until in self._slow.items() if until > self._heads}
            before = self._pending_hashes()
            self._forget(done, accounts, gas_limit, now)
            taken = [one for one in back if self._take_back(one, accounts[one.sender], gas_limit, now)]
            undone = [one for one in taken if self._forget_drop(one.hash)]
            executable = [self._known[hash_] for hash_ in self._pending_hashes() - before]
            returned = [transaction.raw for transaction in back if transaction.hash in self._known]
        if self._journal is not None:
            self._journal.add(returned)
            if undone:
                self._journal.renew()  # without their drops, wherever in the file these are
        return executable

    def replace(
        self,
        transactions: Iterable[SignedTransaction],
        account_of: Callable[[EvmAddress], AccountState],
        gas_limit: int,
        now: float,
    ) -> None:
        """Forget everything, also the reasons of discarded transactions, and add `transactions`, in their order.

        Those that are not possible at the accounts of `account_of` are left out. Call this in a worker thread.
        """
        with self._lock:
            self._lines.clear()
            self._known.clear()
            self._version += 1
            self._slow.clear()
            self._dropped.clear()
            self._unwritten.clear()
            self._interrupted.clear()
            self._bytes = 0
            self.followed = None
        for transaction in transactions:
            with suppress(TransactionRefused):
                self._add(transaction, account_of, gas_limit, now)

    def _add(
        self, new: SignedTransaction, account_of: Callable[[EvmAddress], AccountState], gas_limit: int, now: float
    ) -> Transactions:
        check_transaction(new, self._chain_id, gas_limit, self.limits)
        with self._lock:
            if (reason := self._dropped.get(new.hash)) is not None:
                raise Dropped(reason)
            return self._insert(new, account_of(new.sender), now)

    def _all_raw(self) -> list[bytes]:
        with self._lock:
            return [transaction.raw for transaction in self._known.values()]

    def _reasons(self) -> dict[bytes, str]:
        with self._lock:
            return dict(self._dropped)

    # The methods below are called with the lock held.

    def _forget_reasons(self) -> None:
        """Forget the reasons of all but the last `REMEMBERED` discarded transactions."""
        while len(self._dropped) > REMEMBERED:
            self._forget_drop(next(iter(self._dropped)))

    def _forget_drop(self, hash_: bytes) -> bool:
        """Forget that a transaction was discarded. Returns whether it was."""
        self._unwritten.pop(hash_, None)
        return self._dropped.pop(hash_, None) is not None

    def _insert(self, new: SignedTransaction, account: AccountState, now: float) -> Transactions:
        if new.hash in self._known:
            raise AlreadyKnown
        line, before = self._line_at(new.sender, account)
        old = line.at(new.nonce)
        check_account(new, account, line.committed(without=new.nonce))
        if old is not None:
            self._check_replacement(old.transaction, new)
        elif len(line) >= self.limits.per_sender:
            raise AccountLimitExceeded(len(line))
        self._put(line, old, Pooled(new, now, next(self._order)))
        self._make_room(new, replaced=old is not None)
        return [one.transaction for one in line.pending if one.order not in before]

    def _line_at(self, sender: EvmAddress, account: AccountState) -> tuple[SenderLine, set[int]]:
        """Update the sender's line to `account`. Return it with the sequence numbers that were pending before.

        Transactions that a block has included are removed at once. Otherwise, until the pool follows the block,
        they would count as waiting, and the balance would have to cover their cost a second time.
        """
        line = self._lines.get(sender)
        if line is None:
            line = SenderLine()
            line.set_account(account.nonce, account.balance)
            return line, set()
        before = {one.order for one in line.pending}
        line.set_account(account.nonce, account.balance)
        self._uncount(sender, _plain(line.drop_used()))
        return line, before

    def _check_replacement(self, old: SignedTransaction, new: SignedTransaction) -> None:
        """Refuse a replacement of `old` that does not raise both fees by `replacement_percent`."""
        needed = 100 + self.limits.replacement_percent
        if new.max_fee * 100 < old.max_fee * needed or new.max_priority_fee * 100 < old.max_priority_fee * needed:
            raise ReplacementUnderpriced

    def _put(self, line: SenderLine, old: Pooled | None, new: Pooled) -> None:
        """Add a transaction to its sender's line, and count it."""
        if old is not None:
            self._remove(old.transaction)
        self._lines[new.transaction.sender] = line
        line.put(new)
        self._known[new.transaction.hash] = new.transaction
        self._version += 1
        self._bytes += len(new.transaction.raw)

    def _remove(self, gone: SignedTransaction) -> None:
        """Remove a transaction from its line, and no longer count it."""
        self._lines[gone.sender].drop(gone.nonce)
        self._uncount(gone.sender, [gone])

    def _uncount(self, sender: EvmAddress, gone: Transactions) -> None:
        """Remove transactions that have left a line from the pool's totals. Remove the line if it is empty."""
        for transaction in gone:
            del self._known[transaction.hash]
            self._interrupted.pop(transaction.hash, None)
            self._version += 1
            self._bytes -= len(transaction.raw)
        if not len(self._lines[sender]):
            del self._lines[sender]

    def _make_room(self, new: SignedTransaction, *, replaced: bool) -> None:
        """Evict transactions until all limits hold. Raises `Underpriced` when that evicts the new one."""
        line = self._lines[new.sender]
        if line.queued_count > self.limits.queued_per_sender:
            self._remove(new)
            raise AccountLimitExceeded(len(line))
        while (queued_only := self._over()) is not None:
            victim = self._cheapest_tail(queued_only=queued_only)
            if victim is new and replaced:
                return  # 128 KiB over the limit at most: the transaction that it replaced is removed already
            self._remove(victim)
            if victim is new:
                raise Underpriced

    def _over(self) -> bool | None:
        """Return None if no limit is exceeded, True if only the limit `queued` is, and False otherwise."""
        limits = self.limits
        if len(self._known) > limits.transactions or self._bytes > limits.total_bytes:
            return False
        if len(self._known) <= limits.queued:
            return None  # the usual case, without a look at every sender
        return True if self._queued() > limits.queued else None

    def _cheapest_tail(self, *, queued_only: bool) -> SignedTransaction:
        """Return the transaction to evict, which is the last one of a line.

        Removing any other transaction of a line would make the later ones wait. A queued transaction is evicted
        before a pending one, then one with a lower tip before one with a higher tip, then a newer one before an
        older one.
        """
        lines = [line for line in self._lines.values() if line.tail_is_queued or not queued_only]
        worst = min(
            lines,
            key=lambda line: (not line.tail_is_queued, line.tail.transaction.max_priority_fee, -line.tail.order),
        )
        return worst.tail.transaction

    def _queued(self) -> int:
        return sum(line.queued_count for line in self._lines.values())

    def _pending_hashes(self) -> set[bytes]:
        return {one.transaction.hash for line in self._lines.values() for one in line.pending}

    def _forget(
        self, done: set[bytes], accounts: dict[EvmAddress, AccountState], gas_limit: int, now: float
    ) -> None:
        """Update every line to the new state of its account."""
        for hash_ in done & self._known.keys():
            self._remove(self._known[hash_])
        queued_before = now - self.limits.queued_seconds
        for sender, line in tuple(self._lines.items()):
            if (account := accounts.get(sender)) is None:
                continue  # added while the accounts were read, with an account that was read then
            line.set_account(account.nonce, account.balance)
            self._uncount(sender, _plain(line.drop_impossible(gas_limit, queued_before)))

    def _take_back(self, old: SignedTransaction, account: AccountState, gas_limit: int, now: float) -> bool:
        """Add a transaction of an abandoned block again. Returns whether it is still possible on the new branch.

        It may have been discarded here: since another node included it, it is tried again.
        """
        try:
            check_transaction(old, self._chain_id, gas_limit, self.limits)
            self._insert(old, account, now)
        except TransactionRefused:
            return False  # there is no caller to tell; the sender sees the reorganisation
        return True


def _plain(pooled: Sequence[Pooled]) -> Transactions:
    return [one.transaction for one in pooled]


def _rank(one: Pooled, base_fee: int) -> tuple[int, int]:
    """Return a sort key by which the highest tip comes first, and among equal tips the earliest arrival."""
    return -one.transaction.tip(base_fee), one.order


def _start(line: Sequence[Pooled], accounts: AccountReader) -> int:
    """The position of the account's next nonce in a line, or the line's length when it is not there.

    The state on which a block is built may be newer than the last head that the pool followed.
    """
    nonce = accounts.account(line[0].transaction.sender).nonce
    at = nonce - line[0].transaction.nonce
    return at if at >= 0 else len(line)
