"""The weights of payments, and the smallest amounts that pay for them."""

import pytest

from alysd.peg.weights import DUST_CHANGE, LARGEST_DUST, fee_at, input_weight, least_minimum, signed_weight
from tests.peg.payment_kit import spendings_of


@pytest.mark.parametrize("members", [1, 2, 3, 4, 7, 14, 20])
def test_the_weight_of_an_input_follows_from_the_number_of_members(members: int) -> None:
    """A chain specification is checked without its keys' scripts, whose library takes long to import."""
    assert input_weight(members) == spendings_of(members)[0].weight


@pytest.mark.parametrize("members", [1, 5, 20])
@pytest.mark.parametrize("rate", [1_000, 50_000, 500_000])
def test_a_request_of_the_minimum_can_be_paid_alone(members: int, rate: int) -> None:
    """With m outputs of the minimum, of which m - 1 do not hold what is owed, for any m."""
    (spending,) = spendings_of(members)
    least = least_minimum(members, rate)
    payee = b"\x51\x20" + bytes(32)
    for count in range(1, 101):
        owed = max(least, (count - 1) * least - DUST_CHANGE + 1)
        fee = fee_at(rate, signed_weight([payee, spending.output_script], [spending] * count))
        assert owed - fee >= (LARGEST_DUST if count < 3 else DUST_CHANGE)
