"""What failed, when, and what was done about it: bounded, for status pages and for patterns."""

from collections import Counter, deque
from collections.abc import Sequence
from enum import Enum

import attrs

from alysd.nurseries.failures import RECOVERIES, Classifier, FailureKind, Recovery

RECENT = 1024
"""Failures kept of the whole system, the newest: with the default intensity that is some 17 minutes of the
worst that a supervisor puts up with."""

RECENT_OF_A_CHILD = 16
"""Failures kept of each child: enough to see a rhythm in them."""


class Outcome(Enum):
    """What the supervisor did about a failure."""

    RESTARTED = "restarted"
    GROUP_RESTARTED = "restarted with its group"
    LEFT = "left failed"
    ESCALATED = "escalated"


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


class FailureLog:
    """All failures of a system. Bounded by `RECENT`, and by `RECENT_OF_A_CHILD` for each child there is."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self._recent: deque[FailureRecord] = deque(maxlen=RECENT)
        self._children: dict[str, ChildHistory] = {}

    @property
    def recent(self) -> Sequence[FailureRecord]:
        """The newest failures of all children, the newest last."""
        return tuple(self._recent)

    def of(self, child: str) -> ChildHistory:
        """The history of one child; empty when it never failed."""
        return self._children.get(child, ChildHistory())

    def add(
        self, child: str, error: Exception, *, at: float, uptime: float, outcome: Outcome, delay: float = 0.0
    ) -> None:
        """Record one failure."""
        record = FailureRecord(
            child=child,
            kind=self._classifier.kind(error),
            error=f"{type(error).__name__}: {error}",
            at=at,
            uptime=uptime,
            outcome=outcome,
            delay=delay,
        )
        self._recent.append(record)
        self._children.setdefault(child, ChildHistory()).add(record)

    def forget(self, child: str) -> None:
        """A child that is gone for ever leaves nothing but what is recent."""
        self._children.pop(child, None)
