"""Log events about the peg's payments."""

import logging

import attrs

from alysd.messages.log.base import LogEvent, counted, short_hash
from alysd.types.hashes import BitcoinHash
from alysd.types.units import Sat


@attrs.frozen
class PaymentSigned(LogEvent):
    """This member has signed the payment `txid`, which pays `requests` requests and spends `amount` sat."""

    name = "payment_signed"

    txid: BitcoinHash
    requests: int
    amount: Sat

    def _line(self) -> tuple[str, str]:
        paid = counted(self.requests, "request")
        return "peg", f"signed the payment {short_hash(self.txid)} of {self.amount:,} sat for {paid}"


@attrs.frozen
class PegKeyNotNeeded(LogEvent):
    """The Bitcoin key of this node's signer is that of no federation of the chain so far, so it signs nothing."""

    name = "peg_key_not_needed"
    level = logging.WARNING

    key: str

    def _line(self) -> tuple[str, str]:
        return "peg", f"the key {self.key[:16]}… is in no federation of the chain so far, and signs nothing"


@attrs.frozen
class PegKeyNeeded(LogEvent):
    """The Bitcoin key of this node's signer signs for `federations` of the chain; `newest` is one or not."""

    name = "peg_key_needed"

    key: str
    federations: int
    newest: bool

    def _line(self) -> tuple[str, str]:
        of = counted(self.federations, "federation")
        left = "" if self.newest else ", but not in the newest"
        return "peg", f"the key {self.key[:16]}… is in {of} of the chain{left}"


@attrs.frozen
class PaymentNotSigned(LogEvent):
    """This member has not signed the final payment `txid`, because of `reason`; it tries again."""

    name = "payment_not_signed"
    level = logging.ERROR

    txid: BitcoinHash
    reason: str

    def _line(self) -> tuple[str, str]:
        return "peg", f"the payment {short_hash(self.txid)} is not signed: {self.reason}"


@attrs.frozen
class PaymentComplete(LogEvent):
    """A quorum of `signatures` members has signed the payment `txid`; a node with a Bitcoin node broadcasts it."""

    name = "payment_complete"

    txid: BitcoinHash
    signatures: int

    def _line(self) -> tuple[str, str]:
        return "peg", f"{counted(self.signatures, 'member')} have signed the payment {short_hash(self.txid)}"


@attrs.frozen
class PaymentNotBroadcast(LogEvent):
    """The Bitcoin node refuses the signed payment `txid`, because of `reason`; this node tries again."""

    name = "payment_not_broadcast"
    level = logging.WARNING

    txid: BitcoinHash
    reason: str

    def _line(self) -> tuple[str, str]:
        return "peg", f"the payment {short_hash(self.txid)} is not broadcast: {self.reason}"
