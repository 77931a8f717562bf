"""The decision whether the wall clock of this machine can be trusted while the node runs.

If the clock is set forward, the node would make blocks with a time in the future. These would become final, and no
block could follow before that time. If it is set back, the node could make no blocks at all. `CLOCK_BOOTTIME`
counts the seconds since the machine started, including those in which it was suspended, and cannot be set. So a
difference between the two clocks changes only if the wall clock is set. At its start a node trusts the clock,
however long it was stopped.
"""

import attrs

STEADY_SECONDS = 600.0
"""Seconds without another step after which the new time of the wall clock is trusted."""

DRIFT = 0.001
"""Seconds per second by which the clocks may drift apart. NTP usually corrects a clock by at most half of this."""


@attrs.frozen
class ClockTrust:
    """The trusted and the present difference between wall clock and boottime, in seconds.

    `since` is the boottime at which the present difference began, `looked` the boottime of the last look. A change
    of the difference by more than `tolerance` seconds is a step.
    """

    believed: float
    present: float
    since: float
    looked: float
    tolerance: float

    @classmethod
    def at_start(cls, wall: float, boottime: float, tolerance: float) -> "ClockTrust":
        """The trust at the start of a node: the present time is trusted."""
        return cls(wall - boottime, wall - boottime, boottime, boottime, tolerance)

    @property
    def step(self) -> float:
        """The seconds by which the clock was set forward (back, if negative); 0 while the clock is trusted."""
        away = self.present - self.believed
        return away if abs(away) > self.tolerance else 0.0

    @property
    def believed_in(self) -> float:
        """The seconds until the present time is trusted if no further step follows; 0 if it is trusted already."""
        return max(0.0, self.since + STEADY_SECONDS - self.looked) if self.step else 0.0

    def look(self, wall: float, boottime: float) -> "ClockTrust":
        """The trust after a look at both clocks. A new time is trusted after `STEADY_SECONDS`."""
        difference, passed = wall - boottime, boottime - self.looked
        steady = abs(difference - self.present) <= self.tolerance
        seen = attrs.evolve(
            self,
            present=self.present if steady and self.step else difference,
            since=self.since if steady else boottime,
            looked=boottime,
        )
        if not seen.step:
            drift = max(-DRIFT * passed, min(DRIFT * passed, difference - self.believed))
            return attrs.evolve(seen, present=difference, believed=self.believed + drift)
        return seen if seen.believed_in > 0 else seen.accept()

    def accept(self) -> "ClockTrust":
        """The trust after the operator has accepted the present time, or after it has been steady."""
        return attrs.evolve(self, believed=self.present)
