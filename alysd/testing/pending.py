"""A source of transactions for an embedded engine whose blocks are to be empty."""

from collections.abc import Iterable

from alysd.embedded import AccountReader, SignedTransaction


class NothingPending:
    """A source without transactions."""

    def best(self, base_fee: int, accounts: AccountReader) -> Iterable[SignedTransaction]:
        """Nothing."""
        return ()

    def discard(self, transaction: SignedTransaction, reason: str) -> None:
        """Nothing is ever offered, so nothing is ever discarded."""
        raise AssertionError(f"{transaction.hash.hex()} was never offered (discarded: {reason})")
