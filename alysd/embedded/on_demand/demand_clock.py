"""The clock of a chain whose blocks are made on demand: the machine's clock with an offset that clients change."""

import attrs

from alysd.errors import Refused
from alysd.ports import Clock

MAX_TIMESTAMP = 2**48
"""No block may have this timestamp or a later one, in Unix seconds: nine million years, exact in a float."""


@attrs.frozen(str=False)
class TimeOutOfRange(Refused):
    """A client sets the time of a block that is not after the head, or not before `MAX_TIMESTAMP`."""

    wanted: int
    head: int

    def __str__(self) -> str:
        return (
            f"timestamp {self.wanted} is not possible for the next block: it must be after that of the newest "
            f"block, {self.head}, and before {MAX_TIMESTAMP}"
        )


@attrs.frozen
class ClockState:
    """The settings of a virtual clock: `now` is its time when they were read."""

    now: float
    pinned: int | None
    interval: int | None


class DemandClock:
    """Implements `alysd.ports.Clock`; also chooses the timestamp of each block.

    The time goes on as that of `machine`. It never goes back, except when a snapshot is restored.
    """

    def __init__(self, machine: Clock) -> None:
        self._machine = machine
        self._offset = 0.0
        self._pinned: int | None = None
        self._interval: int | None = None

    def time(self) -> float:
        """The virtual time in Unix seconds."""
        return self._machine.time() + self._offset

    def boottime(self) -> float:
        """The seconds since the machine started, which nobody can change."""
        return self._machine.boottime()

    @property
    def offset(self) -> int:
        """The whole seconds by which the virtual time is ahead of the machine's."""
        return int(self._offset)

    def advance(self, seconds: int, head: int) -> None:
        """Move the time forward. Raises `TimeOutOfRange`. `head` is the timestamp of the newest block."""
        self._check(int(self.time()) + seconds, head - 1)
        self._offset += seconds

    def pin(self, timestamp: int, head: int) -> None:
        """Give the next block this timestamp. Raises `TimeOutOfRange`."""
        self._check(timestamp, head)
        self._pinned = timestamp

    def space(self, seconds: int | None) -> None:
        """Make each block `seconds` later than the one before it; None follows the clock again."""
        self._interval = seconds

    def next_timestamp(self, head: int) -> int:
        """The timestamp of the block after one with the timestamp `head`: pinned, spaced, or the present second.

        Two blocks never have the same timestamp, so many blocks in a second run ahead of the machine's clock.
        Raises `TimeOutOfRange` if the time has reached its end.
        """
        if self._pinned is not None:
            chosen = self._pinned
        elif self._interval is not None:
            chosen = head + self._interval
        else:
            chosen = max(int(self.time()), head + 1)
        self._check(chosen, head)
        return chosen

    def used(self, timestamp: int) -> None:
        """Note the timestamp of a block. If it is later than now, or was pinned, the time goes on from it."""
        if self._pinned is not None or timestamp > self.time():
            self._offset = timestamp - self._machine.time()
        self._pinned = None

    def state(self) -> ClockState:
        """The settings, for a snapshot."""
        return ClockState(self.time(), self._pinned, self._interval)

    def restore(self, state: ClockState) -> None:
        """Go back to the time and the settings of a snapshot."""
        self._offset = state.now - self._machine.time()
        self._pinned, self._interval = state.pinned, state.interval

    def _check(self, timestamp: int, head: int) -> None:
        if not head < timestamp < MAX_TIMESTAMP:
            raise TimeOutOfRange(timestamp, head)
