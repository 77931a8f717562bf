"""The weights and fees of payments.

Fee rates are in sat per 1,000 virtual bytes, weights in weight units (BIP-141).
"""

from collections.abc import Sequence

from alysd.peg.signing import SIGNATURE_BYTES, Spending
from alysd.types.federation import quorum_of
from alysd.types.peg import Payment
from alysd.types.units import Sat

DUST_CHANGE = Sat(330)
"""The smallest change: the dust limit of a taproot output."""

LARGEST_DUST = Sat(546)
"""The largest of the dust limits of the scripts that the federation pays (`addresses.dust_limit`)."""

CHANGE_BYTES = 43
"""The size of a change output, which is also the largest output of a payee."""

_OVERHEAD_WEIGHT = 4 * 8 + 2
"""Version and locktime; marker and flag of the witness."""

_RATE_PER_WEIGHT = 4_000
_WEIGHT_PER_BYTE = 4
_KEY_ITEM = 34
"""The bytes of a key and its opcode in the script of a federation."""


def signed_weight(outputs: Sequence[bytes], inputs: Sequence[Spending]) -> int:
    """The weight of a signed payment with these output scripts and inputs."""
    counts = _count_bytes(len(outputs)) + _count_bytes(len(inputs))
    pays = sum(8 + _count_bytes(len(script)) + len(script) for script in outputs)
    return _OVERHEAD_WEIGHT + _WEIGHT_PER_BYTE * (counts + pays) + sum(one.weight for one in inputs)


def payment_weight(payment: Payment, spendings: Sequence[Spending]) -> int:
    """The weight of the signed payment. `spendings` are those of all federations, by number."""
    scripts = [payee.script for payee in payment.payees]
    if payment.change:
        scripts.append(spendings[payment.federation].output_script)
    return signed_weight(scripts, [spendings[one.federation] for one in payment.inputs])


def rate_of(payment: Payment, fee: int, spendings: Sequence[Spending]) -> int:
    """The fee rate of a version of `payment` with this `fee`, rounded down."""
    return fee * _RATE_PER_WEIGHT // payment_weight(payment, spendings)


def fee_at(rate: int, weight: int) -> int:
    """The fee of a transaction of this weight at this rate, rounded up."""
    return -(-rate * weight // _RATE_PER_WEIGHT)


def input_weight(members: int) -> int:
    """The weight of an input of a payment by a federation with this many members.

    There are at most 24 members (`Spending.weight`).
    """
    quorum = quorum_of(members)
    script = members * _KEY_ITEM + 2
    signatures = quorum * (1 + SIGNATURE_BYTES) + (members - quorum)
    witness = 1 + signatures + _count_bytes(script) + script + 1 + 33
    return _WEIGHT_PER_BYTE * (32 + 4 + 1 + 4) + witness


def least_minimum(members: int, rate: int) -> Sat:
    """The smallest amount that pays for its own payment at this rate, by a federation with this many members.

    The payment has two inputs, one payee and a change. If all outputs of the federation and all requests have at
    least this amount, each request can be paid alone: it then needs m inputs only if it exceeds the sum of m - 1
    outputs, and these outputs pay for their own weight.
    """
    outputs = _WEIGHT_PER_BYTE * (2 + 2 * CHANGE_BYTES)
    fee = fee_at(rate, _OVERHEAD_WEIGHT + outputs + 2 * input_weight(members))
    return Sat(fee + LARGEST_DUST + DUST_CHANGE)


def _count_bytes(number: int) -> int:
    return 1 if number < 0xFD else 3
