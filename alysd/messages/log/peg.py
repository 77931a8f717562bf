"""Log lines about the peg."""

import logging

import attrs

from alysd.messages.log.base import LogEvent, counted, short_hash
from alysd.types.hashes import BitcoinHash
from alysd.types.units import Sat


@attrs.frozen
class PegContentsLeftOut(LogEvent):
    """A block is made without a part of the bridge's contents. `rule` is the class of the rule's error."""

    name = "peg_contents_left_out"
    level = logging.ERROR

    rule: str
    reason: str

    def _line(self) -> tuple[str, str]:
        return "peg", f"left out of the block: {self.reason}"


@attrs.frozen
class PegHalted(LogEvent):
    """Bitcoin has lost minted deposits, or payments by the federation that blocks have confirmed.

    `deposits` and `payments` are the numbers of lost transactions, `amount` is the sum of the deposits, and `txid`
    is one of the transactions.
    """

    name = "peg_halted"
    level = logging.CRITICAL

    deposits: int
    amount: Sat
    payments: int
    txid: BitcoinHash

    def _line(self) -> tuple[str, str]:
        deposits = f"{counted(self.deposits, 'minted deposit')} of {self.amount} sat" if self.deposits else ""
        payments = counted(self.payments, "confirmed payment") if self.payments else ""
        what = " and ".join(filter(None, (deposits, payments)))
        return "peg", f"halted: {what}, such as {short_hash(self.txid)}, not on Bitcoin any more"


@attrs.frozen
class PegResumed(LogEvent):
    """All minted deposits and confirmed payments are on Bitcoin again."""

    name = "peg_resumed"
    level = logging.WARNING

    def _line(self) -> tuple[str, str]:
        return "peg", "goes on: all minted deposits and confirmed payments are on Bitcoin again"
