"""Burns become requests or refunds (docs/protocol.md, "Peg-out")."""

from collections.abc import Collection

from alysd.peg.addresses import NotPayable, payout_script
from alysd.peg.ledger import Draft, number_key
from alysd.types.peg import Burn, PegOutRequest, PegRules, Refund
from alysd.types.peg_history import BurnRecord, BurnsOf, OperationRecord, Requested
from alysd.types.units import Height, Sat

REFUND_DIVISOR = 10
"""A refused burn below `peg_out_minimum` divided by this is not refunded, so that many of them delay no refund."""


def record_burn(
    draft: Draft, burn: Burn, height: Height, rules: PegRules, own: Collection[bytes]
) -> NotPayable | None:
    """Take a burn into the ledger: as a request if the federation pays it, else as a refund to its sender.

    A refused burn that is too small for a refund belongs to the reserve. `height` is that of the block, `own` are
    the federation's scripts. Returns the reason for a refusal. A burn of less than a satoshi changes nothing.
    """
    if not burn.amount:
        return None
    draft.add(burned=burn.amount)
    request, refund = draft.totals.next_request, draft.totals.next_refund
    refusal: NotPayable | None = None
    try:
        script = _accepted_script(burn.amount, burn.address, rules, own)
    except NotPayable as reason:
        refusal = reason
        if REFUND_DIVISOR * burn.amount < rules.peg_out_minimum:
            draft.add(reserve=burn.amount)
        else:
            draft.owe_refund(Refund(burn.sender, burn.amount))
    else:
        owed = Sat(burn.amount - rules.peg_out_service_fee)
        draft.put(number_key(request), PegOutRequest(burn.sender, script, owed))
        draft.put(number_key(request), Requested(draft.totals.operations))
        draft.add(next_request=1, owed=owed, reserve=rules.peg_out_service_fee)
    _note(draft, burn, height, request, refund)
    return refusal


def refusal_of(amount: Sat, address: bytes, rules: PegRules, own: Collection[bytes]) -> NotPayable | None:
    """The reason for which a burn is refused; None if it is accepted."""
    try:
        _accepted_script(amount, address, rules, own)
    except NotPayable as reason:
        return reason
    return None


def _accepted_script(amount: Sat, address: bytes, rules: PegRules, own: Collection[bytes]) -> bytes:
    """The output script that pays a burn. Raises `NotPayable` with the reason for which the burn is refused."""
    if amount < rules.peg_out_minimum:
        raise NotPayable(f"{amount} sat were burned, less than the minimum of {rules.peg_out_minimum} sat")
    return payout_script(address, rules.bitcoin_network, own)


def _note(draft: Draft, burn: Burn, height: Height, request: int, refund: int) -> None:
    """Add the burn to the history. `request` and `refund` are the numbers that the burn got, if it got them."""
    totals = draft.totals
    record = BurnRecord(
        burn.transaction,
        burn.address,
        request if totals.next_request > request else None,
        refund if totals.next_refund > refund else None,
    )
    before = draft.changes.get((BurnsOf, burn.transaction))
    first, count = (before.first, before.count) if isinstance(before, BurnsOf) else (totals.operations, 0)
    draft.put(burn.transaction, BurnsOf(first, count + 1))
    draft.note(OperationRecord(height, burn.sender, burn.amount, None, record))
