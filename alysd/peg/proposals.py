"""The rules of a proposed payment (docs/protocol.md, "Proposal").

An author makes a proposal with `alysd.peg.authoring`, and every node checks it with `propose`. The author chooses
the outputs that a payment spends, the number of payees and the fee rate. Every amount follows from these and from
the requests; without change, the reserve may also pay a rest that is too small for a change output. Whether the
author has chosen the outputs well is judged (`alysd.peg.selection`).
"""

from collections.abc import Sequence

import attrs

from alysd.peg.addresses import dust_limit
from alysd.peg.ledger import Draft, free_reserve, number_key
from alysd.peg.signing import Spending
from alysd.peg.versions import SEQUENCE, VERSION
from alysd.peg.violations import (
    BadProposal,
    FeeTooHigh,
    ReservedOutput,
    TooManyPayments,
    UnknownOutput,
    WrongChange,
    WrongPayees,
    WrongReserveFee,
)
from alysd.peg.weights import DUST_CHANGE, fee_at, payment_weight, rate_of, signed_weight
from alysd.types.peg import (
    MAX_INPUTS,
    FederationOutput,
    Payee,
    Payment,
    PaymentInput,
    PaymentVersion,
    PegOutProposal,
    PegOutRequest,
    PegRules,
    Transaction,
    VersionOf,
)
from alysd.types.units import Sat

MAX_PAYEES = 64
"""The maximum number of requests that a payment pays."""

PAYEES_OF_FORMER = 1
"""The maximum number of requests that wait for the signatures of a former federation, for each of these."""

MAX_IN_FLIGHT = 4
"""The maximum number of payments in flight that spend outputs of the newest federation."""

MAX_OF_FORMER = 1
"""The maximum number of payments in flight that spend outputs of a former federation, for each of these."""

CONSOLIDATE_ABOVE = 100
"""The number of outputs above which a payment may spend more of them than its payees need.

The rule counts those that all federations hold. Authors and judges count the free ones of the federation that the
payment spends, so that outputs of a former federation, which may wait for ever, do not count.
"""

MAX_EXTRA_INPUTS = 20
"""The maximum number of unneeded inputs of a payment."""

FEES_OF_MOVE = 2
"""The reserve pays for a move if it can pay this many times the fee, so that it can also pay a higher one."""

MIN_CONSOLIDATED = 20
"""The minimum number of inputs of a consolidation, so that few of them are needed."""


@attrs.frozen
class Costs:
    """The parts of a payment's weight and fee that its payees do not need.

    `extra` is the number of inputs that they do not need, `extra_weight` the weight of these, in weight units, and
    `extra_fee` their part of the fee, in sat.
    """

    extra: int
    extra_weight: int
    extra_fee: int


