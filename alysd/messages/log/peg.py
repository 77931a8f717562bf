"""Log lines about the peg."""

import logging

import attrs

from alysd.messages.log.base import LogEvent, counted, short_hash
from alysd.types.hashes import BitcoinHash, EvmAddress, displayed
from alysd.types.peg import RESERVE
from alysd.types.peg_operation import PegOperation
from alysd.types.units import Height, Sat
from alysd.wire.evm_address import checksum_address
from alysd.wire.hex import to_hex
from alysd.wire.plain_text import plain

_NONE = Sat(0)


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
class FormerOutputsWait(LogEvent):
    """The reserve cannot pay for moving `outputs` of former federations, with `amount` sat, to the newest one.

    `missing` is the number of sat that it lacks at the present fee rate.
    """

    name = "peg_former_outputs_wait"
    level = logging.WARNING

    outputs: int
    amount: Sat
    missing: Sat

    def _line(self) -> tuple[str, str]:
        outputs = f"{counted(self.outputs, 'output')} of former federations with {self.amount} sat"
        return "peg", f"{outputs} cannot move: the reserve needs a deposit of {self.missing} sat"


@attrs.frozen
class PegHalted(LogEvent):
    """Bitcoin has lost minted deposits, or payments that blocks have confirmed; or bitcoin is stolen.

    `deposits` and `payments` are the numbers of lost transactions, and `amount` is the sum of the deposits.
    `thefts` is the number of transactions outside of the protocol that have spent `stolen` sat of the federation.
    `txid` is one of the transactions.
    """

    name = "peg_halted"
    level = logging.CRITICAL

    deposits: int
    amount: Sat
    payments: int
    txid: BitcoinHash
    thefts: int = 0
    stolen: Sat = _NONE

    def _line(self) -> tuple[str, str]:
        if self.thefts:
            spends = counted(self.thefts, "Bitcoin transaction")
            return "peg", (
                f"halted: {spends} outside of the protocol, such as {short_hash(self.txid)}, spent "
                f"{self.stolen} sat of the federation"
            )
        deposits = f"{counted(self.deposits, 'minted deposit')} of {self.amount} sat" if self.deposits else ""
        payments = counted(self.payments, "confirmed payment") if self.payments else ""
        what = " and ".join(filter(None, (deposits, payments)))
        return "peg", f"halted: {what}, such as {short_hash(self.txid)}, not on Bitcoin any more"


@attrs.frozen
class PegResumed(LogEvent):
    """All minted deposits and confirmed payments are on Bitcoin again, and no spend outside of the protocol."""

    name = "peg_resumed"
    level = logging.WARNING

    def _line(self) -> tuple[str, str]:
        return "peg", "goes on: all minted deposits and confirmed payments are on Bitcoin again"


@attrs.frozen
class PegOperationMoved(LogEvent):
    """The block at `height` has moved an operation of the peg to another state.

    `id` is the txid of a deposit or the transaction of a burn, as `alysd peg show` takes it. `payment` is the txid
    of the payment that the block proposes, signs or confirms, and `paid` the amount that the operation gets from
    it. `reason` is that of a refusal.
    """

    name = "peg_operation"

    number: int | None
    kind: str
    state: str
    id: str
    amount: Sat
    account: str
    height: Height
    payment: BitcoinHash | None
    paid: Sat | None
    reason: str | None

    @staticmethod
    def of(one: PegOperation, height: Height) -> "PegOperationMoved":
        """The log line of an operation that the block at `height` has moved to its state."""
        return PegOperationMoved(
            number=one.number,
            kind=one.kind,
            state=one.state.value,
            id=displayed(one.deposit) if one.deposit is not None else to_hex(one.transaction or b""),
            amount=one.amount,
            account=_account(one.account),
            height=height,
            payment=one.payment,
            paid=one.paid,
            reason=None if one.reason is None else plain(one.reason),
        )

    def _line(self) -> tuple[str, str]:
        payment = "" if self.payment is None else f", payment {short_hash(self.payment)}"
        reason = "" if self.reason is None else f": {self.reason}"
        return (
            "peg",
            f"{self.kind} {self.number}, {self.id[:8]}…, {self.amount} sat, {self.state}{payment}{reason}",
        )


@attrs.frozen
class PegOperationsNotLogged(LogEvent):
    """The block at `height` has moved `count` more operations of the peg, too many to log."""

    name = "peg_operations_not_logged"
    level = logging.WARNING

    height: Height
    count: int

    def _line(self) -> tuple[str, str]:
        return "peg", f"{counted(self.count, 'more operation')} moved by block {self.height}, too many to log"


def _account(account: EvmAddress | None) -> str:
    return "reserve" if account in (None, RESERVE) else checksum_address(account)
