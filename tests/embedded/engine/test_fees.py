"""Percentiles of tips are weighted by gas: fee estimators of wallets rest on them."""

from alysd.embedded.engine.fees import rewards_at
from alysd.types.units import Wei
from tests.embedded.engine.kit import GWEI, RICH, read, transfer


def test_tips_are_weighted_by_gas() -> None:
    transactions = [read(transfer(RICH, n, tip=tip * GWEI)) for n, tip in enumerate((5, 1, 3))]
    gas_used = [10_000, 80_000, 10_000]
    assert rewards_at(transactions, gas_used, Wei(0), (0, 10, 80, 81, 90, 91, 100)) == tuple(
        tip * GWEI for tip in (1, 1, 1, 3, 3, 5, 5)
    )


def test_the_tip_is_what_the_fee_cap_leaves() -> None:
    capped = read(transfer(RICH, 0, max_fee=10 * GWEI, tip=5 * GWEI))
    assert rewards_at([capped], [21_000], Wei(8 * GWEI), (50,)) == (2 * GWEI,)


def test_a_block_without_transactions_rewards_nothing() -> None:
    assert rewards_at([], [], Wei(1), (10, 90)) == (0, 0)
