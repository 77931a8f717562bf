"""Reads the system clock through the `Clock` port, which tests replace."""

import time


class SystemClock:
    """Implements `alysd.ports.Clock`."""

    def time(self) -> float:
        """Return the system time in Unix seconds."""
        return time.time()
