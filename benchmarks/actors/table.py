"""The arithmetic of the table, and its text.

A figure is the median of the rounds. A ratio is the median of the rounds' ratios, not the ratio of the medians,
because the load of the machine in a round affects both figures of the ratio.
"""

import statistics
from collections.abc import Iterator, Mapping, Sequence

import attrs

from benchmarks.actors.measuring import Figures
from benchmarks.actors.peers import BASE, OURS, PYKKA
from benchmarks.actors.rows import AGAINST_PYKKA, ROWS, Goal, Row

Round = Mapping[str, Figures]
"""The figures of each peer in one round, by the title of the peer."""

NOTHING = "–"


def median(rounds: Sequence[Round], peer: str, key: str) -> float | None:
    """The median figure of a peer, or `None` when no round has one."""
    figures = [each[peer][key] for each in rounds if key in each.get(peer, {})]
    return statistics.median(figures) if figures else None


def median_ratio(rounds: Sequence[Round], peer: str, base: str, key: str) -> float | None:
    """The median of the ratios of a peer's figure to the base's in the same round, or `None` without any."""
    ratios = [
        each[peer][key] / each[base][key]
        for each in rounds
        if key in each.get(peer, {}) and key in each.get(base, {})
    ]
    return statistics.median(ratios) if ratios else None


def short(value: float | None) -> str:
    """Three significant digits, in thousands or millions where that is shorter."""
    if value is None:
        return NOTHING
    for limit, unit in ((1e6, " M"), (1e4, " k")):
        if value >= limit:
            return f"{_three_digits(value / (1e6 if unit == ' M' else 1e3))}{unit}"
    return _three_digits(value)


def _three_digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def goal_text(row: Row, goal: Goal) -> str:
    """The goal as text, such as `≥ 6×`."""
    sign = "≥" if row.more_is_better else "≤"
    parts: list[str] = []
    if goal.times is not None:
        parts.append(f"{sign} {goal.times:.3g}×")
    if goal.value is not None:
        parts.append(f"{sign} {short(goal.value) if goal.value >= 1e4 else f'{goal.value:g}'}")
    return ", ".join(parts)


def verdict(reached: bool | None) -> str:
    """A word for whether a goal is reached."""
    return {True: "yes", False: "NO", None: ""}[reached]


def main_table(rounds: Sequence[Round], others: Sequence[str], rows: Sequence[Row] = ROWS) -> Iterator[str]:
    """The lines of the table: ours against raw trio and the goals, `others` beside it."""
    head = f"{'':<32}{BASE.title:>9}{OURS.title:>9}{'ratio':>8}  {'goal':<13}{'reached':<8}"
    yield head + "".join(f"{other:>9}" for other in others)
    for row in rows:
        base = median(rounds, BASE.title, row.key)
        ours = median(rounds, OURS.title, row.key)
        ratio = median_ratio(rounds, OURS.title, BASE.title, row.key)
        reached = row.reached(ours, ratio) if ours is not None else None
        name = f"{row.title}, {row.unit}" if row.unit else row.title
        line = f"{name:<32}{short(base):>9}{short(ours):>9}{_times(ratio):>8}  "
        line += f"{goal_text(row, row.goal):<13}{verdict(reached):<8}"
        yield line + "".join(f"{short(median(rounds, other, row.key)):>9}" for other in others)


def pykka_table(rounds: Sequence[Round]) -> Iterator[str]:
    """The lines of the table against Pykka; none when it was not measured."""
    lines: list[str] = []
    for row in ROWS:
        ratio = median_ratio(rounds, OURS.title, PYKKA.title, row.key)
        ours = median(rounds, OURS.title, row.key)
        if row.key in AGAINST_PYKKA and ratio is not None and ours is not None:
            goal = AGAINST_PYKKA[row.key]
            reached = verdict(attrs.evolve(row, goal=goal).reached(ours, ratio))
            lines.append(f"{row.title:<32}{_times(ratio):>26}  {goal_text(row, goal):<13}{reached}")
    if lines:
        yield f"{'':<32}{f'{OURS.title} / {PYKKA.title}':>26}"
        yield from lines


def _times(ratio: float | None) -> str:
    return NOTHING if ratio is None else f"{_three_digits(ratio)}×"
