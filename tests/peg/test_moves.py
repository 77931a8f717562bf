"""Moves of outputs of former federations to the newest: the reserve pays, and no satoshi is lost."""

import attrs
import pytest

from alysd.errors import InvalidBlock, PaymentDeclined
from alysd.peg.authoring import Wish, make_proposal, make_replacement
from alysd.peg.coins import Strategy
from alysd.peg.consolidation import Waiting
from alysd.peg.estimates import LOW_RATE
from alysd.peg.ledger import check_totals, free_reserve, number_key
from alysd.peg.moves import (
    LEAST_WORTH,
    check_worth,
    fee_of_move,
    judge_move,
    make_move,
    moves_dearly,
)
from alysd.peg.selection import check_former_needed, judge_selection
from alysd.peg.versions import payment_transaction
from alysd.peg.violations import BadProposal, PegIsHalted, TooManyPayments, WrongChange, WrongPayees
from alysd.peg.weights import fee_at
from alysd.types.peg import RESERVE, Payment, PaymentInput, PegContents, PegOutProposal, PegOutRequest
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


def move(book: LedgerBook, rate: int = RATE, federation: int = 0) -> PegOutProposal | None:
    coins = book.free_coins(federation)
    return make_move(coins, rate, free_reserve(book.totals), book.spendings, make_transaction)


def payment(book: LedgerBook, federation: int, strategy: Strategy = "minimize-fee") -> PegOutProposal | None:
    """A payment from outputs of this federation."""
    wish = Wish(RATE, RULES.peg_out_max_fee_rate, strategy)
    return make_proposal(book.draft(), book.free_coins(federation), wish, book.spendings, make_transaction)


def moved(book: LedgerBook, rate: int = RATE, federation: int = 0) -> tuple[PegOutProposal, Payment]:
    """A move that a member approves, in the ledger."""
    made, coins = move(book, rate, federation), book.free_coins(federation)
    reserve = free_reserve(book.totals)
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
    assert move(book) is None, "none is left"
    assert {coin.federation for coin in book.free_coins()} == {1}
    assert before.held - book.totals.held == fees == before.reserve - book.totals.reserve
    assert book.totals.minted == before.minted


def test_outputs_move_on_over_several_changes() -> None:
    book = changed([50_000])
    book.change_federation()
    made, _ = moved(book)
    other, _ = moved(book, federation=1)
    assert [len(one.transaction.inputs) for one in (made, other)] == [1, 1], "each of its own federation"
    book.finalize(made)
    book.change_federation()  # while the move is in flight, its change still goes to the third federation
    book.confirm(made.transaction.txid)
    book.confirm(other.transaction.txid)
    assert [coin.federation for coin in book.free_coins()] == [2, 2]
    made, _ = moved(book, federation=2)
    book.finalize(made)
    book.confirm(made.transaction.txid)
    assert [coin.federation for coin in book.free_coins()] == [3]


def test_the_reserve_bounds_a_move_and_an_empty_one_stops_it() -> None:
    book = changed([50_000] * 30, reserve=2_000)
    made, found = moved(book, 1_000)
    assert 1 < len(found.inputs) < 30
    assert 2 * made.reserve_fee <= 2_000, "a newer version can have twice the fee"
    book.finalize(made)
    book.confirm(made.transaction.txid)
    reserve = free_reserve(book.totals)
    assert reserve >= 1_000
    assert move(changed([50_000] * 30, reserve=0)) is None
    more = attrs.evolve(made, reserve_fee=Sat(1_001))
    fresh = changed([50_000] * 30, reserve=2_000)
    with pytest.raises(WrongChange):
        fresh.propose(more)


@pytest.mark.parametrize(("over", "right"), [(0, True), (1, False)])
def test_the_reserve_pays_for_no_move_of_more_than_half_of_it(over: int, right: bool) -> None:
    """Members find a move that costs more a consolidation, whose fee the first request bears: there is none."""
    book = changed([50_000] * 3, reserve=2_000)
    chosen = [PaymentInput(one.outpoint, one.amount, 0) for one in book.free_coins(0)]
    made = payment_transaction(chosen, [], Sat(150_000 - 1_000 - over), book.spendings[1], make_transaction)
    proposal = PegOutProposal(made, Sat(1_000 + over), None)
    if right:
        assert book.propose(proposal).is_of_former
        return
    with pytest.raises(BadProposal, match="without payees it must have 20 inputs"):
        book.propose(proposal)


