"""The rows of the table: what is measured, by which job, with which goal."""

import attrs


@attrs.frozen
class Goal:
    """A bound in multiples of raw trio's figure (`times`) or in the unit of the row (`value`)."""

    times: float | None = None
    value: float | None = None


@attrs.frozen
class Row:
    """One row. `key` is its name in the figures of a peer, `unit` the unit of the figures."""

    key: str
    title: str
    unit: str
    goal: Goal
    more_is_better: bool = False

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
    Row("tell", "tell, awaited, bounded", RATE, Goal(times=6), more_is_better=True),
    Row("ask", "ask, one client", MICROSECONDS, Goal(times=0.45)),
    Row("ask_steps", "ask, task steps", "", Goal(value=3)),
    Row("clients", "ask, 64 clients", RATE, Goal(times=5), more_is_better=True),
    Row("crowd", "1,000 actors, 8 producers", RATE, Goal(times=2.5), more_is_better=True),
    Row("crowd_fours", "the same, 4 a wake-up", RATE, Goal(value=500_000), more_is_better=True),
    Row("spawn", "spawn and first answer", MICROSECONDS, Goal(times=0.5)),
    Row("crash", "crash to answer, median", MICROSECONDS, Goal(times=0.5)),
    Row("crash_p99", "crash to answer, p99", MICROSECONDS, Goal(times=1)),
    Row("idle", "an idle actor", BYTES, Goal(times=1)),
    Row("idle_life", "started, asked, stopped", MICROSECONDS, Goal()),
    Row("latency", "latency p50 at 10 k/s", MICROSECONDS, Goal()),
    Row("latency_p99", "latency p99 at 10 k/s", MICROSECONDS, Goal(times=3, value=1_000)),
    Row("lookup", "lookup by name", "ns", Goal(times=3)),
    Row("health", "health of 1,000 actors", "ms", Goal(value=25)),
)
"""In the order of the table. "started, asked, stopped" is the time per idle actor."""

JOBS = ("tell", "ask", "clients", "crowd", "crowd_fours", "spawn", "crash", "idle", "latency", "lookup", "health")
"""The jobs, each run in a process of its own. A job fills the rows whose keys begin with its name."""

AGAINST_PYKKA = {"tell": Goal(times=4), "ask": Goal(times=1 / 1.5), "idle": Goal(times=0.25)}
"""Further goals, against Pykka instead of raw trio, by the key of the row."""
