"""Makes proposals of payments that satisfy `alysd.peg.proposals`, and fits contents into a block."""

from collections.abc import Sequence

import attrs

from alysd.peg.coins import Coin, Selection, Strategy, Target, select
from alysd.peg.ledger import Draft, free_reserve
from alysd.peg.proposals import (
    CONSOLIDATE_ABOVE,
    DUST_CHANGE,
    MAX_EXTRA_INPUTS,
    MAX_PAYEES,
    Taken,
    costs_of,
    is_dust,
    signed_weight,
    take_requests,
)
from alysd.peg.signing import Spending
from alysd.peg.versions import MakeTransaction, payment_transaction
from alysd.types.hashes import EvmAddress
from alysd.types.peg import (
    MAX_CONFIRMED_PAYMENTS,
    MAX_INPUTS,
    MAX_PEG_INS,
    MAX_SIGNED_PAYMENTS,
    RESERVE,
    Payment,
    PaymentInput,
    PegContents,
    PegIn,
    PegOutProposal,
    PegTotals,
    TransactionOutput,
)
from alysd.types.units import Sat

_WEIGHT_PER_VBYTE = 4
_VBYTES_PER_KVB = 1_000


@attrs.frozen
class Wish:
    """How an author wants its proposals: the fee rate in sat per 1,000 virtual bytes, and the strategy.

    With `consolidate`, a payment also spends small outputs that its payees do not need. The reserve pays the fee
    for these inputs.
    """

    fee_rate: int
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

    `coins` are the outputs that no payment in flight spends. `draft` needs the requests at the front of the queue.
    Returns None if nothing can be paid.
    """
    waiting = min(draft.totals.next_request - draft.totals.first_request, MAX_PAYEES)
    largest = sum(sorted((coin.amount for coin in coins), reverse=True)[:MAX_INPUTS])
    for payees in range(waiting, 0, -1):
        proposal = _pay(draft, coins, payees, wish, spendings, make, Sat(largest))
        if proposal is not None:
            return proposal
    return None


def _pay(
    draft: Draft,
    coins: Sequence[Coin],
    payees: int,
    wish: Wish,
    spendings: Sequence[Spending],
    make: MakeTransaction,
    largest: Sat,
) -> PegOutProposal | None:
    """Make a proposal with this many payees, or None. No payment can spend more than `largest`.

    The requests taken depend on each payee's share of the fee, and the share depends on the inputs. So the
    computation is repeated until both agree, at most 8 times.
    """
    share = 0
    for _ in range(8):
        taken = take_requests(draft, payees, share)
        if len(taken.payees) < payees or taken.owed > largest:
            return None
        chosen = _choose(coins, taken, wish, draft)
        if chosen is None:
            return None
        fitted = _fit(chosen, taken, wish, spendings, draft)
        if fitted is None:
            return None
        if take_requests(draft, payees, fitted.share) == taken:
            return _proposal(fitted, spendings, make)
        share = fitted.share
    return None


def _choose(coins: Sequence[Coin], taken: Taken, wish: Wish, draft: Draft) -> Selection | None:
    """Choose the coins for the requests, and more coins to consolidate.

    If every choice leaves a rest that is too small for a change output, the reserve pays this rest, if it can.
    """
    most = MAX_INPUTS - MAX_EXTRA_INPUTS if wish.consolidate else MAX_INPUTS
    chosen = select(wish.strategy, coins, Target(taken.owed, DUST_CHANGE, most))
    if chosen is None:
        chosen = select(wish.strategy, coins, Target(taken.owed, Sat(0), most))
        if chosen is None or _sum(chosen) - taken.owed > free_reserve(draft.totals):
            return None
        return chosen
    if wish.consolidate and draft.totals.outputs > CONSOLIDATE_ABOVE:
        smallest = min(coin.amount for coin in chosen)
        others = [coin for coin in coins if coin not in chosen and coin.amount < smallest]
        chosen += tuple(sorted(others, key=lambda coin: (coin.amount, coin.outpoint.key))[:MAX_EXTRA_INPUTS])
    return chosen


@attrs.frozen
class _Fitted:
    """A payment whose amounts satisfy the rules."""

    inputs: tuple[PaymentInput, ...]
    taken: Taken
    share: int
    reserve_fee: Sat
    change: Sat


def _fit(
    chosen: Selection, taken: Taken, wish: Wish, spendings: Sequence[Spending], draft: Draft
) -> _Fitted | None:
    """Find share and reserve fee for the chosen coins; None if the reserve or the change would be too small."""
    inputs = tuple(PaymentInput(coin.outpoint, coin.amount, coin.federation) for coin in chosen)
    rest, count = _sum(chosen) - taken.owed, len(taken.payees)
    scripts = [payee.script for payee in taken.payees]
    if rest >= DUST_CHANGE:
        scripts.append(spendings[-1].output_script)
    weight = signed_weight(scripts, [spendings[one.federation] for one in inputs])
    wanted = -(-wish.fee_rate * weight // (_WEIGHT_PER_VBYTE * _VBYTES_PER_KVB))
    if rest < DUST_CHANGE:
        share = max(0, -(-(wanted - rest) // count))
        return _Fitted(inputs, taken, share, Sat(rest), Sat(0))
    extra_fee = costs_of(inputs, taken.owed, wanted, scripts, spendings).extra_fee
    share = -(-(wanted - extra_fee) // count)
    # `extra_fee` is a part of the whole fee, which contains it: raising it raises the fee, and so the part again,
    # but by less each time. So the loop ends.
    while (
        part := costs_of(inputs, taken.owed, count * share + extra_fee, scripts, spendings).extra_fee
    ) != extra_fee:
        extra_fee = part
    if extra_fee > free_reserve(draft.totals) or rest - extra_fee < DUST_CHANGE:
        return None
    return _Fitted(inputs, taken, share, Sat(extra_fee), Sat(rest - extra_fee))


def _proposal(fitted: _Fitted, spendings: Sequence[Spending], make: MakeTransaction) -> PegOutProposal:
    payees = [TransactionOutput(Sat(payee.owed - fitted.share), payee.script) for payee in fitted.taken.payees]
    return PegOutProposal(
        payment_transaction(fitted.inputs, payees, fitted.change, spendings[-1], make),
        fitted.reserve_fee,
        replaces=None,
    )


def make_replacement(
    payment: Payment, fee_rate: int, spendings: Sequence[Spending], make: MakeTransaction
) -> PegOutProposal | None:
    """Make a newer version of `payment` with at least this fee rate, in sat per 1,000 virtual bytes.

    Returns None if a payee would get dust.
    """
    scripts = [payee.script for payee in payment.payees]
    receiver = spendings[payment.federation]
    if payment.change:
        scripts.append(receiver.output_script)
    weight = signed_weight(scripts, [spendings[one.federation] for one in payment.inputs])
    wanted = -(-fee_rate * weight // (_WEIGHT_PER_VBYTE * _VBYTES_PER_KVB))
    share = max(0, -(-(wanted - payment.reserve_fee) // len(payment.payees)))
    if any(is_dust(payee.owed - share, payee.script) for payee in payment.payees):
        return None
    payees = [TransactionOutput(Sat(payee.owed - share), payee.script) for payee in payment.payees]
    transaction = payment_transaction(payment.inputs, payees, payment.change, receiver, make)
    return PegOutProposal(transaction, payment.reserve_fee, payment.versions[0].txid)


def _sum(coins: Sequence[Coin]) -> int:
    return sum(coin.amount for coin in coins)
