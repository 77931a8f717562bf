"""A time limit for the specification's interpreter, which takes effect even in the middle of a transaction.

The gas limit alone would allow many seconds, because the interpreter executes only some million instructions per
second. A call, and the building of a block, has a time budget. The validation of a block has none, because the
verdict must not depend on the speed of this machine. Every execution can be interrupted.
"""

import math
import time
from collections.abc import Callable


class OutOfTime(Exception):
    """The time budget is used up. It is not an `EthereumException`, which the interpreter would catch."""


class Interrupted(OutOfTime):
    """The time on the wall clock was over before the budget was used up: the machine is busy with other work."""


def never() -> None:
    """Do nothing. The default of `TimeBudget.interrupt`, with which nothing interrupts an execution."""


class TimeBudget:
    """A time limit of `seconds` from its creation, on `clock`.

    `interrupt` is called about once per millisecond and may raise.
    """

    def __init__(
        self,
        seconds: float = math.inf,
        interrupt: Callable[[], None] = never,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._end = clock() + seconds
        self._interrupt = interrupt

    def left(self) -> float:
        """Seconds left; negative when the budget is used up."""
        return self._end - self._clock()

    def check(self) -> None:
        """Raise `OutOfTime` when the budget is used up, or the error of `interrupt`."""
        self._interrupt()
        if self.left() < 0:
            raise OutOfTime

    def need(self, seconds: float) -> None:
        """Raise the errors of `check`, and `OutOfTime` if less than `seconds` are left, which a step needs."""
        self._interrupt()
        if self.left() < seconds:
            raise OutOfTime
