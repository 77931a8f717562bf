"""Reads the system clock through the `Clock` port, which tests replace."""

import time


class SystemClock:
    """Implements `alysd.ports.Clock`."""

    def time(self) -> float:
        """Return the system time in Unix seconds."""
        return time.time()

    def boottime(self) -> float:
        """Return the seconds since the machine started, including those in which it was suspended."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)
