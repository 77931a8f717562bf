"""Consolidations: a request that needs more outputs than a payment can spend is paid in the end."""

import attrs
import pytest

from alysd.errors import PaymentDeclined
from alysd.peg.authoring import Wish, make_proposal, make_replacement
from alysd.peg.consolidation import Waiting, judge_consolidation, make_consolidation
from alysd.peg.ledger import check_totals
from alysd.peg.proposals import MIN_CONSOLIDATED, least_owed
from alysd.peg.versions import payment_transaction
from alysd.peg.violations import BadProposal, BadReplacement, WrongChange, WrongReserveFee
from alysd.types.peg import Payment, PaymentInput, PegOutProposal, PegOutRequest
from alysd.types.units import Sat
from alysd.wire.bitcoin_transaction import make_transaction
from tests.peg.ledger_kit import RULES, SPENDINGS, LedgerBook

RATE = 2_000
COIN = 50_000


def blocked(count: int = 250, owed: int = 12_000_000, reserve: int = 0) -> LedgerBook:
    """A ledger whose first request needs more outputs than a payment can spend."""
    book = LedgerBook()
    book.hold([COIN + place for place in range(count)], reserve=reserve, burned=[owed + 100])
    return book


def waiting(book: LedgerBook) -> Waiting:
    (owed,) = [entry.owed for entry in book.entries.values() if isinstance(entry, PegOutRequest)][:1]
    changes = [one.change_of(one.versions[-1]) for one in book.payments() if one.change]
    return Waiting(owed, book.free_coins(), changes)


def consolidation(book: LedgerBook, rate: int = RATE) -> PegOutProposal | None:
    return make_consolidation(waiting(book), rate, least_owed(RULES), SPENDINGS, make_transaction)


def payment(book: LedgerBook) -> PegOutProposal | None:
    wish = Wish(RATE, RULES.peg_out_max_fee_rate, "largest-first")
    return make_proposal(book.draft(), book.free_coins(), wish, SPENDINGS, make_transaction)


def joined(book: LedgerBook, rate: int = RATE) -> tuple[PegOutProposal, Payment]:
    """A consolidation that a member approves, in the ledger."""
    made, before = consolidation(book, rate), waiting(book)
    assert made is not None
    found = book.propose(made)
    judge_consolidation(found, before)
    return made, found


def of_inputs(book: LedgerBook, places: slice, fee: int) -> PegOutProposal:
    """A consolidation of some outputs, with this fee."""
    chosen = book.free_coins()[places]
    inputs = [PaymentInput(coin.outpoint, coin.amount, 0) for coin in chosen]
    change = Sat(sum(one.amount for one in inputs) - fee)
    transaction = payment_transaction(inputs, [], change, SPENDINGS[0], make_transaction)
    return PegOutProposal(transaction, Sat(fee), None)


def test_a_request_that_needs_too_many_outputs_is_paid_in_the_end() -> None:
    """It blocked all payments for ever."""
    book = blocked()
    held, rounds, fees = book.totals.held, 0, 0
    assert payment(book) is None
    while (made := payment(book)) is None:
        proposal, _ = joined(book)
        fees += proposal.reserve_fee
        assert book.totals.owed == 12_000_000 - fees, "the request bears them, and not the reserve"
        if not waiting(book).is_stuck:
            assert consolidation(book) is None, "the change of the payment in flight is enough"
        book.finalize(proposal)
        book.confirm(proposal.transaction.txid)
        check_totals(book.totals)
        rounds += 1
    assert rounds == 2
    paid = book.propose(made)
    book.confirm(paid.versions[0].txid)
    check_totals(book.totals)
    assert (book.totals.owed, book.totals.reserve, book.totals.pledged) == (0, 100, 0)
    assert held - book.totals.held == 12_000_000


def test_as_many_outputs_are_joined_as_the_request_can_pay_for() -> None:
    book = LedgerBook()
    book.hold([1_000 + place for place in range(150)], burned=[111_000])
    most = consolidation(book, 1_000)
    assert most is not None
    assert len(most.transaction.inputs) == 100
    assert consolidation(book, 11_000) is None, "the fee of the fewest outputs is too high"
    made = consolidation(book, 9_800)
    assert made is not None
    assert MIN_CONSOLIDATED <= len(made.transaction.inputs) < 100
    book.propose(made)
    assert least_owed(RULES) <= book.totals.owed == 110_900 - made.reserve_fee


def test_no_consolidation_is_made_or_approved_that_no_request_needs() -> None:
    """An author could use up the reserve."""
    book = blocked(owed=4_000_000)
    assert consolidation(book) is None
    found = attrs.evolve(joined(blocked())[1])
    with pytest.raises(PaymentDeclined, match="is not needed"):
        judge_consolidation(found, waiting(book))


def test_an_author_joins_the_largest_outputs() -> None:
    book = blocked()
    before = waiting(book)
    found = book.propose(of_inputs(book, slice(-100, None), 100_000))
    with pytest.raises(PaymentDeclined, match="must join the 100 largest outputs"):
        judge_consolidation(found, before)


def test_the_rules_bound_a_consolidation() -> None:
    book = blocked()
    with pytest.raises(BadProposal, match="must have 20 inputs, found 19"):
        book.propose(of_inputs(book, slice(0, 19), 50_000))
    good = of_inputs(book, slice(0, 100), 100_000)
    with pytest.raises(WrongChange):
        book.propose(attrs.evolve(good, reserve_fee=Sat(99_999)))
    small = LedgerBook()
    small.hold([1_000] * 150, burned=[100_200])
    with pytest.raises(WrongReserveFee, match="is 95201 sat, and would leave 4899 sat to the first request"):
        small.propose(of_inputs(small, slice(0, 100), 95_201))
    small.propose(of_inputs(small, slice(0, 100), 95_200))
    enough = blocked(owed=4_000_000)
    with pytest.raises(BadProposal, match="enough for the first request"):
        enough.propose(of_inputs(enough, slice(0, 100), 100_000))
    nobody = LedgerBook()
    nobody.hold([COIN] * 30, reserve=100_000)
    with pytest.raises(BadProposal, match="enough for the first request"):
        nobody.propose(of_inputs(nobody, slice(1, 30), 30_000))


@pytest.mark.parametrize("newest", [True, False])
def test_a_stuck_consolidation_is_replaced_at_the_reserves_expense(newest: bool) -> None:
    book = blocked(reserve=1_000_000)
    proposal, found = joined(book)
    book.finalize(proposal)
    newer = make_replacement(found, 4 * RATE, SPENDINGS, make_transaction)
    assert newer is not None
    with pytest.raises(BadReplacement, match="the reserve's part of the fee must be"):
        book.propose(attrs.evolve(newer, reserve_fee=proposal.reserve_fee))
    book.propose(newer)
    assert book.totals.pledged == newer.reserve_fee > 3 * proposal.reserve_fee
    which = newer if newest else proposal
    book.confirm(which.transaction.txid)
    check_totals(book.totals)
    rise = which.reserve_fee - proposal.reserve_fee
    assert (book.totals.pledged, book.totals.reserve) == (0, 1_000_100 - rise)
    assert book.totals.owed == 12_000_000 - proposal.reserve_fee
    assert book.free_coins()[0].amount == found.spent - which.reserve_fee


def test_a_replacement_that_the_reserve_cannot_pay_is_refused() -> None:
    book = blocked(reserve=40_000)
    proposal, found = joined(book)
    book.finalize(proposal)
    newer = make_replacement(found, 20 * RATE, SPENDINGS, make_transaction)
    assert newer is not None
    with pytest.raises(WrongReserveFee):
        book.propose(newer)
