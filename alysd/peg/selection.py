"""The judgement of the outputs that a proposed payment spends (docs/protocol.md, "Proposal")."""

from collections.abc import Sequence

from alysd.errors import PaymentDeclined
from alysd.peg.coins import Coin, SelectionTarget, largest_first
from alysd.peg.consolidation import Waiting
from alysd.peg.estimates import LOW_RATE
from alysd.peg.proposals import CONSOLIDATE_ABOVE, costs_of
from alysd.peg.signing import Spending
from alysd.peg.weights import DUST_CHANGE, payment_weight, rate_of, signed_weight
from alysd.types.peg import MAX_INPUTS, Payee, Payment
from alysd.types.units import Sat

MOST_FOR_UNNEEDED = 2 * LOW_RATE
"""The largest fee rate of a payment with unneeded outputs, in sat per 1,000 virtual bytes.

Authors add them up to `LOW_RATE`. One of them alone could otherwise spend the whole reserve while fees are high.
"""

_ALLOWANCE = SelectionTarget(Sat(0), Sat(0), 0).change_weight
"""The weight of a change, which a choice without change may spend on inputs instead."""


def choice_for(
    payees: Sequence[Payee], coins: Sequence[Coin], newest: Spending, most: int = MAX_INPUTS
) -> tuple[Sequence[Coin], SelectionTarget]:
    """The coins from which a payment of these requests chooses, and what it needs; for authors and judges.

    The last payee may have asked for the address that is now the newest federation's. The rules would take its
    output for the change, so there must be one after it. Beside a coin of this very amount, others are unneeded.
    """
    owed = Sat(sum(payee.owed for payee in payees))
    if payees[-1].script != newest.output_script:
        return coins, SelectionTarget(owed, DUST_CHANGE, most)
    usable = [coin for coin in coins if coin.amount != owed]
    return usable, SelectionTarget(Sat(owed + DUST_CHANGE), Sat(0), MAX_INPUTS)


def judge_selection(made: Payment, coins: Sequence[Coin], spendings: Sequence[Spending]) -> None:
    """Compare the weight that the payees pay for with that of the largest outputs for the same payees.

    The payment may be heavier by a quarter and the weight of a change, because its author may use another
    strategy. Unneeded outputs, for which the reserve pays, can wait for low fees, and until this federation has
    many. `coins` are the outputs of the same federation that no payment in flight spends: the largest ones, at
    least `CONSOLIDATE_ABOVE` + 1 if there are as many. Raises `PaymentDeclined`.
    """
    payees = [payee.script for payee in made.payees]
    scripts = [*payees, spendings[made.federation].output_script]
    fee = made.versions[0].fee
    unneeded = costs_of(made.inputs, made.owed, fee, scripts, spendings)
    rate = rate_of(made, fee, spendings)
    if unneeded.extra and rate > MOST_FOR_UNNEEDED:
        raise PaymentDeclined(
            f"it spends {unneeded.extra} outputs that its payees do not need, at {rate} sat/kvB: at most "
            f"{MOST_FOR_UNNEEDED} sat/kvB are allowed for these"
        )
    if unneeded.extra and len(coins) <= CONSOLIDATE_ABOVE:
        raise PaymentDeclined(
            f"it spends {unneeded.extra} outputs that its payees do not need, and only {len(coins)} outputs of "
            f"the federation {made.spender} are free: more than {CONSOLIDATE_ABOVE} must be"
        )
    own = largest_first(*choice_for(made.payees, coins, spendings[made.federation]))
    if own is None:
        return
    found = payment_weight(made, spendings) - unneeded.extra_weight
    least = signed_weight(scripts, [spendings[coin.federation] for coin in own])
    if found > least + least // 4 + _ALLOWANCE:
        share, fair = (fee * weight // found // len(payees) for weight in (found, least))
        raise PaymentDeclined(
            f"it spends {len(made.inputs)} outputs, and {len(own)} are enough: "
            f"each payee would pay {share} sat instead of {fair} sat"
        )


def check_former_needed(made: Payment, waiting: Waiting) -> None:
    """Check that the first request needs outputs of a former federation, as in `waiting` those of the newest one.

    It waits for the former members' signatures. Raises `PaymentDeclined`.
    """
    if not waiting.is_stuck:
        raise PaymentDeclined(
            f"it spends outputs of the former federation {made.spender}, and those of the newest one are enough "
            "for the first request"
        )
