"""A limit on the time that the specification's interpreter takes, in the middle of a transaction if need be.

Gas bounds what a transaction costs everybody; here it would allow minutes, since an interpreter written to be read
executes some 0.3 million instructions a second. Blocks of others are executed whatever they take, since their
validity does not depend on this machine, but can be interrupted; blocks of our own and calls get a budget.
"""

import math
import time
from collections.abc import Callable

PAIRING_ADDRESS = (8).to_bytes(20, "big")
"""The precompiled contract whose time grows with its input while it cannot be interrupted (EIP-197)."""

_SECONDS_A_PAIR = 0.5
"""What one pair of points costs in py_ecc on a slow machine; 34,000 gas pay for it (EIP-1108)."""

_PAIR_BYTES = 192

_LOOK_EVERY = 256
"""Instructions between two looks at the clock: about a millisecond."""


class OutOfTime(Exception):
    """The time is over. Not one of the specification's errors, so that no contract's call swallows it."""


def never() -> None:
    """Interrupts nothing."""


class Budget:
    """Ends `seconds` after it was made, and sooner if `interrupt`, called about every millisecond, raises."""

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
        """Seconds left; negative when it is over."""
        return self._end - self._clock()

    def instruction(self) -> None:
        """Count one instruction; raises `OutOfTime`."""
        self._count += 1
        if self._count % _LOOK_EVERY == 0:
            self.look()

    def look(self) -> None:
        """Raise `OutOfTime` when the time is over, or what `interrupt` raises."""
        self._interrupt()
        if self.left() < 0:
            raise OutOfTime

    def precompile(self, address: bytes, size: int) -> None:
        """A precompiled contract will run on `size` bytes; raises `OutOfTime` if that could take too long."""
        needed = size // _PAIR_BYTES * _SECONDS_A_PAIR if address == PAIRING_ADDRESS else 0.0
        self._interrupt()
        if self.left() < needed:
            raise OutOfTime
