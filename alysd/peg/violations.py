"""The violations of the peg's rules: one error class per rule that a block can break (docs/protocol.md)."""

import attrs

from alysd.errors import InvalidBlock
from alysd.types.hashes import BitcoinHash, displayed
from alysd.types.peg import OutPoint
from alysd.types.units import Sat


@attrs.frozen
class AlreadyMinted(InvalidBlock):
    """The block mints a deposit that has been minted before on its branch, or mints it twice."""

    txid: BitcoinHash

    def __str__(self) -> str:
        return f"the deposit {displayed(self.txid)} is already minted"


@attrs.frozen
class BadDeposit(InvalidBlock):
    """A peg-in of the block has outputs that no deposit can have."""

    txid: BitcoinHash
    reason: str

    def __str__(self) -> str:
        return f"the peg-in of {displayed(self.txid)}: {self.reason}"


@attrs.frozen
class NoRoomToMint(InvalidBlock):
    """Fees and peg-ins of the block need more withdrawals than a block may have."""

    limit: int
    found: int

    def __str__(self) -> str:
        return f"fees and peg-ins need {self.found} withdrawals, more than max_withdrawals {self.limit}"


@attrs.frozen
class BadProposal(InvalidBlock):
    """The proposed payment breaks a rule of its form; `rule` says which, with the values."""

    rule: str

    def __str__(self) -> str:
        return f"the proposed payment: {self.rule}"


@attrs.frozen
class PegIsHalted(InvalidBlock):
    """Governance has halted the peg, and the block has the `part` nevertheless."""

    part: str

    def __str__(self) -> str:
        return f"governance has halted the peg, but the block has {self.part}"


@attrs.frozen
class UnknownOutput(InvalidBlock):
    """The proposed payment spends an output that the federation does not hold on this branch."""

    spends: OutPoint

    def __str__(self) -> str:
        return f"the federation does not hold the output {displayed(self.spends.txid)}:{self.spends.index}"


@attrs.frozen
class ReservedOutput(InvalidBlock):
    """The proposed payment spends an output that another payment in flight spends."""

    spends: OutPoint
    payment: BitcoinHash

    def __str__(self) -> str:
        return (
            f"the output {displayed(self.spends.txid)}:{self.spends.index} is reserved by the payment "
            f"{displayed(self.payment)}"
        )


@attrs.frozen
class TooManyPayments(InvalidBlock):
    """The block proposes a payment while as many of the same `federation` are in flight as the chain allows."""

    federation: int
    limit: int

    def __str__(self) -> str:
        return f"{self.limit} payments of the federation {self.federation} are in flight, and no more are allowed"


@attrs.frozen
class WrongPayees(InvalidBlock):
    """The outputs of the proposed payment are not those of the requests at the front of the queue."""

    reason: str

    def __str__(self) -> str:
        return f"the outputs of the proposed payment: {self.reason}"


@attrs.frozen
class WrongChange(InvalidBlock):
    """The change of the proposed payment is not what the rules require, or is too small for an output."""

    expected: Sat
    found: Sat

    def __str__(self) -> str:
        return f"the change of the proposed payment must be {self.expected} sat, found {self.found}"


@attrs.frozen
class WrongReserveFee(InvalidBlock):
    """The reserve's part of the fee is not the one that the rules require, or exceeds the reserve."""

    reason: str

    def __str__(self) -> str:
        return f"the reserve's part of the fee: {self.reason}"


@attrs.frozen
class FeeTooHigh(InvalidBlock):
    """The fee rate of the proposed payment exceeds the chain's limit; both in sat per 1,000 virtual bytes."""

    limit: int
    found: int

    def __str__(self) -> str:
        return f"the fee rate {self.found} sat/kvB exceeds the limit {self.limit} sat/kvB"


@attrs.frozen
class UnknownPayment(InvalidBlock):
    """The block replaces, completes or confirms a payment that is not in flight on its branch."""

    txid: BitcoinHash

    def __str__(self) -> str:
        return f"no payment in flight has the transaction {displayed(self.txid)}"


@attrs.frozen
class AlreadySigned(InvalidBlock):
    """The block has the witnesses of a version of a payment that are already in the chain or in this block."""

    txid: BitcoinHash

    def __str__(self) -> str:
        return f"the payment {displayed(self.txid)} is already signed"


@attrs.frozen
class NotSigned(InvalidBlock):
    """The block replaces a payment, and no block has the witnesses of its newest version."""

    txid: BitcoinHash

    def __str__(self) -> str:
        return f"the payment {displayed(self.txid)} is not signed yet"


@attrs.frozen
class BadWitness(InvalidBlock):
    """A witness of a signed payment is not valid."""

    txid: BitcoinHash
    place: int
    reason: str

    def __str__(self) -> str:
        return f"the witness of input {self.place} of the payment {displayed(self.txid)}: {self.reason}"


@attrs.frozen
class BadReplacement(InvalidBlock):
    """The proposed replacement is not the same payment at a sufficiently higher fee."""

    reason: str

    def __str__(self) -> str:
        return f"the replacement: {self.reason}"
