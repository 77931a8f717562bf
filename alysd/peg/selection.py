"""The judgement of the outputs that a proposed payment spends (docs/protocol.md, "Proposal")."""

from collections.abc import Sequence

from alysd.errors import PaymentDeclined
from alysd.peg.coins import Coin, SelectionTarget, largest_first
from alysd.peg.proposals import costs_of
from alysd.peg.signing import Spending
from alysd.peg.weights import DUST_CHANGE, payment_weight, signed_weight
from alysd.types.peg import MAX_INPUTS, Payment
from alysd.types.units import Sat

_ALLOWANCE = SelectionTarget(Sat(0), Sat(0), 0).change_weight
"""The weight of a change, which a choice without change may spend on inputs instead."""


def judge_selection(made: Payment, coins: Sequence[Coin], spendings: Sequence[Spending]) -> None:
    """Compare the weight that the payees pay for with that of the largest outputs for the same payees.

    The payment may be heavier by a quarter and the weight of a change, because its author may use another
    strategy. `coins` are the outputs that no payment in flight spends. Raises `PaymentDeclined`.
    """
    own = largest_first(coins, SelectionTarget(made.owed, DUST_CHANGE, MAX_INPUTS))
    if own is None:
        return
    payees = [payee.script for payee in made.payees]
    scripts = [*payees, spendings[made.federation].output_script]
    fee = made.versions[0].fee
    unneeded = costs_of(made.inputs, made.owed, fee, scripts, spendings).extra_weight
    found = payment_weight(made, spendings) - unneeded
    least = signed_weight(scripts, [spendings[coin.federation] for coin in own])
    if found > least + least // 4 + _ALLOWANCE:
        share, fair = (fee * weight // found // len(payees) for weight in (found, least))
        raise PaymentDeclined(
            f"it spends {len(made.inputs)} outputs, and {len(own)} are enough: "
            f"each payee would pay {share} sat instead of {fair} sat"
        )
