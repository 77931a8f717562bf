"""The peg's ledger while a block changes it, and the equality of its sums (docs/protocol.md, "The equality").

A `Draft` begins with the sums after the parent block and with the entries that the block's rules read. The rules
change the draft one by one; the result is new sums and the changes of the entries. Nothing else changes the
ledger.
"""

from collections.abc import Mapping
from typing import TypeVar

import attrs

from alysd.errors import InvalidBlock
from alysd.types.hashes import BitcoinHash
from alysd.types.peg import (
    FederationOutput,
    FreeOutput,
    OutPoint,
    Payment,
    PaymentInput,
    PegTotals,
    Refund,
    coin_key,
)
from alysd.types.peg_history import OperationRecord
from alysd.types.tables import HistoryEntry, LedgerEntry
from alysd.types.units import MAX_SAT, Sat

T = TypeVar("T")

Value = LedgerEntry | HistoryEntry
"""The types of the entries of the ledger and of its history."""

Key = tuple[type[Value], bytes]
"""The key of an entry: the class of its value says which table it is in."""


@attrs.frozen
class LedgerBroken(InvalidBlock):
    """After the block, the two sides of the equality would differ, or one of the sums would be out of its bounds.

    No block that satisfies the other rules can raise this error. If one does nevertheless, every node refuses the
    block, and authors make blocks without peg contents.
    """

    totals: PegTotals

    def __str__(self) -> str:
        return f"the ledger of the peg is broken: {self.totals}"


@attrs.define
class Draft:
    """The ledger during a block.

    `found` maps each key that the block's rules read to its entry after the parent block, or to None without one.
    """

    totals: PegTotals
    found: Mapping[Key, Value | None]
    changes: dict[Key, Value | None] = attrs.Factory(dict[Key, Value | None])

    def get(self, kind: type[T], key: bytes) -> T | None:
        """The entry of the class `kind` under `key`, or None. Raises `KeyError` for a key that was not read."""
        place: Key = (kind, key)  # pyright: ignore[reportAssignmentType]  T is one of the classes of Value
        value = self.changes[place] if place in self.changes else self.found[place]
        if value is not None and not isinstance(value, kind):
            raise TypeError(f"the entry must be a {kind.__name__}, found {type(value).__name__}")
        return value

    def need(self, kind: type[T], key: bytes) -> T:
        """The entry of the class `kind` under `key`, which the totals say exists. Raises `LedgerBroken`."""
        value = self.get(kind, key)
        if value is None:
            raise LedgerBroken(self.totals)
        return value

    def put(self, key: bytes, value: Value) -> None:
        """Write an entry."""
        self.changes[type(value), key] = value

    def delete(self, kind: type[Value], key: bytes) -> None:
        """Delete an entry."""
        self.changes[kind, key] = None

    def add(self, **amounts: int) -> None:
        """Add to sums and counters of the totals; negative amounts subtract."""
        now = {name: getattr(self.totals, name) + amount for name, amount in amounts.items()}
        self.totals = attrs.evolve(self.totals, **now)

    def hold(self, outpoint: OutPoint, amount: Sat, federation: int) -> None:
        """Add a confirmed output to those that the federation holds."""
        self.put(outpoint.key, FederationOutput(amount, federation, payment=None))
        self.put(coin_key(federation, amount, outpoint), FreeOutput(federation))
        self.add(held=amount, outputs=1)

    def reserve(self, one: PaymentInput, payment: BitcoinHash) -> None:
        """Reserve for `payment` an output that the federation holds."""
        self.put(one.spends.key, FederationOutput(one.amount, one.federation, payment))
        self.delete(FreeOutput, coin_key(one.federation, one.amount, one.spends))

    def count(self, payment: Payment, change: int) -> None:
        """Add `change`, 1 or -1, to the number of payments in flight that spend outputs of the same federation."""
        name = "moving" if payment.is_of_former else "paying"
        counts: tuple[int, ...] = getattr(self.totals, name)
        counts += (0,) * (payment.spender + 1 - len(counts))
        changed = [one + change * (number == payment.spender) for number, one in enumerate(counts)]
        while changed and not changed[-1]:
            changed.pop()
        self.totals = attrs.evolve(self.totals, **{name: tuple(changed)})

    def note(self, operation: OperationRecord) -> None:
        """Add an operation to the history."""
        self.put(number_key(self.totals.operations), operation)
        self.add(operations=1)

    def owe_refund(self, refund: Refund) -> None:
        """Put a refund at the end of the queue of refunds."""
        self.put(number_key(self.totals.next_refund), refund)
        self.add(refunds_due=refund.amount, next_refund=1)


def number_key(number: int) -> bytes:
    """The key of a request or refund: its number in 8 bytes."""
    return number.to_bytes(8, "big")


def check_totals(totals: PegTotals) -> None:
    """Check the equality and the bounds of all sums. Raises `LedgerBroken`."""
    left = totals.held + totals.burned
    right = totals.minted + totals.refunded + totals.refunds_due + totals.owed + totals.reserve
    sums = (
        totals.held,
        totals.refunds_due,
        totals.owed,
        totals.reserve,
        totals.pledged,
        totals.outputs,
        *totals.paying,
        *totals.moving,
    )
    possible = all(value >= 0 for value in sums) and totals.held <= MAX_SAT and totals.pledged <= totals.reserve
    queues = totals.first_request <= totals.next_request and totals.first_refund <= totals.next_refund
    if left != right or not possible or not queues:
        raise LedgerBroken(totals)


def free_reserve(totals: PegTotals) -> Sat:
    """The part of the reserve that no payment in flight uses."""
    return Sat(totals.reserve - totals.pledged)
