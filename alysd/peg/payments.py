"""The rules of payments in flight: newer versions, witnesses and confirmations (docs/protocol.md, "Peg-out")."""

from collections.abc import Sequence

import attrs

from alysd.peg.ledger import Draft, number_key
from alysd.peg.proposals import check_form, check_payees, check_pledge, check_rate, share_of
from alysd.peg.signing import Spending, message_of, witness_fault
from alysd.peg.violations import (
    AlreadySigned,
    BadReplacement,
    BadWitness,
    NotSigned,
    UnknownPayment,
    WrongChange,
)
from alysd.peg.weights import DUST_CHANGE, rate_of
from alysd.types.hashes import BitcoinHash
from alysd.types.peg import (
    FederationOutput,
    OutPoint,
    PaidOut,
    Payment,
    PaymentVersion,
    PegOutProposal,
    PegRules,
    Transaction,
    TransactionOutput,
    VersionOf,
)
from alysd.types.peg_history import PaidRequest, SignedVersion
from alysd.types.units import Height, Sat

LEAST_RISE = 1_000
"""The minimum rise of the fee rate of a newer version: 1 sat per virtual byte, in sat per 1,000 of them."""


def payment_named(draft: Draft, name: BitcoinHash) -> Payment:
    """The payment in flight whose first version has the txid `name`. Raises `UnknownPayment`."""
    payment = draft.get(Payment, name)
    if payment is None:
        raise UnknownPayment(name)
    return payment


def payment_with(draft: Draft, txid: BitcoinHash) -> Payment:
    """The payment in flight with a version `txid`. Raises `UnknownPayment`."""
    version = draft.get(VersionOf, txid)
    if version is None:
        raise UnknownPayment(txid)
    return payment_named(draft, version.payment)


def replace(
    draft: Draft, proposal: PegOutProposal, name: BitcoinHash, rules: PegRules, spendings: Sequence[Spending]
) -> None:
    """Take a newer version of the payment `name` into the ledger.

    The newer version has the inputs and payees of the older ones, and a fee rate that is higher by at least a
    quarter and at least `LEAST_RISE`. The payees bear the rise, so change and reserve fee stay the same. In a
    consolidation the reserve bears the rise, which lowers the change. Raises a subclass of `InvalidBlock`.
    """
    payment, transaction = payment_named(draft, name), proposal.transaction
    newest = payment.versions[-1]
    if newest.signed is None:
        raise NotSigned(newest.txid)
    check_form(transaction)
    if tuple(one.spends for one in transaction.inputs) != tuple(one.spends for one in payment.inputs):
        raise BadReplacement("it must spend the same outputs as the older versions, in the same order")
    if len(transaction.outputs) != len(payment.payees) + bool(payment.change):
        raise BadReplacement("it must have as many outputs as the older versions")
    fee = payment.spent - sum(output.amount for output in transaction.outputs)
    version = PaymentVersion(transaction.txid, Sat(fee), signed=None)
    if proposal.reserve_fee != payment.reserve_fee_of(version):
        raise BadReplacement(f"the reserve's part of the fee must be {payment.reserve_fee_of(version)} sat")
    check_payees(transaction, payment.payees, share_of(payment, fee))
    if payment.change:
        change = transaction.outputs[-1]
        if change.script != spendings[payment.federation].output_script:
            raise BadReplacement("the change must have the same script as in the older versions")
        if change.amount != payment.change_of(version) or change.amount < DUST_CHANGE:
            raise WrongChange(payment.change_of(version), change.amount)
    # The weight of all versions is the same, because only amounts differ.
    old, new = rate_of(payment, newest.fee, spendings), check_rate(payment, fee, rules, spendings)
    if 4 * new < 5 * old or new < old + LEAST_RISE:
        raise BadReplacement(f"a fee rate of {new} sat/kvB is too little above {old} sat/kvB")
    pledge = payment.reserve_fee_of(version) - payment.reserve_fee_of(newest)
    check_pledge(draft, pledge)
    draft.add(pledged=pledge)
    draft.put(name, attrs.evolve(payment, versions=(*payment.versions, version)))
    draft.put(version.txid, VersionOf(name))


def finalize(draft: Draft, transaction: Transaction, spendings: Sequence[Spending], height: Height) -> None:
    """Take the witnesses of a version of a payment into the ledger. `transaction` is this version with witnesses.

    `height` is the height of the block. Raises `UnknownPayment`, `AlreadySigned` or `BadWitness`. Takes about 0.1
    ms per signature.
    """
    txid = transaction.txid
    payment = payment_with(draft, txid)
    if any(version.txid == txid and version.signed is not None for version in payment.versions):
        raise AlreadySigned(txid)
    if len(transaction.witness) != len(payment.inputs):
        raise BadWitness(txid, 0, "the transaction has no witness")
    spent = spent_outputs(payment, spendings)
    for place, (one, witness) in enumerate(zip(payment.inputs, transaction.witness, strict=True)):
        spending = spendings[one.federation]
        fault = witness_fault(spending, message_of(transaction, spent, place, spending.leaf_hash), witness)
        if fault is not None:
            raise BadWitness(txid, place, fault)
    versions = tuple(
        attrs.evolve(version, signed=height) if version.txid == txid else version for version in payment.versions
    )
    draft.put(payment.versions[0].txid, attrs.evolve(payment, versions=versions))
    draft.put(txid, SignedVersion(height))


def spent_outputs(payment: Payment, spendings: Sequence[Spending]) -> tuple[TransactionOutput, ...]:
    """The outputs that a payment spends, in the order of its inputs."""
    return tuple(TransactionOutput(one.amount, spendings[one.federation].output_script) for one in payment.inputs)


def confirm(draft: Draft, txid: BitcoinHash, height: Height) -> None:
    """Take the confirmation of a payment's version into the ledger. All other versions of the payment are void.

    A block need not have the version's witnesses, because Bitcoin has checked them. `height` is that of the block
    that confirms it. Raises `UnknownPayment`.
    """
    payment = payment_with(draft, txid)
    confirmed = next(version for version in payment.versions if version.txid == txid)
    for one in payment.inputs:
        draft.delete(FederationOutput, one.spends.key)
    for version in payment.versions:
        draft.delete(VersionOf, version.txid)
    draft.delete(Payment, payment.versions[0].txid)
    others = () if payment.change else tuple(one.txid for one in payment.versions if one.txid != txid)
    draft.put(txid, PaidOut(height, others))
    share = share_of(payment, confirmed.fee)
    for payee in payment.payees:
        draft.put(number_key(payee.request), PaidRequest(txid, height, Sat(payee.owed - share)))
    draft.add(
        held=-payment.spent,
        outputs=-len(payment.inputs),
        owed=-payment.owed,
        reserve=payment.gain - payment.reserve_fee_of(confirmed),
        pledged=-payment.reserve_fee_of(payment.versions[-1]),
    )
    draft.count(payment, -1)
    if payment.change:
        draft.hold(OutPoint(txid, len(payment.payees)), payment.change_of(confirmed), payment.federation)