def test_a_move_of_dust_is_not_made() -> None:
    book = changed([1_000], reserve=100_000)
    assert move(book, 20_000) is None, "the change would be dust"


def test_outputs_of_the_newest_federation_are_not_moved() -> None:
    book = changed([50_000] * 3)
    book.block(PegContents(peg_ins=(book.next_deposit([60_000], USER, 1),)))
    coins = [attrs.evolve(coin, federation=0) for coin in book.free_coins(1)]
    made = make_move(coins, RATE, free_reserve(book.totals), book.spendings, make_transaction)
    assert made is not None
    with pytest.raises(BadProposal, match="without payees it must have 20 inputs"):
        book.propose(made)
    mixed = [*coins[:1], *book.free_coins(0)]
    made = make_move(mixed, RATE, free_reserve(book.totals), book.spendings, make_transaction)
    assert made is not None
    with pytest.raises(BadProposal, match="it spends outputs of the federations 0, 1, not of one"):
        book.propose(made)


def test_a_federation_that_does_not_sign_stops_no_payment_of_another() -> None:
    """Neither the first nor the second federation signs any more. Deposits to their addresses go on."""
    book = changed([50_000])
    book.change_federation()
    for _ in range(3):
        deposits = [book.next_deposit([80_000], USER, federation) for federation in (0, 1, 2)]
        book.block(PegContents(peg_ins=tuple(deposits)), (make_burn(60_000),))
        for federation in (0, 1):
            if not book.totals.in_flight(federation, former=True):
                moved(book, federation=federation)
            extra = move(book, federation=federation)
            if extra is not None:
                with pytest.raises(TooManyPayments, match=f"1 payments of the federation {federation} are in"):
                    book.propose(extra)
        made = payment(book, 2)
        assert made is not None
        book.propose(made)
        book.finalize(made)
        book.confirm(made.transaction.txid)
        check_totals(book.totals)
    assert (book.totals.paying, book.totals.moving) == ((), (1, 1))
    assert book.totals.first_request == book.totals.next_request == 3


def test_payments_made_before_a_change_leave_room_for_those_after_it() -> None:
    book = LedgerBook()
    book.hold([50_000] * 5, burned=[30_000] * 5)
    for _ in range(4):
        made = make_proposal(
            book.draft(),
            book.free_coins()[:1],
            Wish(RATE, 200_000, "largest-first"),
            book.spendings,
            make_transaction,
        )
        assert made is not None
        book.propose(made)
    book.change_federation()
    book.block(PegContents(peg_ins=(book.next_deposit([100_000], RESERVE, 1),)))
    assert (book.totals.paying, book.totals.moving) == ((4,), ())
    moved(book)
    made = payment(book, 1)
    assert made is not None
    book.propose(made)
    assert (book.totals.paying, book.totals.moving, book.totals.payments) == ((4, 1), (1,), 6)
    for one in book.payments():
        book.confirm(one.versions[0].txid)
    assert (book.totals.paying, book.totals.moving, book.totals.payments) == ((), (), 0)


def test_one_request_alone_waits_for_former_members() -> None:
    """The newest federation holds nothing, and the reserve cannot pay for a move: payees bear the fee."""
    book = changed([50_000] * 3, reserve=0)
    book.block(PegContents(), (make_burn(30_000), make_burn(20_000)))
    assert move(book) is None
    made = payment(book, 0)
    assert made is not None
    found = book.propose(made)
    assert [one.request for one in found.payees] == [0]
    assert (found.is_of_former, found.federation, found.reserve_fee) == (True, 1, 0)
    two = LedgerBook()
    two.hold([900_000], burned=[300_000, 200_000])
    both = payment(two, 0)
    assert both is not None
    assert len(both.transaction.outputs) == 3
    two.change_federation()
    outputs = [
        *both.transaction.outputs[:2],
        attrs.evolve(both.transaction.outputs[2], script=LATER[0].output_script),
    ]
    false = attrs.evolve(both, transaction=make_transaction(2, both.transaction.inputs, outputs, 0))
    with pytest.raises(
        WrongPayees, match="only one request can be paid from outputs of a former federation, not 2"
    ):
        two.propose(false)


