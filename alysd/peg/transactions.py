"""The Bitcoin transactions that the chain knows: payments with their witnesses, and deposits by name."""

import attrs

from alysd.peg.operations import LedgerView
from alysd.types.hashes import BitcoinHash
from alysd.types.peg import Minted, PaidOut, Transaction
from alysd.types.peg_history import SignedVersion
from alysd.types.tables import Table
from alysd.types.units import Height


@attrs.frozen
class TransactionRecord:
    """The data of the chain about a Bitcoin transaction: a deposit that was credited, or a version of a payment.

    `complete` is a payment's version with its witnesses, which the block at the height `signed` has; both are None
    if no block has them. `bitcoin_block` is the Bitcoin block that confirms the transaction, as a block of Alys
    says; None before that.
    """

    is_payment: bool
    complete: Transaction | None = None
    signed: Height | None = None
    bitcoin_block: BitcoinHash | None = None


def transaction_record(view: LedgerView, txid: BitcoinHash) -> TransactionRecord | None:
    """The record of the transaction `txid` as of `view`; None if the chain knows no such transaction.

    A version of a payment stays known after another version was confirmed, if a block has its witnesses.
    """
    minted = view.get(Table.MINTED, txid)
    if isinstance(minted, Minted):
        peg_ins = view.contents(minted.height).peg_ins
        return TransactionRecord(
            is_payment=False, bitcoin_block=next(one.bitcoin_block for one in peg_ins if one.txid == txid)
        )
    paid, signed = view.get(Table.CONFIRMED, txid), view.get(Table.SIGNED, txid)
    if paid is None and signed is None and view.get(Table.SPENDS, txid) is None:
        return None
    block = height = complete = None
    if isinstance(paid, PaidOut):
        confirmed = view.contents(paid.height).confirmed
        block = next(one.bitcoin_block for one in confirmed if one.txid == txid)
    if isinstance(signed, SignedVersion):
        height = signed.height
        complete = next(one for one in view.contents(height).finalized if one.txid == txid)
    return TransactionRecord(is_payment=True, complete=complete, signed=height, bitcoin_block=block)
