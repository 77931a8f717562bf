"""The transactions of a payment's versions, which follow from the payment's entry in the ledger.

So a signer needs nothing but the entry, and signs a transaction that it has made itself.
"""

from collections.abc import Callable, Sequence

from alysd.peg.signing import Spending
from alysd.types.hashes import BitcoinHash, displayed, sha256
from alysd.types.peg import (
    Payment,
    PaymentInput,
    PaymentVersion,
    Transaction,
    TransactionInput,
    TransactionOutput,
)
from alysd.types.units import Sat

VERSION = 2
SEQUENCE = 0xFFFFFFFD
"""The sequence of every input, which announces that the payment can be replaced (BIP-125)."""

MakeTransaction = Callable[[int, Sequence[TransactionInput], Sequence[TransactionOutput], int], Transaction]
"""Makes a transaction without witness from version, inputs, outputs and locktime.

The rules get the function `wire.bitcoin_transaction.make_transaction` as an argument, because they import nothing
of `wire`.
"""


def payment_transaction(
    spent: Sequence[PaymentInput],
    payees: Sequence[TransactionOutput],
    change: Sat,
    receiver: Spending,
    make: MakeTransaction,
) -> Transaction:
    """The transaction that spends these outputs, pays the payees, and sends the `change` to `receiver`, if any."""
    inputs = [TransactionInput(one.spends, b"", SEQUENCE) for one in spent]
    rest = [TransactionOutput(change, receiver.output_script)] if change else []
    return make(VERSION, inputs, [*payees, *rest], 0)


def transaction_of(
    payment: Payment, version: PaymentVersion, spendings: Sequence[Spending], make: MakeTransaction
) -> Transaction:
    """The transaction of a version of a payment, without witness. `spendings` are those of all federations.

    Raises `ValueError` if the transaction's txid is not that of the version, because the entry belongs to another
    chain, or if an output would be below 0 sat.
    """
    share = (version.fee - payment.reserve_fee + payment.gain) // max(1, len(payment.payees))
    payees = [TransactionOutput(Sat(payee.owed - share), payee.script) for payee in payment.payees]
    receiver, change = spendings[payment.federation], payment.change_of(version)
    if min([change, *(output.amount for output in payees)]) < 0:
        raise ValueError(f"the payment's version {displayed(version.txid)} has an output below 0 sat")
    transaction = payment_transaction(payment.inputs, payees, change, receiver, make)
    if transaction.txid != version.txid:
        raise ValueError(
            f"the payment's version names the txid {displayed(version.txid)}, but its transaction has "
            f"{displayed(transaction.txid)}: the payment is of another chain"
        )
    return transaction


def version_with(payment: Payment, txid: BitcoinHash) -> PaymentVersion | None:
    """The version of the payment with this txid, or None."""
    return next((version for version in payment.versions if version.txid == txid), None)


def payment_digest(payment: Payment) -> bytes:
    """A digest of the common part of all versions of a payment, 32 bytes: all but each version's txid and fee.

    Two payments with one digest pay the same requests from the same outputs.
    """
    parts = [len(payment.inputs).to_bytes(4, "little")]
    parts += [
        one.spends.key + one.amount.to_bytes(8, "little") + one.federation.to_bytes(4, "little")
        for one in payment.inputs
    ]
    parts += [
        payee.request.to_bytes(8, "little")
        + payee.owed.to_bytes(8, "little")
        + len(payee.script).to_bytes(4, "little")
        + payee.script
        for payee in payment.payees
    ]
    parts += [
        payment.change.to_bytes(8, "little"),
        payment.federation.to_bytes(4, "little"),
        payment.reserve_fee.to_bytes(8, "little"),
    ]
    return sha256(b"".join(parts))