def costs_of(
    inputs: Sequence[PaymentInput], owed: Sat, fee: int, scripts: Sequence[bytes], spendings: Sequence[Spending]
) -> Costs:
    """Compute the part of the fee for inputs that the payees do not need.

    Inputs are unneeded, from the smallest on, as long as the remaining inputs hold exactly the amount `owed`, or
    at least `DUST_CHANGE` more. `scripts` are those of the outputs, `spendings` those of all federations, by
    number.
    """
    weight = signed_weight(scripts, [spendings[one.federation] for one in inputs])
    left = sum(one.amount for one in inputs)
    extra = extra_weight = 0
    for one in sorted(inputs, key=lambda one: (one.amount, one.spends.key)):
        left -= one.amount
        if left != owed and left < owed + DUST_CHANGE:
            break
        extra += 1
        extra_weight += spendings[one.federation].weight
    return Costs(extra, extra_weight, -(-fee * extra_weight // weight))


def waiting_requests(draft: Draft, most: int = MAX_PAYEES) -> tuple[Payee, ...]:
    """The requests at the front of the queue, in order: at most `most` of them, and at most `MAX_PAYEES`."""
    first = draft.totals.first_request
    numbers = range(first, min(draft.totals.next_request, first + min(most, MAX_PAYEES)))
    requests = ((number, draft.need(PegOutRequest, number_key(number))) for number in numbers)
    return tuple(Payee(number, request.script, request.owed) for number, request in requests)


def pays_dust(payees: Sequence[Payee], share: int) -> bool:
    """Whether one of the outputs is too small to be relayed when each payee bears `share` of the fee."""
    limits = ((payee.owed - share, dust_limit(payee.script)) for payee in payees)
    return any(limit is None or amount < limit for amount, limit in limits)


def too_small_beside_others(payees: Sequence[Payee], weight: int, max_rate: int) -> bool:
    """Whether one of several payees could not bear its share of the fee at `max_rate`, for this weight.

    A newer version of the payment could then not pay that rate.
    """
    return len(payees) > 1 and pays_dust(payees, -(-fee_at(max_rate, weight) // len(payees)))


def propose(draft: Draft, proposal: PegOutProposal, rules: PegRules, spendings: Sequence[Spending]) -> None:
    """Take a new payment, move or consolidation into the ledger.

    `spendings` are those of all federations of the chain, by number; the last one receives the change. Raises a
    subclass of `InvalidBlock` for the first rule that the proposal breaks.
    """
    transaction = proposal.transaction
    check_form(transaction)
    inputs = _inputs_of(draft, transaction)
    check_spender(inputs)
    spender, newest = inputs[0].federation, len(spendings) - 1
    check_in_flight(spender, newest, draft.totals.in_flight(spender, former=spender != newest))
    payment = _payment_of(draft, proposal, inputs, spendings)
    check_rate(payment, payment.versions[0].fee, rules, spendings)
    if payment.payees:
        weight = payment_weight(payment, spendings)
        if too_small_beside_others(payment.payees, weight, rules.peg_out_max_fee_rate):
            raise WrongPayees("one payee could not bear its share at the largest fee rate: pay it alone")
        if payment.is_of_former and len(payment.payees) > PAYEES_OF_FORMER:
            raise WrongPayees(
                f"only one request can be paid from outputs of a former federation, not {len(payment.payees)}"
            )
        _check_reserve(draft, payment, transaction, spendings)
    elif not is_move(payment, free_reserve(draft.totals)):
        _take_consolidation(draft, payment, rules)
    _apply(draft, payment)


def is_move(payment: Payment, reserve: Sat) -> bool:
    """Whether a new payment without payees is a move: its inputs are a former federation's, and the reserve pays.

    Otherwise it is a consolidation. `reserve` is the free part of the reserve before the payment.
    """
    return payment.is_of_former and FEES_OF_MOVE * payment.reserve_fee <= reserve


def check_spender(inputs: Sequence[PaymentInput]) -> None:
    """Check that all inputs are outputs of one federation. Raises `BadProposal`.

    Outputs of the newest federation would otherwise wait for the signatures of a former one.
    """
    federations = sorted({one.federation for one in inputs})
    if len(federations) != 1:
        raise BadProposal(f"it spends outputs of the federations {', '.join(map(str, federations))}, not of one")


def check_in_flight(federation: int, newest: int, found: int) -> None:
    """Check that one more payment may spend outputs of this federation. Raises `TooManyPayments`.

    `found` are in flight. Each federation has payments of its own, so one that does not sign any more delays no
    payment of another.
    """
    limit = MAX_IN_FLIGHT if federation == newest else MAX_OF_FORMER
    if found >= limit:
        raise TooManyPayments(federation, limit)


def check_form(transaction: Transaction) -> None:
    """Check the parts of a payment that are the same in all payments. Raises `BadProposal`."""
    if transaction.version != VERSION or transaction.locktime != 0:
        raise BadProposal(f"it must have version {VERSION} and locktime 0")
    if transaction.witness:
        raise BadProposal("it must have no witness")
    if len(transaction.inputs) > MAX_INPUTS:
        raise BadProposal(f"it must have at most {MAX_INPUTS} inputs, found {len(transaction.inputs)}")
    if any(one.script_sig or one.sequence != SEQUENCE for one in transaction.inputs):
        raise BadProposal(f"its inputs must have an empty script and the sequence {SEQUENCE:#x}")
    if len({one.spends for one in transaction.inputs}) != len(transaction.inputs):
        raise BadProposal("it spends an output twice")


def _inputs_of(draft: Draft, transaction: Transaction) -> tuple[PaymentInput, ...]:
    found: list[PaymentInput] = []
    for one in transaction.inputs:
        output = draft.get(FederationOutput, one.spends.key)
        if output is None:
            raise UnknownOutput(one.spends)
        if output.payment is not None:
            raise ReservedOutput(one.spends, output.payment)
        found.append(PaymentInput(one.spends, output.amount, output.federation))
    return tuple(found)


def _payment_of(
    draft: Draft, proposal: PegOutProposal, inputs: tuple[PaymentInput, ...], spendings: Sequence[Spending]
) -> Payment:
    """Read the payment from the amounts of the transaction."""
    transaction, newest = proposal.transaction, len(spendings) - 1
    outputs = transaction.outputs
    has_change = outputs[-1].script == spendings[newest].output_script
    count = len(outputs) - has_change
    payees = waiting_requests(draft, count)
    if len(payees) < count:
        raise WrongPayees(f"it has {count} payees, and only {len(payees)} requests can be paid")
    change = outputs[-1].amount if has_change else Sat(0)
    if has_change and not change:
        # The ledger stands for no change by 0, so it could not give the members this transaction to sign.
        raise WrongChange(DUST_CHANGE, change)
    fee = sum(one.amount for one in inputs) - sum(output.amount for output in outputs)
    first = PaymentVersion(transaction.txid, Sat(fee), signed=None)
    payment = Payment(inputs, payees, change, newest, proposal.reserve_fee, (first,))
    _check_change(payment, free_reserve(draft.totals))
    check_payees(transaction, payees, share_of(payment, fee))
    return payment


def _check_change(payment: Payment, reserve: Sat) -> None:
    """Check that the change is the exact rest.

    A rest that is too small for a change output, and that the `reserve` cannot pay, is raised by the payees.
    """
    rest, gain = payment.change - payment.gain, payment.gain
    exact = gain == 0 and not 0 < rest < DUST_CHANGE
    raised = payment.change == DUST_CHANGE and 0 < gain < DUST_CHANGE and not payment.reserve_fee
    if not exact and not (raised and payment.payees and reserve < rest):
        raise WrongChange(Sat(rest), payment.change)


def share_of(payment: Payment, fee: int) -> int:
    """Each payee's share of this fee. Raises `BadProposal` if it is no whole number of sat, or one is negative."""
    if not payment.payees:
        return 0
    shared = fee - payment.reserve_fee + payment.gain
    share, rest = divmod(shared, len(payment.payees))
    if fee < 0 or share < 0 or rest:
        raise BadProposal(f"{len(payment.payees)} payees cannot share {shared} sat of its fee of {fee} sat")
    return share


def check_payees(transaction: Transaction, payees: Sequence[Payee], share: int) -> None:
    """Check that the first outputs pay the `payees` in order, each less its `share`. Raises `WrongPayees`."""
    for place, payee in enumerate(payees):
        output = transaction.outputs[place]
        if (output.script, output.amount) != (payee.script, payee.owed - share):
            raise WrongPayees(
                f"output {place} must pay {payee.owed - share} sat to {payee.script.hex()}, "
                f"found {output.amount} sat to {output.script.hex()}"
            )
    if pays_dust(payees, share):
        raise WrongPayees(f"one of them would be dust after the payee's share of the fee, {share} sat")


def check_rate(payment: Payment, fee: int, rules: PegRules, spendings: Sequence[Spending]) -> int:
    """Check the fee rate of a version with this `fee` against the chain's limit, and return it.

    The rate is in sat per 1,000 virtual bytes. Raises `FeeTooHigh`.
    """
    rate = rate_of(payment, fee, spendings)
    if rate > rules.peg_out_max_fee_rate:
        raise FeeTooHigh(rules.peg_out_max_fee_rate, rate)
    return rate


def _take_consolidation(draft: Draft, payment: Payment, rules: PegRules) -> None:
    """Check a payment without payees: it must be of use to the first request, which bears its fee."""
    if len(payment.inputs) < MIN_CONSOLIDATED:
        raise BadProposal(f"without payees it must have {MIN_CONSOLIDATED} inputs, found {len(payment.inputs)}")
    first = waiting_requests(draft, 1)
    if not first or payment.spent >= first[0].owed:
        raise BadProposal(
            f"it has no payees, and its inputs hold {payment.spent} sat, which is enough for the first request"
        )
    fee, left = payment.reserve_fee, Sat(first[0].owed - payment.reserve_fee)
    if left < least_owed(rules):
        raise WrongReserveFee(
            f"it is {fee} sat, and would leave {left} sat to the first request, which bears it and needs at least "
            f"{least_owed(rules)} sat"
        )
    key = number_key(first[0].request)
    draft.put(key, attrs.evolve(draft.need(PegOutRequest, key), owed=left))
    draft.add(owed=-fee, reserve=fee)


def least_owed(rules: PegRules) -> Sat:
    """The amount that the smallest request is owed."""
    return Sat(rules.peg_out_minimum - rules.peg_out_service_fee)


def check_pledge(draft: Draft, amount: int) -> None:
    """Check that the reserve can pay `amount` beside the pledged amount. Raises `WrongReserveFee`."""
    if amount > free_reserve(draft.totals):
        raise WrongReserveFee(
            f"it is {amount} sat, but only {free_reserve(draft.totals)} sat of the reserve are not pledged"
        )


def _check_reserve(
    draft: Draft, payment: Payment, transaction: Transaction, spendings: Sequence[Spending]
) -> None:
    """Check the number of inputs that the payees do not need, and that the reserve pays the fee for these inputs.

    Without change, the reserve also pays a rest that is too small for a change output.
    """
    scripts = [output.script for output in transaction.outputs]
    costs = costs_of(payment.inputs, payment.owed, payment.versions[0].fee, scripts, spendings)
    rest = 0 if payment.change else DUST_CHANGE - 1
    if not costs.extra_fee <= payment.reserve_fee <= costs.extra_fee + rest:
        raise WrongReserveFee(
            f"it must be {costs.extra_fee} to {costs.extra_fee + rest} sat, found {payment.reserve_fee}"
        )
    check_pledge(draft, payment.reserve_fee)
    allowed = MAX_EXTRA_INPUTS if draft.totals.outputs > CONSOLIDATE_ABOVE else 0
    if costs.extra > allowed:
        raise WrongReserveFee(
            f"{costs.extra} inputs are not needed for the payees, but only {allowed} such inputs are allowed"
        )


def _apply(draft: Draft, payment: Payment) -> None:
    name = payment.versions[0].txid
    for one in payment.inputs:
        draft.reserve(one, name)
    for payee in payment.payees:
        draft.delete(PegOutRequest, number_key(payee.request))
    draft.add(first_request=len(payment.payees), pledged=payment.reserve_fee)
    draft.count(payment, 1)
    draft.put(name, payment)
    draft.put(name, VersionOf(name))
