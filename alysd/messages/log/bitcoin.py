"""Log events about the Bitcoin chain that the peg follows."""

import logging

import attrs

from alysd.messages.log.base import LogEvent, counted, short_hash
from alysd.types.hashes import BitcoinHash
from alysd.types.units import Sat


@attrs.frozen
class BitcoinNotUsable(LogEvent):
    """The Bitcoin node cannot be used now: this node neither makes nor approves blocks with peg contents."""

    name = "bitcoin_not_usable"
    level = logging.WARNING

    reason: str

    def _line(self) -> tuple[str, str]:
        return "bitcoin", f"no peg contents are made or approved: {self.reason}"


@attrs.frozen
class BitcoinFollowed(LogEvent):
    """This node has read the Bitcoin chain up to the newest block of its Bitcoin node."""

    name = "bitcoin_followed"

    height: int

    def _line(self) -> tuple[str, str]:
        return "bitcoin", f"read up to block {self.height}"


@attrs.frozen
class BitcoinProgressed(LogEvent):
    """The progress of reading the Bitcoin chain: the height so far, and that of the newest block."""

    name = "bitcoin_progressed"

    height: int
    tip: int

    def _line(self) -> tuple[str, str]:
        return "bitcoin", f"reading block {self.height} of {self.tip}"


@attrs.frozen
class FederationWatched(LogEvent):
    """The Bitcoin blocks from the height `first` on were searched again for the addresses of later federations."""

    name = "bitcoin_federation_watched"

    federations: int
    first: int

    def _line(self) -> tuple[str, str]:
        watched = counted(self.federations, "new federation")
        return "bitcoin", f"the address of {watched} is watched, from block {self.first} on"


@attrs.frozen
class BitcoinNotReadAgain(LogEvent):
    """The blocks that may have deposits to a later federation cannot be read again now."""

    name = "bitcoin_not_read_again"
    level = logging.WARNING

    reason: str

    def _line(self) -> tuple[str, str]:
        return "bitcoin", f"no deposits in blocks that have not been read again are judged: {self.reason}"


@attrs.frozen
class FormerAddressPaid(LogEvent):
    """A deposit pays a former federation after the end of its credit.

    The transaction `txid` in the Bitcoin block `height` pays `amount` to federation `federation`, by its number.
    """

    name = "bitcoin_former_address_paid"
    level = logging.WARNING

    txid: BitcoinHash
    height: int
    federation: int
    amount: Sat
    reason: str

    def _line(self) -> tuple[str, str]:
        return "bitcoin", f"{self.amount} sat of {short_hash(self.txid)} are not credited: {self.reason}"


@attrs.frozen
class BitcoinReorganised(LogEvent):
    """A reorganisation of Bitcoin has removed `removed` blocks; `height` is that of the last common block."""

    name = "bitcoin_reorganised"
    level = logging.WARNING

    removed: int
    height: int

    def _line(self) -> tuple[str, str]:
        return "bitcoin", f"reorganised: {counted(self.removed, 'block')} above block {self.height} removed"


@attrs.frozen
class PaymentsFound(LogEvent):
    """A Bitcoin block has transactions that concern the peg.

    `deposits` is the number of deposits, of `amount` together; `uncredited` that of other payments to the
    federation; and `payments` that of payments by the federation.
    """

    name = "bitcoin_payments_found"

    height: int
    deposits: int
    amount: Sat
    uncredited: int
    payments: int

    def _line(self) -> tuple[str, str]:
        parts = [
            f"{counted(self.deposits, 'deposit')} of {self.amount} sat" if self.deposits else "",
            f"{counted(self.uncredited, 'payment')} that cannot be credited" if self.uncredited else "",
            f"{counted(self.payments, 'payment')} by the federation" if self.payments else "",
        ]
        return "bitcoin", f"block {self.height}: {', '.join(filter(None, parts))}"
