"""What the engine needs of a transaction pool to build blocks."""

from collections.abc import Iterable
from typing import Protocol

from alysd.embedded.engine.transaction import SignedTransaction
from alysd.embedded.engine.values import AccountState
from alysd.types.hashes import EvmAddress


class AccountReader(Protocol):
    """The accounts as they are when a block begins."""

    def account(self, address: EvmAddress) -> AccountState:
        """The account, the empty one if it does not exist."""
        ...


class PendingSource(Protocol):
    """Where a block's transactions come from. Called in the engine's worker thread, never two calls at a time."""

    def best(self, base_fee: int, accounts: AccountReader) -> Iterable[SignedTransaction]:
        """The transactions worth including at `base_fee` (wei a gas), best first, each sender's by nonce.

        The engine checks each again and stops reading when the block or its time is full.
        """
        ...

    def discard(self, transaction: SignedTransaction, reason: str) -> None:
        """Forget a transaction that can never be included, or takes longer to execute than a block may.

        What merely has to wait (a nonce gap, a base fee too high, no room left) is not discarded.
        """
        ...
