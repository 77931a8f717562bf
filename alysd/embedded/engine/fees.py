"""What recent blocks paid (eth_feeHistory)."""

from collections.abc import Sequence

from alysd.embedded.engine.transaction import SignedTransaction
from alysd.types.units import Wei


def rewards_at(
    transactions: Sequence[SignedTransaction], gas_used: Sequence[int], base_fee: Wei, percentiles: Sequence[float]
) -> tuple[Wei, ...]:
    """The tips at each percentile of a block's gas, in wei a gas; zeros for a block without transactions.

    At the p-th percentile stands the lowest tip such that transactions which pay no more used p % of the gas.
    """
    paid = sorted(zip((one.tip(base_fee) for one in transactions), gas_used, strict=True))
    total = sum(gas_used)
    rewards: list[Wei] = []
    for percentile in percentiles:
        threshold, seen = total * percentile / 100, 0
        tip = 0
        for tip, gas in paid:  # noqa: B007  the last tip seen is the answer
            seen += gas
            if seen >= threshold:
                break
        rewards.append(Wei(tip))
    return tuple(rewards)
