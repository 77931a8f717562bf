"""The reasons for which the pool refuses a transaction, one class each, with the texts of geth.

Tools search for these texts. Source: go-ethereum 1.17, core/error.go, core/txpool/errors.go and
core/txpool/validation.go.
"""

import attrs

from alysd.embedded.engine.transaction import TransactionRefused


class Unprotected(TransactionRefused):
    """The signature has no chain id, so the transaction could be replayed on another chain (EIP-155)."""

    def __str__(self) -> str:
        return "only replay-protected (EIP-155) transactions allowed over RPC"


@attrs.frozen(str=False)
class Oversized(TransactionRefused):
    """The transaction has more bytes than the pool takes."""

    size: int
    most: int

    def __str__(self) -> str:
        return f"oversized data: transaction size {self.size}, limit {self.most}"


@attrs.frozen(str=False)
class InitCodeTooLarge(TransactionRefused):
    """A contract creation's code is larger than EIP-3860 allows."""

    size: int
    most: int

    def __str__(self) -> str:
        return f"max initcode size exceeded: code size {self.size} limit {self.most}"


class ExceedsBlockGasLimit(TransactionRefused):
    """The transaction needs more gas than a block has."""

    def __str__(self) -> str:
        return "exceeds block gas limit"


class TipAboveFee(TransactionRefused):
    """The priority fee is higher than the maximum fee (EIP-1559)."""

    def __str__(self) -> str:
        return "max priority fee per gas higher than max fee per gas"


class NonceAtMaximum(TransactionRefused):
    """The nonce is 2^64 - 1 (EIP-2681)."""

    def __str__(self) -> str:
        return "nonce has max value"


@attrs.frozen(str=False)
class IntrinsicGasTooLow(TransactionRefused):
    """The gas is less than the transaction uses before any code runs."""

    gas: int
    needed: int

    def __str__(self) -> str:
        return f"intrinsic gas too low: gas {self.gas}, minimum needed {self.needed}"


@attrs.frozen(str=False)
class TipTooLow(TransactionRefused):
    """The priority fee is below the pool's minimum; both in wei per gas."""

    tip: int
    least: int

    def __str__(self) -> str:
        return f"transaction gas price below minimum: gas tip cap {self.tip}, minimum needed {self.least}"


@attrs.frozen(str=False)
class NonceTooLow(TransactionRefused):
    """The account has already used this nonce."""

    next: int
    nonce: int

    def __str__(self) -> str:
        return f"nonce too low: next nonce {self.next}, tx nonce {self.nonce}"


@attrs.frozen(str=False)
class InsufficientFunds(TransactionRefused):
    """The account cannot pay `cost` wei, and `queued` wei for its other transactions in the pool."""

    balance: int
    queued: int
    cost: int

    def __str__(self) -> str:
        overshot = self.queued + self.cost - self.balance
        queued = f"queued cost {self.queued}, " if self.queued else ""
        words = "insufficient funds for gas * price + value"
        return f"{words}: balance {self.balance}, {queued}tx cost {self.cost}, overshot {overshot}"


class AlreadyKnown(TransactionRefused):
    """The same transaction is already in the pool."""

    def __str__(self) -> str:
        return "already known"


@attrs.frozen(str=False)
class Dropped(TransactionRefused):
    """The engine has discarded the same transaction before."""

    reason: str

    def __str__(self) -> str:
        return f"transaction dropped: {self.reason}"


class ReplacementUnderpriced(TransactionRefused):
    """The pool has a transaction with this nonce. A replacement must raise both fees by at least a tenth."""

    def __str__(self) -> str:
        return "replacement transaction underpriced"


class Underpriced(TransactionRefused):
    """The pool is full, and the new transaction would be evicted first (`TransactionPool`)."""

    def __str__(self) -> str:
        return "transaction underpriced"


@attrs.frozen(str=False)
class AccountLimitExceeded(TransactionRefused):
    """The account has the maximum number of transactions in the pool."""

    pooled: int

    def __str__(self) -> str:
        return f"account limit exceeded: pooled {self.pooled} txs"
