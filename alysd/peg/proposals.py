"""The rules of a proposed payment (docs/protocol.md, "Proposal").

An author makes a proposal with `alysd.peg.authoring`, and every node checks it with `propose`. The author chooses
the outputs that a payment spends, the number of payees and the fee rate. Every amount follows from these and from
the requests; without change, the reserve may also pay a rest that is too small for a change output.
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
from alysd.types.peg import (
    MAX_INPUTS,
    FederationOutput,
    Payee,
    Payment,
    PaymentInput,
    PaymentVersion,
    PegOutProposal,
    PegRules,
    Refund,
    Request,
    Transaction,
    VersionOf,
)
from alysd.types.units import Sat

MAX_PAYEES = 64
"""The maximum number of requests that a payment pays."""

MAX_IN_FLIGHT = 4
"""The maximum number of payments in flight."""

CONSOLIDATE_ABOVE = 100
"""The number of held outputs above which a payment may spend more outputs than its payees need."""

MAX_EXTRA_INPUTS = 20
"""The maximum number of unneeded inputs of a payment, beside as many as are outputs of former federations."""

DUST_CHANGE = Sat(330)
"""The smallest change: the dust limit of a taproot output."""

_OVERHEAD_WEIGHT = 4 * 8 + 2
"""Version and locktime; marker and flag of the witness."""

_WEIGHT_PER_VBYTE = 4
_VBYTES_PER_KVB = 1_000


@attrs.frozen
class Costs:
    """The weight and fee of a payment, and how its fee is shared. All amounts in sat.

    `extra` is the number of inputs that the payees do not need, and `extra_fee` the part of the fee for these
    inputs.
    """

    fee: int
    weight: int
    extra: int
    extra_fee: int

    @property
    def fee_rate(self) -> int:
        """Sat per 1,000 virtual bytes of the signed transaction, rounded down."""
        return self.fee * _VBYTES_PER_KVB * _WEIGHT_PER_VBYTE // self.weight


def signed_weight(outputs: Sequence[bytes], inputs: Sequence[Spending]) -> int:
    """The weight of a signed payment with these output scripts and inputs, in weight units."""
    counts = _count_bytes(len(outputs)) + _count_bytes(len(inputs))
    pays = sum(8 + _count_bytes(len(script)) + len(script) for script in outputs)
    return _OVERHEAD_WEIGHT + _WEIGHT_PER_VBYTE * (counts + pays) + sum(one.weight for one in inputs)


def costs_of(
    inputs: Sequence[PaymentInput], owed: Sat, fee: int, scripts: Sequence[bytes], spendings: Sequence[Spending]
) -> Costs:
    """Compute the part of the fee for inputs that the payees do not need.

    Inputs are unneeded, from the smallest on, as long as the remaining inputs hold exactly what is `owed`, or at
    least `DUST_CHANGE` more. `scripts` are those of the outputs, `spendings` those of all federations, by number.
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
    return Costs(fee, weight, extra, -(-fee * extra_weight // weight))


@attrs.frozen
class Taken:
    """Requests taken from the front of the queue: those to pay, and those that the fee would turn to dust."""

    payees: tuple[Payee, ...]
    refused: tuple[Request, ...]

    @property
    def count(self) -> int:
        """The number of requests that leave the queue."""
        return len(self.payees) + len(self.refused)

    @property
    def owed(self) -> Sat:
        """The sum of the full amounts that are paid."""
        return Sat(sum(payee.owed for payee in self.payees))


def take_requests(draft: Draft, payees: int, share: int) -> Taken:
    """The requests that a payment with this many `payees` takes, when each payee's share of the fee is `share`.

    A request that the fee would turn to dust is refused only if a request behind it is paid; otherwise it can wait
    for a lower fee.
    """
    paid: list[Payee] = []
    refused: list[Request] = []
    waiting: list[Request] = []
    first = draft.totals.first_request
    for number in range(first, min(draft.totals.next_request, first + MAX_PAYEES)):
        if len(paid) == payees:
            break
        request = draft.need(Request, number_key(number))
        if is_dust(request.owed - share, request.script):
            waiting.append(request)
            continue
        refused += waiting
        waiting.clear()
        paid.append(Payee(number, request.script, request.owed))
    return Taken(tuple(paid), tuple(refused))


def is_dust(amount: int, script: bytes) -> bool:
    """Whether an output with this script is too small to be relayed. True for scripts that are never paid."""
    limit = dust_limit(script)
    return limit is None or amount < limit


def propose(
    draft: Draft, proposal: PegOutProposal, rules: PegRules, spendings: Sequence[Spending]
) -> tuple[Request, ...]:
    """Take a new payment into the ledger, and return the requests that it refuses.

    `spendings` are those of all federations of the chain, by number; the last one receives the change. Raises a
    subclass of `InvalidBlock` for the first rule that the proposal breaks.
    """
    if draft.totals.payments >= MAX_IN_FLIGHT:
        raise TooManyPayments(MAX_IN_FLIGHT)
    transaction = proposal.transaction
    check_form(transaction)
    inputs = _inputs_of(draft, transaction)
    payment, refused = _payment_of(draft, proposal, inputs, spendings)
    check_rate(transaction, payment, rules, spendings)
    _check_reserve(draft, payment, transaction, spendings)
    _apply(draft, payment, refused)
    return refused


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
) -> tuple[Payment, tuple[Request, ...]]:
    """Read the payment and the refused requests from the amounts of the transaction."""
    transaction, newest = proposal.transaction, len(spendings) - 1
    outputs = transaction.outputs
    has_change = outputs[-1].script == spendings[newest].output_script
    payees = len(outputs) - has_change
    change = outputs[-1].amount if has_change else Sat(0)
    fee = sum(one.amount for one in inputs) - sum(output.amount for output in outputs)
    share = share_of(fee, proposal.reserve_fee, payees)
    taken = take_requests(draft, payees, share)
    if len(taken.payees) < payees:
        raise WrongPayees(f"it has {payees} payees, and only {len(taken.payees)} requests can be paid")
    check_payees(transaction, taken.payees, share)
    first = PaymentVersion(transaction.txid, Sat(fee), signed=None)
    payment = Payment(inputs, taken.payees, change, newest, proposal.reserve_fee, (first,))
    expected = payment.spent - payment.owed - payment.reserve_fee
    if expected != change or 0 < expected < DUST_CHANGE:
        raise WrongChange(Sat(expected), change)
    return payment, taken.refused


def share_of(fee: int, reserve_fee: int, payees: int) -> int:
    """Each payee's share of the fee. Raises `BadProposal` unless it is a whole number of sat, 0 or more."""
    if not payees:
        raise BadProposal("it must pay at least one request")
    share, rest = divmod(fee - reserve_fee, payees)
    if share < 0 or rest:
        raise BadProposal(f"its fee of {fee} sat, less {reserve_fee} sat, cannot be shared by {payees} payees")
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


def check_rate(transaction: Transaction, payment: Payment, rules: PegRules, spendings: Sequence[Spending]) -> int:
    """Check the fee rate of the payment's newest version against the chain's limit, and return it.

    The rate is in sat per 1,000 virtual bytes. Raises `FeeTooHigh`.
    """
    rate = _costs(transaction, payment, spendings).fee_rate
    if rate > rules.peg_out_max_fee_rate:
        raise FeeTooHigh(rules.peg_out_max_fee_rate, rate)
    return rate


def _costs(transaction: Transaction, payment: Payment, spendings: Sequence[Spending]) -> Costs:
    scripts = [output.script for output in transaction.outputs]
    return costs_of(payment.inputs, payment.owed, payment.versions[-1].fee, scripts, spendings)


def _check_reserve(
    draft: Draft, payment: Payment, transaction: Transaction, spendings: Sequence[Spending]
) -> None:
    """Check the number of inputs that the payees do not need, and that the reserve pays the fee for these inputs.

    Without change, the reserve also pays a rest that is too small for a change output.
    """
    costs = _costs(transaction, payment, spendings)
    rest = 0 if payment.change else DUST_CHANGE - 1
    if not costs.extra_fee <= payment.reserve_fee <= costs.extra_fee + rest:
        raise WrongReserveFee(
            f"it must be {costs.extra_fee} to {costs.extra_fee + rest} sat, found {payment.reserve_fee}"
        )
    if payment.reserve_fee > free_reserve(draft.totals):
        raise WrongReserveFee(
            f"it is {payment.reserve_fee} sat, and {free_reserve(draft.totals)} sat of the reserve are not pledged"
        )
    old = sum(one.federation != payment.federation for one in payment.inputs)
    allowed = old + (MAX_EXTRA_INPUTS if draft.totals.outputs > CONSOLIDATE_ABOVE else 0)
    if costs.extra > allowed:
        raise WrongReserveFee(f"{costs.extra} inputs are not needed for the payees, and {allowed} are allowed")


def _apply(draft: Draft, payment: Payment, refused: Sequence[Request]) -> None:
    name = payment.versions[0].txid
    for one in payment.inputs:
        draft.reserve(one, name)
    for number in range(draft.totals.first_request, payment.payees[-1].request + 1):
        draft.delete(Request, number_key(number))
    draft.add(first_request=len(payment.payees) + len(refused), payments=1, pledged=payment.reserve_fee)
    for request in refused:
        draft.add(owed=-request.owed)
        draft.owe_refund(Refund(request.sender, request.owed))
    draft.put(name, payment)
    draft.put(name, VersionOf(name))


def _count_bytes(number: int) -> int:
    return 1 if number < 0xFD else 3
