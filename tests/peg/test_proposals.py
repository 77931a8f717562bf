"""Payments at the edge of the rules: small payees beside large ones, dust, and rests that nobody can pay."""

from collections.abc import Sequence
from itertools import product

import attrs
import pytest

from alysd.errors import InvalidBlock
from alysd.peg.authoring import Wish, make_proposal, make_replacement
from alysd.peg.coins import Coin, Selection, SelectionTarget, Strategy, select
from alysd.peg.ledger import check_totals
from alysd.peg.versions import SEQUENCE, transaction_of
from alysd.peg.violations import BadProposal, BadReplacement, WrongChange, WrongPayees
from alysd.peg.weights import DUST_CHANGE, fee_at, payment_weight, rate_of
from alysd.types.peg import Payment, PegOutProposal, TransactionInput, TransactionOutput
from alysd.types.units import Sat
from alysd.wire.bitcoin_transaction import make_transaction
from tests.peg.ledger_kit import RULES, SPENDINGS, LedgerBook

MOST = RULES.peg_out_max_fee_rate


def proposal(book: LedgerBook, rate: int = 2_000) -> PegOutProposal | None:
    wish = Wish(rate, MOST, "largest-first")
    return make_proposal(book.draft(), book.free_coins(), wish, SPENDINGS, make_transaction)


def proposed(book: LedgerBook, rate: int = 2_000) -> Payment:
    made = proposal(book, rate)
    assert made is not None
    return book.propose(made)


def other(made: PegOutProposal, *amounts: int, reserve_fee: int = 0) -> PegOutProposal:
    """The proposal with other amounts of its outputs."""
    transaction = made.transaction
    outputs = [
        TransactionOutput(Sat(amount), output.script)
        for amount, output in zip(amounts, transaction.outputs, strict=True)
    ]
    inputs = [TransactionInput(one.spends, b"", one.sequence) for one in transaction.inputs]
    return PegOutProposal(make_transaction(2, inputs, outputs, 0), Sat(reserve_fee), None)


@pytest.mark.parametrize(("rest", "change"), [(0, 0), (1, 330), (329, 330), (330, 330)])
def test_a_rest_below_dust_is_raised_to_a_change_when_the_reserve_is_empty(rest: int, change: int) -> None:
    """The last requests of a chain could not be paid: no proposal had exact amounts."""
    book = LedgerBook()
    book.hold([100_000 + rest], burned=[50_000, 50_200])
    service = book.totals.reserve
    book.totals = attrs.evolve(book.totals, reserve=Sat(0), minted=book.totals.minted + service)
    coin_rest = 100_000 + rest - (49_900 + 50_100)
    assert coin_rest == rest
    payment = proposed(book)
    assert (payment.change, payment.gain) == (change, change - rest)
    fee = payment.versions[0].fee
    assert fee >= fee_at(2_000, payment_weight(payment, SPENDINGS))
    book.confirm(payment.versions[0].txid)
    check_totals(book.totals)
    assert (book.totals.held, book.totals.reserve, book.totals.owed) == (change, change - rest, 0)


def test_a_rest_that_the_reserve_can_pay_is_not_raised() -> None:
    book = LedgerBook()
    book.hold([100_000], reserve=1_000, burned=[50_000, 50_000])
    coins = [coin for coin in book.free_coins() if coin.amount == 100_000]
    made = make_proposal(book.draft(), coins, Wish(2_000, MOST, "largest-first"), SPENDINGS, make_transaction)
    assert made is not None
    assert (made.reserve_fee, len(made.transaction.outputs)) == (200, 2)
    first, second = (output.amount for output in made.transaction.outputs)
    receiver = TransactionOutput(Sat(1), SPENDINGS[0].output_script)
    extended = attrs.evolve(
        made,
        transaction=make_transaction(2, made.transaction.inputs, [*made.transaction.outputs, receiver], 0),
    )
    with pytest.raises(WrongChange):
        book.propose(other(extended, first - 65, second - 65, DUST_CHANGE))


