"""Moves of outputs of former federations to the newest: the reserve pays, and no satoshi is lost."""

import attrs
import pytest

from alysd.errors import InvalidBlock, PaymentDeclined
from alysd.peg.authoring import Wish, make_proposal, make_replacement
from alysd.peg.ledger import check_totals, free_reserve, number_key
from alysd.peg.moves import fee_of_move, former_coins, judge_move, make_move
from alysd.peg.proposals import costs_of
from alysd.peg.selection import judge_selection
from alysd.peg.violations import BadProposal, PegIsHalted, WrongChange, WrongReserveFee
from alysd.types.peg import RESERVE, Payment, PegContents, PegOutProposal, PegOutRequest
from alysd.types.units import Sat
from alysd.wire.bitcoin_transaction import make_transaction
from tests.peg.ledger_kit import LATER, RULES, USER, LedgerBook, make_burn

RATE = 2_000


def changed(amounts: list[int], reserve: int = 200_000) -> LedgerBook:
    """A ledger with these outputs of the first federation, and a newer one, to which the reserve was paid."""
    book = LedgerBook()
    book.hold(amounts)
    book.change_federation()
    if reserve:
        book.block(PegContents(peg_ins=(book.next_deposit([reserve], RESERVE, 1),)))
    return book


def move(book: LedgerBook, rate: int = RATE) -> PegOutProposal | None:
    return make_move(book.free_coins(), rate, free_reserve(book.totals), book.spendings, make_transaction)


def payment(book: LedgerBook, strategy: str = "minimize-fee", rate: int = RATE) -> PegOutProposal | None:
    wish = Wish(rate, RULES.peg_out_max_fee_rate, strategy)  # pyright: ignore[reportArgumentType]
    return make_proposal(book.draft(), book.free_coins(), wish, book.spendings, make_transaction)


def moved(book: LedgerBook, rate: int = RATE) -> tuple[PegOutProposal, Payment]:
    """A move that a member approves, in the ledger."""
    made, coins, reserve = move(book, rate), book.free_coins(), free_reserve(book.totals)
    assert made is not None
    found = book.propose(made)
    judge_move(found, coins, reserve, book.spendings)
    return made, found


def test_all_former_outputs_end_at_the_newest_federation() -> None:
    book = changed([50_000 + place for place in range(130)])
    before, fees = book.totals, 0
    for count in (100, 30):
        made, found = moved(book)
        assert len(made.transaction.inputs) == count
        assert made.transaction.outputs[0].script == LATER[0].output_script
        assert found.payees == ()
        fees += made.reserve_fee
        book.finalize(made)
        book.confirm(made.transaction.txid)
        check_totals(book.totals)
    assert move(book) is None
    assert {coin.federation for coin in book.free_coins()} == {1}
    assert before.held - book.totals.held == fees == before.reserve - book.totals.reserve
    assert book.totals.minted == before.minted


def test_outputs_move_on_over_several_changes() -> None:
    book = changed([50_000])
    book.change_federation()
    made, _ = moved(book)
    assert len(made.transaction.inputs) == 2, "the reserve's own output is of a former federation too"
    book.finalize(made)
    book.change_federation()  # while the move is in flight, its change still goes to the second federation
    book.confirm(made.transaction.txid)
    assert [coin.federation for coin in book.free_coins()] == [2]
    made, _ = moved(book)
    book.finalize(made)
    book.confirm(made.transaction.txid)
    assert [coin.federation for coin in book.free_coins()] == [3]


def test_the_reserve_bounds_a_move_and_an_empty_one_stops_it() -> None:
    book = changed([50_000] * 30, reserve=2_000)
    made, found = moved(book, 1_000)
    assert 1 < len(found.inputs) < 30
    assert free_reserve(book.totals) < fee_of_move(book.free_coins()[:1], 1_000, book.spendings)
    assert move(book, 1_000) is None
    assert move(changed([50_000] * 30, reserve=0)) is None
    more = attrs.evolve(made, reserve_fee=Sat(2_001))
    fresh = changed([50_000] * 30, reserve=2_000)
    outputs = [attrs.evolve(made.transaction.outputs[0], amount=Sat(made.transaction.outputs[0].amount - 1_000))]
    dear = PegOutProposal(
        make_transaction(2, made.transaction.inputs, outputs, 0), Sat(made.reserve_fee + 1_000), None
    )
    with pytest.raises(WrongReserveFee, match="of the reserve are not pledged"):
        fresh.propose(dear)
    with pytest.raises(WrongChange):
        fresh.propose(more)


