"""Log events of a signer of payments in a process of its own."""

import logging

import attrs

from alysd.messages.log.base import LogEvent, counted, short_hash
from alysd.types.hashes import BitcoinHash
from alysd.types.units import Height, Sat


@attrs.frozen
class SignerReady(LogEvent):
    """The signer listens at `address`, signs with `key`, and knows the final blocks of `chain` up to `height`."""

    name = "signer_ready"

    address: str
    chain: str
    key: str
    height: Height

    def _line(self) -> tuple[str, str]:
        key = f"{self.key[:6]}…"
        return "signer", f"at {self.address}, with the key {key}; follows {self.chain} from height {self.height:,}"


@attrs.frozen
class SignerSigned(LogEvent):
    """The signer has signed the payment `txid`, which pays `requests` requests and spends `amount` sat."""

    name = "signer_signed"

    txid: BitcoinHash
    requests: int
    amount: Sat

    def _line(self) -> tuple[str, str]:
        paid = counted(self.requests, "request")
        return "signer", f"signed the payment {short_hash(self.txid)} of {self.amount:,} sat for {paid}"


@attrs.frozen
class SignerRefused(LogEvent):
    """The signer has refused a request of a node because of `reason`."""

    name = "signer_refused"
    level = logging.WARNING

    reason: str

    def _line(self) -> tuple[str, str]:
        return "signer", f"refused: {self.reason}"


@attrs.frozen
class SignerStopped(LogEvent):
    """The signer was stopped. Its record has every payment that it has signed."""

    name = "signer_stopped"

    def _line(self) -> tuple[str, str]:
        return "signer", "stopped"
