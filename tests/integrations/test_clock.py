"""The machine's clock is unix time: slots are counted from it."""

import time

from alysd.integrations.clock import SystemClock


def test_it_is_unix_time_and_goes_forward() -> None:
    before = time.time()
    now = SystemClock().time()
    assert before <= now <= time.time()


def test_the_boottime_goes_forward_as_the_kernel_counts_it() -> None:
    """A step of the wall clock could not be told from a machine that slept."""
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    now = SystemClock().boottime()
    assert before <= now <= time.clock_gettime(time.CLOCK_BOOTTIME)
