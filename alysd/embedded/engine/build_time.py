"""The time of one block's building, and its division among the transactions.

Two clocks measure it. The *processor time* of the building thread decides about transactions, because it does not
depend on the other work of the machine. The time on the *wall clock* ends the building, so that the block is not
late.
"""

import time
from collections.abc import Callable

import attrs

from alysd.embedded.engine.time_budget import Interrupted, TimeBudget

WALL_FACTOR = 1.5
"""The building ends after `seconds` of processor time, or after this many times as much on the wall clock."""

CODE_SHARE = 0.75
"""The part of the time, and of the bytes, that transactions which execute code may use.

The rest is reserved for plain transfers, which take a millisecond each. So nothing that contracts do can delay a
transfer, whatever its price.
"""

TRIAL_SHARE = 0.05
"""The part of the time that a transaction gets at first. One that needs more has to wait for a turn of its own."""


@attrs.frozen
class Clocks:
    """The clocks of the builder: the processor time of the current thread, and the wall clock. Both in seconds."""

    processor: Callable[[], float] = time.thread_time
    wall: Callable[[], float] = time.monotonic


CLOCKS = Clocks()
"""The clocks of this machine."""


class BuildTime:
    """Counts the time of one block from its creation: `seconds` of processor time."""

    def __init__(self, seconds: float, clocks: Clocks) -> None:
        self.turn = seconds * CODE_SHARE
        self.trial = seconds * TRIAL_SHARE
        self._clocks = clocks
        self._all = TimeBudget(seconds, clock=clocks.processor)
        self._code = TimeBudget(self.turn, clock=clocks.processor)
        self._all_wall = TimeBudget(seconds * WALL_FACTOR, clock=clocks.wall)
        self._code_wall = TimeBudget(self.turn * WALL_FACTOR, clock=clocks.wall)

    def over(self) -> bool:
        """Whether all time is used up."""
        return self._all.left() <= 0 or self._all_wall.left() <= 0

    def left(self, *, code: bool) -> float:
        """Seconds of processor time left for a transaction; 0 or less if the time is over.

        `code` says whether the transaction executes code.
        """
        processor, wall = (self._code, self._code_wall) if code else (self._all, self._all_wall)
        return processor.left() if wall.left() > 0 else 0.0

    def budget(self, seconds: float, *, code: bool) -> TimeBudget:
        """A budget of `seconds` of processor time. It raises `Interrupted` when the wall clock's time is over."""
        wall = self._code_wall if code else self._all_wall

        def interrupt() -> None:
            if wall.left() < 0:
                raise Interrupted

        return TimeBudget(seconds, interrupt, self._clocks.processor)