def test_a_move_of_dust_is_not_made() -> None:
    book = changed([1_000], reserve=100_000)
    assert move(book, 20_000) is None, "the change would be dust"


def test_outputs_of_the_newest_federation_are_not_moved() -> None:
    book = changed([50_000] * 3)
    book.block(PegContents(peg_ins=(book.next_deposit([60_000], USER, 1),)))
    made = make_move(
        [attrs.evolve(coin, federation=0) for coin in book.free_coins()],
        RATE,
        free_reserve(book.totals),
        book.spendings,
        make_transaction,
    )
    assert made is not None
    with pytest.raises(BadProposal, match="without payees it must have 20 inputs"):
        book.propose(made)
    assert len(former_coins(book.free_coins(), book.spendings)) == 3


def test_requests_come_first_and_bring_former_outputs_along() -> None:
    """A busy queue would otherwise keep the outputs of former members for ever."""
    book = changed([50_000 + place for place in range(40)])
    book.block(PegContents(peg_ins=(book.next_deposit([900_000], USER, 1),)), (make_burn(100_000),))
    left = move(book)
    assert left is not None
    with pytest.raises(BadProposal, match="without payees it must have 20 inputs|is enough for the first"):
        book.propose(left)
    coins = book.free_coins()
    made = payment(book)
    assert made is not None
    assert len(made.transaction.inputs) >= 40
    found = book.propose(made)
    judge_selection(found, coins, book.spendings)
    scripts = [output.script for output in made.transaction.outputs]
    costs = costs_of(found.inputs, found.owed, found.versions[0].fee, scripts, book.spendings)
    assert made.reserve_fee == costs.extra_fee > 0
    assert former_coins(book.free_coins(), book.spendings) == ()


def test_a_small_reserve_brings_fewer_along_and_stops_no_payment() -> None:
    counts: list[int] = []
    for reserve in (0, 1_000, 3_000, 100_000):
        book = changed([50_000] * 40, reserve)
        book.block(PegContents(peg_ins=(book.next_deposit([900_000], USER, 1),)), (make_burn(100_000),))
        made = payment(book, rate=1_000)
        assert made is not None
        book.propose(made)
        counts.append(len(made.transaction.inputs))
    assert counts[0] == 1
    assert counts == sorted(counts)
    assert counts[-1] == 41


@pytest.mark.parametrize("strategy", ["largest-first", "smallest-first", "branch-and-bound", "minimize-fee"])
def test_large_former_outputs_beside_small_new_ones_break_no_rule(strategy: str) -> None:
    """They make the small ones unneeded, of which only so many are allowed."""
    book = LedgerBook()
    book.hold([500_000])
    book.change_federation()
    for _ in range(6):
        book.block(PegContents(peg_ins=(book.next_deposit([30_000], USER, 1),)))
    book.block(PegContents(peg_ins=(book.next_deposit([90_000], RESERVE, 1),)), (make_burn(120_000),))
    made = payment(book, strategy)
    assert made is not None
    book.propose(made)
    check_totals(book.totals)


def test_an_author_moves_as_many_outputs_as_it_can() -> None:
    """Each further transaction costs the reserve more."""
    book = changed([50_000] * 5)
    coins, reserve = book.free_coins(), free_reserve(book.totals)
    former = former_coins(coins, book.spendings)
    few = make_move(former[:2], RATE, reserve, book.spendings, make_transaction)
    assert few is not None
    made = book.propose(few)
    with pytest.raises(PaymentDeclined, match="moves 2 outputs of former federations, and leaves 3"):
        judge_move(made, coins, reserve, book.spendings)
    judge_move(made, coins, made.reserve_fee, book.spendings)
    many = changed([50_000] * 101)
    coins = many.free_coins()
    most = move(many)
    assert most is not None
    judge_move(many.propose(most), coins, Sat(10**9), many.spendings)


