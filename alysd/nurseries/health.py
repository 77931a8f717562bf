"""The health monitor, which asks every child for its health and restarts children that are unhealthy or silent.

The monitor runs outside the tree, so that it outlives the children that it watches. An actor answers between two
messages, ahead of the waiting ones. An actor whose handler never returns does not answer; a supervisor whose task
is stuck does not answer either. A task child has no loop that could answer, and counts as healthy while it runs.

    Unknown --> Healthy <--> Degraded --> Unhealthy --> Recovering --> Healthy
                                                            any of them --> ShuttingDown
"""

import logging
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import attrs
import trio

from alysd.nurseries.asks import Pending
from alysd.nurseries.behaviour import Health
from alysd.nurseries.child import Child, Runtime
from alysd.nurseries.errors import HealthCheckFailed
from alysd.nurseries.observing import GuardedObserver
from alysd.nurseries.patterns import Pattern, find_patterns
from alysd.nurseries.spec import Priority
from alysd.nurseries.states import UP, State

logger = logging.getLogger("alysd.nurseries")

INTERVALS: Mapping[Priority, float] = MappingProxyType(
    {Priority.CRITICAL: 5.0, Priority.HIGH: 10.0, Priority.NORMAL: 30.0, Priority.BACKGROUND: 60.0}
)
"""Seconds between two checks of a child, by its priority."""

TREND = 720
"""Number of rounds kept for the trend: one hour, with a round every 5 s."""

_ENDING = frozenset({State.STOPPING, State.STOPPED})


@attrs.frozen
class HealthRules:
    """The rules of the monitor: the intervals of checks, the timeout of an answer, the limit of failed checks."""

    intervals: Mapping[Priority, float] = INTERVALS
    timeout: float = 2.0
    """Seconds to wait for an answer: far more than any handler should take."""
    unhealthy_after: int = 3
    """Failed checks in a row after which a child is restarted.

    A late answer to the previous check ends the row: an actor that handles one slow message after another is not
    stuck."""


class HealthCheck(Pending):
    """A health check of one instance of `child`. No task waits for the answer: the monitor reads it later."""

    __slots__ = ("child", "up_since")

    def __init__(self, child: Child) -> None:
        super().__init__(None)
        self.child = child
        self.up_since = child.up_since if child.state in UP else None
        """Identifies the instance that was asked: the time at which it came up, or `None` if none was up."""

    def reply(self, value: object) -> None:
        """Store the child's answer."""
        self.value = value
        self.answered = True

    def fail(self, error: BaseException | None) -> None:
        """Store the reason why the child did not answer."""
        self.error = error

    @property
    def health(self) -> Health | None:
        """The child's answer, or `None` when there is none."""
        return self.value if self.answered else None


@attrs.frozen
class HealthChange:
    """The health of the child `name` changed from `old` to `new`, at the time `at` of trio's clock."""

    name: str
    old: Health
    new: Health
    at: float


class HealthMonitor:
    """The health monitor, to be passed to `open_system`.

    `observer` is called with every change of health and must not raise.
    """

    def __init__(
        self, rules: HealthRules | None = None, observer: Callable[[HealthChange], None] | None = None
    ) -> None:
        self.rules = rules or HealthRules()
        self._observer = None if observer is None else GuardedObserver(observer)
        self._failures: Counter[str] = Counter()
        self._silent: dict[str, HealthCheck] = {}
        self._due: dict[str, float] = {}
        self._known: set[tuple[object, ...]] = set()
        self._trend: deque[tuple[float, Counter[Health]]] = deque(maxlen=TREND)

    @property
    def trend(self) -> Sequence[tuple[float, Mapping[Health, int]]]:
        """The last `TREND` rounds: their times on trio's clock, and the number of children of each health."""
        return tuple(self._trend)

    async def run(self, runtime: Runtime) -> None:
        """Check each child whose interval has passed, round after round, until cancelled."""
        beat = min(self.rules.intervals.values())
        timeout = min(self.rules.timeout, beat)
        while True:
            await trio.sleep(beat - timeout)
            checks = self._ask(runtime, trio.current_time(), beat)
            await trio.sleep(timeout)
            for check in checks:
                self._evaluate(check)
            self._report(runtime)

    def _ask(self, runtime: Runtime, now: float, beat: float) -> list[HealthCheck]:
        checks: list[HealthCheck] = []
        for name, child in runtime.children.items():
            if now >= self._due.get(name, 0.0):
                # A child is due half a beat early, so that a small drift does not skip a round.
                self._due[name] = now + self.rules.intervals[child.spec.priority] - beat / 2
                check = HealthCheck(child)
                child.ask_health(check)
                checks.append(check)
        return checks

    def _evaluate(self, check: HealthCheck) -> None:
        child = check.child
        if child.state in _ENDING:
            self._change(child, Health.SHUTTING_DOWN)
        elif child.state not in UP:
            self._change(child, Health.UNHEALTHY if child.state is State.FAILED else Health.RECOVERING)
        elif check.health is Health.HEALTHY or check.health is Health.DEGRADED:
            self._failures.pop(child.name, None)
            self._change(child, check.health)
        elif check.error is None and check.up_since == child.up_since:
            self._failed(check)
        else:  # the present instance was not the one that was asked: nothing is known about it yet
            self._failures.pop(child.name, None)

    def _failed(self, check: HealthCheck) -> None:
        child, answer = check.child, check.health
        before = self._silent.get(child.name)
        # The child was not stuck all the time since the last check if it has answered that check meanwhile, or if
        # another instance runs now.
        if answer is None and before is not None and (before.answered or before.up_since != check.up_since):
            del self._failures[child.name]
        self._silent[child.name] = check
        self._failures[child.name] += 1
        failures = self._failures[child.name]
        if failures < self.rules.unhealthy_after:
            self._change(child, Health.DEGRADED)
            return
        self._change(child, Health.UNHEALTHY)
        reason = "it reports that it is unhealthy" if answer else "it does not answer"
        del self._failures[child.name]
        child.inject(HealthCheckFailed(child.name, failures, reason))
        self._change(child, Health.RECOVERING)

    def _change(self, child: Child, new: Health) -> None:
        old, child.health = child.health, new
        if old is new:
            return
        level = logging.WARNING if new in (Health.DEGRADED, Health.UNHEALTHY) else logging.INFO
        logger.log(level, "the health of %s was %s and is now %s", child.name, old.value, new.value)
        if self._observer is not None:
            self._observer(HealthChange(child.name, old, new, trio.current_time()))

    def _report(self, runtime: Runtime) -> None:
        """Record the trend, log new patterns, and forget children that were removed."""
        now = trio.current_time()
        self._trend.append((now, Counter(child.health for child in runtime.children.values())))
        patterns = find_patterns(runtime.failures.recent, now)
        for pattern in patterns:
            if _identity(pattern) not in self._known:
                logger.warning("pattern in failures: %s", pattern.detail)
        self._known = {_identity(pattern) for pattern in patterns}
        for name in self._due.keys() - runtime.children.keys():
            del self._due[name]
            self._failures.pop(name, None)
            self._silent.pop(name, None)


def _identity(pattern: Pattern) -> tuple[object, ...]:
    return pattern.kind, pattern.children
