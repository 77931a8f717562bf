"""Consolidations: payments without payees (docs/protocol.md, "Consolidation").

They join outputs when the first request needs more of them than a payment can spend. This request bears the fee.
"""

from collections.abc import Sequence

import attrs

from alysd.errors import PaymentDeclined
from alysd.peg.coins import Coin
from alysd.peg.proposals import MIN_CONSOLIDATED
from alysd.peg.signing import Spending
from alysd.peg.versions import MakeTransaction, payment_transaction
from alysd.peg.weights import DUST_CHANGE, fee_at, signed_weight
from alysd.types.peg import MAX_INPUTS, Payment, PaymentInput, PegOutProposal
from alysd.types.units import Sat


@attrs.frozen
class Waiting:
    """The amount that the first waiting request is `owed`, and the outputs that could pay it.

    They decide whether a consolidation is needed. `coins` are the outputs of one federation that no payment in
    flight spends, the largest first. `changes` are the amounts of the changes that its payments in flight will
    make for this federation.
    """

    owed: Sat
    coins: Sequence[Coin]
    changes: Sequence[Sat]

    @property
    def is_stuck(self) -> bool:
        """Whether the largest outputs that a payment can spend hold less than the amount owed."""
        amounts = sorted([*(coin.amount for coin in self.coins), *self.changes], reverse=True)
        return sum(amounts[:MAX_INPUTS]) < self.owed


def make_consolidation(
    waiting: Waiting, fee_rate: int, least: Sat, spendings: Sequence[Spending], make: MakeTransaction
) -> PegOutProposal | None:
    """Join the largest outputs: as many as the first request can pay for and still be owed `least`.

    Returns None if no consolidation is needed, if too few outputs are not in flight, or if the fee is too high.
    """
    largest = waiting.coins[:MAX_INPUTS]
    if not waiting.is_stuck or len(largest) < MIN_CONSOLIDATED:
        return None
    receiver = spendings[-1]
    for count in range(len(largest), MIN_CONSOLIDATED - 1, -1):
        inputs = [PaymentInput(coin.outpoint, coin.amount, coin.federation) for coin in largest[:count]]
        weight = signed_weight([receiver.output_script], [spendings[one.federation] for one in inputs])
        fee = Sat(fee_at(fee_rate, weight))
        change = Sat(sum(one.amount for one in inputs) - fee)
        if waiting.owed - fee >= least and change >= DUST_CHANGE:
            return PegOutProposal(payment_transaction(inputs, [], change, receiver, make), fee, replaces=None)
    return None


def judge_consolidation(made: Payment, waiting: Waiting) -> None:
    """Check that a proposed consolidation is needed, and joins the largest outputs. Raises `PaymentDeclined`."""
    if not waiting.is_stuck:
        raise PaymentDeclined("it joins outputs, which is not needed: a payment can pay the first request")
    most = sum(coin.amount for coin in waiting.coins[: len(made.inputs)])
    if made.spent != most:
        raise PaymentDeclined(
            f"it must join the {len(made.inputs)} largest outputs, which hold {most} sat; found {made.spent} sat"
        )
