"""Restart policies, group strategies and the restart budget.

A policy belongs to a child and answers one question: after so many failures in a row, how long to wait before the
next instance. A row of failures ends when an instance has proved itself (`proved`), by default by staying up for
`stable_seconds`. A strategy and an intensity belong to a supervisor: which children restart when one fails, and
how many restarts are allowed before the supervisor gives up.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from random import Random
from typing import TypeVar

import attrs
from attrs.validators import ge, gt

_NOT_NEGATIVE = ge(0.0)


@attrs.frozen(kw_only=True)
class RestartPolicy(ABC):
    """What every policy has: `stable_seconds` of life after which earlier failures are forgotten."""

    stable_seconds: float = attrs.field(default=60.0, validator=_NOT_NEGATIVE)

    @abstractmethod
    def delay(self, failures: int, rng: Random) -> float | None:
        """Seconds to wait after the `failures`-th failure in a row (1 is the first); `None`: no restart."""

    def proved(self, seconds_up: float, handled: int) -> bool:  # noqa: ARG002  a subclass counts them
        """Whether an instance that lived so long and handled so many messages ends the row of failures."""
        return seconds_up >= self.stable_seconds

    def opens(self, failures: int) -> bool:  # noqa: ARG002  a circuit breaker's business
        """Whether asks are to fail at once until the next instance, after so many failures in a row."""
        return False


@attrs.frozen
class Immediate(RestartPolicy):
    """Restart at once."""

    def delay(self, failures: int, rng: Random) -> float:  # noqa: ARG002
        """No wait."""
        return 0.0


@attrs.frozen
class FixedDelay(RestartPolicy):
    """Wait `seconds`, and `increment` more after each further failure, at most `max_seconds`."""

    seconds: float = attrs.field(validator=_NOT_NEGATIVE)
    increment: float = attrs.field(default=0.0, validator=_NOT_NEGATIVE)
    max_seconds: float = attrs.field(default=float("inf"), validator=_NOT_NEGATIVE)

    def delay(self, failures: int, rng: Random) -> float:  # noqa: ARG002
        """Linear in the failures."""
        return min(self.seconds + self.increment * (failures - 1), self.max_seconds)


@attrs.frozen
class ExponentialBackoff(RestartPolicy):
    """Wait `first_seconds`, then `factor` times longer each time, at most `max_seconds`.

    Each wait is varied by up to `jitter` of itself either way, so that children do not return in step.
    """

    first_seconds: float = attrs.field(default=0.1, validator=gt(0.0))
    factor: float = attrs.field(default=2.0, validator=ge(1.0))
    max_seconds: float = attrs.field(default=30.0, validator=gt(0.0))
    jitter: float = attrs.field(default=0.1, validator=[ge(0.0), attrs.validators.le(1.0)])

    def delay(self, failures: int, rng: Random) -> float:
        """Exponential in the failures, with jitter from `rng`."""
        # 2.0 ** 1024 overflows a float; no wait that long is wanted.
        seconds = min(self.first_seconds * self.factor ** min(failures - 1, 64), self.max_seconds)
        return seconds * (1 + self.jitter * (2 * rng.random() - 1))


@attrs.frozen
class CircuitBreaker(RestartPolicy):
    """Restart soon while the circuit is closed, seldom while it is open.

    Closed: restart after `delay_seconds`. After `failures` in a row open: down for `open_seconds`, and asks
    fail at once with `CircuitOpen`. Then half-open: one instance is tried. It closes the circuit by handling
    `successes` messages or living for `stable_seconds`; if it fails the circuit is open again.
    """

    failures: int = attrs.field(default=3, validator=ge(1))
    open_seconds: float = attrs.field(default=10.0, validator=gt(0.0))
    successes: int = attrs.field(default=1, validator=ge(1))
    delay_seconds: float = attrs.field(default=0.0, validator=_NOT_NEGATIVE)

    def delay(self, failures: int, rng: Random) -> float:  # noqa: ARG002
        """Short while closed, `open_seconds` when this failure opens the circuit or finds it half-open."""
        return self.open_seconds if self.opens(failures) else self.delay_seconds

    def proved(self, seconds_up: float, handled: int) -> bool:
        """A few answers are proof enough."""
        return handled >= self.successes or super().proved(seconds_up, handled)

    def opens(self, failures: int) -> bool:
        """Whether the circuit is open after so many failures in a row."""
        return failures >= self.failures


@attrs.frozen
class Never(RestartPolicy):
    """Do not restart: the child stays failed, and the rest goes on without it."""

    def delay(self, failures: int, rng: Random) -> None:
        """No restart."""


@attrs.frozen
class Aligned(RestartPolicy):
    """Another policy whose restarts happen only at allowed moments.

    `next_allowed(seconds)` is given the wait that `policy` wants and returns one at least as long that ends at
    a moment at which a restart does no harm; the runtime knows nothing of what makes a moment good.
    """

    policy: RestartPolicy
    next_allowed: Callable[[float], float]

    def delay(self, failures: int, rng: Random) -> float | None:
        """The inner policy's wait, made longer where needed."""
        seconds = self.policy.delay(failures, rng)
        return None if seconds is None else max(seconds, self.next_allowed(seconds))

    def proved(self, seconds_up: float, handled: int) -> bool:
        """As the inner policy has it."""
        return self.policy.proved(seconds_up, handled)

    def opens(self, failures: int) -> bool:
        """As the inner policy has it."""
        return self.policy.opens(failures)


@attrs.frozen
class Intensity:
    """A supervisor's budget: at most `restarts` of its children within `seconds`; one more and it gives up.

    The default lets any backoff run for ever (0.1 s doubling is 7 restarts in 10 s) and ends a child that
    crashes as fast as it is restarted.
    """

    restarts: int = attrs.field(default=10, validator=ge(0))
    seconds: float = attrs.field(default=10.0, validator=gt(0.0))


C = TypeVar("C")


@attrs.frozen
class Strategy(ABC):
    """A group strategy."""

    @abstractmethod
    def affected(self, children: Sequence[C], failed: C) -> Sequence[C]:
        """The children to restart when `failed` failed, in start order, itself included."""


@attrs.frozen
class OneForOne(Strategy):
    """Only the child that failed."""

    def affected(self, children: Sequence[C], failed: C) -> Sequence[C]:  # noqa: ARG002
        """Itself alone."""
        return (failed,)


@attrs.frozen
class OneForAll(Strategy):
    """All children: none can do without any other."""

    def affected(self, children: Sequence[C], failed: C) -> Sequence[C]:  # noqa: ARG002
        """Everyone."""
        return tuple(children)


@attrs.frozen
class RestForOne(Strategy):
    """The child that failed and those started after it, which depend on it."""

    def affected(self, children: Sequence[C], failed: C) -> Sequence[C]:
        """From itself to the end."""
        return tuple(children[children.index(failed) :])