def test_a_payment_whose_outputs_exceed_its_inputs_is_refused() -> None:
    """The payees would pay nothing for the change that they must raise."""
    book = LedgerBook()
    book.hold([100_010], burned=[50_100, 50_100])
    book.totals = attrs.evolve(book.totals, reserve=Sat(0), minted=book.totals.minted + book.totals.reserve)
    made = proposal(book)
    assert made is not None
    with pytest.raises(BadProposal, match="cannot share"):
        book.propose(other(made, 50_000, 50_000, DUST_CHANGE))


def test_a_small_request_is_not_paid_beside_one_that_needs_many_outputs() -> None:
    """Its share of the fee would bound that of every newer version."""
    book = LedgerBook()
    book.hold([50_000] * 80, burned=[40_000, 3_500_000])
    made = proposal(book)
    assert made is not None
    payment = book.propose(made)
    assert [payee.owed for payee in payment.payees] == [39_900]
    second = proposed(book)
    assert [payee.owed for payee in second.payees] == [3_499_900]
    newer = make_replacement(second, MOST - 50, SPENDINGS, make_transaction)
    assert newer is not None, "each version can rise to the largest rate"


def test_an_author_cannot_put_a_small_request_beside_a_large_one() -> None:
    book = LedgerBook()
    book.hold([50_000] * 80, burned=[40_000, 3_500_000])
    wish = Wish(2_000, 2_000, "largest-first")
    made = make_proposal(book.draft(), book.free_coins(), wish, SPENDINGS, make_transaction)
    assert made is not None
    assert len(made.transaction.outputs) == 3
    with pytest.raises(WrongPayees, match="pay it alone"):
        book.propose(made)


def test_small_requests_at_the_front_block_nobody_at_the_largest_rate() -> None:
    """They would be dust after their share of a batch with a large request, so they are paid in order."""
    book = LedgerBook()
    book.hold([10_000_000], burned=[90_000] * 64 + [4_000_000])
    first = proposed(book, MOST - 50)
    assert len(first.payees) == 64
    book.confirm(first.versions[0].txid)
    assert [payee.owed for payee in proposed(book, MOST - 50).payees] == [3_999_900]


def test_no_payee_gets_dust() -> None:
    book = LedgerBook()
    book.hold([5_000_000], burned=[5_100, 1_000_000])
    made = proposal(book)
    assert made is not None
    outputs = made.transaction.outputs
    assert len(outputs) == 2
    with pytest.raises(WrongPayees, match="would be dust"):
        book.propose(other(made, 300, outputs[-1].amount))


def with_outputs(made: PegOutProposal, outputs: list[TransactionOutput]) -> PegOutProposal:
    """The proposal with these outputs."""
    transaction = make_transaction(2, made.transaction.inputs, outputs, 0)
    return PegOutProposal(transaction, made.reserve_fee, None)


def test_a_change_of_nothing_is_refused() -> None:
    """No member could sign the payment: the ledger's entry gave a transaction without this output."""
    book = LedgerBook()
    book.hold([100_000], burned=[50_100, 50_100])
    made = proposal(book)
    assert made is not None
    nothing = TransactionOutput(Sat(0), SPENDINGS[0].output_script)
    with pytest.raises(WrongChange, match="must be 330 sat, found 0"):
        book.propose(with_outputs(made, [*made.transaction.outputs, nothing]))


def test_a_consolidation_into_nothing_is_refused() -> None:
    book = LedgerBook()
    book.hold([1_000] * 101, reserve=50_000, burned=[100_900])
    coins = book.free_coins()[-20:]
    inputs = [TransactionInput(coin.outpoint, b"", SEQUENCE) for coin in coins]
    transaction = make_transaction(2, inputs, [TransactionOutput(Sat(0), SPENDINGS[0].output_script)], 0)
    with pytest.raises(WrongChange, match="must be 330 sat, found 0"):
        book.propose(PegOutProposal(transaction, Sat(20_000), None))


