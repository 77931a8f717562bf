"""The machine's clock is unix time: slots are counted from it."""

import time

from alysd.integrations.clock import SystemClock


def test_it_is_unix_time_and_goes_forward() -> None:
    before = time.time()
    now = SystemClock().time()
    assert before <= now <= time.time()
