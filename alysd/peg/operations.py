"""The operations of the peg, derived from the ledger and its history as of one moment.

The caller adds the data from Bitcoin.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Protocol, TypeVar

import attrs

from alysd.peg.ledger import number_key
from alysd.peg.requests import REFUND_DIVISOR, refusal_of
from alysd.types.chain import ChainState, Forkchoice
from alysd.types.hashes import BitcoinHash, EvmAddress, TransactionHash
from alysd.types.peg import Minted, Payment, PegContents, PegRules, PegTotals
from alysd.types.peg_history import BurnRecord, BurnsOf, OperationRecord, PaidRequest, Refunded, Requested
from alysd.types.peg_operation import OperationPage, OperationState, PegOperation, PegSummary
from alysd.types.tables import Entry, Table
from alysd.types.units import Height, Sat

T = TypeVar("T")

MAX_SCANNED = 1_000
"""The maximum number of operations that are read for one page: some 20 ms of a worker thread."""


class LedgerView(Protocol):
    """The ledger and the history as of one snapshot of the database, whose forkchoice is `tip`."""

    @property
    def tip(self) -> Forkchoice:
        """The head, safe and final block."""
        ...

    def get(self, table: Table, key: bytes) -> Entry | None:
        """An entry after the head."""
        ...

    def get_final(self, table: Table, key: bytes) -> Entry | None:
        """An entry after the last final block."""
        ...

    def payments(self) -> Sequence[Payment]:
        """The payments in flight after the head."""
        ...

    def state_at(self, height: Height) -> ChainState:
        """The chain's state after the canonical block at `height`, which exists."""
        ...

    def contents(self, height: Height) -> PegContents:
        """The peg's parts of the canonical block at `height`, which exists."""
        ...


@attrs.frozen
class Wanted:
    """The operations to list: those in `state` and of `account`. None stands for all states, or all accounts."""

    state: OperationState | None = None
    account: EvmAddress | None = None


