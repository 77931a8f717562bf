"""The moves of operations by one block, from its changes of the ledger and of the history.

A view of the ledger after the block, or after a later one, resolves the numbers of requests and refunds.
"""

from collections.abc import Callable, Iterator, Sequence

import attrs

from alysd.peg.operations import Operations
from alysd.types.hashes import BitcoinHash
from alysd.types.peg import Payment
from alysd.types.peg_history import BurnRecord, OperationRecord, PaidRequest, Refunded
from alysd.types.peg_operation import OperationMoves, OperationState, PegOperation
from alysd.types.tables import EntryChange
from alysd.types.units import Height, Sat

MOST_MOVES = 256
"""The maximum number of moves that are read of one block: those of four full payments.

A block can have thousands of burns, and each move takes some 0.1 ms of a worker thread."""


def operation_moves(changes: Sequence[EntryChange], height: Height, operations: Operations) -> OperationMoves:
    """Read the moves of operations by the block at `height`, which is canonical in the view of `operations`."""
    found = [move for change in changes for move in _moves_of(change, height)]
    shown = [_shown(move, height, operations) for move in found[:MOST_MOVES]]
    return OperationMoves(height, tuple(one for one in shown if one is not None), max(0, len(found) - MOST_MOVES))


@attrs.frozen
class _Move:
    """A move to `state`. `find` finds the operation's number, in one lookup or some.

    `payment` is the version that a block proposes, signs or confirms, `paid` the amount of a confirmed payment.
    """

    state: OperationState
    find: Callable[[Operations], int | None]
    payment: BitcoinHash | None = None
    paid: Sat | None = None


def _moves_of(change: EntryChange, height: Height) -> Iterator[_Move]:
    number = int.from_bytes(change.key, "big")
    match change.value:
        case OperationRecord(burn=None):
            yield _Move(OperationState.MINTED, lambda _: number)
        case OperationRecord(burn=BurnRecord(request=request)):
            yield _Move(OperationState.REFUSED if request is None else OperationState.REQUESTED, lambda _: number)
        case Payment():
            yield from _payment_moves(change.value, height)
        case PaidRequest(txid, _, amount):
            yield _Move(OperationState.CONFIRMED, lambda operations: operations.of_request(number), txid, amount)
        case Refunded():
            yield _Move(OperationState.REFUNDED, lambda operations: operations.of_refund(number, height))
        case _:
            pass  # a payment that is confirmed, of which `PaidRequest` says more


def _payment_moves(payment: Payment, height: Height) -> Iterator[_Move]:
    states = [(OperationState.SIGNED, one.txid) for one in payment.versions if one.signed == height]
    newest = payment.versions[-1]
    if newest.signed is None:
        first = len(payment.versions) == 1
        states.append((OperationState.PROPOSED if first else OperationState.REPLACED, newest.txid))
    for state, txid in states:
        for payee in payment.payees:
            yield _Move(state, _of_request(payee.request), txid)


def _of_request(number: int) -> Callable[[Operations], int | None]:
    return lambda operations: operations.of_request(number)


def _shown(move: _Move, height: Height, operations: Operations) -> PegOperation | None:
    """The operation after the move; None if a reorganisation has removed it meanwhile."""
    number = move.find(operations)
    found = None if number is None else operations.without_payment(number)
    if found is None:
        return None
    ended = height if move.state in (OperationState.CONFIRMED, OperationState.REFUNDED) else None
    return attrs.evolve(found, state=move.state, payment=move.payment, paid=move.paid, ended=ended)
