"""The payments that a signer knows from the final blocks (docs/protocol.md, "Signer").

A signer without a node sees the peg's parts of each final block, but neither burns nor the reserve: a quorum has
checked them. From these parts follow the outputs that the federation holds, and the payments in flight with all
that a signature covers.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import attrs

from alysd.errors import NotFollowed
from alysd.peg.proposals import MAX_PAYEES, check_form, check_in_flight, check_rate, check_spender
from alysd.peg.signing import Spending
from alysd.peg.versions import MakeTransaction, transaction_of, version_with
from alysd.peg.violations import (
    BadDeposit,
    BadReplacement,
    ReservedOutput,
    UnknownOutput,
    UnknownPayment,
    WrongPayees,
    WrongReserveFee,
)
from alysd.types.hashes import BitcoinHash, displayed
from alysd.types.peg import (
    OutPoint,
    Payee,
    Payment,
    PaymentInput,
    PaymentVersion,
    PegContents,
    PegIn,
    PegOutProposal,
    PegRules,
    Transaction,
)
from alysd.types.units import Sat


@attrs.frozen
class FollowedLedger:
    """The federation's outputs by outpoint, the payments in flight, and the number of the next request to be paid.

    The amounts `owed` in a payment can be below those of the chain's ledger, if the payees have raised the change
    to 330 sat: a signer cannot tell by how much. The transactions of all versions are the same.
    """

    outputs: Mapping[OutPoint, PaymentInput] = MappingProxyType({})
    payments: tuple[Payment, ...] = ()
    next_request: int = 0

    def payment_to_sign(self, txid: BitcoinHash) -> Payment:
        """The payment in flight with the version `txid`. Raises `NotFollowed`."""
        payment = _find(self, txid)
        if payment is None:
            raise NotFollowed(
                f"no payment in flight has the version {displayed(txid)}, as far as the signer knows from final "
                "blocks: the node has not sent the block that proposes it, or its proof of finality"
            )
        return payment


def follow_contents(
    ledger: FollowedLedger,
    contents: PegContents,
    rules: PegRules,
    spendings: Sequence[Spending],
    make: MakeTransaction,
) -> FollowedLedger:
    """The ledger after a final block with these `contents`, of which the witnesses are not read.

    `spendings` are those of all federations of the chain, by number. Raises a subclass of `InvalidBlock` for a
    block that no quorum of honest members approves.
    """
    for one in contents.confirmed:
        ledger = _confirm(ledger, one.txid)
    proposal = contents.proposal
    if proposal is not None and proposal.replaces is not None:
        ledger = _replace(ledger, proposal, proposal.replaces, rules, spendings, make)
    elif proposal is not None:
        ledger = _propose(ledger, proposal, rules, spendings)
    return _deposit(ledger, contents.peg_ins, len(spendings)) if contents.peg_ins else ledger


def _confirm(ledger: FollowedLedger, txid: BitcoinHash) -> FollowedLedger:
    """The federation no longer holds the inputs, and holds the change."""
    payment = _payment(ledger, txid)
    confirmed = next(version for version in payment.versions if version.txid == txid)
    spent = {one.spends for one in payment.inputs}
    outputs = {place: one for place, one in ledger.outputs.items() if place not in spent}
    if payment.change:
        change = OutPoint(txid, len(payment.payees))
        outputs[change] = PaymentInput(change, payment.change_of(confirmed), payment.federation)
    others = tuple(one for one in ledger.payments if one != payment)
    return attrs.evolve(ledger, outputs=outputs, payments=others)


def _deposit(ledger: FollowedLedger, peg_ins: Sequence[PegIn], federations: int) -> FollowedLedger:
    outputs = dict(ledger.outputs)
    for peg_in in peg_ins:
        for output in peg_in.outputs:
            place = OutPoint(peg_in.txid, output.index)
            if output.federation >= federations:
                raise BadDeposit(peg_in.txid, "an output names an unknown federation")
            if place in outputs:
                raise BadDeposit(peg_in.txid, "the federation already holds one of its outputs")
            outputs[place] = PaymentInput(place, output.amount, output.federation)
    return attrs.evolve(ledger, outputs=outputs)


def _propose(
    ledger: FollowedLedger, proposal: PegOutProposal, rules: PegRules, spendings: Sequence[Spending]
) -> FollowedLedger:
    transaction = proposal.transaction
    check_form(transaction)
    reserved = {one.spends: payment.versions[0].txid for payment in ledger.payments for one in payment.inputs}
    inputs: list[PaymentInput] = []
    for one in transaction.inputs:
        output = ledger.outputs.get(one.spends)
        if output is None:
            raise UnknownOutput(one.spends)
        if one.spends in reserved:
            raise ReservedOutput(one.spends, reserved[one.spends])
        inputs.append(output)
    check_spender(inputs)
    spender, newest = inputs[0].federation, len(spendings) - 1
    same = [one for one in ledger.payments if (one.spender, one.is_of_former) == (spender, spender != newest)]
    check_in_flight(spender, newest, len(same))
    payment = _payment_of(ledger, transaction, tuple(inputs), proposal.reserve_fee, spendings)
    check_rate(payment, payment.versions[0].fee, rules, spendings)
    return attrs.evolve(
        ledger,
        payments=(*ledger.payments, payment),
        next_request=ledger.next_request + len(payment.payees),
    )


def _payment_of(
    ledger: FollowedLedger,
    transaction: Transaction,
    inputs: tuple[PaymentInput, ...],
    reserve_fee: Sat,
    spendings: Sequence[Spending],
) -> Payment:
    """Read the payment from the amounts of the transaction."""
    outputs, newest = transaction.outputs, len(spendings) - 1
    change = outputs[-1].amount if outputs[-1].script == spendings[newest].output_script else Sat(0)
    paid = outputs[:-1] if change else outputs
    fee = sum(one.amount for one in inputs) - sum(output.amount for output in outputs)
    if fee < reserve_fee or (not paid and fee != reserve_fee):
        raise WrongReserveFee(f"it is {reserve_fee} sat, but the whole fee is {fee} sat")
    if len(paid) > MAX_PAYEES:
        raise WrongPayees(f"it has {len(paid)} payees, and at most {MAX_PAYEES} are allowed")
    # The share is a whole number of sat. So a rest means that the payees have raised the change.
    share = -(-(fee - reserve_fee) // max(1, len(paid)))
    payees = tuple(
        Payee(ledger.next_request + place, output.script, Sat(output.amount + share))
        for place, output in enumerate(paid)
    )
    first = PaymentVersion(transaction.txid, Sat(fee), signed=None)
    return Payment(inputs, payees, change, newest, reserve_fee, (first,))


def _replace(
    ledger: FollowedLedger,
    proposal: PegOutProposal,
    name: BitcoinHash,
    rules: PegRules,
    spendings: Sequence[Spending],
    make: MakeTransaction,
) -> FollowedLedger:
    """Take a newer version of the payment `name`: the same payment with a higher fee."""
    payment, transaction = _payment(ledger, name), proposal.transaction
    if payment.versions[0].txid != name:
        raise UnknownPayment(name)
    fee = Sat(payment.spent - sum(output.amount for output in transaction.outputs))
    version = PaymentVersion(transaction.txid, fee, signed=None)
    if fee <= payment.versions[-1].fee:
        raise BadReplacement(f"its fee of {fee} sat is not above {payment.versions[-1].fee} sat")
    check_rate(payment, fee, rules, spendings)
    try:
        transaction_of(payment, version, spendings, make)
    except ValueError as error:
        raise BadReplacement(f"it is not the same payment: {error}") from None
    newer = attrs.evolve(payment, versions=(*payment.versions, version))
    payments = tuple(newer if one == payment else one for one in ledger.payments)
    return attrs.evolve(ledger, payments=payments)


def _find(ledger: FollowedLedger, txid: BitcoinHash) -> Payment | None:
    return next((one for one in ledger.payments if version_with(one, txid) is not None), None)


def _payment(ledger: FollowedLedger, txid: BitcoinHash) -> Payment:
    payment = _find(ledger, txid)
    if payment is None:
        raise UnknownPayment(txid)
    return payment
