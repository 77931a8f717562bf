"""The measuring code that all peers share."""

from itertools import pairwise

import pytest

from benchmarks.actors.measuring import CONSUMERS, FULL, percentile, receivers, resident_bytes


def test_a_percentile_is_a_value_that_was_seen() -> None:
    """Otherwise the p99 of few values would be an interpolated value that never occurred."""
    values = [float(value) for value in range(100, 0, -1)]
    assert percentile(values, 0.5) == 51
    assert percentile(values, 0.99) == 100
    assert percentile([7.0], 0.99) == 7


def test_no_values_have_no_percentile() -> None:
    """A job that measured nothing must say so instead of showing a zero."""
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_the_crowd_is_spread_over_all_and_talks_as_often_in_a_row_as_asked() -> None:
    """The crowd's figure means nothing if few actors get all, or if the fours are not fours."""
    single = receivers(3, 2 * CONSUMERS, 1)
    assert set(single) == set(range(CONSUMERS))
    assert all(first != second for first, second in pairwise(single))
    fours = receivers(3, 4 * CONSUMERS, 4)
    assert all(len(set(fours[start : start + 4])) == 1 for start in range(0, len(fours), 4))
    assert fours[::4] == single[:CONSUMERS]


def test_a_faster_peer_does_more_of_what_is_divided_by_its_count() -> None:
    """The other jobs have the same size for all peers, so that the memory per actor stays comparable."""
    faster = FULL.faster(4)
    assert (faster.tells, faster.asks, faster.crowd) == (4 * FULL.tells, 4 * FULL.asks, 4 * FULL.crowd)
    assert (faster.idle, faster.spawns) == (FULL.idle, FULL.spawns)


def test_memory_that_is_used_is_seen() -> None:
    """Bytes an idle actor is a difference of two such readings."""
    before = resident_bytes()
    block = bytearray(b"\1" * 50_000_000)
    assert 40_000_000 < resident_bytes() - before < 60_000_000
    del block
