"""The checks of a single transaction before it enters the pool, in the order and with the texts of geth."""

import attrs

from alysd.embedded.engine.intrinsic_gas import gas_before_code
from alysd.embedded.engine.transaction import BLOB, InvalidSender, SignedTransaction, UnsupportedType
from alysd.embedded.engine.values import AccountState
from alysd.embedded.pool.refusals import (
    ExceedsBlockGasLimit,
    InitCodeTooLarge,
    InsufficientFunds,
    IntrinsicGasTooLow,
    NonceAtMaximum,
    NonceTooLow,
    TipAboveFee,
    TipTooLow,
    Unprotected,
)

MAX_INITCODE = 49_152
"""The largest init code of a contract creation, in bytes (EIP-3860)."""


@attrs.frozen
class PoolLimits:
    """Limits of the pool. Geth's limits are the defaults. 32 MiB hold 256 transactions of the largest size."""

    transactions: int = 5_120
    total_bytes: int = 32 * 1024 * 1024
    per_sender: int = 256
    queued: int = 1_024
    queued_per_sender: int = 64
    transaction_bytes: int = 128 * 1024
    queued_seconds: float = 3 * 3600.0
    replacement_percent: int = 10
    minimum_tip: int = 1_000_000
    """The minimum tip in wei per gas. The default, 0.001 gwei, is geth's minimum for blocks: 2 sat per
    transfer."""


def check_transaction(transaction: SignedTransaction, chain_id: int, gas_limit: int, limits: PoolLimits) -> None:
    """Raise `TransactionRefused` if the pool or a block with `gas_limit` gas must not include the transaction."""
    if transaction.type >= BLOB:
        raise UnsupportedType(transaction.type)
    if transaction.chain_id is None:
        raise Unprotected
    if transaction.chain_id != chain_id:
        raise InvalidSender(f"invalid chain id for signer: have {transaction.chain_id} want {chain_id}")
    if transaction.to is None and len(transaction.data) > MAX_INITCODE:
        raise InitCodeTooLarge(len(transaction.data), MAX_INITCODE)
    if transaction.gas > gas_limit:
        raise ExceedsBlockGasLimit
    if transaction.max_fee < transaction.max_priority_fee:
        raise TipAboveFee
    if transaction.nonce >= 2**64 - 1:
        raise NonceAtMaximum
    needed = intrinsic_gas(transaction)
    if transaction.gas < needed:
        raise IntrinsicGasTooLow(transaction.gas, needed)
    if transaction.max_priority_fee < limits.minimum_tip:
        raise TipTooLow(transaction.max_priority_fee, limits.minimum_tip)


def intrinsic_gas(transaction: SignedTransaction) -> int:
    """Gas that a transaction uses before any code runs (EIP-2, EIP-2028, EIP-2930, EIP-3860)."""
    keys = [len(keys) for _, keys in transaction.access_list]
    return gas_before_code(transaction.data, creates=transaction.to is None, access_list_keys=keys)


def check_account(transaction: SignedTransaction, account: AccountState, committed: int) -> None:
    """Raise `TransactionRefused` if the nonce is used or the account cannot pay.

    The account also has to pay `committed` wei for its other transactions in the pool.
    """
    if transaction.nonce < account.nonce:
        raise NonceTooLow(account.nonce, transaction.nonce)
    if transaction.cost > account.balance:
        raise InsufficientFunds(account.balance, 0, transaction.cost)
    if transaction.cost + committed > account.balance:
        raise InsufficientFunds(account.balance, committed, transaction.cost)
