"""What failed, when, and what was done about it: bounded, for status pages and for patterns."""

from collections import Counter, deque
from enum import Enum

import attrs

from alysd.nurseries.failures import RECOVERIES, FailureKind, Recovery

RECENT_OF_A_CHILD = 16
"""Failures kept of each child: enough to see a rhythm in them."""


class Outcome(Enum):
    """What the supervisor did about a failure."""

    RESTARTED = "restarted"
    GROUP_RESTARTED = "restarted with its group"
    LEFT = "left failed"
    ESCALATED = "escalated"
    STOPPED = "stopped, as it was about to be"


@attrs.frozen
class FailureRecord:
    """One failure of `child`, `at` seconds of trio's clock, after it had been up for `uptime` seconds."""

    child: str
    kind: FailureKind
    error: str
    """Type and words."""
    at: float
    uptime: float
    """0 when it failed to start."""
    outcome: Outcome
    delay: float
    """Seconds until its restart, if it was restarted."""

    @property
    def recovery(self) -> Recovery:
        """What usually helps against this kind."""
        return RECOVERIES[self.kind]


@attrs.define
class ChildHistory:
    """The failures of one child: counted from the beginning, the last few kept."""

    failures: int = 0
    outcomes: Counter[Outcome] = attrs.field(factory=Counter[Outcome])
    kinds: Counter[FailureKind] = attrs.field(factory=Counter[FailureKind])
    recent: deque[FailureRecord] = attrs.field(factory=lambda: deque[FailureRecord](maxlen=RECENT_OF_A_CHILD))
    uptime: float = 0.0
    """Seconds that all instances that failed had lived."""

    def mean_uptime(self) -> float:
        """Seconds that an instance lives before it fails, on average."""
        return self.uptime / self.failures if self.failures else 0.0

    def add(self, record: FailureRecord) -> None:
        """Count and keep one more."""
        self.failures += 1
        self.outcomes[record.outcome] += 1
        self.kinds[record.kind] += 1
        self.uptime += record.uptime
        self.recent.append(record)
