"""Recognises deposits in Bitcoin transactions (docs/protocol.md, "Peg-in").

A deposit pays at least one output to the federation, and names its recipient in one OP_RETURN output.
"""

from collections.abc import Mapping, Sequence

import attrs

from alysd.errors import Refused
from alysd.types.hashes import BitcoinHash, EvmAddress
from alysd.types.peg import MAX_DEPOSIT_OUTPUTS, RESERVE, DepositOutput, Transaction
from alysd.types.units import Sat

_OP_RETURN = 0x6A
_OP_PUSHDATA1 = 0x4C
_ADDRESS_BYTES = 20
_RESERVE_WORD = b"reserve"
_NO_TRANSACTION = bytes(32)
"""The transaction that the only input of a coinbase names."""


@attrs.frozen
class Deposit:
    """A deposit: its transaction, its recipient (`RESERVE` for the reserve), and its outputs to the federation."""

    txid: BitcoinHash
    recipient: EvmAddress
    outputs: tuple[DepositOutput, ...]

    @property
    def amount(self) -> Sat:
        """The sum of the outputs."""
        return Sat(sum(output.amount for output in self.outputs))


@attrs.frozen
class NotCredited(Refused):
    """A transaction pays the federation, but is not credited. The operators can refund it by hand."""

    txid: BitcoinHash
    amount: Sat
    reason: str

    def __str__(self) -> str:
        return f"the payment of {self.amount} sat to the federation is not a deposit: {self.reason}"


def recipient_script(recipient: EvmAddress) -> bytes:
    """The script of the OP_RETURN output with which a deposit names its recipient."""
    return bytes([_OP_RETURN, len(recipient)]) + recipient


def read_deposit(transaction: Transaction, federations: Mapping[bytes, int], minimum: Sat) -> Deposit | None:
    """Read the deposit in a transaction; None if no output pays a federation of the chain.

    `federations` maps the output script of every federation of the chain's history to its number. An output below
    `minimum` is not a part of the deposit, because spending many small ones would cost more than they hold. Raises
    `NotCredited` for a payment by a coinbase, for one without exactly one recipient, and for one with no output of
    at least `minimum`, or with too many to one federation.

    If several federations are paid, too many outputs are no reason to refuse: on a branch that has only some of
    the federations, they may be few enough. Then for each federation at most one more than the allowed number is
    read.
    """
    paid = tuple(
        DepositOutput(index, federations[output.script], output.amount)
        for index, output in enumerate(transaction.outputs)
        if output.script in federations and output.amount
    )
    if not paid:
        return None
    amount = Sat(sum(output.amount for output in paid))
    outputs = tuple(output for output in paid if output.amount >= minimum)
    several = len({output.federation for output in outputs}) > 1

    def refused(reason: str) -> NotCredited:
        return NotCredited(transaction.txid, amount, reason)

    if transaction.inputs[0].spends.txid == _NO_TRANSACTION:
        raise refused("it is a coinbase, whose outputs cannot be spent for 100 blocks")
    if len(outputs) > MAX_DEPOSIT_OUTPUTS and several:
        outputs = _first_of_each(outputs)
    elif len(outputs) > MAX_DEPOSIT_OUTPUTS:
        raise refused(f"it has {len(outputs)} outputs to the federation, more than {MAX_DEPOSIT_OUTPUTS}")
    pushed = [output.script for output in transaction.outputs if output.script[:1] == bytes([_OP_RETURN])]
    recipients = [found for script in pushed if (found := recipient_of(script)) is not None]
    if len(recipients) != 1:
        raise refused(f"it must name one recipient in an OP_RETURN output, found {len(recipients)}")
    if not outputs:
        raise refused(f"no output has the minimum of {minimum} sat")
    return Deposit(transaction.txid, recipients[0], outputs)


def _first_of_each(outputs: Sequence[DepositOutput]) -> tuple[DepositOutput, ...]:
    """The first outputs to each federation, one more than are allowed."""
    counts: dict[int, int] = {}
    kept: list[DepositOutput] = []
    for output in outputs:
        counts[output.federation] = counts.get(output.federation, 0) + 1
        if counts[output.federation] <= MAX_DEPOSIT_OUTPUTS + 1:
            kept.append(output)
    return tuple(kept)


def recipient_of(script: bytes) -> EvmAddress | None:
    """The recipient that an OP_RETURN script names, or None.

    The script has one push: an address of 20 bytes, the address as 40 hex digits with or without 0x, or the word
    `reserve`. The zero address is no recipient, because it stands for the reserve.
    """
    data = _single_push(script)
    if data is None:
        return None
    if data == _RESERVE_WORD:
        return RESERVE
    if len(data) != _ADDRESS_BYTES:
        digits = data[2:] if data[:2] in (b"0x", b"0X") else data
        if len(digits) != 2 * _ADDRESS_BYTES or not all(digit in b"0123456789abcdefABCDEF" for digit in digits):
            return None
        data = bytes.fromhex(digits.decode())
    return EvmAddress(data) if any(data) else None


def _single_push(script: bytes) -> bytes | None:
    """The data of a script that is OP_RETURN and one push of at most 255 bytes; None for other scripts."""
    if len(script) < 2 or script[0] != _OP_RETURN:
        return None
    if script[1] < _OP_PUSHDATA1:
        start, length = 2, script[1]
    elif script[1] == _OP_PUSHDATA1 and len(script) > 2:
        start, length = 3, script[2]
    else:
        return None
    return script[start:] if len(script) == start + length else None