def test_judges_find_former_outputs_unneeded_while_the_newest_federation_holds_enough() -> None:
    book = changed([50_000] * 3, reserve=0)
    book.block(PegContents(peg_ins=(book.next_deposit([60_000], USER, 1),)), (make_burn(30_000),))
    made = payment(book, 0)
    assert made is not None
    found = book.propose(made)
    with pytest.raises(
        PaymentDeclined, match="of the former federation 0, and those of the newest one are enough"
    ):
        check_former_needed(found, Waiting(Sat(29_900), book.free_coins(1), ()))
    check_former_needed(found, Waiting(Sat(60_001), book.free_coins(1), ()))
    with pytest.raises(PaymentDeclined):
        check_former_needed(found, Waiting(Sat(60_001), book.free_coins(1), [Sat(1)]))


def test_an_author_moves_as_many_outputs_as_it_can() -> None:
    """Each further transaction costs the reserve more."""
    book = changed([50_000] * 5)
    coins, reserve = book.free_coins(0), free_reserve(book.totals)
    few = make_move(coins[1:3], RATE, reserve, book.spendings, make_transaction)
    assert few is not None
    made = book.propose(few)
    with pytest.raises(PaymentDeclined, match="moves 2 outputs of a former federation, and leaves 3"):
        judge_move(made, coins, reserve, book.spendings)
    judge_move(made, coins, Sat(2 * made.reserve_fee), book.spendings)
    many = changed([50_000] * 101)
    coins = many.free_coins(0)
    most = move(many)
    assert most is not None
    judge_move(many.propose(most), coins, Sat(10**9), many.spendings)


def test_an_author_need_not_move_what_makes_the_change_too_small() -> None:
    book = changed([1_000, 1_000], reserve=10**6)
    (coin, other), reserve = book.free_coins(0), free_reserve(book.totals)
    made = make_move([coin], 3_000, reserve, book.spendings, make_transaction)
    assert made is not None
    found = book.propose(made)
    dust = attrs.evolve(other, amount=Sat(1))
    judge_move(found, [coin, dust], reserve, book.spendings)
    with pytest.raises(PaymentDeclined):
        judge_move(found, [coin, other], reserve, book.spendings)


def test_an_author_moves_the_largest_outputs() -> None:
    book = changed([50_000, 60_000, 70_000])
    coins, reserve = book.free_coins(0), free_reserve(book.totals)
    small = make_move(coins[1:], RATE, reserve, book.spendings, make_transaction)
    assert small is not None
    with pytest.raises(PaymentDeclined, match="the 2 largest outputs, which hold 130000 sat; found 110000 sat"):
        judge_move(book.propose(small), coins, reserve, book.spendings)


RATES = [1_000, LOW_RATE, LOW_RATE + 1, 7_300, 2 * LOW_RATE, 2 * LOW_RATE + 1, 33_333, 199_950]


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("reserve", [*range(300, 3_000, 90), 20_000, 10**6])
def test_members_approve_the_move_that_an_author_makes(reserve: int, rate: int) -> None:
    """An author stops where the reserve is too small, or where an output is not worth it."""
    weight = LedgerBook().spendings[0].weight
    edge = LEAST_WORTH * fee_at(rate, weight)
    book = changed([1_000, 1_001, 90_000, 2_000_000, edge - 1, edge, edge + 1, edge * 3], reserve=0)
    book.block(PegContents(peg_ins=(book.next_deposit([1_000 + reserve], RESERVE, 1),)))
    coins, free = book.free_coins(0), Sat(reserve)
    made = make_move(coins, rate, free, book.spendings, make_transaction)
    if made is None:
        assert 2 * fee_of_move(coins[:1], rate, book.spendings) > reserve
        return
    found = book.propose(made)
    judge_move(found, coins, free, book.spendings)
    assert rate <= LOW_RATE or all(one.amount >= edge for one in found.inputs)


