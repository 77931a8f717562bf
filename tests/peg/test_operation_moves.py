"""The moves of operations by a block, from its changes alone: each state that a block gives is reported once."""

from collections.abc import Sequence

import pytest

from alysd.peg.authoring import Wish, make_proposal, make_replacement
from alysd.peg.operation_moves import operation_moves
from alysd.peg.operations import Operations
from alysd.types.hashes import EvmAddress
from alysd.types.peg import RESERVE, Burn, ConfirmedPegOut, PegContents, PegIn, PegOutProposal
from alysd.types.peg_operation import OperationMoves, OperationState
from alysd.types.tables import Table
from alysd.types.units import Height
from alysd.wire.bitcoin_transaction import make_transaction
from tests.peg.book_view import BookView
from tests.peg.ledger_kit import BLOCK, RULES, SPENDINGS, USER, LedgerBook, make_burn, sign

OTHER = EvmAddress(b"\x04" * 20)
S = OperationState


class World:
    """A ledger, and the moves by its last block."""

    def __init__(self) -> None:
        self.book = LedgerBook()
        self.operations = Operations(BookView(self.book), RULES, (SPENDINGS[0].output_script,))

    def block(self, *peg_ins: PegIn, burns: Sequence[Burn] = ()) -> OperationMoves:
        self.book.block(PegContents(peg_ins=peg_ins), tuple(burns))
        return self.moves

    @property
    def moves(self) -> OperationMoves:
        return operation_moves(self.book.changes, Height(self.book.height), self.operations)

    def states(self) -> list[tuple[int | None, OperationState]]:
        return [(one.number, one.state) for one in self.moves.moves]

    def propose(self) -> PegOutProposal:
        wish = Wish(2_000, RULES.peg_out_max_fee_rate, "largest-first")
        proposal = make_proposal(self.book.draft(), self.book.free_coins(), wish, SPENDINGS, make_transaction)
        assert proposal is not None
        self.book.propose(proposal)
        return proposal

    def replacement(self) -> PegOutProposal:
        (payment,) = self.book.payments()
        newer = make_replacement(payment, 20_000, SPENDINGS, make_transaction)
        assert newer is not None
        return newer


def test_a_deposit_and_the_states_of_burns() -> None:
    world = World()
    moves = world.block(world.book.next_deposit([900_000]), burns=[make_burn(200_000), make_burn(100_000)])
    assert [(one.state, one.amount, one.account) for one in moves.moves] == [
        (S.MINTED, 900_000, USER),
        (S.REQUESTED, 200_000, USER),
        (S.REQUESTED, 100_000, USER),
    ]
    assert (moves.height, moves.left_out) == (1, 0)
    world.block()
    assert world.states() == []
    proposal = world.propose()
    assert world.states() == [(1, S.PROPOSED), (2, S.PROPOSED)]
    world.book.finalize(proposal)
    assert world.states() == [(1, S.SIGNED), (2, S.SIGNED)]
    newer = world.replacement()
    world.book.propose(newer)
    assert world.states() == [(1, S.REPLACED), (2, S.REPLACED)]
    assert {one.payment for one in world.moves.moves} == {newer.transaction.txid}
    world.book.finalize(newer)
    assert world.states() == [(1, S.SIGNED), (2, S.SIGNED)], "of the older version no more is said"
    world.book.confirm(newer.transaction.txid)
    assert world.states() == [(1, S.CONFIRMED), (2, S.CONFIRMED)]
    first, second = world.moves.moves
    assert [one.paid for one in (first, second)] == [out.amount for out in newer.transaction.outputs[:2]]
    assert (first.payment, first.ended, first.is_over) == (newer.transaction.txid, world.book.height, True)


def test_one_block_can_sign_a_version_and_propose_a_newer_one() -> None:
    world = World()
    world.block(world.book.next_deposit([900_000], RESERVE), burns=[make_burn(200_000)])
    proposal = world.propose()
    (payment,) = world.book.payments()
    signed = sign(payment, proposal.transaction, [0, 1])
    book = world.book
    book.block(PegContents(finalized=(signed,)))
    newer = world.replacement()
    book.block(PegContents(proposal=newer))
    assert world.states() == [(1, S.REPLACED)]
    # The same in one block.
    world = World()
    world.block(world.book.next_deposit([900_000], RESERVE), burns=[make_burn(200_000)])
    world.propose()
    world.book.block(PegContents(finalized=(signed,), proposal=newer))
    assert world.states() == [(1, S.SIGNED), (1, S.REPLACED)]
    assert [one.payment for one in world.moves.moves] == [proposal.transaction.txid, newer.transaction.txid]


def test_a_refused_burn_and_its_refund() -> None:
    """The refund comes back to the burn that it is for, also if that one is older than others."""
    world = World()
    burns = [make_burn(7), make_burn(300_000, b"nowhere"), make_burn(200_000), make_burn(600, sender=OTHER)]
    moves = world.block(world.book.next_deposit([900_000]), burns=burns)
    assert [one.state for one in moves.moves] == [S.MINTED, S.REFUSED, S.REFUSED, S.REQUESTED, S.REFUSED]
    assert "too small for a refund" in (moves.moves[1].reason or "")
    assert "not a Bitcoin address" in (moves.moves[2].reason or "")
    moves = world.block(burns=[make_burn(800)])
    assert [(one.number, one.state, one.ended) for one in moves.moves] == [
        (2, S.REFUNDED, 2),
        (4, S.REFUNDED, 2),
        (5, S.REFUSED, None),
    ]
    assert [one.refund for one in moves.moves] == [300_000, 600, 800]
    world.block()
    assert world.states() == [(5, S.REFUNDED)]
    assert world.operations.of_refund(9, Height(world.book.height)) is None


def test_a_confirmed_payment_deletes_the_payment_without_a_move() -> None:
    """Of a consolidation, which pays nobody, nothing is reported."""
    world = World()
    world.block(world.book.next_deposit([900_000]), burns=[make_burn(200_000)])
    proposal = world.propose()
    world.book.finalize(proposal)
    world.book.block(PegContents(confirmed=(ConfirmedPegOut(proposal.transaction.txid, BLOCK),)))
    assert any(one.value is None and one.table is Table.PAYMENTS for one in world.book.changes)
    assert world.states() == [(1, S.CONFIRMED)]


def test_the_moves_of_one_block_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block of a thousand burns must not keep the reader busy for long, nor fill the log."""
    monkeypatch.setattr("alysd.peg.operation_moves.MOST_MOVES", 3)
    moves = World().block(burns=[make_burn(700) for _ in range(5)])
    assert (len(moves.moves), moves.left_out) == (3, 2)


def test_what_a_reorganisation_has_removed_is_not_reported() -> None:
    """The view is newer than the block: its operations may be gone."""
    world = World()
    world.block(world.book.next_deposit([900_000]), burns=[make_burn(200_000)])
    changes = world.book.changes
    empty = Operations(BookView(LedgerBook()), RULES, ())
    assert operation_moves(changes, Height(1), empty).moves == ()
    world.propose()
    assert operation_moves(world.book.changes, Height(0), empty).moves == ()
