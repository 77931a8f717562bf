"""Each rule of a block's peg contents that an author could break, and its error."""

from collections.abc import Callable

import attrs
import pytest

from alysd.peg import signing
from alysd.peg.authoring import Wish, make_proposal, make_replacement
from alysd.peg.ledger import Draft, LedgerBroken, check_totals
from alysd.peg.peg_ins import mints_of
from alysd.peg.proposals import MAX_IN_FLIGHT, check_form, check_rate, costs_of
from alysd.peg.signing import Spending, spending_of
from alysd.peg.violations import (
    BadDeposit,
    BadProposal,
    BadReplacement,
    FeeTooHigh,
    NoRoomToMint,
    TooManyPayments,
    UnknownPayment,
    WrongChange,
    WrongReserveFee,
)
from alysd.types.hashes import BitcoinHash, EvmAddress
from alysd.types.peg import (
    MAX_INPUTS,
    Minted,
    OutPoint,
    PegContents,
    PegIn,
    PegOutProposal,
    PegTotals,
    Transaction,
    TransactionInput,
    TransactionOutput,
)
from alysd.types.units import MAX_SAT, Height, Sat
from alysd.wire.bitcoin_transaction import make_transaction
from tests.peg.ledger_kit import KEYS, RULES, SPENDINGS, LedgerBook

MOST = RULES.peg_out_max_fee_rate


def proposal(book: LedgerBook, rate: int = 2_000, *, consolidate: bool = False) -> PegOutProposal:
    wish = Wish(rate, MOST, "largest-first", consolidate=consolidate)
    made = make_proposal(book.draft(), book.free_coins(), wish, SPENDINGS, make_transaction)
    assert made is not None
    return made


def spend(number: int) -> TransactionInput:
    return TransactionInput(OutPoint(BitcoinHash(bytes(32)), number), b"", 0xFFFFFFFD)


def with_inputs(*inputs: TransactionInput) -> Transaction:
    return make_transaction(2, inputs, [TransactionOutput(Sat(1), b"\x51")], 0)


@pytest.mark.parametrize(
    ("transaction", "message"),
    [
        (make_transaction(1, [spend(0)], [TransactionOutput(Sat(1), b"\x51")], 0), "version 2 and locktime 0"),
        (make_transaction(2, [spend(0)], [TransactionOutput(Sat(1), b"\x51")], 1), "version 2 and locktime 0"),
        (attrs.evolve(with_inputs(spend(0)), witness=((b"item",),)), "it must have no witness"),
        (with_inputs(*map(spend, range(MAX_INPUTS + 1))), "at most 100 inputs, found 101"),
        (with_inputs(attrs.evolve(spend(0), sequence=0)), "the sequence 0xfffffffd"),
        (with_inputs(attrs.evolve(spend(0), script_sig=b"\x51")), "an empty script"),
        (with_inputs(spend(1), spend(0), spend(1)), "it spends an output twice"),
    ],
)
def test_the_form_of_a_payment(transaction: Transaction, message: str) -> None:
    with pytest.raises(BadProposal, match=message):
        check_form(transaction)


def test_a_payment_has_the_most_inputs() -> None:
    check_form(with_inputs(*map(spend, range(MAX_INPUTS))))


def test_at_most_four_payments_are_in_flight() -> None:
    book = LedgerBook()
    book.hold([100_000] * 5)
    for _ in range(MAX_IN_FLIGHT):
        book.hold([], burned=[50_000])
        book.propose(proposal(book))
    book.hold([], burned=[50_000])
    with pytest.raises(TooManyPayments, match="4 payments of the federation 0 are in flight, and no more"):
        book.propose(proposal(book))


def test_few_unneeded_outputs_are_spent_while_the_federation_holds_few() -> None:
    book = LedgerBook()
    book.hold([100_000 + place for place in range(101)], reserve=100_000, burned=[50_000])
    made = proposal(book, consolidate=True)
    book.totals = attrs.evolve(book.totals, outputs=100)
    with pytest.raises(
        WrongReserveFee, match="20 inputs are not needed for the payees, but only 0 such inputs are allowed"
    ):
        book.propose(made)


