"""The machine's clock, behind the port that tests replace."""

import time


class SystemClock:
    """Implements `alysd.ports.Clock`."""

    def time(self) -> float:
        """Unix seconds, as the machine has them."""
        return time.time()