@pytest.mark.parametrize("held", [100_000, 100_200, 100_330, 200_000])
def test_members_can_sign_every_proposal_that_is_accepted(held: int) -> None:
    """A payment that nobody can sign holds its outputs and its payees for ever."""
    book = LedgerBook()
    book.hold([held], reserve=1_000, burned=[50_100, 50_100])
    made = proposal(book)
    assert made is not None
    outputs, totals, entries = list(made.transaction.outputs), book.totals, dict(book.entries)
    amounts, places = (0, 1, 329, DUST_CHANGE), range(len(outputs) + 1)
    scripts = (SPENDINGS[0].output_script, outputs[0].script)
    extra = [TransactionOutput(Sat(amount), script) for amount, script in product(amounts, scripts)]
    tried = [outputs, outputs[:-1], *([*outputs[:at], one, *outputs[at:]] for at, one in product(places, extra))]
    accepted = 0
    for some in tried:
        book.totals, book.entries = totals, dict(entries)
        one = with_outputs(made, some)
        try:
            payment = book.propose(one)
        except InvalidBlock:
            continue
        accepted += 1
        assert transaction_of(payment, payment.versions[0], SPENDINGS, make_transaction) == one.transaction
    assert accepted == 1


def test_an_author_searches_once_and_pays_all_though_the_reserve_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """It searched twice for each number of payees, for 20 s, so that no block had any contents of the peg."""
    searched: list[str] = []

    def counting(strategy: Strategy, coins: Sequence[Coin], target: SelectionTarget) -> Selection | None:
        searched.append(strategy)
        return select(strategy, coins, target)

    monkeypatch.setattr("alysd.peg.authoring.select", counting)
    book = LedgerBook()
    book.hold([100_000 + 7 * place for place in range(150)], burned=[90_000 + place for place in range(64)])
    book.totals = attrs.evolve(book.totals, reserve=Sat(0), minted=book.totals.minted + book.totals.reserve)
    wish = Wish(2_000, MOST, "minimize-fee", consolidate=True)
    made = make_proposal(book.draft(), book.free_coins(), wish, SPENDINGS, make_transaction)
    assert made is not None
    payment = book.propose(made)
    assert (len(payment.payees), payment.reserve_fee) == (64, 0)
    assert searched == ["minimize-fee"]


