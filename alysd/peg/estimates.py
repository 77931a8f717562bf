"""The judgement of fee rates, which depends on each node's own Bitcoin node (docs/protocol.md, "Proposal").

Fee rates are in sat per 1,000 virtual bytes.
"""

from collections.abc import Sequence

from alysd.errors import NotSeenOnBitcoin
from alysd.peg.payments import LEAST_RISE
from alysd.peg.proposals import signed_weight
from alysd.peg.signing import Spending
from alysd.types.peg import Payment

LEAST_RATE = 1_000
"""The smallest fee rate that Bitcoin nodes relay by default: 1 sat per virtual byte."""

STUCK_BLOCKS = 6
"""The number of Bitcoin blocks without a confirmation after which a signed payment may be replaced."""

LOW_RATE = 5_000
"""The largest fee rate at which small outputs are consolidated."""

_MARGIN = 1_001
"""Added to the smallest fee rate of a replacement, in the same unit.

A replacement is a little above the smallest rate, because each payee's share of the fee is rounded up to whole
sat.
"""

_RATE_PER_WEIGHT = 4_000


def bounded_estimate(estimate: int | None, fallback: int, most: int) -> int:
    """A node's fee estimate, from `LEAST_RATE` to `most`, the chain's limit; `fallback` for a node without one."""
    return min(max(fallback if estimate is None else estimate, LEAST_RATE), most)


def rate_of(payment: Payment, fee: int, spendings: Sequence[Spending]) -> int:
    """The fee rate of a version of `payment` with this `fee`. `spendings` are those of all federations."""
    scripts = [payee.script for payee in payment.payees]
    if payment.change:
        scripts.append(spendings[payment.federation].output_script)
    weight = signed_weight(scripts, [spendings[one.federation] for one in payment.inputs])
    return fee * _RATE_PER_WEIGHT // weight


def least_replacement(rate: int) -> int:
    """The smallest fee rate that may replace a version with the fee rate `rate`."""
    return max(-(-5 * rate // 4), rate + LEAST_RISE)


def check_rate_near(rate: int, estimate: int, replaced: int | None) -> None:
    """Check that the fee rate of a proposal is between half and twice this node's own `estimate`.

    `replaced` is the fee rate of the version that the proposal replaces, or None. A replacement may have the
    smallest rate that the rules require, even above twice the estimate, because the replaced version has not been
    confirmed. Raises `NotSeenOnBitcoin`.
    """
    most = 2 * estimate
    if replaced is not None:
        most = max(most, least_replacement(replaced) + _MARGIN)
    if not estimate <= 2 * rate or rate > most:
        raise NotSeenOnBitcoin(
            f"the fee rate of the proposed payment is {rate} sat/kvB, and this node estimates {estimate} sat/kvB"
        )
