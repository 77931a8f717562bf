"""The source of the transactions of a block."""

from collections.abc import Iterable
from typing import Protocol

from alysd.embedded.engine.transaction import SignedTransaction
from alysd.embedded.engine.values import AccountState
from alysd.types.hashes import EvmAddress


class AccountReader(Protocol):
    """Reads accounts as they are before the execution of a block."""

    def account(self, address: EvmAddress) -> AccountState:
        """The account, or the empty account if it does not exist."""
        ...


class PendingSource(Protocol):
    """The source of a block's transactions. The engine calls it in a worker thread, one call at a time."""

    def best(self, base_fee: int, accounts: AccountReader) -> Iterable[SignedTransaction]:
        """The transactions that pay `base_fee` (wei per gas), best first; those of one sender ordered by nonce.

        It leaves out those of the senders that were set back. The engine checks each of them again, and stops
        reading when the block is full or its time is used up.
        """
        ...

    def slow(self, base_fee: int, accounts: AccountReader) -> Iterable[SignedTransaction]:
        """The transactions of the senders that were set back and that pay `base_fee`.

        The sender whose last turn is longest ago comes first, and those of one sender are ordered by nonce.
        """
        ...

    def set_back(self, transaction: SignedTransaction) -> None:
        """Offer the transactions of this sender in `slow` from now on, after those of the other senders.

        The engine calls it when a transaction needs more time than it gets at first, and after each turn.
        """
        ...

    def interrupted(self, transaction: SignedTransaction) -> int:
        """Count a turn that ended because the machine was busy, and return how many there were so far."""
        ...

    def discard(self, transaction: SignedTransaction, reason: str) -> None:
        """Remove a transaction that can never be included; its sender finds the `reason` by its hash.

        The engine does not discard a transaction that only has to wait (nonce gap, base fee too high, block full).
        """
        ...