def test_outputs_that_cost_much_of_their_amount_wait_for_low_fees() -> None:
    """Anybody could otherwise make the reserve pay, by small deposits to an old address."""
    book = changed([30_000, 40_000], reserve=10**6)
    assert move(book, 20_000) is None
    rate = 2 * LOW_RATE
    dear = fee_of_move(book.free_coins(0), 2 * rate, book.spendings)
    chosen = [PaymentInput(one.outpoint, one.amount, 0) for one in book.free_coins(0)]
    made = payment_transaction(chosen, [], Sat(70_000 - dear), book.spendings[1], make_transaction)
    found = book.propose(PegOutProposal(made, dear, None))
    with pytest.raises(PaymentDeclined, match=r"outputs of less than \d+ sat of a former federation at 20\d\d\d"):
        judge_move(found, book.free_coins(0), free_reserve(book.totals), book.spendings)
    check_worth(found, rate, book.spendings)
    assert moves_dearly(found, rate, book.spendings, judging=False), "an author does not raise its fee so far"
    assert not moves_dearly(found, LOW_RATE, book.spendings, judging=False)
    with pytest.raises(PaymentDeclined):
        check_worth(found, rate + 1, book.spendings)
    large = changed([30_000_000], reserve=10**6)
    _, found = moved(large, 100_000)
    check_worth(found, 100_000, large.spendings)


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
    made = payment(book, 0, "branch-and-bound")
    assert made is not None
    assert len(made.transaction.outputs) > 1
    found = book.propose(made)
    assert (found.payees[0].script, bool(found.change)) == (later, True)


def test_without_change_such_a_payee_waits() -> None:
    book = LedgerBook()
    book.hold([100_000])
    book.block(PegContents(), (make_burn(100_100),))
    assert payment(book, 0) is not None
    request = book.entries[PegOutRequest, number_key(0)]
    assert isinstance(request, PegOutRequest)
    book.entries[PegOutRequest, number_key(0)] = attrs.evolve(request, script=LATER[0].output_script)
    book.change_federation()
    assert payment(book, 0) is None
    for amounts in ([60_000], [50_000]):
        assert payment(book, 1) is None
        book.block(PegContents(peg_ins=(book.next_deposit(amounts, USER, 1),)))
    made = payment(book, 1)
    assert made is not None
    book.propose(made)
    assert len(made.transaction.outputs) == 2


def asking_for_the_newest(owed: int) -> LedgerBook:
    """A ledger with a request to the address of the newest federation, which holds nothing."""
    book = LedgerBook()
    book.hold([owed])
    book.block(PegContents(), (make_burn(owed + 100),))
    request = book.entries[PegOutRequest, number_key(0)]
    assert isinstance(request, PegOutRequest)
    book.entries[PegOutRequest, number_key(0)] = attrs.evolve(request, script=LATER[0].output_script)
    book.change_federation()
    return book


@pytest.mark.parametrize("strategy", ["largest-first", "minimize-fee"])
def test_such_a_payee_is_paid_beside_coins_of_exactly_its_amount(strategy: Strategy) -> None:
    """Two coins hold its amount, so a third one for the change would be unneeded, and the queue would wait."""
    book = asking_for_the_newest(100_000)
    book.block(PegContents(peg_ins=(book.next_deposit([60_000, 40_000, 30_000], USER, 1),)))
    assert payment(book, 1, strategy) is None
    book.block(PegContents(peg_ins=(book.next_deposit([20_000], USER, 1),)))
    coins, made = book.free_coins(1), payment(book, 1, strategy)
    assert made is not None
    found = book.propose(made)
    assert [one.amount for one in found.inputs] == [60_000, 30_000, 20_000]
    judge_selection(found, coins, book.spendings)


@pytest.mark.parametrize("strategy", ["largest-first", "minimize-fee"])
@pytest.mark.parametrize(("others", "inputs"), [([110_000] * 12, 10), ([900_000] + [110_000] * 12, 2)])
def test_judges_do_not_count_a_coin_of_exactly_its_amount(
    others: list[int], inputs: int, strategy: Strategy
) -> None:
    """An author cannot use it, so it does not make the other coins too many."""
    book = asking_for_the_newest(1_000_000)
    for amount in (1_000_000, *others):
        book.block(PegContents(peg_ins=(book.next_deposit([amount], USER, 1),)))
    coins, made = book.free_coins(1), payment(book, 1, strategy)
    assert made is not None
    found = book.propose(made)
    assert len(found.inputs) == inputs
    judge_selection(found, coins, book.spendings)


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
