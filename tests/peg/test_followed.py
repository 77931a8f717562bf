"""A signer without a node follows the payments, and refuses others.

`LedgerBook`, which other tests use, compares its knowledge with the ledger.
"""

import attrs
import pytest

from alysd.errors import InvalidBlock, NotFollowed
from alysd.peg.authoring import Wish, make_proposal, make_replacement
from alysd.peg.followed import FollowedLedger, follow_contents
from alysd.peg.proposals import MAX_IN_FLIGHT, MAX_PAYEES
from alysd.peg.versions import payment_transaction
from alysd.peg.violations import (
    BadDeposit,
    BadProposal,
    BadReplacement,
    FeeTooHigh,
    ReservedOutput,
    TooManyPayments,
    UnknownOutput,
    UnknownPayment,
    WrongPayees,
    WrongReserveFee,
)
from alysd.testing.peg import confirmed, peg_in
from alysd.types.peg import (
    DepositOutput,
    OutPoint,
    PaymentInput,
    PegContents,
    PegOutProposal,
    Transaction,
    TransactionOutput,
)
from alysd.types.units import Sat
from alysd.wire.bitcoin_transaction import make_transaction
from tests.peg.ledger_kit import RULES, SPENDINGS, LedgerBook

SCRIPT = b"\x00\x14" + b"\x07" * 20
COIN = 300_000


def follow(ledger: FollowedLedger, **contents: object) -> FollowedLedger:
    return follow_contents(ledger, PegContents(**contents), RULES, SPENDINGS, make_transaction)  # pyright: ignore[reportArgumentType]


def held(coins: int = 6) -> FollowedLedger:
    """A ledger of some outputs."""
    return follow(FollowedLedger(), peg_ins=(peg_in("coins", *[COIN] * coins),))


def paying(
    ledger: FollowedLedger,
    *places: int,
    amounts: tuple[int, ...] = (290_000,),
    change: int = 0,
    reserve_fee: int = 0,
) -> PegOutProposal:
    """A proposal that spends these outputs of the ledger."""
    outputs = list(ledger.outputs.values())
    return spending([outputs[place] for place in places], amounts, change, reserve_fee)


def spending(
    inputs: list[PaymentInput], amounts: tuple[int, ...] = (290_000,), change: int = 0, reserve_fee: int = 0
) -> PegOutProposal:
    payees = [TransactionOutput(Sat(amount), SCRIPT) for amount in amounts]
    made = payment_transaction(inputs, payees, Sat(change), SPENDINGS[0], make_transaction)
    return PegOutProposal(made, Sat(reserve_fee), None)


def replaced(proposal: PegOutProposal, *amounts: int, version: int = 2) -> PegOutProposal:
    """The proposal with these amounts in its outputs, as a newer version of itself."""
    made = proposal.transaction
    outputs = [attrs.evolve(one, amount=Sat(amount)) for one, amount in zip(made.outputs, amounts, strict=True)]
    newer: Transaction = make_transaction(version, made.inputs, outputs, 0)
    return PegOutProposal(newer, proposal.reserve_fee, made.txid)


def test_a_payment_can_be_signed_until_it_is_confirmed() -> None:
    ledger = held()
    proposal = paying(ledger, 0, amounts=(200_000,), change=99_000)
    txid = proposal.transaction.txid
    with pytest.raises(NotFollowed, match="no payment in flight has the version .* or its proof of finality"):
        ledger.payment_to_sign(txid)
    ledger = follow(ledger, proposal=proposal)
    assert ledger.payment_to_sign(txid).versions[0].fee == 1_000
    newer = replaced(proposal, 199_000, 99_000)
    ledger = follow(ledger, proposal=newer)
    payment = ledger.payment_to_sign(txid)
    assert payment == ledger.payment_to_sign(newer.transaction.txid)
    assert payment.spent - payment.change == 201_000
    ledger = follow(ledger, confirmed=(attrs.evolve(confirmed("x"), txid=newer.transaction.txid),))
    with pytest.raises(NotFollowed):
        ledger.payment_to_sign(txid)
    assert len(ledger.outputs) == 6
    assert OutPoint(newer.transaction.txid, 1) in ledger.outputs
    assert ledger.next_request == 1


def test_a_payment_without_change_leaves_nothing() -> None:
    ledger = held(1)
    proposal = paying(ledger, 0)
    ledger = follow(ledger, proposal=proposal)
    ledger = follow(ledger, confirmed=(attrs.evolve(confirmed("x"), txid=proposal.transaction.txid),))
    assert (ledger.outputs, ledger.payments, ledger.next_request) == ({}, (), 1)


