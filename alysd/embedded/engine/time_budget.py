"""A time limit for the specification's interpreter, which takes effect even in the middle of a transaction.

The gas limit alone would allow minutes, since the interpreter executes some 0.3 million instructions per second.
Blocks that the node builds and calls have a time budget. Blocks of other nodes have none, since their validity
must not depend on this machine, but their execution can be interrupted.
"""

import math
import time
from collections.abc import Callable

PAIRING_ADDRESS = (8).to_bytes(20, "big")
"""The pairing check (EIP-197): its time grows with its input, and it cannot be interrupted."""

_SECONDS_PER_PAIR = 0.5
"""Time that py_ecc takes for one pair of points on a slow machine; it costs 34,000 gas (EIP-1108)."""

_PAIR_BYTES = 192

_CHECK_EVERY = 256
"""Instructions between two checks of the clock: about a millisecond."""


class OutOfTime(Exception):
    """The time budget is used up. Not an `EthereumException`, so that the interpreter does not catch it."""


def never() -> None:
    """Never interrupt: the default of `TimeBudget.interrupt`."""


class TimeBudget:
    """Ends `seconds` after it is created, on `clock`. `interrupt` is called about every ms and may raise."""

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
        """Count one instruction. Raises `OutOfTime`."""
        self._count += 1
        if self._count % _CHECK_EVERY == 0:
            self.check()

    def check(self) -> None:
        """Raise `OutOfTime` when the budget is used up, or whatever `interrupt` raises."""
        self._interrupt()
        if self.left() < 0:
            raise OutOfTime

    def precompile(self, address: bytes, size: int) -> None:
        """Raise `OutOfTime` if the precompiled contract could take too long for `size` bytes of input."""
        needed = size // _PAIR_BYTES * _SECONDS_PER_PAIR if address == PAIRING_ADDRESS else 0.0
        self._interrupt()
        if self.left() < needed:
            raise OutOfTime
