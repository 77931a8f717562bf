"""Moves: payments without payees that bring outputs of former federations to the newest one.

The source is docs/protocol.md, "Moves". The reserve pays for them. While requests wait, their payments bring such
outputs along instead.
"""

from collections.abc import Sequence

from alysd.errors import PaymentDeclined
from alysd.peg.coins import Coin
from alysd.peg.signing import Spending
from alysd.peg.versions import MakeTransaction, payment_transaction
from alysd.peg.weights import DUST_CHANGE, fee_at, rate_of, signed_weight
from alysd.types.peg import MAX_INPUTS, Payment, PaymentInput, PegOutProposal
from alysd.types.units import Sat


def former_coins(coins: Sequence[Coin], spendings: Sequence[Spending]) -> tuple[Coin, ...]:
    """Those of the `coins` that are outputs of former federations. `spendings` are those of all federations."""
    return tuple(coin for coin in coins if coin.federation != len(spendings) - 1)


def fee_of_move(coins: Sequence[Coin], rate: int, spendings: Sequence[Spending]) -> Sat:
    """The fee of a move of these outputs at this rate, in sat per 1,000 virtual bytes."""
    weight = signed_weight([spendings[-1].output_script], [spendings[coin.federation] for coin in coins])
    return Sat(fee_at(rate, weight))


def make_move(
    coins: Sequence[Coin], rate: int, reserve: Sat, spendings: Sequence[Spending], make: MakeTransaction
) -> PegOutProposal | None:
    """Move the outputs of former federations among `coins`: as many as `reserve` can pay for.

    `coins` are in the order in which they are to be moved, `reserve` is the free part of the reserve. Returns None
    if nothing can be moved.
    """
    former = former_coins(coins, spendings)[:MAX_INPUTS]
    for count in range(len(former), 0, -1):
        chosen = former[:count]
        fee = fee_of_move(chosen, rate, spendings)
        change = Sat(sum(coin.amount for coin in chosen) - fee)
        if fee <= reserve and change >= DUST_CHANGE:
            inputs = [PaymentInput(coin.outpoint, coin.amount, coin.federation) for coin in chosen]
            transaction = payment_transaction(inputs, [], change, spendings[-1], make)
            return PegOutProposal(transaction, fee, replaces=None)
    return None


def judge_move(made: Payment, coins: Sequence[Coin], reserve: Sat, spendings: Sequence[Spending]) -> None:
    """Check that a move spends as many outputs as it can: each further transaction costs the reserve more.

    `coins` are the outputs that no payment in flight spends, and `reserve` is the free part of the reserve before
    the move. Raises `PaymentDeclined`.
    """
    spent = {one.spends for one in made.inputs}
    left = [coin for coin in former_coins(coins, spendings) if coin.outpoint not in spent]
    if not left or len(made.inputs) == MAX_INPUTS:
        return
    rate = rate_of(made, made.versions[0].fee, spendings)
    # An author takes the outputs in order, and stops at the first that is too expensive: others may be lighter.
    heaviest = max(spendings[coin.federation].weight for coin in left)
    if made.versions[0].fee + fee_at(rate, heaviest) < reserve:
        raise PaymentDeclined(
            f"it moves {len(made.inputs)} outputs of former federations, and leaves {len(left)} for which the "
            "reserve could pay too"
        )
