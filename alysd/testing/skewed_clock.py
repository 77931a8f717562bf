"""Runs `alysd` with a wrong clock: `python -m alysd.testing.skewed_clock SECONDS run --config FILE`.

The clock of the node is ahead by this many seconds from its start on, or behind if they are negative. The daemon
has no option for that.
"""

import sys
from unittest.mock import patch

from alysd.cli import program as alysd
from alysd.integrations.clock import SystemClock


def program() -> None:
    """Take the first argument as the error of the clock, and run `alysd` with the other arguments."""
    seconds, right = float(sys.argv.pop(1)), SystemClock.time

    def wrong(clock: SystemClock) -> float:
        return right(clock) + seconds

    with patch.object(SystemClock, "time", wrong):
        alysd()


if __name__ == "__main__":
    program()
