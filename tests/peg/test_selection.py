"""The judgement of the outputs that an author has chosen."""

from collections.abc import Sequence

import attrs
import pytest

from alysd.errors import PaymentDeclined
from alysd.peg.authoring import Wish, make_proposal
from alysd.peg.coins import Coin, Strategy
from alysd.peg.estimates import LOW_RATE
from alysd.peg.selection import judge_selection
from alysd.types.peg import RESERVE, Payment, PegContents
from alysd.wire.bitcoin_transaction import make_transaction
from tests.peg.ledger_kit import RULES, SPENDINGS, LedgerBook, make_burn


def paid_from(book: LedgerBook, coins: Sequence[Coin], strategy: Strategy) -> Payment:
    wish = Wish(2_000, RULES.peg_out_max_fee_rate, strategy)
    made = make_proposal(book.draft(), coins, wish, SPENDINGS, make_transaction)
    assert made is not None
    return book.propose(made)


def test_payees_do_not_pay_for_many_small_outputs() -> None:
    """An author could choose 100 of them where one is enough."""
    book = LedgerBook()
    book.hold([1_000 * place for place in range(10, 60)] + [5_000_000], burned=[1_000_000])
    coins = book.free_coins()
    made = paid_from(book, coins[1:], "smallest-first")
    assert len(made.inputs) > 30
    with pytest.raises(PaymentDeclined, match=r"spends \d\d outputs, and 1 are enough: each payee would pay"):
        judge_selection(made, coins, SPENDINGS)


def test_the_refusal_has_the_share_of_each_payee() -> None:
    book = LedgerBook()
    book.hold([1_000 * place for place in range(10, 60)] + [5_000_000], burned=[500_000, 500_000])
    coins = book.free_coins()
    made = paid_from(book, coins[1:], "smallest-first")
    assert len(made.payees) == 2
    with pytest.raises(PaymentDeclined, match=f"each payee would pay {made.versions[0].fee // 2} sat instead of"):
        judge_selection(made, coins, SPENDINGS)


@pytest.mark.parametrize("strategy", ["largest-first", "minimize-fee", "branch-and-bound"])
@pytest.mark.parametrize("burned", [[60_000], [199_000, 7_000], [350_000, 350_000, 20_000]])
def test_the_choices_of_authors_are_right(strategy: Strategy, burned: list[int]) -> None:
    book = LedgerBook()
    book.hold([100_000, 99_900, 59_900, 200_000, 6_900, 400_000, 20_000, 300_000], burned=burned)
    coins = book.free_coins()
    judge_selection(paid_from(book, coins, strategy), coins, SPENDINGS)


def test_a_choice_that_this_node_cannot_make_is_not_judged() -> None:
    """The block may have confirmed a payment whose change it spends."""
    book = LedgerBook()
    book.hold([1_000_000], burned=[500_000])
    judge_selection(paid_from(book, book.free_coins(), "largest-first"), [], SPENDINGS)


@pytest.mark.parametrize(("rate", "right"), [(2 * LOW_RATE - 50, True), (2 * LOW_RATE + 1, False)])
def test_an_author_cannot_spend_the_reserve_while_fees_are_high(rate: int, right: bool) -> None:
    """It would pay for 20 unneeded outputs in each payment, at any fee rate of the chain."""
    book = LedgerBook()
    book.hold([100_000] * 110 + [900_000], reserve=1_000_000, burned=[500_000])
    coins = book.free_coins()
    wish = Wish(rate, RULES.peg_out_max_fee_rate, "minimize-fee", consolidate=True)
    proposal = make_proposal(book.draft(), coins, wish, SPENDINGS, make_transaction)
    assert proposal is not None
    made = book.propose(proposal)
    assert made.reserve_fee > 10_000
    if right:
        judge_selection(made, coins, SPENDINGS)
        return
    with pytest.raises(PaymentDeclined, match="it spends 20 outputs that its payees do not need, at 100"):
        judge_selection(made, coins, SPENDINGS)
    plain = attrs.evolve(wish, consolidate=False)
    book = LedgerBook()
    book.hold([100_000] * 110 + [900_000], reserve=1_000_000, burned=[500_000])
    proposal = make_proposal(book.draft(), coins, plain, SPENDINGS, make_transaction)
    assert proposal is not None
    judge_selection(book.propose(proposal), coins, SPENDINGS)


def with_stalled_outputs(own: int) -> LedgerBook:
    """A former federation has 101 outputs, and the newest one `own` and a request for the least of these."""
    book = LedgerBook()
    book.hold([50_000] * 101)
    book.change_federation()
    book.block(PegContents(peg_ins=(book.next_deposit([1_000_000], RESERVE, federation=1),)))
    for place in range(own - 1):
        book.block(PegContents(peg_ins=(book.next_deposit([100_000 + place], federation=1),)))
    book.block(PegContents(), (make_burn(40_000),))
    return book


@pytest.mark.parametrize(("own", "spent"), [(20, 1), (100, 1), (101, 21)])
def test_outputs_of_a_former_federation_make_no_payment_join_those_of_the_newest(own: int, spent: int) -> None:
    """Anybody can deposit to its address, and each payment would spend all outputs of a small federation."""
    book = with_stalled_outputs(own)
    coins = book.free_coins(1)
    wish = Wish(2_000, RULES.peg_out_max_fee_rate, "minimize-fee", consolidate=True)
    made = make_proposal(book.draft(), coins, wish, book.spendings, make_transaction)
    assert made is not None
    assert len(made.transaction.inputs) == spent
    judge_selection(book.propose(made), coins, book.spendings)


def test_an_author_that_joins_few_outputs_is_declined() -> None:
    """The rule allows it, because it counts the outputs of all federations."""
    book = with_stalled_outputs(101)
    wish = Wish(2_000, RULES.peg_out_max_fee_rate, "minimize-fee", consolidate=True)
    coins = book.free_coins(1)
    proposal = make_proposal(book.draft(), coins, wish, book.spendings, make_transaction)
    assert proposal is not None
    made = book.propose(proposal)
    judge_selection(made, coins, book.spendings)
    with pytest.raises(PaymentDeclined, match="and only 100 outputs of the federation 1 are free"):
        judge_selection(made, coins[:100], book.spendings)
