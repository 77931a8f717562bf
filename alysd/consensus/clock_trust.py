"""The decision whether the wall clock of this machine can be trusted.

If the clock is set forward, the node would make blocks with a time in the future. These would become final, and no
block could follow before that time. If it is set back, the node could make no blocks at all. `CLOCK_BOOTTIME`
counts the seconds since the machine started, including those in which it was suspended, and cannot be set. So the
difference between the two clocks changes only if the wall clock is set. A change of more than a tolerance is a
*step*. A step is *open* until the new time of the wall clock is trusted.

When the node starts, the clock is distrusted in two cases. In the first case, a step was open when the node
stopped, the machine has not been restarted since, and the clock still shows the new time. In the second case, the
newest block is more than `IMPLAUSIBLE_SECONDS` old.
"""

import attrs

STEADY_SECONDS = 600.0
"""Seconds without another step after which the new time of the wall clock is trusted."""

IMPLAUSIBLE_SECONDS = 30 * 86_400.0
"""The lead of the clock over its trusted time, in seconds, above which only the operator can accept it: 30 days.

A chain is rarely stopped for so long, while a clock that was set to a wrong month or year is often this far ahead.
After blocks that were made with a clock that is ahead, no block can follow until the time of these blocks. The
limit bounds this interruption to 30 days, unless the operator accepts the clock.
"""

DRIFT = 0.001
"""Seconds per second by which the clocks may drift apart. NTP usually corrects a clock by at most half of this."""


@attrs.frozen
class ClockTrust:
    """The trusted and the present difference between wall clock and boottime, in seconds.

    `believed` is the trusted difference. `since` is the boottime at which the present difference began, `looked`
    the boottime of the last comparison of the clocks. A change of the difference by more than `tolerance` seconds
    is a step. If `by_chain` is true, the clock was implausibly far ahead of the newest block when the node
    started. `believed` is then the difference at which the clock would have shown the time of that block.
    """

    believed: float
    present: float
    since: float
    looked: float
    tolerance: float
    by_chain: bool = False

    @classmethod
    def at_start(
        cls,
        wall: float,
        boottime: float,
        tolerance: float,
        *,
        believed: float | None = None,
        newest: float | None = None,
    ) -> "ClockTrust":
        """The trust at the start of a node.

        `believed` is the difference that was trusted when the node stopped with an open step. It is None if no
        step was open, or if the machine has been restarted since. `newest` is the Unix time of the newest block or
        signature, None if there is none.
        """
        present = wall - boottime
        trusted = cls(present, present, boottime, boottime, tolerance)
        if believed is not None:
            return attrs.evolve(trusted, believed=believed) if abs(present - believed) > tolerance else trusted
        if newest is not None and wall - newest > IMPLAUSIBLE_SECONDS:
            return attrs.evolve(trusted, believed=newest - boottime, by_chain=True)
        return trusted

    @property
    def step(self) -> float:
        """The seconds by which the clock was set forward (back, if negative); 0 while the clock is trusted.

        If `by_chain` is true, the seconds from the newest block to the start of the node.
        """
        away = self.present - self.believed
        return away if abs(away) > self.tolerance else 0.0

    @property
    def implausible(self) -> bool:
        """Whether the clock is so far ahead that only the operator can make the node trust it."""
        return self.step > IMPLAUSIBLE_SECONDS

    @property
    def steady_for(self) -> float | None:
        """Seconds without a step after which the time is trusted; None if the operator has to accept it."""
        return None if self.implausible else STEADY_SECONDS

    @property
    def open_step(self) -> float | None:
        """The difference that was trusted before the step, to be kept on disk for the next start of the node.

        None if no step is open. Also None if `by_chain` is true, because the next start compares the clock with
        the newest block again.
        """
        return self.believed if self.step and not self.by_chain else None

    def look(self, wall: float, boottime: float) -> "ClockTrust":
        """The trust after a new comparison of the clocks. A plausible time is trusted after `STEADY_SECONDS`."""
        difference, passed = wall - boottime, boottime - self.looked
        if self.by_chain and difference - self.believed <= IMPLAUSIBLE_SECONDS:
            return ClockTrust.at_start(wall, boottime, self.tolerance)
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
        believed = not seen.implausible and boottime - seen.since >= STEADY_SECONDS
        return seen.accept() if believed else seen

    def accept(self) -> "ClockTrust":
        """The trust after the present time has been accepted, by the operator or because it has been steady."""
        return attrs.evolve(self, believed=self.present, by_chain=False)
