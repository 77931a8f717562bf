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
    """Bitcoin has lost `deposits` that blocks have minted, `amount` in all; `txid` is the first of them."""

    name = "peg_halted"
    level = logging.CRITICAL

    deposits: int
    amount: Sat
    txid: BitcoinHash

    def _line(self) -> tuple[str, str]:
        return "peg", (
            f"halted: {counted(self.deposits, 'minted deposit')} of {self.amount} sat, such as "
            f"{short_hash(self.txid)}, not on Bitcoin any more"
        )


@attrs.frozen
class PegResumed(LogEvent):
    """All minted deposits are on Bitcoin again."""

    name = "peg_resumed"
    level = logging.WARNING

    def _line(self) -> tuple[str, str]:
        return "peg", "goes on: all minted deposits are on Bitcoin again"
