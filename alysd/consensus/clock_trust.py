"""Whether the wall clock of this machine can be believed while the node runs.

A clock that is set forward would make the node produce blocks of the future, which become final and stop the chain
until that time; a clock that is set back stops it at once. `CLOCK_BOOTTIME` counts the seconds since the machine
started, also those that it slept, and nobody can set it. So a step of the wall clock against it is no suspended
laptop. A node that starts believes the clock, however long it was stopped.
"""

import attrs

STEADY_SECONDS = 600.0
"""The time without another step after which a new wall clock time is believed."""

DRIFT = 0.001
"""Seconds per second by which the clocks may drift apart. NTP usually corrects a clock by at most half of this."""


@attrs.frozen
class ClockTrust:
    """The believed and the present difference between wall clock and boottime, in seconds.

    `since` is the boottime since which the difference is `present`, and `looked` that of the last look. A
    difference from the believed one by more than `tolerance` seconds is a step.
    """

    believed: float
    present: float
    since: float
    looked: float
    tolerance: float

    @classmethod
    def at_start(cls, wall: float, boottime: float, tolerance: float) -> "ClockTrust":
        """Believe the clock."""
        return cls(wall - boottime, wall - boottime, boottime, boottime, tolerance)

    @property
    def step(self) -> float:
        """The seconds by which the clock was set forward (back, if negative); 0 for a clock to be believed."""
        away = self.present - self.believed
        return away if abs(away) > self.tolerance else 0.0

    @property
    def believed_in(self) -> float:
        """The seconds after which the present time is believed if no further step follows; 0 if it is believed."""
        return max(0.0, self.since + STEADY_SECONDS - self.looked) if self.step else 0.0

    def look(self, wall: float, boottime: float) -> "ClockTrust":
        """The trust after a look at both clocks. A step is believed after `STEADY_SECONDS`."""
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
        """Believe the present time, because the operator says so or because it is steady."""
        return attrs.evolve(self, believed=self.present)
