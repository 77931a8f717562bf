"""The keyed tables of the chain's state. They hold the data that is too large for a `ChainState` per block.

Like a `ChainState`, an entry belongs to a branch: an `EntryChange` applies to its block and all descendants.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple

import attrs

from alysd.types.hashes import AuxHash, BitcoinHash, BlockHash, TransactionHash
from alysd.types.peg import (
    FederationOutput,
    FreeOutput,
    Minted,
    PaidOut,
    Payment,
    PegOutRequest,
    Refund,
    VersionOf,
)
from alysd.types.peg_history import BurnsOf, OperationRecord, PaidRequest, Refunded, Requested, SignedVersion
from alysd.types.units import Height


@attrs.frozen
class Proof:
    """A proof of work that made blocks final: the block that includes it, and the hash of the proven work."""

    block: BlockHash
    height: Height
    aux_hash: AuxHash


LedgerEntry = FederationOutput | FreeOutput | Minted | PegOutRequest | Refund | Payment | VersionOf | PaidOut
"""The types of the values of the peg's ledger."""

HistoryEntry = OperationRecord | BurnsOf | Requested | PaidRequest | Refunded | SignedVersion
"""The types of the values of the peg's history."""

Entry = Proof | LedgerEntry | HistoryEntry
"""The type of the values of all tables."""


class Table(Enum):
    """The names of the tables. `SHAPES` has the types of their keys and values."""

    PROOFS = "proofs"
    """Maps the hash of a final block to the proof of work that covers it."""

    WORKS = "works"
    """Maps the hash of offered work to the proof of this work. Every included proof has an entry."""

    OUTPUTS = "outputs"
    """Maps an outpoint (`OutPoint.key`) to the output, which the federation holds."""

    COINS = "coins"
    """The outputs that no payment in flight spends, under the keys of `types.peg.coin_key`.

    Those of the newest federation come first, and of each federation the largest."""

    MINTED = "minted"
    """Maps the txid of a deposit to its mint. Entries are never deleted, so that no deposit is minted twice."""

    REQUESTS = "requests"
    """Maps the number of a request for a payment (8 bytes) to the request, until a payment is proposed."""

    REFUNDS = "refunds"
    """Maps the number of a refund (8 bytes) to the refund, until it is paid."""

    PAYMENTS = "payments"
    """Maps the txid of the first version of a payment to the payment, until it is confirmed."""

    SPENDS = "spends"
    """Maps the txid of each version of a payment to the payment."""

    CONFIRMED = "confirmed"
    """Maps the txid of a confirmed payment to its confirmation. Entries are never deleted."""

    OPERATIONS = "operations"
    """Maps the number of an operation (8 bytes) to the operation. The entries of the history are never deleted."""

    BURNS = "burns"
    """Maps the hash of a transaction to its burns."""

    REQUESTED = "requested"
    """Maps the number of a request (8 bytes) to its operation."""

    PAID = "paid"
    """Maps the number of a request (8 bytes) to its confirmed payment."""

    REFUNDED = "refunded"
    """Maps the number of a refund (8 bytes) to the block that paid it."""

    SIGNED = "signed"
    """Maps the txid of each version of a payment that the members have signed to the block with its witnesses."""


WRITTEN_ONCE = frozenset({
    *(Table.MINTED, Table.CONFIRMED),
    *(Table.OPERATIONS, Table.BURNS, Table.REQUESTED, Table.PAID, Table.REFUNDED),
})  # fmt: skip
"""The tables whose entries no later block of the branch changes. So a final entry holds on every branch."""


class Shape(NamedTuple):
    """The types of a table: its keys are byte strings of one length, its values instances of one attrs class."""

    key: Any
    value: type[Any]


SHAPES: Mapping[Table, Shape] = {
    Table.PROOFS: Shape(BlockHash, Proof),
    Table.WORKS: Shape(AuxHash, Proof),
    Table.OUTPUTS: Shape(bytes, FederationOutput),
    Table.COINS: Shape(bytes, FreeOutput),
    Table.MINTED: Shape(BitcoinHash, Minted),
    Table.REQUESTS: Shape(bytes, PegOutRequest),
    Table.REFUNDS: Shape(bytes, Refund),
    Table.PAYMENTS: Shape(BitcoinHash, Payment),
    Table.SPENDS: Shape(BitcoinHash, VersionOf),
    Table.CONFIRMED: Shape(BitcoinHash, PaidOut),
    Table.OPERATIONS: Shape(bytes, OperationRecord),
    Table.BURNS: Shape(TransactionHash, BurnsOf),
    Table.REQUESTED: Shape(bytes, Requested),
    Table.PAID: Shape(bytes, PaidRequest),
    Table.REFUNDED: Shape(bytes, Refunded),
    Table.SIGNED: Shape(BitcoinHash, SignedVersion),
}

LEDGER: Mapping[type[Any], Table] = {
    SHAPES[table].value: table for table in SHAPES if table not in (Table.PROOFS, Table.WORKS)
}
"""The tables of the peg's ledger and history, by the class of their values."""

MOVES = frozenset({Table.OPERATIONS, Table.PAYMENTS, Table.PAID, Table.REFUNDED})
"""The tables whose changes move operations of the peg to another state."""

EntryKey = tuple[Table, bytes]
"""A table, and the key of one of its entries."""


@attrs.frozen
class EntryPage:
    """Some entries of a table in the order of their keys. `next` continues the list; None at its end."""

    entries: tuple[tuple[bytes, Entry], ...]
    next: bytes | None


@attrs.frozen
class EntryChange:
    """A block's change to one entry: `value` replaces the entry, None deletes it."""

    table: Table
    key: bytes
    value: Entry | None
