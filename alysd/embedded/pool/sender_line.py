"""One sender's transactions in the pool, ordered by nonce, and which of them the next block may include."""

from collections.abc import Sequence

import attrs

from alysd.embedded.engine.transaction import SignedTransaction


@attrs.frozen
class Pooled:
    """A transaction in the pool with its sequence number and time of arrival (seconds, monotonic clock)."""

    transaction: SignedTransaction
    arrived: float
    order: int


class SenderLine:
    """A sender's transactions by nonce, and the nonce and balance of the sender's account at the head.

    Transactions are *pending* if the next block may include them: their nonces follow the account's nonce without
    a gap, and the balance covers their total cost. The others are *queued*: they wait for a nonce or for funds.
    """

    def __init__(self) -> None:
        self._by_nonce: dict[int, Pooled] = {}
        self._nonce = 0
        self._balance = 0
        self._pending: tuple[Pooled, ...] = ()

    def __len__(self) -> int:
        return len(self._by_nonce)

    @property
    def pending(self) -> Sequence[Pooled]:
        """The transactions that can be executed now, by nonce."""
        return self._pending

    @property
    def queued(self) -> Sequence[Pooled]:
        """The transactions that wait, by nonce."""
        first = self._nonce + len(self._pending)
        return [self._by_nonce[nonce] for nonce in sorted(self._by_nonce) if nonce >= first]

    @property
    def queued_count(self) -> int:
        """The number of transactions that wait."""
        return len(self._by_nonce) - len(self._pending)

    @property
    def next_nonce(self) -> int:
        """The account's nonce after all pending transactions."""
        return self._nonce + len(self._pending)

    @property
    def tail(self) -> Pooled:
        """The transaction with the highest nonce: its removal makes no other transaction wait."""
        return self._by_nonce[max(self._by_nonce)]

    @property
    def tail_is_queued(self) -> bool:
        """Whether the tail is queued."""
        return len(self._pending) < len(self._by_nonce)

    def at(self, nonce: int) -> Pooled | None:
        """The transaction with this nonce, or None."""
        return self._by_nonce.get(nonce)

    def committed(self, without: int) -> int:
        """The total cost, in wei, of all transactions but the one with the nonce `without`."""
        return sum(one.transaction.cost for nonce, one in self._by_nonce.items() if nonce != without)

    def put(self, pooled: Pooled) -> None:
        """Add a transaction; it replaces one with the same nonce."""
        self._by_nonce[pooled.transaction.nonce] = pooled
        self._settle()

    def drop(self, nonce: int) -> None:
        """Remove the transaction with this nonce."""
        del self._by_nonce[nonce]
        self._settle()

    def set_account(self, nonce: int, balance: int) -> None:
        """Set the account's nonce and balance at the head."""
        self._nonce, self._balance = nonce, balance
        self._settle()

    def drop_used(self) -> list[Pooled]:
        """Remove and return the transactions whose nonces the account has used."""
        gone = [one for nonce, one in self._by_nonce.items() if nonce < self._nonce]
        for one in gone:
            del self._by_nonce[one.transaction.nonce]
        return gone

    def drop_impossible(self, gas_limit: int, queued_before: float) -> list[Pooled]:
        """Remove and return the impossible transactions, and the queued ones that arrived before `queued_before`.

        A transaction is impossible if its nonce is used, its cost exceeds the balance, or its gas exceeds
        `gas_limit`.
        """
        waiting = {one.order for one in self.queued}
        gone = [
            one
            for one in self._by_nonce.values()
            if one.transaction.nonce < self._nonce
            or one.transaction.cost > self._balance
            or one.transaction.gas > gas_limit
            or (one.order in waiting and one.arrived < queued_before)
        ]
        for one in gone:
            del self._by_nonce[one.transaction.nonce]
        self._settle()
        return gone

    def _settle(self) -> None:
        """Recompute which transactions are pending."""
        pending: list[Pooled] = []
        left = self._balance
        while (one := self._by_nonce.get(self._nonce + len(pending))) is not None:
            left -= one.transaction.cost
            if left < 0:
                break
            pending.append(one)
        self._pending = tuple(pending)
