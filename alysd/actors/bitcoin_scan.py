"""Finds what concerns the peg in a Bitcoin block: deposits, other payments to a federation, and payments by it."""

from collections.abc import Mapping, Sequence

import attrs

from alysd.peg.deposits import NotCredited, read_deposit
from alysd.peg.signing import Spending
from alysd.types.bitcoin_watch import ConfirmedPayment, Finding, ReadBlock, UnconfirmedDeposit, Uncredited
from alysd.types.hashes import BitcoinHash
from alysd.types.peg import PegIn, Transaction
from alysd.types.units import Sat
from alysd.wire.bitcoin_chain import check_header, decode_transactions

_NO_BLOCK = BitcoinHash(bytes(32))


@attrs.frozen
class Watched:
    """The federations of the chain's history, by number, and the minimum of a deposit.

    `scripts` maps the output script of each federation to the federation's number. `spends` has the last two items
    of the witness of every input that spends an output of a federation: the script and the control block. No other
    valid input has both, because the control block proves that the script belongs to the output (BIP-341). A block
    without any of the `needles`, the output scripts and the spending scripts, has nothing of the peg.
    """

    scripts: Mapping[bytes, int]
    spends: frozenset[tuple[bytes, ...]]
    needles: tuple[bytes, ...]
    minimum: Sat

    @classmethod
    def of(cls, federations: Sequence[Spending], minimum: Sat) -> "Watched":
        """The values to watch for these federations."""
        scripts = {one.output_script: number for number, one in enumerate(federations)}
        spends = frozenset((one.leaf_script, one.control_block) for one in federations)
        return cls(scripts, spends, (*scripts, *(script for script, _ in spends)), minimum)


def scan_block(height: int, block: BitcoinHash, data: bytes, watched: Watched) -> ReadBlock:
    """Find what concerns the peg in the block with the hash `block`. Call it in a thread.

    A block is parsed only if one of the scripts occurs in it. Raises `Malformed` if `data` is not the block with
    this hash, or if a parsed block has other transactions than those to which its header commits.
    """
    previous = check_header(data, block)
    if not any(needle in data for needle in watched.needles):
        return ReadBlock(height, block, previous, ())
    found = (_finding(transaction, block, watched) for transaction in decode_transactions(data))
    return ReadBlock(height, block, previous, tuple(one for one in found if one is not None))


def scan_unconfirmed(transaction: Transaction, watched: Watched) -> UnconfirmedDeposit | BitcoinHash | None:
    """What a waiting transaction is to the peg: a deposit, a payment by a federation (its txid), or None."""
    found = _finding(transaction, _NO_BLOCK, watched)
    if isinstance(found, PegIn):
        return UnconfirmedDeposit(found.txid, found.amount, found.recipient, None)
    if isinstance(found, Uncredited):
        return UnconfirmedDeposit(found.txid, found.amount, None, found.reason)
    return None if found is None else transaction.txid


def _finding(transaction: Transaction, block: BitcoinHash, watched: Watched) -> Finding | None:
    if any(stack[-2:] in watched.spends for stack in transaction.witness):
        return ConfirmedPayment(transaction, block)
    try:
        deposit = read_deposit(transaction, watched.scripts, watched.minimum)
    except NotCredited as refusal:
        return Uncredited(refusal.txid, block, refusal.amount, refusal.reason)
    if deposit is None:
        return None
    return PegIn(deposit.txid, block, deposit.recipient, deposit.outputs)
