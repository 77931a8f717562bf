"""The messages to the federation actor, which gathers the members' signatures of the peg's payments."""

import attrs

from alysd.errors import InvalidApproval, NotNow
from alysd.nurseries import Ask, Tell
from alysd.types.governance import PaymentToSign
from alysd.types.hashes import BitcoinHash, XOnlyKey, displayed
from alysd.types.peg import PegSignature, Transaction


class PegSigning:
    """Protocol of the federation actor."""


@attrs.frozen(str=False)
class UnknownVersion(NotNow):
    """No payment in flight that is final has a version `txid`, as far as this node knows."""

    txid: BitcoinHash

    def __str__(self) -> str:
        return f"no final payment has the version {displayed(self.txid)}"


@attrs.frozen(str=False)
class InvalidPegSignature(InvalidApproval):
    """Signatures of a payment are not valid; `reason` says why."""

    txid: BitcoinHash
    key: XOnlyKey
    reason: str

    def __str__(self) -> str:
        return f"the signatures of {self.key.hex()} of the payment {displayed(self.txid)}: {self.reason}"


@attrs.frozen
class ConsiderPegSignature(Ask[PegSigning, bool]):
    """Check and count the signatures that a peer has passed on. The reply is whether they were new.

    Raises `InvalidPegSignature`, and `UnknownVersion`, for which nobody is blamed: a node with another view may
    know the payment.
    """

    signature: PegSignature


@attrs.frozen
class GetFinalized(Ask[PegSigning, tuple[Transaction, ...]]):
    """Get the complete transactions of the final payments in flight whose witnesses no final block has.

    A block that is not final may have the witnesses of some; `peg.payments.finalize` refuses these.
    """


@attrs.frozen
class GetLacking(Ask[PegSigning, tuple[PaymentToSign, ...]]):
    """Get the versions of final payments that this node knows since `seconds`, and that still lack signatures."""

    seconds: float


# From the federation actor to itself


@attrs.frozen
class ReviewPayments(Tell[PegSigning]):
    """Read the payments in flight as of the last final block; sign, publish and broadcast those that are due."""
