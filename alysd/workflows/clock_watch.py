"""Watches the wall clock of the machine: logs its steps, and decides whether blocks may be made."""

import trio

from alysd.consensus.clock_trust import STEADY_SECONDS, ClockTrust
from alysd.messages.log.base import log
from alysd.messages.log.process import ClockBelieved, ClockStepped
from alysd.ports import Clock

LOOK_SECONDS = 1.0
"""The interval, in seconds, between two checks of the clock."""


class ClockWatch:
    """Decides for the whole node whether the wall clock is trusted.

    It outlives restarts of the children that ask it.
    `slot_seconds` is the largest tolerated step.
    """

    def __init__(self, clock: Clock, slot_seconds: int) -> None:
        self._clock = clock
        self._trust = ClockTrust.at_start(clock.time(), clock.boottime(), slot_seconds)

    def look(self) -> ClockTrust:
        """Check the clock now. Logs a new step, and the end of a step."""
        before = self._trust
        self._trust = before.look(self._clock.time(), self._clock.boottime())
        if self._trust.step and self._trust.since != before.since:
            log(ClockStepped(self._trust.step, STEADY_SECONDS))
        elif before.step and not self._trust.step:
            log(ClockBelieved(before.step if before.present == self._trust.present else 0.0))
        return self._trust

    def accept(self) -> float:
        """Trust the present time, because the operator accepts it.

        Returns the seconds by which it had been set.
        """
        step = self.look().step
        if step:
            self._trust = self._trust.accept()
            log(ClockBelieved(step))
        return step

    def doubt(self) -> str:
        """The reason why no block may be made now, as a sentence; empty if blocks may be made."""
        step = self.look().step
        if not step:
            return ""
        way = "forward" if step > 0 else "back"
        return (
            f"the clock of this machine was set {way} by {abs(step):.0f} s: no block is made until it is right, "
            f"has been steady for {STEADY_SECONDS / 60:.0f} minutes, or is accepted with `alysd clock accept`"
        )

    async def run(self) -> None:
        """Check the clock every second, so that a step is logged at once. Never returns."""
        while True:
            self.look()
            await trio.sleep(LOOK_SECONDS)
