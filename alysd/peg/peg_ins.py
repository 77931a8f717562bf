"""The rules of peg-ins that need no Bitcoin node, and the withdrawals of the peg (docs/protocol.md, "Peg-in").

Authorities judge, before they approve a block, whether its deposits exist on Bitcoin as the block states them.
"""

from collections.abc import Sequence
from itertools import pairwise

from alysd.peg.ledger import Draft, number_key
from alysd.peg.violations import AlreadyMinted, BadDeposit, NoRoomToMint
from alysd.types.hashes import EvmAddress
from alysd.types.peg import MAX_DEPOSIT_OUTPUTS, RESERVE, Minted, OutPoint, PegIn, Refund
from alysd.types.peg_history import OperationRecord, Refunded
from alysd.types.units import GWEI_PER_SAT, MAX_SAT, Gwei, Height, Sat

Mint = tuple[EvmAddress, Gwei]
"""A recipient and the amount that a withdrawal mints into its account."""


def mint_deposit(draft: Draft, peg_in: PegIn, height: Height, minimum: Sat, federations: int) -> None:
    """Take a deposit into the ledger. `federations` is the number of federations of the chain so far.

    Raises `BadDeposit` or `AlreadyMinted`.
    """
    _check_outputs(peg_in, minimum, federations)
    if draft.get(Minted, peg_in.txid) is not None:
        raise AlreadyMinted(peg_in.txid)
    draft.put(peg_in.txid, Minted(height, peg_in.amount))
    draft.note(OperationRecord(height, peg_in.recipient, peg_in.amount, peg_in.txid, burn=None))
    for output in peg_in.outputs:
        draft.hold(OutPoint(peg_in.txid, output.index), output.amount, output.federation)
    if peg_in.recipient == RESERVE:
        draft.add(reserve=peg_in.amount)
    else:
        draft.add(minted=peg_in.amount)


def _check_outputs(peg_in: PegIn, minimum: Sat, federations: int) -> None:
    places = [output.index for output in peg_in.outputs]
    if not 0 < len(places) <= MAX_DEPOSIT_OUTPUTS:
        raise BadDeposit(peg_in.txid, f"it must have 1 to {MAX_DEPOSIT_OUTPUTS} outputs, found {len(places)}")
    if any(later <= earlier for earlier, later in pairwise(places)):
        raise BadDeposit(peg_in.txid, "its outputs are not in ascending order")
    if not all(output.federation < federations for output in peg_in.outputs):
        raise BadDeposit(peg_in.txid, "an output names an unknown federation")
    least = min(output.amount for output in peg_in.outputs)
    if least < minimum:
        raise BadDeposit(peg_in.txid, f"each output must have at least {minimum} sat, found {least}")
    if peg_in.amount > MAX_SAT:
        raise BadDeposit(peg_in.txid, f"it must have at most {MAX_SAT} sat, found {peg_in.amount}")


def mints_of(peg_ins: Sequence[PegIn], room: int, limit: int) -> tuple[Mint, ...]:
    """The withdrawals of a block's peg-ins: one per recipient, in the order of their first appearance.

    A block has at most `limit` withdrawals, of which the fees leave `room`. Raises `NoRoomToMint`.
    """
    sums: dict[EvmAddress, int] = {}
    for peg_in in peg_ins:
        if peg_in.recipient != RESERVE:
            sums[peg_in.recipient] = sums.get(peg_in.recipient, 0) + peg_in.amount
    if len(sums) > room:
        raise NoRoomToMint(limit, limit - room + len(sums))
    return tuple((recipient, Gwei(amount * GWEI_PER_SAT)) for recipient, amount in sums.items())


def pay_refunds(draft: Draft, room: int, height: Height) -> tuple[Mint, ...]:
    """Pay as many refunds from the front of the queue as there is `room` for, and return their withdrawals.

    `height` is that of the block.
    """
    first, end = draft.totals.first_refund, draft.totals.next_refund
    mints: list[Mint] = []
    for number in range(first, min(end, first + room)):
        refund = draft.need(Refund, number_key(number))
        draft.delete(Refund, number_key(number))
        draft.put(number_key(number), Refunded(height))
        draft.add(first_refund=1, refunds_due=-refund.amount, refunded=refund.amount)
        mints.append((refund.recipient, Gwei(refund.amount * GWEI_PER_SAT)))
    return tuple(mints)
