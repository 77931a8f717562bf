"""The decision whether and when a child restarts after a failure, and which siblings restart with it.

`decide` takes these steps, in this order:

1. A fatal error is escalated: the supervisor gives up.
2. The child's restart policy decides from the number of failures in a row how long the child waits for its
   restart, or that the child stays failed. A row of failures ends when an instance has proved itself, by default
   by staying up for `stable_seconds`.
3. The supervisor's `Intensity` bounds the restarts of all its children. One restart too many, and the supervisor
   gives up.
4. The supervisor's strategy says which other children restart together with the failed one.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Collection
from enum import Enum
from itertools import dropwhile
from random import Random
from typing import ClassVar, NamedTuple, Protocol, TypeVar

import attrs
from attrs.validators import ge, gt

from alysd.nurseries.errors import is_fatal

_NOT_NEGATIVE = ge(0.0)


@attrs.frozen(kw_only=True)
class RestartPolicy(ABC):
    """A restart policy. A row of failures ends once an instance has been up for `stable_seconds`."""

    stable_seconds: float = attrs.field(default=60.0, validator=_NOT_NEGATIVE)

    @abstractmethod
    def delay(self, failures: int, rng: Random) -> float | None:
        """Seconds to wait after failure number `failures` in a row (from 1), or `None` for no restart."""

    def allowed_in(self) -> float:
        """Seconds until the child may start again when it did not fail itself, as when a sibling failed."""
        return 0.0

    def proved(self, seconds_up: float, handled: int) -> bool:  # noqa: ARG002  a subclass counts them
        """Whether an instance has ended the row of failures, by its uptime or the messages that it handled."""
        return seconds_up >= self.stable_seconds

    def permits_now(self, failures: int, rng: Random) -> bool:
        """Whether another instance may start without a wait, to handle the messages that wait before a stop.

        There is no time for the usual wait. But no instance starts if the policy restarts none after this number
        of failures in a row, if it opens a circuit, or if it permits no restart at this moment.
        """
        return not self.opens(failures) and self.allowed_in() <= 0 and self.delay(failures, rng) is not None

    def opens(self, failures: int) -> bool:  # noqa: ARG002  only a circuit breaker counts them
        """Whether asks fail at once, until the next instance starts, after this number of failures in a row."""
        return False


@attrs.frozen
class Immediate(RestartPolicy):
    """Restart at once."""

    def delay(self, failures: int, rng: Random) -> float:  # noqa: ARG002
        """Return 0: the child restarts without a wait."""
        return 0.0


@attrs.frozen
class FixedDelay(RestartPolicy):
    """Wait `seconds`, and `increment` more after each further failure, at most `max_seconds`."""

    seconds: float = attrs.field(validator=_NOT_NEGATIVE)
    increment: float = attrs.field(default=0.0, validator=_NOT_NEGATIVE)
    max_seconds: float = attrs.field(default=float("inf"), validator=_NOT_NEGATIVE)

    def delay(self, failures: int, rng: Random) -> float:  # noqa: ARG002
        """A wait that grows linearly with the failures."""
        return min(self.seconds + self.increment * (failures - 1), self.max_seconds)


@attrs.frozen
class ExponentialBackoff(RestartPolicy):
    """Wait `first_seconds`, then `factor` times longer after each further failure, at most `max_seconds`.

    Each wait varies at random by up to the fraction `jitter`, so that children do not restart at the same time.
    """

    first_seconds: float = attrs.field(default=0.1, validator=gt(0.0))
    factor: float = attrs.field(default=2.0, validator=[ge(1.0), attrs.validators.le(1000.0)])
    max_seconds: float = attrs.field(default=30.0, validator=gt(0.0))
    jitter: float = attrs.field(default=0.1, validator=[ge(0.0), attrs.validators.le(1.0)])

    def delay(self, failures: int, rng: Random) -> float:
        """A wait that grows exponentially with the failures, with jitter from `rng`."""
        # The exponent and the factor are bounded, because 1e309 overflows a float.
        seconds = min(self.first_seconds * self.factor ** min(failures - 1, 64), self.max_seconds)
        return seconds * (1 + self.jitter * (2 * rng.random() - 1))


@attrs.frozen
class CircuitBreaker(RestartPolicy):
    """Restart soon after the first failures, but rarely after several failures in a row.

    While the circuit is closed, the child restarts after `delay_seconds`. The circuit opens after `failures` in a
    row: the child is down for `open_seconds`, and asks fail at once with `CircuitOpen`. Then the circuit is
    half-open: one instance is tried. If this instance handles `successes` messages or stays up for
    `stable_seconds`, the circuit is closed; if it fails first, the circuit is open again.
    """

    failures: int = attrs.field(default=3, validator=ge(1))
    open_seconds: float = attrs.field(default=10.0, validator=gt(0.0))
    successes: int = attrs.field(default=1, validator=ge(1))
    delay_seconds: float = attrs.field(default=0.0, validator=_NOT_NEGATIVE)

    def delay(self, failures: int, rng: Random) -> float:  # noqa: ARG002
        """`delay_seconds`, or `open_seconds` if this failure opens the circuit."""
        return self.open_seconds if self.opens(failures) else self.delay_seconds

    def proved(self, seconds_up: float, handled: int) -> bool:
        """Whether the instance has stayed up for `stable_seconds` or handled `successes` messages."""
        return handled >= self.successes or super().proved(seconds_up, handled)

    def opens(self, failures: int) -> bool:
        """Whether this number of failures in a row opens the circuit."""
        return failures >= self.failures


@attrs.frozen
class Never(RestartPolicy):
    """Do not restart the child. It stays failed, and the other children continue."""

    def delay(self, failures: int, rng: Random) -> None:
        """Return `None`: the child does not restart."""


@attrs.frozen
class Aligned(RestartPolicy):
    """A wrapper around another policy that delays its restarts to allowed moments.

    This also holds when the child restarts with its group or its supervisor. Later siblings wait for it then.

    `next_allowed` gets the wait in seconds that `policy` computes, and returns a wait that is at least as long and
    ends at an allowed moment. The program decides which moments those are.
    """

    policy: RestartPolicy
    next_allowed: Callable[[float], float]

    def delay(self, failures: int, rng: Random) -> float | None:
        """The wait of the inner policy, extended to the next allowed moment."""
        seconds = self.policy.delay(failures, rng)
        return None if seconds is None else max(seconds, self.next_allowed(seconds))

    def allowed_in(self) -> float:
        """The wait until the next allowed moment."""
        return max(0.0, self.next_allowed(0.0))

    def proved(self, seconds_up: float, handled: int) -> bool:
        """Whether an instance has ended the row of failures, by the inner policy."""
        return self.policy.proved(seconds_up, handled)

    def opens(self, failures: int) -> bool:
        """Whether asks fail at once after this number of failures, by the inner policy."""
        return self.policy.opens(failures)


@attrs.frozen
class Intensity:
    """A supervisor's restart budget: at most `restarts` of its children within `seconds`.

    One restart more, and the supervisor gives up. The default is not reached by an exponential backoff whose waits
    double from 0.1 s, which makes 7 restarts in 10 s. It is reached by a child that crashes after every restart
    without a wait.
    """

    restarts: int = attrs.field(default=10, validator=ge(0))
    seconds: float = attrs.field(default=10.0, validator=gt(0.0))


C = TypeVar("C")


@attrs.frozen
class Strategy(ABC):
    """A strategy, which decides which children of a supervisor restart when one fails.

    `in_turn` says whether the children stop one after the other, because each may depend on those before it.
    """

    in_turn: ClassVar[bool] = True

    @abstractmethod
    def affected(self, children: Collection[C], failed: C) -> Collection[C]:
        """The children to restart after `failed` has failed, `failed` included, in start order."""


@attrs.frozen
class OneForOne(Strategy):
    """Restarts only the child that failed. Children stop side by side, but each after those that depend on it."""

    in_turn = False

    def affected(self, children: Collection[C], failed: C) -> Collection[C]:  # noqa: ARG002
        """The child that failed."""
        return (failed,)


@attrs.frozen
class OneForAll(Strategy):
    """Restarts all children, because each depends on all others."""

    def affected(self, children: Collection[C], failed: C) -> Collection[C]:  # noqa: ARG002
        """All children."""
        return tuple(children)


@attrs.frozen
class RestForOne(Strategy):
    """Restarts the child that failed and the children that were started after it, because these depend on it."""

    def affected(self, children: Collection[C], failed: C) -> Collection[C]:
        """The child that failed and all children after it."""
        return tuple(dropwhile(lambda child: child != failed, children))


class Outcome(Enum):
    """The supervisor's reaction to a failure."""

    RESTARTED = "restarted"
    GROUP_RESTARTED = "restarted with its group"
    LEFT = "left failed"
    ESCALATED = "escalated"
    STOPPED = "not restarted, because it was stopping"