def test_all_inputs_are_unneeded_if_nothing_is_owed() -> None:
    book = LedgerBook()
    book.hold([100_000], burned=[50_000])
    payment = book.propose(proposal(book))
    assert costs_of(payment.inputs, Sat(0), 1_000, [b"\x51"], SPENDINGS).extra == len(payment.inputs)


def test_the_largest_fee_rate() -> None:
    book = LedgerBook()
    book.hold([100_000], burned=[50_000])
    payment = book.propose(proposal(book))
    with pytest.raises(FeeTooHigh, match=r"the fee rate \d+ sat/kvB exceeds the limit 200000 sat/kvB"):
        check_rate(payment, 60_000, RULES, SPENDINGS)


def changed(made: PegOutProposal, change: Callable[[Transaction], Transaction]) -> PegOutProposal:
    transaction = change(made.transaction)
    plain = make_transaction(2, transaction.inputs, transaction.outputs, 0)
    return attrs.evolve(made, transaction=plain)


def last_output(one: Transaction, **fields: object) -> Transaction:
    return attrs.evolve(one, outputs=(*one.outputs[:-1], attrs.evolve(one.outputs[-1], **fields)))


CHANGES: list[tuple[Callable[[Transaction], Transaction], str]] = [
    (lambda one: attrs.evolve(one, inputs=one.inputs[::-1]), "the same outputs"),
    (lambda one: attrs.evolve(one, outputs=one.outputs[:-1]), "as many outputs"),
    (lambda one: last_output(one, script=b"\x51"), "the same script"),
]


@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_a_replacement_differs_only_in_its_fee(change: Callable[[Transaction], Transaction], message: str) -> None:
    book = LedgerBook()
    book.hold([40_000, 40_000], burned=[50_000])
    book.propose(made := proposal(book))
    book.finalize(made)
    (payment,) = book.payments()
    newer = make_replacement(payment, 10_000, SPENDINGS, make_transaction)
    assert newer is not None
    with pytest.raises(BadReplacement, match=message):
        book.propose(changed(newer, change))
    with pytest.raises(UnknownPayment):
        book.propose(attrs.evolve(newer, replaces=BitcoinHash(bytes(32))))
    book.propose(newer)


@pytest.mark.parametrize(("rate", "newer"), [(3_000, 3_990), (20_000, 24_900)])
def test_a_replacement_raises_the_fee_rate_enough(rate: int, newer: int) -> None:
    """By a quarter, and by 1 sat per virtual byte."""
    book = LedgerBook()
    book.hold([100_000], burned=[50_000])
    wish = Wish(rate, RULES.peg_out_max_fee_rate, "largest-first")
    made = make_proposal(book.draft(), book.free_coins(), wish, SPENDINGS, make_transaction)
    assert made is not None
    book.propose(made)
    book.finalize(made)
    (payment,) = book.payments()
    little = make_replacement(payment, newer, SPENDINGS, make_transaction)
    assert little is not None
    with pytest.raises(BadReplacement, match=r"a fee rate of \d+ sat/kvB is too little above"):
        book.propose(little)


def test_the_change_of_a_consolidation_pays_a_higher_fee_down_to_the_smallest() -> None:
    book = LedgerBook()
    book.hold([20_000] * 101, reserve=10_000, burned=[1_900_000])
    inputs = [TransactionInput(one.outpoint, b"", 0xFFFFFFFD) for one in book.free_coins()[:20]]

    def joined(fee: int) -> PegOutProposal:
        output = TransactionOutput(Sat(400_000 - fee), SPENDINGS[0].output_script)
        return PegOutProposal(make_transaction(2, inputs, [output], 0), Sat(fee), None)

    first = joined(5_000)
    assert book.propose(first).payees == ()
    book.finalize(first)
    name = first.transaction.txid
    with pytest.raises(WrongChange):
        book.propose(attrs.evolve(joined(400_000 - 329), replaces=name))
    (payment,) = book.payments()
    assert make_replacement(payment, 10**6, SPENDINGS, make_transaction) is None


