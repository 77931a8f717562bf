"""The judgement of fee rates, which depends on each node's own Bitcoin node (docs/protocol.md, "Proposal").

Fee rates are in sat per 1,000 virtual bytes.
"""

from alysd.errors import PaymentDeclined
from alysd.peg.payments import LEAST_RISE

LEAST_RATE = 1_000
"""The smallest fee rate that Bitcoin nodes relay by default: 1 sat per virtual byte."""

STUCK_BLOCKS = 6
"""The number of Bitcoin blocks without a confirmation after which a signed payment may be replaced."""

LOW_RATE = 5_000
"""The largest fee rate at which small outputs are consolidated."""

RATE_OF_A_REST = 3_000
"""A fee rate that is never too high: a small payment pays it if its coins leave 329 sat, too few for a change."""

_MARGIN = 1_001
"""Added to the smallest fee rate of a replacement, in the same unit.

A replacement is a little above the smallest rate, because each payee's share of the fee is rounded up to whole
sat.
"""


def bounded_estimate(estimate: int | None, fallback: int, most: int) -> int:
    """A node's fee estimate, from `LEAST_RATE` to `most`, the chain's limit; `fallback` for a node without one."""
    return min(max(fallback if estimate is None else estimate, LEAST_RATE), most)


def least_replacement(rate: int) -> int:
    """The smallest fee rate that may replace a version with the fee rate `rate`."""
    return max(-(-5 * rate // 4), rate + LEAST_RISE)


def replacement_helps(rate: int, estimate: int) -> bool:
    """Whether an author replaces a version with the fee rate `rate`: not far above its own `estimate`.

    The bound is below that of `check_rate_near`, because estimates differ.
    """
    return 2 * rate <= 3 * estimate


def check_rate_near(rate: int, estimate: int, replaced: int | None) -> None:
    """Check that the fee rate of a proposal is between half and twice this node's own `estimate`.

    A rate of up to `RATE_OF_A_REST` is never too high, as an author cannot always choose a smaller one.
    `replaced` is the fee rate of the version that the proposal replaces, or None. If it is below twice the
    estimate, a replacement may have the smallest rate that the rules require, even above twice the estimate. So
    replacements cannot raise the rate without end. Raises `PaymentDeclined`.
    """
    most = max(2 * estimate, RATE_OF_A_REST)
    if replaced is not None and replaced < most:
        most = max(most, least_replacement(replaced) + _MARGIN)
    if not estimate <= 2 * rate or rate > most:
        raise PaymentDeclined(
            f"its fee rate is {rate} sat/kvB, too far from this node's estimate of {estimate} sat/kvB"
        )
