"""The transactions of a payment follow from its entry in the ledger."""

from collections.abc import Callable

import attrs
import pytest

from alysd.peg.versions import payment_digest, transaction_of, version_with
from alysd.types.peg import Payment
from alysd.types.units import Sat
from alysd.wire.bitcoin_transaction import make_transaction
from tests.peg.payment_kit import make_payment, outpoint, spendings_of

SPENDINGS = spendings_of(3)
OTHER = make_payment(SPENDINGS, first_input=9)
PAYMENT = make_payment(SPENDINGS, fees=(2_000, 4_000))


def test_every_version_has_the_transaction_that_was_proposed() -> None:
    """A signer would refuse a payment whose entry gives another transaction."""
    first, second = (transaction_of(PAYMENT, one, SPENDINGS, make_transaction) for one in PAYMENT.versions)
    assert [output.amount for output in first.outputs] == [99_000, 99_000, 50_000]
    assert [output.amount for output in second.outputs] == [98_000, 98_000, 50_000]
    assert first.outputs[-1].script == SPENDINGS[0].output_script
    assert [one.spends for one in first.inputs] == [outpoint(0), outpoint(1)]
    assert version_with(PAYMENT, first.txid) is PAYMENT.versions[0]
    assert version_with(PAYMENT, OTHER.versions[0].txid) is None


def test_without_change_there_is_no_output_for_it() -> None:
    payment = make_payment(SPENDINGS, change=0)
    assert len(transaction_of(payment, payment.versions[0], SPENDINGS, make_transaction).outputs) == 2


def test_an_entry_that_does_not_fit_is_an_error() -> None:
    wrong = attrs.evolve(PAYMENT, change=Sat(49_999))
    with pytest.raises(ValueError, match="names the txid .*the payment is of another chain"):
        transaction_of(wrong, wrong.versions[0], SPENDINGS, make_transaction)


def test_a_fee_that_exceeds_the_outputs_is_an_error() -> None:
    """A signer gets entries from its node, which may be in a thief's hands."""
    joined = attrs.evolve(PAYMENT, payees=(), versions=(attrs.evolve(PAYMENT.versions[0], fee=Sat(10**12)),))
    greedy = attrs.evolve(PAYMENT, versions=joined.versions)
    for payment in (joined, greedy):
        with pytest.raises(ValueError, match="has an output below 0 sat"):
            transaction_of(payment, payment.versions[0], SPENDINGS, make_transaction)


CHANGES: list[Callable[[Payment], Payment]] = [
    lambda one: attrs.evolve(one, inputs=one.inputs[::-1]),
    lambda one: attrs.evolve(one, inputs=one.inputs[:1]),
    lambda one: attrs.evolve(one, payees=one.payees[:1]),
    lambda one: attrs.evolve(one, payees=(attrs.evolve(one.payees[0], owed=Sat(1)), *one.payees[1:])),
    lambda one: attrs.evolve(one, payees=(attrs.evolve(one.payees[0], script=b""), *one.payees[1:])),
    lambda one: attrs.evolve(one, payees=(attrs.evolve(one.payees[0], request=9), *one.payees[1:])),
    lambda one: attrs.evolve(one, change=Sat(1)),
    lambda one: attrs.evolve(one, reserve_fee=Sat(1)),
    lambda one: attrs.evolve(one, federation=1),
]


@pytest.mark.parametrize("changed", CHANGES)
def test_the_digest_covers_everything_but_the_fee(changed: Callable[[Payment], Payment]) -> None:
    """A signer signs any version of a payment that it has recorded, by this digest."""
    newer = attrs.evolve(PAYMENT, versions=PAYMENT.versions[1:])
    assert payment_digest(newer) == payment_digest(PAYMENT)
    assert payment_digest(changed(PAYMENT)) != payment_digest(PAYMENT)
