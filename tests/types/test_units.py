"""Money between its units: rounding is always down, so that no conversion makes any."""

from hypothesis import given
from hypothesis import strategies as st

from alysd.types.units import Gwei, Wei, gwei_to_sat_floor, wei_to_gwei_floor


@given(st.integers(0, 10**27))
def test_rounding_never_makes_money(amount: int) -> None:
    gwei = wei_to_gwei_floor(Wei(amount))
    assert 0 <= amount - gwei * 10**9 < 10**9
    assert 0 <= gwei - gwei_to_sat_floor(gwei) * 10 < 10


def test_one_bitcoin_is_the_same_in_every_unit() -> None:
    assert wei_to_gwei_floor(Wei(10**18)) == 10**9
    assert gwei_to_sat_floor(Gwei(10**9)) == 10**8
