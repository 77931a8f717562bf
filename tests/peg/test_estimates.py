"""The judgement of fee rates: what an author may choose, seen from another member's estimate."""

import pytest

from alysd.errors import PaymentDeclined
from alysd.peg.estimates import (
    LEAST_RATE,
    RATE_OF_A_REST,
    bounded_estimate,
    check_rate_near,
    least_replacement,
    replacement_helps,
)
from alysd.peg.weights import DUST_CHANGE, rate_of, signed_weight
from tests.peg.payment_kit import make_payment, newest_transaction, spendings_of


@pytest.mark.parametrize(
    ("estimate", "bounded"), [(None, 2_000), (1, LEAST_RATE), (5_000, 5_000), (10**9, 500_000)]
)
def test_an_estimate_is_within_what_is_relayed_and_what_the_chain_allows(
    estimate: int | None, bounded: int
) -> None:
    assert bounded_estimate(estimate, 2_000, 500_000) == bounded


@pytest.mark.parametrize("change", [0, 50_000])
def test_the_rate_is_that_of_the_transaction(change: int) -> None:
    """A payment without change is lighter."""
    spendings = spendings_of(1)
    payment = make_payment(spendings, change=change)
    outputs = newest_transaction(payment, spendings).outputs
    assert len(outputs) == 2 + bool(change)
    # 10 bytes around it, 43 for a change, 31 per payee, 41 per input with 4 units per byte; then the witnesses.
    weight = 4 * (10 + 31 * 2 + 43 * bool(change)) + 2 + 2 * spendings[0].weight
    assert rate_of(payment, 2_000, spendings) == 2_000 * 4_000 // weight


@pytest.mark.parametrize(("old", "new"), [(1_000, 2_000), (4_000, 5_000), (8_000, 10_000), (8_001, 10_002)])
def test_a_replacement_rises_by_a_quarter_and_by_one_sat(old: int, new: int) -> None:
    assert least_replacement(old) == new


@pytest.mark.parametrize("rate", [500, 1_000, 2_000])
def test_half_to_twice_the_own_estimate_is_right(rate: int) -> None:
    check_rate_near(rate, 1_000, None)


@pytest.mark.parametrize("rate", [999, 4_001])
def test_other_rates_are_refused(rate: int) -> None:
    with pytest.raises(
        PaymentDeclined, match=f"its fee rate is {rate} sat/kvB, too far from this node's estimate of 2000"
    ):
        check_rate_near(rate, 2_000, None)


def test_a_rest_without_change_is_never_too_high() -> None:
    """The smallest payment: one input of a federation of one, one payee, no change, and 329 sat that are left."""
    weight = signed_weight([bytes(22)], spendings_of(1))
    largest = (DUST_CHANGE - 1) * 4_000 // weight
    assert 2 * LEAST_RATE < largest <= RATE_OF_A_REST
    check_rate_near(RATE_OF_A_REST, LEAST_RATE, None)
    with pytest.raises(PaymentDeclined):
        check_rate_near(RATE_OF_A_REST + 1, LEAST_RATE, None)


def test_the_smallest_rise_of_a_stuck_payment_is_right() -> None:
    """It did not confirm, although its rate is near the estimate."""
    check_rate_near(5_100, 2_001, 4_000)
    with pytest.raises(PaymentDeclined):
        check_rate_near(7_000, 3_000, 4_000)
    with pytest.raises(PaymentDeclined):
        check_rate_near(5_100, 11_000, 4_000)


@pytest.mark.parametrize("estimate", [1_000, 2_000, 10_000, 300_000])
def test_replacements_do_not_rise_without_limit(estimate: int) -> None:
    """With one author after the other, a payment would end at the chain's largest rate."""
    rate = estimate
    for _ in range(50):
        newer = least_replacement(rate) + 50
        try:
            check_rate_near(newer, estimate, rate)
        except PaymentDeclined:
            break
        rate = newer
    assert 2 * estimate <= rate <= max(3 * estimate, RATE_OF_A_REST) + 1_050
    assert not replacement_helps(rate, estimate)
    assert replacement_helps(estimate, estimate)
