"""An empty source of transactions, for an embedded engine that builds empty blocks."""

from collections.abc import Iterable

from alysd.embedded import AccountReader, SignedTransaction


class NothingPending:
    """A source without transactions."""

    def best(self, base_fee: int, accounts: AccountReader) -> Iterable[SignedTransaction]:
        """No transactions."""
        return ()

    def slow(self, base_fee: int, accounts: AccountReader) -> Iterable[SignedTransaction]:
        """No transactions."""
        return ()

    def set_back(self, transaction: SignedTransaction) -> None:
        """Raise `AssertionError`: this source offers no transactions."""
        raise AssertionError(f"{transaction.hash.hex()} was never offered")

    def interrupted(self, transaction: SignedTransaction) -> int:
        """Raise `AssertionError`: this source offers no transactions."""
        raise AssertionError(f"{transaction.hash.hex()} was never offered")

    def discard(self, transaction: SignedTransaction, reason: str) -> None:
        """Raise `AssertionError`: this source offers no transactions, so the engine cannot discard any."""
        raise AssertionError(f"{transaction.hash.hex()} was never offered (discarded: {reason})")