@attrs.frozen
class Operations:
    """Reads operations from `view`. `own` are the output scripts of the federations, by number."""

    view: LedgerView
    rules: PegRules
    own: Sequence[bytes]

    def by_number(self, number: int) -> PegOperation | None:
        """The operation with this number, or None."""
        return self._shown(number, self._in_flight())

    def of_transaction(self, transaction: TransactionHash) -> tuple[PegOperation, ...]:
        """The burns of a transaction, in order; empty if it has none."""
        found = self._get(BurnsOf, Table.BURNS, transaction)
        if found is None:
            return ()
        payments = self._in_flight()
        shown = (self._shown(number, payments) for number in range(found.first, found.first + found.count))
        return tuple(one for one in shown if one is not None)

    def of_deposit(self, txid: BitcoinHash) -> tuple[PegOperation, tuple[int, ...]] | None:
        """The deposit with this txid if a block has credited it, and the indices of the outputs that counted."""
        minted = self._get(Minted, Table.MINTED, txid)
        if minted is None:
            return None
        peg_ins = [one.txid for one in self.view.contents(minted.height).peg_ins]
        first, place = self.view.state_at(Height(minted.height - 1)).peg.operations, peg_ins.index(txid)
        found = self._shown(first + place, {})
        outputs = self.view.contents(minted.height).peg_ins[place].outputs
        return None if found is None else (found, tuple(output.index for output in outputs))

    def without_payment(self, number: int) -> PegOperation | None:
        """The operation with this number, or None. Its state is as if no payment of it were in flight."""
        return self._shown(number, {})

    def of_request(self, request: int) -> int | None:
        """The number of the operation that made a request, or None."""
        found = self._get(Requested, Table.REQUESTED, number_key(request))
        return None if found is None else found.operation

    def of_refund(self, refund: int, paid: Height) -> int | None:
        """The number of the operation with a refund, which the block at the height `paid` has paid, or None.

        Reads some 25 states of the chain, to find the block of the burn, and then the operations of this block.
        """
        block = bisect_left(range(paid), refund + 1, key=lambda height: self._totals(height).next_refund)
        for number in range(self._totals(max(0, block - 1)).operations, self._totals(block).operations):
            found = self._operation(number)
            if found is not None and found.burn is not None and found.burn.refund == refund:
                return number
        return None

    def newest(self, before: int | None, limit: int, wanted: Wanted) -> OperationPage:
        """At most `limit` operations with numbers below `before`, the newest first.

        Reads at most `MAX_SCANNED` operations: with a filter, a page may have few, and yet not be the last.
        """
        payments = self._in_flight()
        count = self.view.tip.head.peg.operations
        start = count if before is None else min(before, count)
        stop = max(0, start - MAX_SCANNED)
        found: list[PegOperation] = []
        for number in range(start - 1, stop - 1, -1):
            one = self._shown(number, payments)
            if one is not None and _matches(one, wanted):
                found.append(one)
            if len(found) == limit:
                stop = number
                break
        return OperationPage(tuple(found), stop or None)

    def summary(self) -> PegSummary:
        """The number of open burns by state, and the oldest."""
        totals, payments = self.view.tip.head.peg, self._in_flight()
        counts = dict.fromkeys(_OPEN, 0)
        counts[OperationState.REQUESTED] = totals.next_request - totals.first_request
        counts[OperationState.REFUSED] = totals.next_refund - totals.first_refund
        for payment in payments.values():
            counts[self._state_of(payment)] += 1
        waiting = min(payments, default=totals.first_request)
        requested = self._get(Requested, Table.REQUESTED, number_key(waiting))
        found = None if requested is None else self._operation(requested.operation)
        if requested is None or found is None:
            return PegSummary(self.view.tip, tuple(counts.items()), None, None)
        since = self.view.state_at(found.height).timestamp
        return PegSummary(self.view.tip, tuple(counts.items()), requested.operation, since)

    def _shown(self, number: int, payments: dict[int, Payment]) -> PegOperation | None:
        found = self._operation(number)
        if found is None:
            return None
        burn = found.burn
        shown = PegOperation(
            OperationState.MINTED,
            found.amount,
            found.account,
            number,
            found.height,
            deposit=found.deposit,
            transaction=None if burn is None else burn.transaction,
            address=None if burn is None else burn.address,
        )
        if burn is None:
            final = found.height <= self.view.tip.finalized.height
            return attrs.evolve(shown, state=OperationState.FINAL) if final else shown
        return (
            self._refused(shown, burn) if burn.request is None else self._requested(shown, burn.request, payments)
        )

    def _requested(self, shown: PegOperation, request: int, payments: dict[int, Payment]) -> PegOperation:
        paid = self._get(PaidRequest, Table.PAID, number_key(request))
        if paid is not None:
            return attrs.evolve(
                shown,
                state=OperationState.CONFIRMED,
                payment=paid.txid,
                paid=paid.amount,
                ended=paid.height,
            )
        payment = payments.get(request)
        if payment is None:
            return attrs.evolve(shown, state=OperationState.REQUESTED)
        return attrs.evolve(shown, state=self._state_of(payment), versions=payment.versions)

    def _refused(self, shown: PegOperation, burn: BurnRecord) -> PegOperation:
        if burn.refund is None:
            return attrs.evolve(
                shown, state=OperationState.REFUSED, reason=self._reason(shown.amount, burn.address), refund=Sat(0)
            )
        paid = self._get(Refunded, Table.REFUNDED, number_key(burn.refund))
        return attrs.evolve(
            shown,
            state=OperationState.REFUSED if paid is None else OperationState.REFUNDED,
            reason=self._reason(shown.amount, burn.address),
            refund=shown.amount,
            ended=None if paid is None else paid.height,
        )

    def _reason(self, amount: Sat, address: bytes) -> str:
        reason = str(refusal_of(amount, address, self.rules, self.own))
        small = REFUND_DIVISOR * amount < self.rules.peg_out_minimum
        return f"{reason}; it is too small for a refund" if small else reason

    def _state_of(self, payment: Payment) -> OperationState:
        newest, name = payment.versions[-1], payment.versions[0].txid
        if newest.signed is not None:
            return OperationState.SIGNED
        if len(payment.versions) > 1:
            return OperationState.REPLACED
        final = self.view.get_final(Table.PAYMENTS, name) is not None
        return OperationState.FINAL if final else OperationState.PROPOSED

    def _in_flight(self) -> dict[int, Payment]:
        """The payments in flight, by the requests that they pay."""
        return {payee.request: payment for payment in self.view.payments() for payee in payment.payees}

    def _totals(self, height: int) -> PegTotals:
        return self.view.state_at(Height(height)).peg

    def _operation(self, number: int) -> OperationRecord | None:
        return self._get(OperationRecord, Table.OPERATIONS, number_key(number))

    def _get(self, kind: type[T], table: Table, key: bytes) -> T | None:
        found = self.view.get(table, key)
        return found if isinstance(found, kind) else None


_OPEN: tuple[OperationState, ...] = (
    OperationState.REQUESTED,
    OperationState.PROPOSED,
    OperationState.FINAL,
    OperationState.SIGNED,
    OperationState.REPLACED,
    OperationState.REFUSED,
)


def _matches(one: PegOperation, wanted: Wanted) -> bool:
    return wanted.state in (None, one.state) and wanted.account in (None, one.account)
