"""The log of a system's failures: it classifies, counts, logs and keeps them.

A supervisor only adds a failure to the log. A task outside the tree classifies, counts and logs it soon
afterwards, so that formatting a traceback does not delay the restart. Every read of the log processes the added
failures first.

The kind of a failure and its recommended recovery are for readers of the statistics and for `patterns`. A
supervisor does not use them: the child's restart policy applies to failures of every kind.
"""

import errno
import logging
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple

import attrs
import trio

from alysd.nurseries.errors import HealthCheckFailed, MailboxFull, NotAnswered, root_cause, text_of
from alysd.nurseries.restart import Outcome

logger = logging.getLogger("alysd.nurseries")


class FailureKind(Enum):
    """The kinds of failures. A program assigns its own error types to them by a `Classifier`."""

    PANIC = "panic"
    TIMEOUT = "timeout"
    MAILBOX_OVERFLOW = "mailbox overflow"
    RESOURCE_EXHAUSTION = "resource exhaustion"
    CONSENSUS = "consensus"
    NETWORK = "network"
    GOVERNANCE = "governance"
    FEDERATION = "federation"
    HEALTH_CHECK = "health check"
    CONFIGURATION = "configuration"
    DEPENDENCY = "dependency"


class Recovery(Enum):
    """The recommended recovery from a failure."""

    RESTART = "restart it"
    RESTART_LATER = "restart it, with growing delays"
    SHED_LOAD = "send less, or enlarge the mailbox"
    FREE_RESOURCES = "free disk, memory or file descriptors first"
    REPAIR_DEPENDENCY = "repair what it depends on"
    CORRECT_CONFIGURATION = "correct the configuration; no restart helps"
    ASK_A_PERSON = "stop and let a person look"


RECOVERIES: Mapping[FailureKind, Recovery] = MappingProxyType(
    {
        FailureKind.PANIC: Recovery.RESTART,
        FailureKind.TIMEOUT: Recovery.RESTART_LATER,
        FailureKind.MAILBOX_OVERFLOW: Recovery.SHED_LOAD,
        FailureKind.RESOURCE_EXHAUSTION: Recovery.FREE_RESOURCES,
        FailureKind.CONSENSUS: Recovery.ASK_A_PERSON,
        FailureKind.NETWORK: Recovery.RESTART_LATER,
        FailureKind.GOVERNANCE: Recovery.RESTART_LATER,
        FailureKind.FEDERATION: Recovery.RESTART_LATER,
        FailureKind.HEALTH_CHECK: Recovery.RESTART,
        FailureKind.CONFIGURATION: Recovery.CORRECT_CONFIGURATION,
        FailureKind.DEPENDENCY: Recovery.REPAIR_DEPENDENCY,
    }
)
"""The recommended recovery for each kind."""

Rule = tuple[type[BaseException], FailureKind]
"""A type of errors, and the kind of all errors of that type or of a subclass."""

GENERAL_RULES: tuple[Rule, ...] = (
    (HealthCheckFailed, FailureKind.HEALTH_CHECK),
    (MailboxFull, FailureKind.MAILBOX_OVERFLOW),
    (trio.TooSlowError, FailureKind.TIMEOUT),
    (TimeoutError, FailureKind.TIMEOUT),
    (NotAnswered, FailureKind.DEPENDENCY),
    (MemoryError, FailureKind.RESOURCE_EXHAUSTION),
    (ConnectionError, FailureKind.NETWORK),
    (trio.BrokenResourceError, FailureKind.NETWORK),
)
"""The rules for errors of Python, trio and this runtime. The first rule that matches applies."""

_EXHAUSTED = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM})


@attrs.frozen
class Classifier:
    """Assigns a kind to an error: by the program's `rules`, then by the general rules, and otherwise `PANIC`."""

    rules: Sequence[Rule] = ()

    def kind(self, error: BaseException) -> FailureKind:
        """The kind of `error`. For a supervisor that gave up, the kind of the error that came first."""
        error = root_cause(error)
        if isinstance(error, OSError) and error.errno in _EXHAUSTED:
            return FailureKind.RESOURCE_EXHAUSTION
        for error_type, kind in (*self.rules, *GENERAL_RULES):
            if isinstance(error, error_type):
                return kind
        return FailureKind.PANIC


RECENT_OF_A_CHILD = 16
"""Failures kept per child: enough to detect a rhythm."""


