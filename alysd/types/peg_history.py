"""The history of the peg: facts that the ledger forgets, for people who follow an operation.

It is written with the ledger and undone with it, and no rule of the protocol reads it. Deposits that blocks have
credited and burns are the operations. They are numbered from 0 in the order of the chain, and within a block
deposits come before burns.
"""

import attrs

from alysd.types.hashes import BitcoinHash, EvmAddress, TransactionHash
from alysd.types.units import Height, Sat


@attrs.frozen
class BurnRecord:
    """The parts of an operation that only a burn has: its transaction, and the address as the sender gave it.

    `request` is the number of the request if the burn was accepted, `refund` that of the refund if the burn was
    refused. A refused burn that is too small for a refund has neither.
    """

    transaction: TransactionHash
    address: bytes
    request: int | None
    refund: int | None


@attrs.frozen
class OperationRecord:
    """A deposit or a burn in the block at `height`: `deposit` is the txid of a deposit, `burn` describes a burn.

    `account` is the recipient of a deposit (`types.peg.RESERVE` for the reserve), or the sender of a burn.
    """

    height: Height
    account: EvmAddress
    amount: Sat
    deposit: BitcoinHash | None
    burn: BurnRecord | None


@attrs.frozen
class BurnsOf:
    """The burns of one transaction: the `count` operations from the number `first` on."""

    first: int
    count: int


@attrs.frozen
class Requested:
    """The number of the operation that made a request."""

    operation: int


@attrs.frozen
class PaidRequest:
    """The payment of a request: the block at `height` says that the Bitcoin transaction `txid` is confirmed.

    `amount` is the amount owed, less the request's share of the Bitcoin fee.
    """

    txid: BitcoinHash
    height: Height
    amount: Sat


@attrs.frozen
class SignedVersion:
    """A version of a payment whose witnesses are in the block at `height`."""

    height: Height


@attrs.frozen
class Refunded:
    """A refund that the withdrawals of the block at `height` have paid."""

    height: Height
