"""Burns become requests or refunds (docs/protocol.md, "Peg-out")."""

from collections.abc import Collection

from alysd.peg.addresses import NotPayable, payout_script
from alysd.peg.ledger import Draft, number_key
from alysd.types.peg import Burn, PegOutRequest, PegRules, Refund
from alysd.types.units import Sat

REFUND_DIVISOR = 10
"""A refused burn below `peg_out_minimum` divided by this is not refunded, so that many of them delay no refund."""


def record_burn(draft: Draft, burn: Burn, rules: PegRules, own: Collection[bytes]) -> NotPayable | None:
    """Take a burn into the ledger: as a request if the federation pays it, else as a refund to its sender.

    A refused burn that is too small for a refund belongs to the reserve. `own` are the federation's scripts.
    Returns the reason for a refusal. A burn of less than a satoshi changes nothing.
    """
    if not burn.amount:
        return None
    draft.add(burned=burn.amount)
    try:
        script = _accepted(burn, rules, own)
    except NotPayable as reason:
        if REFUND_DIVISOR * burn.amount < rules.peg_out_minimum:
            draft.add(reserve=burn.amount)
        else:
            draft.owe_refund(Refund(burn.sender, burn.amount))
        return reason
    owed = Sat(burn.amount - rules.peg_out_service_fee)
    draft.put(number_key(draft.totals.next_request), PegOutRequest(burn.sender, script, owed))
    draft.add(next_request=1, owed=owed, reserve=rules.peg_out_service_fee)
    return None


def _accepted(burn: Burn, rules: PegRules, own: Collection[bytes]) -> bytes:
    if burn.amount < rules.peg_out_minimum:
        raise NotPayable(f"the minimum is {rules.peg_out_minimum} sat, and {burn.amount} sat were burned")
    return payout_script(burn.address, rules.bitcoin_network, own)
