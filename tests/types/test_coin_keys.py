"""The keys of free outputs: the newest federation's first, and of each federation the largest."""

from hypothesis import given
from hypothesis import strategies as st

from alysd.types.hashes import BitcoinHash
from alysd.types.peg import OutPoint, coin_key, coin_of, coins_prefix
from alysd.types.units import MAX_SAT, Sat

OUTPOINTS = st.builds(OutPoint, st.binary(min_size=32, max_size=32).map(BitcoinHash), st.integers(0, 2**32 - 1))
COINS = st.tuples(st.integers(0, 63), st.integers(0, MAX_SAT).map(Sat), OUTPOINTS)


@given(st.lists(COINS, max_size=20, unique=True))
def test_keys_are_in_the_order_in_which_outputs_are_listed(coins: list[tuple[int, Sat, OutPoint]]) -> None:
    keys = sorted(coin_key(*coin) for coin in coins)
    expected = sorted(coins, key=lambda coin: (-coin[0], -coin[1], coin[2].key))
    assert [coin_of(key) for key in keys] == [coin[1:] for coin in expected]


@given(COINS, st.integers(0, 63))
def test_a_prefix_begins_the_outputs_of_its_federation(coin: tuple[int, Sat, OutPoint], federation: int) -> None:
    key, prefix = coin_key(*coin), coins_prefix(federation)
    assert key.startswith(prefix) == (coin[0] == federation)
    assert (key > prefix) == (coin[0] <= federation), "after it come this federation's and those of earlier ones"
