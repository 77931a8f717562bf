"""A data folder in which one pool after the other is opened, as by restarts of the node."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from alysd.embedded.engine.transaction import SignedTransaction
from alysd.embedded.engine.trie_state import EMPTY_STATE
from alysd.embedded.engine.values import AccountState
from alysd.embedded.pool.checks import PoolLimits
from alysd.embedded.pool.transaction_pool import Restored, TransactionPool
from alysd.types.hashes import EvmAddress
from alysd.types.units import Wei
from tests.embedded.engine.kit import CHAIN_ID, read

GAS_LIMIT = 30_000_000
Accounts = Callable[[EvmAddress], AccountState]


def account(nonce: int = 0, balance: int = 10**20) -> AccountState:
    return attrs.evolve(EMPTY_STATE, nonce=nonce, balance=Wei(balance))


def everyone_at(nonce: int) -> Accounts:
    return lambda _sender: account(nonce)


class Place:
    """A data folder, in which one pool after the other is opened."""

    def __init__(self, folder: Path) -> None:
        self.journal = folder / "pool.journal"
        self.restored = Restored(0, 0, 0)

    def open(self, accounts: Accounts = everyone_at(0), **limits: Any) -> TransactionPool:  # noqa: B008
        """The pool after a start, restored from the journal."""
        pool = TransactionPool(CHAIN_ID, PoolLimits(**limits), self.journal)
        self.restored = pool.restore(accounts, GAS_LIMIT, 0.0)
        return pool


def add(pool: TransactionPool, *raw: bytes, accounts: Accounts = everyone_at(0)) -> list[SignedTransaction]:  # noqa: B008
    added = [read(one) for one in raw]
    for one in added:
        pool.add(one, accounts, GAS_LIMIT, 0.0)
    return added