def test_an_author_searches_only_for_the_first_payees(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next ones get the largest outputs: a hostile queue could ask for 64 searches."""
    searched: list[str] = []

    def failing(strategy: Strategy, coins: Sequence[Coin], target: SelectionTarget) -> Selection | None:
        searched.append(strategy)
        return None if len(searched) < 3 else select(strategy, coins, target)

    monkeypatch.setattr("alysd.peg.authoring.select", failing)
    book = LedgerBook()
    book.hold([100_000 + place for place in range(150)], burned=[90_000, 90_000])
    wish = Wish(2_000, MOST, "minimize-fee")
    made = make_proposal(book.draft(), book.free_coins(), wish, SPENDINGS, make_transaction)
    assert made is not None
    assert len(book.propose(made).payees) == 1
    assert searched == ["minimize-fee", "minimize-fee", "largest-first"]


@pytest.mark.parametrize("count", [1, 28, 45, 64])
def test_what_an_author_makes_with_small_outputs_is_valid_at_every_rate(count: int) -> None:
    """The reserve's part was a few sat too high at some rates, so that every proposal was invalid."""
    book = LedgerBook()
    book.hold([100_000 + place for place in range(150)], reserve=100_000, burned=[90_000] * count)
    totals, entries, followed = book.totals, dict(book.entries), book.followed
    extra = 0
    for rate in range(1_000, 5_000, 37):
        book.totals, book.entries, book.followed = totals, dict(entries), followed
        wish = Wish(rate, MOST, "largest-first", consolidate=True)
        made = make_proposal(book.draft(), book.free_coins(), wish, SPENDINGS, make_transaction)
        assert made is not None
        payment = book.propose(made)
        assert rate <= rate_of(payment, payment.versions[0].fee, SPENDINGS) <= rate + 50
        extra += made.reserve_fee > 0
    assert extra > 100


def with_small_coin(small: int) -> tuple[LedgerBook, PegOutProposal]:
    """A proposal for what one output holds exactly, which may also spend an unneeded one of `small` sat."""
    book = LedgerBook()
    book.hold([100_000] * 102, reserve=100_000, burned=[100_100])
    book.hold([small])
    wish = Wish(8_000, MOST, "largest-first", consolidate=True)
    made = make_proposal(book.draft(), book.free_coins(), wish, SPENDINGS, make_transaction)
    assert made is not None
    return book, made


def test_an_unneeded_output_leaves_at_least_the_smallest_change() -> None:
    """It pays for its own input, and with less than 330 sat left, the payment would be invalid."""
    book, made = with_small_coin(5_000)
    fee = made.reserve_fee
    assert book.propose(made).change == 5_000 - fee
    book, made = with_small_coin(DUST_CHANGE + fee)
    payment = book.propose(made)
    assert (len(payment.inputs), payment.change, payment.reserve_fee) == (2, DUST_CHANGE, fee)
    book, made = with_small_coin(DUST_CHANGE + fee - 1)
    assert len(book.propose(made).inputs) == 1


def test_the_reserve_pays_a_whole_small_fee() -> None:
    """The rest of 329 sat is more than the fee: no payee gets more than it is owed."""
    book = LedgerBook()
    book.hold([100_329], reserve=1_000, burned=[100_100])
    coins = [one for one in book.free_coins() if one.amount == 100_329]
    wish = Wish(1_000, MOST, "largest-first")
    made = make_proposal(book.draft(), coins, wish, SPENDINGS, make_transaction)
    assert made is not None
    payment = book.propose(made)
    assert (made.reserve_fee, payment.change, payment.versions[0].fee) == (329, 0, 329)
    assert made.transaction.outputs[0].amount == 100_000


@pytest.mark.parametrize("deposit", [100_000, 200_000], ids=["no change", "change"])
@pytest.mark.parametrize("rate", [3_101, 10_007, 33_333])
def test_a_replacement_has_at_least_the_rate_that_is_wanted(deposit: int, rate: int) -> None:
    book = LedgerBook()
    book.hold([deposit], burned=[30_100, 30_100, 40_100])
    book.finalize(proposed_of(book))
    (payment,) = book.payments()
    made = make_replacement(payment, rate, SPENDINGS, make_transaction)
    assert made is not None
    newer = book.propose(made)
    assert rate <= rate_of(newer, newer.versions[-1].fee, SPENDINGS) <= rate + 50


@pytest.mark.parametrize(("old", "new"), [(20_000, 24_500), (2_000, 2_900)], ids=["a quarter", "1 sat/vB"])
def test_a_replacement_with_too_small_a_rise_is_refused(old: int, new: int) -> None:
    """Bitcoin nodes would not relay it, or members would sign one version after the other."""
    book = LedgerBook()
    book.hold([200_000], burned=[60_100])
    first = proposal(book, old)
    assert first is not None
    book.propose(first)
    book.finalize(first)
    (payment,) = book.payments()
    made = make_replacement(payment, new, SPENDINGS, make_transaction)
    assert made is not None
    with pytest.raises(BadReplacement, match=r"a fee rate of 2\d+ sat/kvB is too little above 20+"):
        book.propose(made)


def proposed_of(book: LedgerBook) -> PegOutProposal:
    made = proposal(book)
    assert made is not None
    book.propose(made)
    return made