@pytest.mark.parametrize("reserve", range(300, 1_800, 25))
def test_members_approve_the_move_that_an_author_makes(reserve: int) -> None:
    """Inputs of federations have different weights. An author stops at the first that is too expensive."""
    book = LedgerBook()
    for _ in range(3):
        book.change_federation()
    weights = [spending.weight for spending in book.spendings[:3]]
    light, heavy = weights.index(min(weights)), weights.index(max(weights))
    for amount, federation in ((90_000, light), (80_000, heavy), (70_000, light)):
        book.block(PegContents(peg_ins=(book.next_deposit([amount], federation=federation),)))
    book.block(PegContents(peg_ins=(book.next_deposit([1_000 + reserve], RESERVE, 3),)))
    coins, free = book.free_coins(), Sat(reserve)
    made = make_move(coins, RATE, free, book.spendings, make_transaction)
    if made is None:
        assert fee_of_move(former_coins(coins, book.spendings)[:1], RATE, book.spendings) > reserve
        return
    judge_move(book.propose(made), coins, free, book.spendings)


def test_a_stuck_move_is_replaced_at_the_reserves_expense() -> None:
    book = changed([50_000] * 5)
    made, found = moved(book)
    book.finalize(made)
    (signed,) = book.payments()
    newer = make_replacement(signed, 4 * RATE, book.spendings, make_transaction)
    assert newer is not None
    assert newer.reserve_fee > made.reserve_fee
    book.propose(newer)
    book.finalize(newer)
    assert book.totals.pledged == newer.reserve_fee
    book.confirm(newer.transaction.txid)
    check_totals(book.totals)
    assert book.totals.reserve == 200_000 - newer.reserve_fee
    assert found.owed == 0


def test_a_payee_may_have_asked_for_the_address_of_a_later_federation() -> None:
    """Its burn was accepted when this was nobody's address. The rules must not take its output for the change."""
    book = LedgerBook()
    book.hold([100_000, 300_000])
    later = LATER[0].output_script
    book.block(PegContents(), (make_burn(100_100), make_burn(50_000)))
    first = number_key(0)
    request = book.entries[PegOutRequest, first]
    assert isinstance(request, PegOutRequest)
    book.entries[PegOutRequest, first] = attrs.evolve(request, script=later)
    book.change_federation()
    made = payment(book, "branch-and-bound")
    assert made is not None
    assert len(made.transaction.outputs) > 1
    found = book.propose(made)
    assert (found.payees[0].script, bool(found.change)) == (later, True)


def test_without_change_such_a_payee_waits() -> None:
    book = LedgerBook()
    book.hold([100_000])
    book.block(PegContents(), (make_burn(100_100),))
    assert payment(book) is not None
    request = book.entries[PegOutRequest, number_key(0)]
    assert isinstance(request, PegOutRequest)
    book.entries[PegOutRequest, number_key(0)] = attrs.evolve(request, script=LATER[0].output_script)
    book.change_federation()
    assert payment(book) is None
    for amounts in ([60_000], [50_000]):
        assert payment(book) is None
        book.block(PegContents(peg_ins=(book.next_deposit(amounts, USER, 1),)))
    made = payment(book)
    assert made is not None
    book.propose(made)
    assert len(made.transaction.outputs) == 2


def test_a_halted_peg_takes_confirmations_and_burns_and_refunds_wait() -> None:
    book = changed([50_000])
    made, _ = moved(book)
    book.halted = True
    with pytest.raises(PegIsHalted, match="the block has a peg_out_proposal"):
        book.block(PegContents(proposal=made))
    with pytest.raises(PegIsHalted, match="the block has peg_ins"):
        book.block(PegContents(peg_ins=(book.next_deposit([5_000]),)))
    with pytest.raises(PegIsHalted, match="the block has finalized_peg_outs"):
        book.finalize(made)
    assert book.block(PegContents(), (make_burn(6_000, b"nobody"),)) == ()
    assert book.block(PegContents()) == ()
    assert book.totals.refunds_due == 6_000
    book.confirm(made.transaction.txid)
    book.halted = False
    assert len(book.block(PegContents())) == 1
    check_totals(book.totals)


def test_a_signer_that_follows_accepts_moves_and_refuses_false_ones() -> None:
    book = changed([50_000] * 3)
    made, _ = moved(book)
    assert [one.federation for one in book.followed.payments[0].inputs] == [0, 0, 0]
    fresh = changed([50_000] * 3)
    false = attrs.evolve(made, reserve_fee=Sat(made.reserve_fee - 1))
    with pytest.raises(InvalidBlock):
        fresh.propose(false)
