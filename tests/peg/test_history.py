"""The history of operations: what a person can look up after the ledger has forgotten a request or a refund."""

import attrs

from alysd.peg.authoring import Wish, make_proposal
from alysd.peg.ledger import number_key
from alysd.types.peg import PegContents, PegOutRequest
from alysd.types.peg_history import BurnsOf, OperationRecord, PaidRequest, Refunded, Requested, SignedVersion
from alysd.types.units import Height, Sat
from alysd.wire.bitcoin_transaction import make_transaction
from tests.peg.ledger_kit import RULES, SPENDINGS, USER, LedgerBook, make_burn


def test_the_burns_of_one_transaction_are_found_by_its_hash() -> None:
    """A contract can call the bridge several times in one transaction."""
    book = LedgerBook()
    first, other = make_burn(50_000), make_burn(7)
    second = attrs.evolve(first, amount=Sat(600), address=b"nowhere")
    book.block(
        PegContents(peg_ins=(book.next_deposit([100_000]),)),
        (first, second, attrs.evolve(first, amount=Sat(0)), other),
    )
    assert book.entries[BurnsOf, first.transaction] == BurnsOf(1, 2)
    assert book.entries[BurnsOf, other.transaction] == BurnsOf(3, 1)
    deposit, accepted, refused, tiny = (book.entries[OperationRecord, number_key(number)] for number in range(4))
    assert isinstance(deposit, OperationRecord)
    assert (deposit.account, deposit.amount, deposit.burn) == (USER, 100_000, None)
    burns = [one.burn for one in (accepted, refused, tiny) if isinstance(one, OperationRecord)]
    assert [(one.request, one.refund) for one in burns if one] == [(0, None), (None, 0), (None, None)]
    assert book.entries[Requested, number_key(0)] == Requested(1)
    assert book.totals.operations == 4, "a burn of no satoshi is no operation"


def test_a_paid_request_and_a_paid_refund_stay_in_the_history() -> None:
    book = LedgerBook()
    book.hold([500_000, 300_000], burned=[200_000, 100_000, 600])
    wish = Wish(2_000, RULES.peg_out_max_fee_rate, "largest-first")
    proposal = make_proposal(book.draft(), book.free_coins(), wish, SPENDINGS, make_transaction)
    assert proposal is not None
    book.propose(proposal)
    assert book.entries[Refunded, number_key(0)] == Refunded(Height(book.height))
    assert not [key for key in book.entries if key[0] in (PegOutRequest, PaidRequest)]
    book.finalize(proposal)
    assert book.entries[SignedVersion, proposal.transaction.txid] == SignedVersion(Height(book.height))
    signed = book.height
    book.confirm(proposal.transaction.txid)
    assert book.entries[SignedVersion, proposal.transaction.txid] == SignedVersion(Height(signed))
    outputs = proposal.transaction.outputs
    for request in (0, 1):
        paid = PaidRequest(proposal.transaction.txid, Height(book.height), outputs[request].amount)
        assert book.entries[PaidRequest, number_key(request)] == paid
        assert 0 < paid.amount < (200_000, 100_000)[request]