class Decision(NamedTuple):
    """The reaction to a failure: the outcome, the seconds until a restart, and the reason for an escalation."""

    outcome: Outcome
    delay: float = 0.0
    reason: str = ""


class RestartBudget:
    """The restarts of a supervisor's children within the last `intensity.seconds`."""

    __slots__ = ("_intensity", "_restarted_at")

    def __init__(self, intensity: Intensity) -> None:
        self._intensity = intensity
        self._restarted_at: deque[float] = deque()

    def spend(self, now: float) -> str | None:
        """Count one more restart. Returns `None` if the budget allows it, otherwise the reason for giving up."""
        times, intensity = self._restarted_at, self._intensity
        times.append(now)
        while times[0] <= now - intensity.seconds:
            times.popleft()
        if len(times) <= intensity.restarts:
            return None
        return f"more than {intensity.restarts} restarts in {intensity.seconds:g} s"

    def clear(self) -> None:
        """Forget all restarts, when the supervisor itself restarts."""
        self._restarted_at.clear()


class Failed(Protocol):
    """The properties of the failed child that the decision depends on."""

    failures: int
    """Failures in a row, including this one."""
    failed_at: float

    @property
    def policy(self) -> RestartPolicy:
        """The child's restart policy."""
        ...


def decide(
    child: Failed,
    error: Exception,
    *,
    siblings: Collection[Failed],
    strategy: Strategy,
    budget: RestartBudget,
    fatal: tuple[type[Exception], ...],
    rng: Random,
) -> Decision:
    """Decide how to react when `child` fails with `error`. `siblings` are all children of its supervisor."""
    if is_fatal(error, fatal):
        return Decision(Outcome.ESCALATED, reason="the error is fatal")
    delay = child.policy.delay(child.failures, rng)
    if delay is None:
        return Decision(Outcome.LEFT)
    exhausted = budget.spend(child.failed_at)
    if exhausted is not None:
        return Decision(Outcome.ESCALATED, reason=exhausted)
    alone = len(strategy.affected(siblings, child)) == 1
    return Decision(Outcome.RESTARTED if alone else Outcome.GROUP_RESTARTED, delay)
