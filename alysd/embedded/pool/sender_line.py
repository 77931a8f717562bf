"""One sender's transactions in the pool: a line ordered by nonce, of which a gapless start can be executed."""

from collections.abc import Sequence

import attrs

from alysd.embedded.engine.transaction import SignedTransaction


@attrs.frozen
class Pooled:
    """A transaction in the pool: when it came (seconds of a monotonic clock), and as the how-many-th."""

    transaction: SignedTransaction
    arrived: float
    order: int


class SenderLine:
    """A sender's transactions by nonce, and its account as of the head.

    Those that follow on the account's nonce without a gap, and that its balance pays for together, are *pending*:
    the next block may take them. The others are *queued*: they wait for a nonce or for money.
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
        """Those that can be executed now, by nonce."""
        return self._pending

    @property
    def queued(self) -> Sequence[Pooled]:
        """Those that wait, by nonce."""
        first = self._nonce + len(self._pending)
        return [self._by_nonce[nonce] for nonce in sorted(self._by_nonce) if nonce >= first]

    @property
    def queued_count(self) -> int:
        """How many wait."""
        return len(self._by_nonce) - len(self._pending)

    @property
    def next_nonce(self) -> int:
        """The nonce of the account once all pending transactions are included."""
        return self._nonce + len(self._pending)

    @property
    def tail(self) -> Pooled:
        """The transaction with the highest nonce: the one that can go without making others wait."""
        return self._by_nonce[max(self._by_nonce)]

    @property
    def tail_is_queued(self) -> bool:
        """Whether the tail waits."""
        return len(self._pending) < len(self._by_nonce)

    def at(self, nonce: int) -> Pooled | None:
        """Find the transaction with this nonce."""
        return self._by_nonce.get(nonce)

    def committed(self, without: int) -> int:
        """Sum up what all transactions but the one with the nonce `without` can cost, in wei."""
        return sum(one.transaction.cost for nonce, one in self._by_nonce.items() if nonce != without)

    def put(self, pooled: Pooled) -> None:
        """Add a transaction, in place of the one with its nonce."""
        self._by_nonce[pooled.transaction.nonce] = pooled
        self._settle()

    def drop(self, nonce: int) -> None:
        """Remove the transaction with this nonce."""
        del self._by_nonce[nonce]
        self._settle()

    def set_account(self, nonce: int, balance: int) -> None:
        """Take note of the account as it is at the head."""
        self._nonce, self._balance = nonce, balance
        self._settle()

    def drop_used(self) -> list[Pooled]:
        """Remove and return those whose nonces the account has used."""
        gone = [one for nonce, one in self._by_nonce.items() if nonce < self._nonce]
        for one in gone:
            del self._by_nonce[one.transaction.nonce]
        return gone

    def drop_impossible(self, gas_limit: int, queued_before: float) -> list[Pooled]:
        """Remove and return what can never be included now, and what came before `queued_before` and still waits.

        Impossible are used nonces, what the balance does not pay for, and what no block of `gas_limit` holds.
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
        """Find anew which transactions are pending."""
        pending: list[Pooled] = []
        left = self._balance
        while (one := self._by_nonce.get(self._nonce + len(pending))) is not None:
            left -= one.transaction.cost
            if left < 0:
                break
            pending.append(one)
        self._pending = tuple(pending)
