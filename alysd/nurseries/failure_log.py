"""The failures of a system: logged and kept, off the path of the restart that follows them.

A supervisor only notes a failure and goes on. A task beside the tree classifies, counts and logs it soon
after, so that formatting a traceback does not delay the next instance. Who reads the log sees everything that
was noted.
"""

import logging
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import trio

from alysd.nurseries.failures import Classifier, FailureKind
from alysd.nurseries.history import ChildHistory, FailureRecord, Outcome

logger = logging.getLogger("alysd.nurseries")

RECENT = 1024
"""Failures kept of the whole system, the newest: with the default intensity that is some 17 minutes of the
worst that a supervisor puts up with."""

_LEVELS = {Outcome.LEFT: logging.ERROR, Outcome.ESCALATED: logging.ERROR}


LATER = 0.05
"""Seconds until a failure is logged: nobody notices, and the restart is over by then."""


class Failure(NamedTuple):
    """What a supervisor notes: `child` failed with `error` at `at` after `uptime` seconds, and what it does."""

    child: str
    error: Exception
    at: float
    uptime: float
    outcome: Outcome
    delay: float = 0.0


class FailureLog:
    """All failures of a system. Bounded by `RECENT`, and by `RECENT_OF_A_CHILD` for each child there is."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self._fresh: deque[Failure] = deque()
        self._arrived = trio.lowlevel.ParkingLot()
        self._recent: deque[FailureRecord] = deque(maxlen=RECENT)
        self._children: dict[str, ChildHistory] = {}

    @property
    def recent(self) -> Sequence[FailureRecord]:
        """The newest failures of all children, the newest last."""
        self.flush()
        return tuple(self._recent)

    def of(self, child: str) -> ChildHistory:
        """The history of one child; empty when it never failed."""
        self.flush()
        return self._children.get(child, ChildHistory())

    def add(self, failure: Failure) -> None:
        """Note a failure."""
        self._fresh.append(failure)
        if self._arrived:
            self._arrived.unpark_all()

    def forget(self, child: str) -> None:
        """A child that is gone for ever leaves nothing but what is recent."""
        self.flush()
        self._children.pop(child, None)

    async def run(self) -> None:
        """Work off what is noted, for ever."""
        while True:
            await self._arrived.park()
            await trio.sleep(LATER)
            self.flush()

    def flush(self) -> None:
        """Classify, count and log what was noted."""
        while self._fresh:
            failure = self._fresh.popleft()
            record = FailureRecord(
                child=failure.child,
                kind=self._classifier.kind(failure.error),
                error=f"{type(failure.error).__name__}: {failure.error}",
                at=failure.at,
                uptime=failure.uptime,
                outcome=failure.outcome,
                delay=failure.delay,
            )
            self._recent.append(record)
            self._children.setdefault(failure.child, ChildHistory()).add(record)
            # A bug is everybody's business; of the rest, what a restart mends is for whoever looks closely.
            usual = logging.WARNING if record.kind is FailureKind.PANIC else logging.INFO
            logger.log(
                _LEVELS.get(failure.outcome, usual),
                "%s failed (%s): %s, delay %.3g s: %s",
                failure.child,
                record.kind.value,
                failure.outcome.value,
                failure.delay,
                record.error,
                # Where a panic comes from only its traceback tells; the other kinds say all in their words.
                exc_info=failure.error if record.kind is FailureKind.PANIC else None,
            )
