"""Moves: payments without payees that bring outputs of a former federation to the newest one.

The source is docs/protocol.md, "Moves". The reserve pays for them. While fees are high, outputs that would cost
much of their own amount wait.
"""

from collections.abc import Sequence

from alysd.errors import PaymentDeclined
from alysd.peg.coins import Coin
from alysd.peg.estimates import LOW_RATE
from alysd.peg.proposals import FEES_OF_MOVE
from alysd.peg.signing import Spending
from alysd.peg.versions import MakeTransaction, payment_transaction
from alysd.peg.weights import DUST_CHANGE, fee_at, rate_of, signed_weight
from alysd.types.peg import MAX_INPUTS, Payment, PaymentInput, PegOutProposal
from alysd.types.units import Sat

LEAST_WORTH = 100
"""Above `LOW_RATE`, an author moves outputs that hold at least this many times what their input costs."""

_RATE_OF_JUDGES = 2 * LOW_RATE
_WORTH_OF_JUDGES = LEAST_WORTH // 2
"""The bounds of judges are wider, since shares and fees are rounded."""


def worth_moving(coins: Sequence[Coin], rate: int) -> tuple[Coin, ...]:
    """Those of the `coins` that an author moves at this fee rate, in sat per 1,000 virtual bytes."""
    return tuple(
        coin for coin in coins if rate <= LOW_RATE or _holds(coin.amount, LEAST_WORTH, fee_at(rate, coin.weight))
    )


def fee_of_move(coins: Sequence[Coin], rate: int, spendings: Sequence[Spending]) -> Sat:
    """The fee of a move of these outputs at this rate, in sat per 1,000 virtual bytes."""
    weight = signed_weight([spendings[-1].output_script], [spendings[coin.federation] for coin in coins])
    return Sat(fee_at(rate, weight))


def make_move(
    coins: Sequence[Coin], rate: int, reserve: Sat, spendings: Sequence[Spending], make: MakeTransaction
) -> PegOutProposal | None:
    """Move outputs of a former federation that are worth it: as many as `reserve` can pay for.

    `coins` are the free ones of this federation, the largest first, and `reserve` is the free part of the reserve.
    Returns None if nothing can be moved.
    """
    worth = worth_moving(coins, rate)[:MAX_INPUTS]
    for count in range(len(worth), 0, -1):
        chosen = worth[:count]
        fee = fee_of_move(chosen, rate, spendings)
        change = Sat(sum(coin.amount for coin in chosen) - fee)
        if FEES_OF_MOVE * fee <= reserve and change >= DUST_CHANGE:
            inputs = [PaymentInput(coin.outpoint, coin.amount, coin.federation) for coin in chosen]
            transaction = payment_transaction(inputs, [], change, spendings[-1], make)
            return PegOutProposal(transaction, fee, replaces=None)
    return None


def moves_dearly(made: Payment, rate: int, spendings: Sequence[Spending], *, judging: bool) -> bool:
    """Whether a payment without payees from a former federation has an output that is not worth it at this rate.

    A judge (`judging`) allows more than an author does.
    """
    low, worth = (_RATE_OF_JUDGES, _WORTH_OF_JUDGES) if judging else (LOW_RATE, LEAST_WORTH)
    if made.payees or not made.is_of_former or rate <= low:
        return False
    cost = fee_at(rate, spendings[made.spender].weight)
    return any(not _holds(one.amount, worth, cost) for one in made.inputs)


def judge_move(made: Payment, coins: Sequence[Coin], reserve: Sat, spendings: Sequence[Spending]) -> None:
    """Check that a move is worth it, and spends as many outputs as it can: further ones would cost more.

    `coins` are the free outputs of the same federation, the largest first, and `reserve` is the free part of the
    reserve before the move. Raises `PaymentDeclined`.
    """
    fee = made.versions[0].fee
    rate = rate_of(made, fee, spendings)
    check_worth(made, rate, spendings)
    most = sum(coin.amount for coin in coins[: len(made.inputs)])
    if made.spent < most:
        raise PaymentDeclined(
            f"it must move the {len(made.inputs)} largest outputs, which hold {most} sat; found {made.spent} sat"
        )
    spent = {one.spends for one in made.inputs}
    left = worth_moving([coin for coin in coins if coin.outpoint not in spent], rate)
    if not left or len(made.inputs) == MAX_INPUTS:
        return
    # One more output, at this rate: an author stops where the reserve is too small, or where the change is.
    more = fee_at(rate, left[0].weight)
    if FEES_OF_MOVE * (fee + more) <= reserve and made.change + left[0].amount - more >= DUST_CHANGE:
        raise PaymentDeclined(
            f"it moves {len(made.inputs)} outputs of a former federation, and leaves {len(left)} for which the "
            "reserve could pay too"
        )


def check_worth(made: Payment, rate: int, spendings: Sequence[Spending]) -> None:
    """Check that a version with this fee rate moves no output at too high a cost. Raises `PaymentDeclined`."""
    if moves_dearly(made, rate, spendings, judging=True):
        least = _WORTH_OF_JUDGES * fee_at(rate, spendings[made.spender].weight)
        raise PaymentDeclined(
            f"it moves outputs of less than {least} sat of a former federation at {rate} sat/kvB: these wait for "
            f"{_RATE_OF_JUDGES} sat/kvB"
        )


def _holds(amount: Sat, worth: int, cost: int) -> bool:
    return amount >= worth * cost
