"""The record of a Bitcoin transaction: an operator can send a payment again after the ledger has dropped it."""

from alysd.peg.authoring import Wish, make_proposal, make_replacement
from alysd.peg.transactions import TransactionRecord, transaction_record
from alysd.types.hashes import BitcoinHash
from alysd.types.peg import PegContents
from alysd.wire.bitcoin_transaction import make_transaction
from tests.peg.book_view import BookView
from tests.peg.ledger_kit import BLOCK, RULES, SPENDINGS, LedgerBook


def test_a_payment_is_found_with_its_witnesses_after_its_confirmation_too() -> None:
    book = LedgerBook()
    book.hold([500_000], burned=[200_000])
    view = BookView(book)
    wish = Wish(2_000, RULES.peg_out_max_fee_rate, "largest-first")
    proposal = make_proposal(book.draft(), book.free_coins(), wish, SPENDINGS, make_transaction)
    assert proposal is not None
    book.propose(proposal)
    txid = proposal.transaction.txid
    assert transaction_record(view, txid) == TransactionRecord(is_payment=True)
    book.finalize(proposal)
    height = book.height
    found = transaction_record(view, txid)
    assert found is not None
    assert found.complete is not None
    assert (found.complete.raw, len(found.complete.witness)) == (proposal.transaction.raw, 1)
    assert (found.signed, found.bitcoin_block) == (height, None)

    newer = make_replacement(book.payments()[0], 20_000, SPENDINGS, make_transaction)
    assert newer is not None
    book.propose(newer)
    book.confirm(newer.transaction.txid)
    confirmed = transaction_record(view, newer.transaction.txid)
    assert confirmed == TransactionRecord(is_payment=True, bitcoin_block=BLOCK), "no block had its witnesses"
    assert transaction_record(view, txid) == found, "the older version can still be sent"


def test_a_deposit_is_found_by_its_bitcoin_block() -> None:
    book = LedgerBook()
    deposit = book.next_deposit([100_000])
    book.block(PegContents(peg_ins=(deposit,)))
    view = BookView(book)
    assert transaction_record(view, deposit.txid) == TransactionRecord(is_payment=False, bitcoin_block=BLOCK)
    assert transaction_record(view, BitcoinHash(bytes(32))) is None