def test_what_no_quorum_approves_is_refused() -> None:
    """A signer that has lost the thread must not guess which outputs the federation holds."""
    ledger = held()
    first = paying(ledger, 0)
    ledger = follow(ledger, proposal=first)
    nowhere = PaymentInput(OutPoint(first.transaction.txid, 9), Sat(COIN), 0)
    stranger = DepositOutput(0, 1, Sat(COIN))
    refused: list[tuple[dict[str, object], type[InvalidBlock], str]] = [
        ({"confirmed": (confirmed("nothing"),)}, UnknownPayment, ""),
        ({"peg_ins": (peg_in("coins", COIN),)}, BadDeposit, "already holds"),
        ({"peg_ins": (attrs.evolve(peg_in("x"), outputs=(stranger,)),)}, BadDeposit, "unknown federation"),
        ({"proposal": spending([nowhere])}, UnknownOutput, ""),
        ({"proposal": paying(ledger, 0)}, ReservedOutput, ""),
        ({"proposal": paying(ledger, 1, amounts=(400_000,))}, WrongReserveFee, "the whole fee is -100000 sat"),
        ({"proposal": paying(ledger, 1, reserve_fee=10_001)}, WrongReserveFee, "the whole fee is 10000 sat"),
        ({"proposal": paying(ledger, 1, amounts=(), change=299_000)}, WrongReserveFee, "it is 0 sat"),
        ({"proposal": paying(ledger, 1, amounts=(1_000,) * (MAX_PAYEES + 1))}, WrongPayees, "at most 64"),
        ({"proposal": paying(ledger, 1, amounts=(1_000,))}, FeeTooHigh, ""),
        ({"proposal": attrs.evolve(first, transaction=locked(first.transaction))}, BadProposal, "locktime"),
    ]
    for contents, error, words in refused:
        with pytest.raises(error, match=words or None):
            follow(ledger, **contents)
    for place in range(1, MAX_IN_FLIGHT):
        ledger = follow(ledger, proposal=paying(ledger, place))
    with pytest.raises(TooManyPayments):
        follow(ledger, proposal=paying(ledger, MAX_IN_FLIGHT))


def locked(transaction: Transaction) -> Transaction:
    return make_transaction(2, transaction.inputs, transaction.outputs, 1)


def test_only_the_same_payment_replaces_a_payment() -> None:
    """A replacement to another payee or with other inputs is another payment of the same outputs."""
    ledger = held()
    proposal = paying(ledger, 0, 1, amounts=(100_000, 100_000), change=399_000)
    ledger = follow(ledger, proposal=proposal)
    good = replaced(proposal, 99_000, 99_000, 399_000)
    stolen = attrs.evolve(good.transaction.outputs[0], script=SCRIPT[:-1] + b"\x08")
    outputs = [stolen, *good.transaction.outputs[1:]]
    thief = attrs.evolve(good, transaction=make_transaction(2, good.transaction.inputs, outputs, 0))
    other_inputs = attrs.evolve(
        good, transaction=make_transaction(2, good.transaction.inputs[:1], good.transaction.outputs, 0)
    )
    for lie, words in (
        (thief, "not the same payment"),
        (other_inputs, "not the same payment"),
        (replaced(proposal, 98_000, 100_000, 399_000), "not the same payment"),
        (replaced(proposal, 100_000, 100_000, 398_000), "not the same payment"),
        (replaced(proposal, 99_000, 99_000, 399_000, version=1), "not the same payment"),
        (replaced(proposal, 100_000, 100_000, 399_000), "is not above 1000 sat"),
        (replaced(proposal, 100_000, 101_000, 399_000), "is not above 1000 sat"),
    ):
        with pytest.raises(BadReplacement, match=words):
            follow(ledger, proposal=lie)
    with pytest.raises(FeeTooHigh):
        follow(ledger, proposal=replaced(proposal, 10_000, 10_000, 399_000))
    newer = follow(ledger, proposal=good)
    assert len(newer.payments[0].versions) == 2
    with pytest.raises(UnknownPayment):
        follow(newer, proposal=attrs.evolve(replaced(good, 90_000, 90_000, 399_000)))


def test_a_raised_change_is_followed() -> None:
    """The payees have raised a rest to 330 sat by an amount that a signer cannot see."""
    book = LedgerBook()
    book.hold([100_001], burned=[50_000, 50_200])
    book.totals = attrs.evolve(book.totals, reserve=Sat(0), minted=book.totals.minted + book.totals.reserve)
    wish = Wish(2_000, RULES.peg_out_max_fee_rate, "largest-first")
    made = make_proposal(book.draft(), book.free_coins(), wish, SPENDINGS, make_transaction)
    assert made is not None
    payment = book.propose(made)
    assert (payment.change, payment.gain, len(payment.payees)) == (330, 329, 2)
    assert book.followed.payments[0].gain == 1
    book.finalize(made)
    newer = make_replacement(payment, 4_000, SPENDINGS, make_transaction)
    assert newer is not None
    book.propose(newer)
    book.confirm(newer.transaction.txid)
    assert [one.amount for one in book.followed.outputs.values()] == [330]
