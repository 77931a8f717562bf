"""The transaction pool of the embedded engine: bounded, ordered by nonce and price, in step with the head.

Called by the RPC's threads and by the engine's (`best`, `discard`), hence a lock. It is held for bookkeeping and
for reading one account, never longer. Nothing is kept on disk: after a restart wallets send again.
"""

import heapq
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

import attrs

from alysd.embedded.engine.building import AccountReader
from alysd.embedded.engine.transaction import SignedTransaction, TransactionRefused
from alysd.embedded.engine.values import AccountState
from alysd.embedded.pool.checks import PoolLimits, check_account, check_transaction
from alysd.embedded.pool.refusals import (
    AccountLimitExceeded,
    AlreadyKnown,
    Oversized,
    ReplacementUnderpriced,
    Underpriced,
)
from alysd.embedded.pool.sender_line import Pooled, SenderLine
from alysd.types.hashes import EvmAddress

Transactions = Sequence[SignedTransaction]


@attrs.frozen
class PoolContent:
    """What is in the pool, by sender and then by nonce."""

    pending: dict[EvmAddress, Transactions]
    queued: dict[EvmAddress, Transactions]


class TransactionPool:
    """Transactions that wait for a block of the chain `chain_id`; the engine's `PendingSource`."""

    def __init__(self, chain_id: int, limits: PoolLimits = PoolLimits()) -> None:  # noqa: B008  frozen, shareable
        self._chain_id = chain_id
        self.limits = limits
        self._lock = threading.Lock()
        self._lines: dict[EvmAddress, SenderLine] = {}
        self._known: dict[bytes, SignedTransaction] = {}
        self._bytes = 0
        self._order = itertools.count()

    def add(
        self, new: SignedTransaction, account_of: Callable[[EvmAddress], AccountState], gas_limit: int, now: float
    ) -> Transactions:
        """Take a transaction; `account_of` reads an account at the newest head, `now` is in monotonic seconds.

        The account is read with the lock held (0.1 ms): read before, a block may come in between, and the sender's
        line would be set back to a nonce that is used, where nothing can be executed.

        Returns what has become executable by it: itself, perhaps others that waited for it, or nothing.
        Raises a `TransactionRefused`; then the pool holds what it held.
        """
        check_transaction(new, self._chain_id, gas_limit, self.limits)
        with self._lock:
            return self._insert(new, account_of(new.sender), now)

    def check_size(self, raw: bytes) -> None:
        """Refuse what is too large before any work is spent on it. Raises `Oversized`."""
        if len(raw) > self.limits.transaction_bytes:
            raise Oversized(len(raw), self.limits.transaction_bytes)

    def get(self, hash_: bytes) -> SignedTransaction | None:
        """Find a transaction by its hash."""
        return self._known.get(hash_)

    def next_nonce(self, sender: EvmAddress, nonce: int) -> int:
        """Say which nonce comes after the sender's pending transactions; `nonce` is the account's own."""
        with self._lock:
            line = self._lines.get(sender)
            return nonce if line is None else max(nonce, line.next_nonce)

    def counts(self) -> tuple[int, int]:
        """Say how many transactions are pending, and how many queued."""
        with self._lock:
            queued = self._queued()
            return len(self._known) - queued, queued

    def content(self) -> PoolContent:
        """List the whole pool."""
        with self._lock:
            pending = {sender: _plain(line.pending) for sender, line in self._lines.items() if line.pending}
            queued = {sender: _plain(line.queued) for sender, line in self._lines.items() if line.queued_count}
        return PoolContent(pending, queued)

    def best(self, base_fee: int, accounts: AccountReader) -> Iterator[SignedTransaction]:
        """Give what a block may take: the highest tip first, each sender's by nonce (engine's thread)."""
        with self._lock:
            lines = [line.pending for line in self._lines.values() if line.pending]
        heap = [(*_rank(line[0], base_fee), 0, line) for line in lines]
        heapq.heapify(heap)
        while heap:
            minus_tip, _, at, line = heapq.heappop(heap)
            if minus_tip > 0:
                return  # from here on nobody pays the base fee
            start = _start(line, accounts) if at == 0 else at
            if start == at:
                yield line[at].transaction
                start += 1
            if start < len(line):
                heapq.heappush(heap, (*_rank(line[start], base_fee), start, line))

    def discard(self, transaction: SignedTransaction, reason: str) -> None:  # noqa: ARG002  part of the protocol
        """Forget a transaction that the engine found can never be executed (engine's thread)."""
        with self._lock:
            if transaction.hash in self._known:
                self._remove(transaction)

    def follow(
        self,
        included: Iterable[SignedTransaction],
        abandoned: Iterable[SignedTransaction],
        account_of: Callable[[EvmAddress], AccountState],
        gas_limit: int,
        now: float,
    ) -> Transactions:
        """Move on to a new head: forget what is `included` or now impossible, take back what is `abandoned`.

        `account_of` reads an account at the new head. Returns what has become executable. For a worker thread: it
        reads each sender's account, at most `transactions` of them.
        """
        done = {transaction.hash for transaction in included}
        back = [transaction for transaction in abandoned if transaction.hash not in done]
        with self._lock:
            senders = {*self._lines, *(transaction.sender for transaction in back)}
        accounts = {sender: account_of(sender) for sender in senders}
        with self._lock:
            before = self._pending_hashes()
            self._forget(done, accounts, gas_limit, now)
            for transaction in back:
                self._take_back(transaction, accounts[transaction.sender], gas_limit, now)
            return [self._known[hash_] for hash_ in self._pending_hashes() - before]

    # From here on everything is called with the lock held.

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
        """Find a sender's line, bring it up to `account`, and say which orders were pending before that.

        What a block has taken goes at once: until the pool follows it would count as waiting and cost money twice.
        """
        line = self._lines.get(sender)
        if line is None:
            line = SenderLine()
            line.set_account(account.nonce, account.balance)
            return line, set()
        before = {one.order for one in line.pending}
        line.set_account(account.nonce, account.balance)
        self._strike(sender, _plain(line.drop_used()))
        return line, before

    def _check_replacement(self, old: SignedTransaction, new: SignedTransaction) -> None:
        """Refuse a transaction that would take the place of `old` without raising both fees by a tenth."""
        needed = 100 + self.limits.replacement_percent
        if new.max_fee * 100 < old.max_fee * needed or new.max_priority_fee * 100 < old.max_priority_fee * needed:
            raise ReplacementUnderpriced

    def _put(self, line: SenderLine, old: Pooled | None, new: Pooled) -> None:
        """Put a transaction into its sender's line and the books."""
        if old is not None:
            self._remove(old.transaction)
        self._lines[new.transaction.sender] = line
        line.put(new)
        self._known[new.transaction.hash] = new.transaction
        self._bytes += len(new.transaction.raw)

    def _remove(self, gone: SignedTransaction) -> None:
        """Take a transaction out of its line and the books."""
        self._lines[gone.sender].drop(gone.nonce)
        self._strike(gone.sender, [gone])

    def _strike(self, sender: EvmAddress, gone: Transactions) -> None:
        """Take transactions that have left their sender's line out of the books, and the line if it is empty."""
        for transaction in gone:
            del self._known[transaction.hash]
            self._bytes -= len(transaction.raw)
        if not len(self._lines[sender]):
            del self._lines[sender]

    def _make_room(self, new: SignedTransaction, *, replaced: bool) -> None:
        """Evict until all bounds hold. Raises `Underpriced` when it is the new transaction that has to go."""
        line = self._lines[new.sender]
        if line.queued_count > self.limits.queued_per_sender:
            self._remove(new)
            raise AccountLimitExceeded(len(line))
        while (queued_only := self._over()) is not None:
            victim = self._cheapest_tail(queued_only=queued_only)
            if victim is new and replaced:
                return  # 128 KiB too many at most; what it replaced is gone already
            self._remove(victim)
            if victim is new:
                raise Underpriced

    def _over(self) -> bool | None:
        """Say whether a bound is passed: None for no, else whether only a queued transaction's going helps."""
        limits = self.limits
        if len(self._known) > limits.transactions or self._bytes > limits.total_bytes:
            return False
        return True if self._queued() > limits.queued else None

    def _cheapest_tail(self, *, queued_only: bool) -> SignedTransaction:
        """Choose what is evicted: those that wait first, then the lowest tip, then the latest to come.

        Only a line's last transaction can go without making others of its sender wait.
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
        """Bring every line up to its account's new state."""
        for hash_ in done & self._known.keys():
            self._remove(self._known[hash_])
        queued_before = now - self.limits.queued_seconds
        for sender, line in tuple(self._lines.items()):
            if (account := accounts.get(sender)) is None:
                continue  # came while the accounts were read; its own account was read then
            line.set_account(account.nonce, account.balance)
            self._strike(sender, _plain(line.drop_impossible(gas_limit, queued_before)))

    def _take_back(self, old: SignedTransaction, account: AccountState, gas_limit: int, now: float) -> None:
        """Add a transaction of an abandoned block again, unless the new branch has made it impossible."""
        try:
            check_transaction(old, self._chain_id, gas_limit, self.limits)
            self._insert(old, account, now)
        except TransactionRefused:
            return  # nobody waits for an answer: its sender sees the reorganisation


def _plain(pooled: Sequence[Pooled]) -> Transactions:
    return [one.transaction for one in pooled]


def _rank(one: Pooled, base_fee: int) -> tuple[int, int]:
    """Order by tip, the highest first, then by arrival."""
    return -one.transaction.tip(base_fee), one.order


def _start(line: Sequence[Pooled], accounts: AccountReader) -> int:
    """Find where in a line the next nonce is; its length when it is not there.

    The state that a block is built on may be ahead of the head that the pool has followed.
    """
    nonce = accounts.account(line[0].transaction.sender).nonce
    at = nonce - line[0].transaction.nonce
    return at if at >= 0 else len(line)
