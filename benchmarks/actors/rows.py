"""The rows of the table: what is measured, by which job, with which goal."""

from collections.abc import Sequence

import attrs


@attrs.frozen
class Goal:
    """A bound in multiples of raw trio's figure (`times`) or in the unit of the row (`value`)."""

    times: float | None = None
    value: float | None = None


@attrs.frozen
class Row:
    """One row. `key` is its name in the figures of a peer, `unit` the unit of the figures.

    `job` is the job that measures it, if that has another name than the row.
    """

    key: str
    title: str
    unit: str
    goal: Goal
    more_is_better: bool = False
    job: str | None = None

    def reached(self, value: float, ratio: float | None) -> bool | None:
        """Whether the goal is reached; `None` without a goal, or when its ratio is unknown."""
        goal = self.goal
        verdicts: list[bool] = []
        if goal.value is not None:
            verdicts.append(self._meets(value, goal.value))
        if goal.times is not None:
            if ratio is None:
                return None
            verdicts.append(self._meets(ratio, goal.times))
        return all(verdicts) if verdicts else None

    def _meets(self, found: float, asked: float) -> bool:
        return found >= asked if self.more_is_better else found <= asked


RATE, MICROSECONDS, BYTES = "/s", "µs", "B"

ROWS = (
    Row("tell", "tell, awaited, bounded", RATE, Goal(times=14), more_is_better=True),
    Row("tell_built", "tell, message built each", RATE, Goal(times=9), more_is_better=True),
    Row("tell_awaits", "tell, handler awaits once", RATE, Goal(times=3.5), more_is_better=True),
    Row("tell_bounded", "tell, handle_seconds on", RATE, Goal(times=8), more_is_better=True),
    Row("tell_monitored", "tell, monitor on", RATE, Goal(times=14), more_is_better=True),
    Row("ask", "ask, one client", MICROSECONDS, Goal(times=0.36)),
    Row("ask_steps", "ask, task steps", "", Goal(value=3), job="ask"),
    Row("within_ask", "ask, whose handler asks", MICROSECONDS, Goal(times=0.4)),
    Row("clients", "ask, 64 clients", RATE, Goal(times=6.5), more_is_better=True),
    Row("crowd", "1,000 actors, 8 producers", RATE, Goal(times=5), more_is_better=True),
    Row("crowd_fours", "the same, 4 a wake-up", RATE, Goal(times=4.5), more_is_better=True),
    Row("spawn", "spawn and first answer", MICROSECONDS, Goal(times=0.33)),
    Row("crash", "crash to answer, median", MICROSECONDS, Goal(times=0.33)),
    Row("crash_p99", "crash to answer, p99", MICROSECONDS, Goal(times=0.6), job="crash"),
    Row("idle", "an idle actor", BYTES, Goal(times=0.65)),
    Row("idle_life", "started, asked, stopped", MICROSECONDS, Goal(), job="idle"),
    Row("latency", "latency p50 at 10 k/s", MICROSECONDS, Goal()),
    Row("latency_p99", "latency p99 at 10 k/s", MICROSECONDS, Goal(times=2, value=1_000), job="latency"),
    Row("lookup", "lookup by name", "ns", Goal(times=2)),
    Row("health", "health of 1,000 actors", "ms", Goal(value=12)),
)
"""In the order of the table. "started, asked, stopped" is the time per idle actor."""


def jobs_of(rows: Sequence[Row]) -> tuple[str, ...]:
    """The jobs that measure these rows, each once."""
    return tuple(dict.fromkeys(row.job or row.key for row in rows))


JOBS = jobs_of(ROWS)
"""All jobs. Each is run in a process of its own."""

AGAINST_PYKKA = {"tell": Goal(times=4), "ask": Goal(times=1 / 1.5), "idle": Goal(times=0.25)}
"""Further goals, against Pykka instead of raw trio, by the key of the row."""