def test_no_replacement_makes_dust_of_a_payee() -> None:
    book = LedgerBook()
    book.hold([100_000], burned=[5_000])
    payment = book.propose(proposal(book))
    assert make_replacement(payment, 100_000, SPENDINGS, make_transaction) is None


BROKEN: list[tuple[Callable[[PegIn], PegIn], str]] = [
    (lambda one: attrs.evolve(one, outputs=one.outputs[::-1]), "not in ascending order"),
    (lambda one: attrs.evolve(one, outputs=one.outputs[:1] * 2), "not in ascending order"),
    (lambda one: attrs.evolve(one, outputs=()), "it must have 1 to 64 outputs, found 0"),
    (
        lambda one: attrs.evolve(one, outputs=(attrs.evolve(one.outputs[0], federation=1),)),
        "names an unknown federation",
    ),
    (
        lambda one: attrs.evolve(one, outputs=(attrs.evolve(one.outputs[0], amount=Sat(MAX_SAT + 1)),)),
        "it must have at most 2100000000000000 sat",
    ),
]


@pytest.mark.parametrize(("change", "message"), BROKEN)
def test_a_deposit_that_breaks_a_rule(change: Callable[[PegIn], PegIn], message: str) -> None:
    book = LedgerBook()
    deposit = change(book.next_deposit([5_000, 6_000]))
    with pytest.raises(BadDeposit, match=message):
        book.block(PegContents(peg_ins=(deposit,)))


def test_a_block_has_room_for_its_mints() -> None:
    book = LedgerBook()
    deposits = [book.next_deposit([5_000], EvmAddress(bytes([place + 1]) * 20)) for place in range(3)]
    assert len(mints_of(deposits, 3, 16)) == 3
    with pytest.raises(NoRoomToMint, match="need 17 withdrawals, more than max_withdrawals 16"):
        mints_of(deposits, 2, 16)


def test_a_broken_ledger_is_an_invalid_block() -> None:
    """No block does this; a fault of the rules must not spread."""
    draft = Draft(PegTotals(), {(Minted, b"key"): None, (OutPoint, b"key"): Minted(Height(1), Sat(1))})  # pyright: ignore[reportArgumentType]
    with pytest.raises(LedgerBroken, match="the ledger of the peg is broken: PegTotals"):
        draft.need(Minted, b"key")
    with pytest.raises(TypeError, match="the entry must be a OutPoint, found Minted"):
        draft.get(OutPoint, b"key")
    for totals in (
        PegTotals(held=Sat(1)),
        PegTotals(held=Sat(-1), reserve=Sat(-1)),
        PegTotals(reserve=Sat(5), held=Sat(5), pledged=Sat(6)),
        PegTotals(first_request=1),
        PegTotals(first_refund=1),
        PegTotals(held=Sat(MAX_SAT + 1), reserve=Sat(MAX_SAT + 1)),
    ):
        with pytest.raises(LedgerBroken):
            check_totals(totals)
    check_totals(PegTotals(held=Sat(MAX_SAT), reserve=Sat(MAX_SAT), pledged=Sat(MAX_SAT)))


def test_two_derivations_of_a_federation_must_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong one would send all deposits to an output that nobody can spend."""

    def other(_keys: tuple[bytes, ...]) -> bytes:
        return b"\x51\x20" + bytes(32)

    monkeypatch.setattr(signing, "output_script", other)
    derive: Callable[[tuple[bytes, ...]], Spending] = spending_of.__wrapped__
    with pytest.raises(ValueError, match="the two derivations"):
        derive(KEYS)
