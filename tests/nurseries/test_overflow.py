"""The numbers of the backoff policy."""

import pytest

from alysd.nurseries import Backoff


def test_delays_grow_by_the_factor_and_end_after_the_retries() -> None:
    assert list(Backoff(retries=4, first_seconds=0.5, factor=3).delays()) == [0.5, 1.5, 4.5, 13.5]


def test_numbers_that_make_no_sense_are_refused() -> None:
    for wrong in ({"retries": 0}, {"first_seconds": 0.0}, {"factor": 0.5}):
        with pytest.raises(ValueError, match="must be"):
            Backoff(**wrong)  # pyright: ignore[reportArgumentType]
