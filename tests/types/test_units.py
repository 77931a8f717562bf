"""Money between its units: exact where it can be, and never more of it than before."""

from hypothesis import given
from hypothesis import strategies as st

from alysd.types.units import (
    Gwei,
    Sat,
    Wei,
    gwei_to_wei,
    sat_to_gwei,
    sat_to_wei,
    wei_to_gwei_floor,
    wei_to_sat_floor,
)

amounts = st.integers(0, 21 * 10**14)


@given(amounts)
def test_satoshis_survive_the_way_there_and_back(amount: int) -> None:
    sat = Sat(amount)
    assert wei_to_sat_floor(sat_to_wei(sat)) == sat
    assert gwei_to_wei(sat_to_gwei(sat)) == sat_to_wei(sat)
    assert sat_to_wei(Sat(10**8)) == 10**18, "one bitcoin is 10^18 wei"


@given(st.integers(0, 10**27))
def test_rounding_never_makes_money(amount: int) -> None:
    wei = Wei(amount)
    assert 0 <= wei - gwei_to_wei(wei_to_gwei_floor(wei)) < 10**9
    assert 0 <= wei - sat_to_wei(wei_to_sat_floor(wei)) < 10**10
    assert gwei_to_wei(Gwei(1)) == 10**9
