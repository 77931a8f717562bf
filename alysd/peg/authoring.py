"""Makes proposals of payments that satisfy `alysd.peg.proposals`, and fits contents into a block."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

import attrs

from alysd.peg.coins import Coin, Selection, SelectionTarget, Strategy, select
from alysd.peg.ledger import Draft, free_reserve
from alysd.peg.proposals import (
    CONSOLIDATE_ABOVE,
    MAX_EXTRA_INPUTS,
    MAX_PAYEES,
    PAYEES_OF_FORMER,
    costs_of,
    pays_dust,
    too_small_beside_others,
    waiting_requests,
)
from alysd.peg.selection import choice_for
from alysd.peg.signing import Spending
from alysd.peg.versions import MakeTransaction, payment_transaction
from alysd.peg.weights import DUST_CHANGE, fee_at, payment_weight, signed_weight
from alysd.types.hashes import EvmAddress
from alysd.types.peg import (
    MAX_CONFIRMED_PAYMENTS,
    MAX_INPUTS,
    MAX_PEG_INS,
    MAX_SIGNED_PAYMENTS,
    RESERVE,
    Payee,
    Payment,
    PaymentInput,
    PaymentVersion,
    PegContents,
    PegIn,
    PegOutProposal,
    PegTotals,
    TransactionOutput,
)
from alysd.types.units import Sat


@attrs.frozen
class Wish:
    """The preferences of an author for its proposals: the fee rate, and the strategy that chooses the outputs.

    `max_rate` is the chain's largest fee rate; both rates are in sat per 1,000 virtual bytes. With `consolidate`,
    a payment also spends small outputs that its payees do not need, while its federation has many free ones. The
    reserve pays the fee for these inputs.
    """

    fee_rate: int
    max_rate: int
    strategy: Strategy
    consolidate: bool = False


def fit_contents(contents: PegContents, room: int, totals: PegTotals) -> PegContents:
    """The contents that have room in a block. The fees leave `room` withdrawals of the block to the peg.

    While refunds are due and `room` is at least 2, one withdrawal is kept for a refund, so that peg-ins cannot
    delay refunds for ever.
    """
    room -= totals.first_refund < totals.next_refund and room > 1
    recipients: set[EvmAddress] = set()
    fitting: list[PegIn] = []
    for peg_in in contents.peg_ins[:MAX_PEG_INS]:
        minted = {peg_in.recipient} - {RESERVE}
        if len(recipients | minted) <= room:
            recipients |= minted
            fitting.append(peg_in)
    return PegContents(
        tuple(fitting),
        contents.proposal,
        contents.finalized[:MAX_SIGNED_PAYMENTS],
        contents.confirmed[:MAX_CONFIRMED_PAYMENTS],
    )


def make_proposal(
    draft: Draft,
    coins: Sequence[Coin],
    wish: Wish,
    spendings: Sequence[Spending],
    make: MakeTransaction,
) -> PegOutProposal | None:
    """Make a proposal that pays as many requests from the front of the queue as the coins allow.

    `coins` are the outputs of one federation that no payment in flight spends. `draft` needs the requests at the
    front of the queue. Returns None if nothing can be paid.
    """
    former = any(coin.federation != len(spendings) - 1 for coin in coins)
    requests = waiting_requests(draft, PAYEES_OF_FORMER if former else MAX_PAYEES)
    largest = sorted(coins, key=lambda coin: coin.amount, reverse=True)[:MAX_INPUTS]
    held = [0, *accumulate(coin.amount for coin in largest)]
    for count in range(len(requests), 0, -1):
        payees = requests[:count]
        owed = sum(payee.owed for payee in payees)
        if owed > held[-1]:
            continue
        # No choice has fewer inputs than the largest outputs that hold the sum.
        fewest = [spendings[-1]] * bisect_left(held, owed)
        weight = signed_weight([payee.script for payee in payees], fewest)
        if too_small_beside_others(payees, weight, wish.max_rate):
            continue
        for chosen in _choices(payees, coins, wish, spendings[-1]):
            fitted = _fit(chosen, payees, Sat(owed), wish, spendings, draft)
            if fitted is not None:
                return _proposal(fitted, spendings, make)
        # A strategy may search for long, and the slot does not wait: only the first payees are worth a search.
        coins, wish = largest, attrs.evolve(wish, strategy="largest-first", consolidate=False)
    return None


def _choices(payees: Sequence[Payee], coins: Sequence[Coin], wish: Wish, newest: Spending) -> Iterator[Selection]:
    """The coins for the requests: first with coins to consolidate, then without these.

    The reserve may be too small for the part of the fee that the further coins cost.
    """
    joins = wish.consolidate and len(coins) > CONSOLIDATE_ABOVE
    most = MAX_INPUTS - MAX_EXTRA_INPUTS if joins else MAX_INPUTS
    usable, target = choice_for(payees, coins, newest, most)
    chosen = select(wish.strategy, usable, target)
    if payees[-1].script == newest.output_script:
        owed = Sat(sum(payee.owed for payee in payees))
        if chosen is not None and _has_unneeded(chosen, owed):
            chosen = _of_other_coins(chosen, usable, owed, target)
    elif chosen is None:
        chosen = select(wish.strategy, usable, attrs.evolve(target, change=Sat(0)))
        joins = False
    if chosen is not None and joins:
        smallest = min(coin.amount for coin in chosen)
        others = [coin for coin in usable if coin.amount < smallest]
        yield chosen + tuple(sorted(others, key=lambda coin: (coin.amount, coin.outpoint.key))[:MAX_EXTRA_INPUTS])
    if chosen is not None:
        yield chosen


def _has_unneeded(chosen: Selection, owed: Sat) -> bool:
    """Whether the coins hold exactly the amount without the smallest one: the rules then count it as unneeded."""
    return _sum(chosen) - min(coin.amount for coin in chosen) == owed


def _of_other_coins(
    chosen: Selection, coins: Sequence[Coin], owed: Sat, target: SelectionTarget
) -> Selection | None:
    """A choice without one of the `chosen` coins, and without an unneeded one.

    It has at most as many coins as `chosen`, because judges compare.
    """
    for left_out in chosen:
        others = [coin for coin in coins if coin != left_out]
        found = select("largest-first", others, target)
        if found is not None and len(found) <= len(chosen) and not _has_unneeded(found, owed):
            return found
    return None


@attrs.frozen
class _Fitted:
    """A payment whose amounts satisfy the rules, without a version. `share` is each payee's part of the fee."""

    payment: Payment
    share: int


