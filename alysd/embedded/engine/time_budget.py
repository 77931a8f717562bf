"""A time limit for the specification's interpreter, which takes effect even in the middle of a transaction.

The gas limit alone would allow minutes, because the interpreter executes only about 0.3 million instructions per
second. A call, and the building of a block, has a time budget. The validation of a block has none, because the
verdict must not depend on the speed of this machine. Every execution can be interrupted.
"""

import math
import time
from collections.abc import Callable

PAIRING_ADDRESS = (8).to_bytes(20, "big")
"""The address of the pairing check (EIP-197), which takes long for large inputs and cannot be interrupted."""

_SECONDS_PER_PAIR = 0.5
"""Time in seconds that py_ecc takes for one pair of points on a slow machine.

A pair costs 34,000 gas (EIP-1108).
"""

_PAIR_BYTES = 192

_CHECK_EVERY = 256
"""The number of instructions between two checks of the clock. This many instructions take about a millisecond."""


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
        self._count = 0

    def left(self) -> float:
        """Seconds left; negative when the budget is used up."""
        return self._end - self._clock()

    def instruction(self) -> None:
        """Count one instruction. Raises what `check` raises."""
        self._count += 1
        if self._count % _CHECK_EVERY == 0:
            self.check()

    def check(self) -> None:
        """Raise `OutOfTime` when the budget is used up, or whatever `interrupt` raises."""
        self._interrupt()
        if self.left() < 0:
            raise OutOfTime

    def precompile(self, address: bytes, size: int) -> None:
        """Raise `OutOfTime` if the precompiled contract could exceed the budget with `size` bytes of input."""
        needed = size // _PAIR_BYTES * _SECONDS_PER_PAIR if address == PAIRING_ADDRESS else 0.0
        self._interrupt()
        if self.left() < needed:
            raise OutOfTime
