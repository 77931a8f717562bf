"""The view of an operation for a person: its state follows from the ledger, its history, and what is final."""

from collections.abc import Sequence

import pytest

from alysd.peg.authoring import Wish, make_proposal, make_replacement
from alysd.peg.operations import MAX_SCANNED, Operations, Wanted
from alysd.types.hashes import EvmAddress
from alysd.types.peg import RESERVE, Burn, PegContents, PegIn, PegOutProposal, PegTotals
from alysd.types.peg_operation import OperationState, PegOperation
from alysd.wire.bitcoin_transaction import make_transaction
from tests.peg.book_view import BookView
from tests.peg.ledger_kit import PAYABLE, RULES, SPENDINGS, USER, LedgerBook, make_burn

OTHER = EvmAddress(b"\x04" * 20)
OWN = (SPENDINGS[0].output_script,)


class World:
    """A ledger and the operations in it."""

    def __init__(self) -> None:
        self.book = LedgerBook()
        self.view = BookView(self.book)
        self.operations = Operations(self.view, RULES, OWN)

    def block(self, *peg_ins: PegIn, burns: Sequence[Burn] = ()) -> None:
        self.book.block(PegContents(peg_ins=peg_ins), tuple(burns))

    def propose(self) -> PegOutProposal:
        wish = Wish(2_000, RULES.peg_out_max_fee_rate, "largest-first")
        proposal = make_proposal(self.book.draft(), self.book.free_coins(), wish, SPENDINGS, make_transaction)
        assert proposal is not None
        self.book.propose(proposal)
        return proposal

    def shown(self, number: int) -> PegOperation:
        found = self.operations.by_number(number)
        assert found is not None
        return found


def test_a_deposit_is_minted_and_then_final() -> None:
    world = World()
    first, second = world.book.next_deposit([50_000, 60_000]), world.book.next_deposit([70_000], RESERVE)
    assert world.operations.of_deposit(first.txid) is None
    world.block()
    world.block(first, second)
    found = world.operations.of_deposit(second.txid)
    assert found is not None
    shown, outputs = found
    assert (shown.state, shown.number, shown.account, shown.amount) == (OperationState.MINTED, 1, RESERVE, 70_000)
    assert (outputs, shown.height, shown.is_over) == ((0,), 2, False)
    assert world.operations.of_deposit(first.txid) == (world.shown(0), (0, 3))
    world.view.finalize()
    assert world.shown(0).state is OperationState.FINAL
    assert world.shown(0).is_over
    assert world.operations.by_number(2) is None


def test_a_burn_passes_all_states_of_a_payment() -> None:
    world = World()
    burn = make_burn(200_000)
    world.block(world.book.next_deposit([500_000]), burns=[burn])
    (shown,) = world.operations.of_transaction(burn.transaction)
    assert (shown.state, shown.account, shown.address) == (OperationState.REQUESTED, USER, PAYABLE[1])
    assert world.operations.of_transaction(make_burn(1).transaction) == ()
    proposal = world.propose()
    assert world.shown(1).state is OperationState.PROPOSED
    world.view.finalize()
    shown = world.shown(1)
    assert (shown.state, shown.is_over) == (OperationState.FINAL, False), "final is the end of deposits only"
    world.book.finalize(proposal)
    assert world.shown(1).state is OperationState.SIGNED
    (payment,) = world.book.payments()
    newer = make_replacement(payment, 20_000, SPENDINGS, make_transaction)
    assert newer is not None
    world.book.propose(newer)
    shown = world.shown(1)
    assert shown.state is OperationState.REPLACED
    assert [one.txid for one in shown.versions] == [proposal.transaction.txid, newer.transaction.txid]
    world.book.confirm(newer.transaction.txid)
    shown = world.shown(1)
    assert (shown.state, shown.payment) == (OperationState.CONFIRMED, newer.transaction.txid)
    assert (shown.paid, shown.ended) == (newer.transaction.outputs[0].amount, world.book.height)
    assert shown.is_over


def test_a_refused_burn_says_why_and_when_it_came_back() -> None:
    world = World()
    burns = [make_burn(300_000, b"nowhere"), make_burn(600), make_burn(7)]
    world.block(world.book.next_deposit([500_000]), burns=burns)
    wrong, small, tiny = (world.shown(number) for number in (1, 2, 3))
    assert [one.state for one in (wrong, small, tiny)] == [OperationState.REFUSED] * 3
    assert "not a Bitcoin address" in (wrong.reason or "")
    assert small.reason == "600 sat were burned, less than the minimum of 5000 sat"
    assert tiny.reason == "7 sat were burned, less than the minimum of 5000 sat; it is too small for a refund"
    assert [(one.refund, one.is_over) for one in (wrong, small, tiny)] == [
        (300_000, False),
        (600, False),
        (0, True),
    ]
    world.block()
    wrong = world.shown(1)
    assert (wrong.state, wrong.ended, wrong.is_over) == (OperationState.REFUNDED, 2, True)


def test_pages_are_the_newest_first_and_have_what_is_asked_for() -> None:
    world = World()
    for sender in (USER, OTHER, USER):
        world.block(world.book.next_deposit([50_000], OTHER), burns=[make_burn(9_000, sender=sender)])
    newest = world.operations.newest

    def numbers(before: int | None, limit: int, wanted: Wanted) -> tuple[list[int | None], int | None]:
        page = newest(before, limit, wanted)
        return [one.number for one in page.operations], page.next

    assert numbers(None, 4, Wanted()) == ([5, 4, 3, 2], 2)
    assert numbers(2, 4, Wanted()) == ([1, 0], None)
    assert numbers(99, 6, Wanted()) == ([5, 4, 3, 2, 1, 0], None)
    assert numbers(None, 9, Wanted(account=USER)) == ([5, 1], None)
    assert numbers(None, 9, Wanted(OperationState.MINTED)) == ([4, 2, 0], None)
    assert numbers(None, 1, Wanted(OperationState.REQUESTED, OTHER)) == ([3], 3)
    assert numbers(0, 9, Wanted()) == ([], None)


def test_one_page_reads_a_bounded_number_of_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    """A filter that nothing matches must not read a history of millions for one request."""
    assert MAX_SCANNED == 1_000
    monkeypatch.setattr("alysd.peg.operations.MAX_SCANNED", 3)
    world = World()
    world.block(burns=[make_burn(700) for _ in range(7)])
    page = world.operations.newest(None, 5, Wanted(OperationState.CONFIRMED))
    assert (page.operations, page.next) == ((), 4)
    assert world.operations.newest(page.next, 5, Wanted()).next == 1


def test_the_summary_counts_open_burns_and_names_the_oldest() -> None:
    world = World()
    assert world.operations.summary().oldest is None
    world.block(world.book.next_deposit([500_000]), burns=[make_burn(200_000)])
    world.propose()
    world.block(burns=[make_burn(9_000), make_burn(600)])
    summary = world.operations.summary()
    counts = {state: count for state, count in summary.open if count}
    assert counts == {OperationState.REQUESTED: 1, OperationState.PROPOSED: 1, OperationState.REFUSED: 1}
    assert (summary.oldest, summary.since) == (1, 1_000)
    assert isinstance(summary.tip.head.peg, PegTotals)
