"""Payments in flight of a small federation, for tests of what signs and gathers signatures."""

import attrs

from alysd.integrations.possession import x_only_key
from alysd.peg.signing import Spending, spending_of
from alysd.peg.versions import payment_transaction, transaction_of
from alysd.testing.chain import bitcoin_secret
from alysd.types.hashes import BitcoinHash, XOnlyKey, sha256
from alysd.types.peg import OutPoint, Payee, Payment, PaymentInput, PaymentVersion, Transaction, TransactionOutput
from alysd.types.units import Height, Sat
from alysd.wire.bitcoin_transaction import make_transaction


def member_keys(members: int) -> tuple[XOnlyKey, ...]:
    """The Bitcoin keys of a federation."""
    return tuple(x_only_key(bitcoin_secret(member)) for member in range(members))


def spendings_of(members: int) -> tuple[Spending, ...]:
    """The spending of a chain's only federation."""
    return (spending_of(member_keys(members)),)


def outpoint(number: int) -> OutPoint:
    """One of many outputs of the federation."""
    return OutPoint(BitcoinHash(sha256(b"deposit %d" % number)), number % 3)


def make_payment(
    spendings: tuple[Spending, ...],
    *,
    first_input: int = 0,
    inputs: int = 2,
    payees: int = 2,
    change: int = 50_000,
    fees: tuple[int, ...] = (2_000,),
    signed: int = 0,
) -> Payment:
    """A payment with a version for each of the `fees`, of which the first `signed` have witnesses in block 7.

    It pays 100,000 sat to each payee. Payments that begin with different inputs are different.
    """
    newest = len(spendings) - 1
    owed = tuple(Payee(number, b"\x00\x14" + bytes([number]) * 20, Sat(100_000)) for number in range(payees))
    total = 100_000 * payees + change
    amounts = [total // inputs] * (inputs - 1)
    amounts.append(total - sum(amounts))
    spent = tuple(
        PaymentInput(outpoint(first_input + place), Sat(amount), 0) for place, amount in enumerate(amounts)
    )
    payment = Payment(spent, owed, Sat(change), newest, Sat(0), ())
    for place, fee in enumerate(fees):
        share = fee // payees
        outputs = [TransactionOutput(Sat(one.owed - share), one.script) for one in owed]
        made = payment_transaction(spent, outputs, Sat(change), spendings[newest], make_transaction)
        version = PaymentVersion(made.txid, Sat(fee), signed=Height(7) if place < signed else None)
        payment = attrs.evolve(payment, versions=(*payment.versions, version))
    return payment


def newest_transaction(payment: Payment, spendings: tuple[Spending, ...]) -> Transaction:
    """The transaction of a payment's newest version."""
    return transaction_of(payment, payment.versions[-1], spendings, make_transaction)