@attrs.frozen
class FailureRecord:
    """One failure of `child`, at the time `at` of trio's clock."""

    child: str
    kind: FailureKind
    error: str
    """The type and the text of the error."""
    at: float
    uptime: float
    """Seconds for which the instance had been up; 0 if it failed while starting or stopping."""
    outcome: Outcome
    delay: float
    """Seconds from the failure to the restart; 0 if the child was not restarted."""

    @property
    def recovery(self) -> Recovery:
        """The recommended recovery for this kind."""
        return RECOVERIES[self.kind]


@attrs.define
class ChildHistory:
    """The failures of one child. All are counted, the newest are kept."""

    failures: int = 0
    outcomes: Counter[Outcome] = attrs.field(factory=Counter[Outcome])
    kinds: Counter[FailureKind] = attrs.field(factory=Counter[FailureKind])
    recent: deque[FailureRecord] = attrs.field(factory=lambda: deque[FailureRecord](maxlen=RECENT_OF_A_CHILD))
    uptime: float = 0.0
    """Total uptime of all failed instances, in seconds."""

    def mean_uptime(self) -> float:
        """Mean uptime of the failed instances, in seconds."""
        return self.uptime / self.failures if self.failures else 0.0

    def add(self, record: FailureRecord) -> None:
        """Count and keep a failure."""
        self.failures += 1
        self.outcomes[record.outcome] += 1
        self.kinds[record.kind] += 1
        self.uptime += record.uptime
        self.recent.append(record)


RECENT = 1024
"""Failures kept for the whole system, the newest ones.

With the default intensity, so many failures below one supervisor take at least 17 minutes, unless it gives up."""

_LEVELS = {Outcome.LEFT: logging.ERROR, Outcome.ESCALATED: logging.ERROR}


LATER = 0.05
"""Seconds from a failure until it is logged, unless the log is read earlier. The restart has priority."""


class Failure(NamedTuple):
    """A supervisor's entry for the log: `child` failed with `error` at the time `at` of trio's clock.

    The failed instance had been up for `uptime` seconds.
    """

    child: str
    error: Exception
    at: float
    uptime: float
    outcome: Outcome
    delay: float = 0.0


class FailureLog:
    """The failures of a system. It keeps `RECENT` failures in all, and `RECENT_OF_A_CHILD` for each child."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self._fresh: deque[Failure] = deque()
        self._arrived = trio.lowlevel.ParkingLot()
        self._recent: deque[FailureRecord] = deque(maxlen=RECENT)
        self._children: dict[str, ChildHistory] = {}

    @property
    def recent(self) -> Sequence[FailureRecord]:
        """The newest failures of all children, oldest first."""
        self.flush()
        return tuple(self._recent)

    def of(self, child: str) -> ChildHistory:
        """The history of one child; empty if it never failed."""
        self.flush()
        return self._children.get(child, ChildHistory())

    def add(self, failure: Failure) -> None:
        """Add a failure."""
        self._fresh.append(failure)
        if self._arrived:
            self._arrived.unpark_all()

    def forget(self, child: str) -> None:
        """Delete the history of a removed child. Its failures in `recent` stay."""
        self.flush()
        self._children.pop(child, None)

    async def run(self) -> None:
        """Process failures soon after they are added, until cancelled."""
        while True:
            await self._arrived.park()
            await trio.sleep(LATER)
            self.flush()

    def flush(self) -> None:
        """Classify, count and log the failures added so far."""
        while self._fresh:
            failure = self._fresh.popleft()
            record = FailureRecord(
                child=failure.child,
                kind=self._kind(failure),
                error=f"{type(failure.error).__name__}: {text_of(failure.error)}",
                at=failure.at,
                uptime=failure.uptime,
                outcome=failure.outcome,
                delay=failure.delay,
            )
            self._recent.append(record)
            self._children.setdefault(failure.child, ChildHistory()).add(record)
            # A bug is always a warning. Other failures that a restart repairs are only information.
            usual = logging.WARNING if record.kind is FailureKind.PANIC else logging.INFO
            logger.log(
                _LEVELS.get(failure.outcome, usual),
                "%s failed (%s): %s, delay %.3g s: %s",
                failure.child,
                record.kind.value,
                failure.outcome.value,
                failure.delay,
                record.error,
                # Only the traceback shows the origin of a panic. For other kinds the text is enough.
                exc_info=failure.error if record.kind is FailureKind.PANIC else None,
            )

    def _kind(self, failure: Failure) -> FailureKind:
        try:
            return self._classifier.kind(failure.error)
        except Exception as raised:  # the program's classifier must not end the log, nor the system with it
            logger.error("the classifier failed on a failure of %s: %r", failure.child, raised, exc_info=raised)
            return FailureKind.PANIC