def _fit(
    chosen: Selection,
    payees: Sequence[Payee],
    owed: Sat,
    wish: Wish,
    spendings: Sequence[Spending],
    draft: Draft,
) -> _Fitted | None:
    """Find share and reserve fee for the chosen coins.

    Returns None if the reserve, the change or a payee's part would be too small.
    """
    inputs = tuple(PaymentInput(coin.outpoint, coin.amount, coin.federation) for coin in chosen)
    rest = _sum(chosen) - owed
    if free_reserve(draft.totals) < rest < DUST_CHANGE:
        change, reserve_fee = DUST_CHANGE, 0
    elif rest < DUST_CHANGE:
        change, reserve_fee = 0, rest
    else:
        change, reserve_fee = rest, 0
    payment = Payment(inputs, tuple(payees), Sat(change), len(spendings) - 1, Sat(reserve_fee), ())
    wanted = fee_at(wish.fee_rate, payment_weight(payment, spendings))
    if rest >= DUST_CHANGE:
        extra_fee, share = _divided(payment, wanted, spendings)
        if extra_fee > free_reserve(draft.totals) or rest - extra_fee < DUST_CHANGE:
            return None
        payment = attrs.evolve(payment, change=Sat(rest - extra_fee), reserve_fee=Sat(extra_fee))
    else:
        share = max(0, -(-(wanted - payment.reserve_fee + payment.gain) // len(payees)))
    weight = payment_weight(payment, spendings)
    if pays_dust(payees, share) or too_small_beside_others(payees, weight, wish.max_rate):
        return None
    return _Fitted(payment, share)


def _divided(payment: Payment, wanted: int, spendings: Sequence[Spending]) -> tuple[int, int]:
    """Divide the `wanted` fee, or a little more, between the reserve and the payees.

    Returns the part that the reserve pays for the inputs that the payees do not need, and each payee's share.
    """
    scripts = [payee.script for payee in payment.payees] + [spendings[-1].output_script]
    count = len(payment.payees)
    extra_fee = costs_of(payment.inputs, payment.owed, wanted, scripts, spendings).extra_fee
    share = -(-(wanted - extra_fee) // count)
    # `extra_fee` is a part of the whole fee, which contains it: raising it raises the fee, and so the part again,
    # but by less each time. So the loop ends. The share stays: with a smaller one, the part would be smaller too.
    while (
        part := costs_of(payment.inputs, payment.owed, count * share + extra_fee, scripts, spendings).extra_fee
    ) != extra_fee:
        extra_fee = part
    return extra_fee, share


def _proposal(fitted: _Fitted, spendings: Sequence[Spending], make: MakeTransaction) -> PegOutProposal:
    payment = fitted.payment
    payees = [TransactionOutput(Sat(payee.owed - fitted.share), payee.script) for payee in payment.payees]
    return PegOutProposal(
        payment_transaction(payment.inputs, payees, payment.change, spendings[-1], make),
        payment.reserve_fee,
        replaces=None,
    )


def make_replacement(
    payment: Payment, fee_rate: int, spendings: Sequence[Spending], make: MakeTransaction
) -> PegOutProposal | None:
    """Make a newer version of `payment` with at least this fee rate, in sat per 1,000 virtual bytes.

    The rate must be above that of the newest version.
    Returns None if a payee would get dust, or if the change would be dust.
    """
    wanted = fee_at(fee_rate, payment_weight(payment, spendings))
    count = len(payment.payees)
    share = -(-(wanted - payment.reserve_fee + payment.gain) // count) if count else 0
    fee = count * share + payment.reserve_fee - payment.gain if count else wanted
    version = PaymentVersion(payment.versions[0].txid, Sat(fee), signed=None)
    change = payment.change_of(version)
    if pays_dust(payment.payees, share) or (payment.change > 0 and change < DUST_CHANGE):
        return None
    payees = [TransactionOutput(Sat(payee.owed - share), payee.script) for payee in payment.payees]
    transaction = payment_transaction(payment.inputs, payees, change, spendings[payment.federation], make)
    return PegOutProposal(transaction, payment.reserve_fee_of(version), payment.versions[0].txid)


def _sum(coins: Sequence[Coin]) -> int:
    return sum(coin.amount for coin in coins)
