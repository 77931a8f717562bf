"""Patterns in a series of failures.

`find_patterns` is a pure function of the records: status pages, the monitor and tests all find the same patterns.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from enum import Enum
from itertools import pairwise

import attrs

from alysd.nurseries.failures import FailureRecord


class PatternKind(Enum):
    """The kinds of patterns."""

    BURST = "burst"
    """One child fails repeatedly within a short time."""
    RHYTHM = "rhythm"
    """One child fails at regular intervals, so the cause is probably periodic."""
    CASCADE = "cascade"
    """Several children fail within a short time."""
    COMMON_CAUSE = "common cause"
    """Several children fail with the same kind of error over a longer time."""


@attrs.frozen
class Pattern:
    """A pattern: its children, its number of failures, and the times of the first and the last on trio's clock."""

    kind: PatternKind
    children: tuple[str, ...]
    failures: int
    first: float
    last: float
    detail: str


@attrs.frozen
class PatternRules:
    """The thresholds from which failures count as a pattern: numbers, and the seconds in which they occur."""

    burst_failures: int = 5
    burst_seconds: float = 60.0
    rhythm_failures: int = 5
    rhythm_spread: float = 0.1
    """The largest deviation of an interval from the mean interval, as a fraction of the mean."""
    cascade_children: int = 3
    cascade_seconds: float = 5.0
    common_children: int = 3
    common_seconds: float = 600.0


def find_patterns(
    records: Sequence[FailureRecord], now: float, rules: PatternRules | None = None
) -> tuple[Pattern, ...]:
    """The patterns in `records` (oldest first) that have not ended at `now`."""
    rules = rules or PatternRules()
    by_child: defaultdict[str, list[FailureRecord]] = defaultdict(list)
    for record in records:
        by_child[record.child].append(record)
    found: list[Pattern] = []
    for child, failures in by_child.items():
        found.extend(_burst(child, _since(failures, now - rules.burst_seconds), rules))
        found.extend(_rhythm(child, failures[-rules.rhythm_failures :], now, rules))
    found.extend(_cascade(_since(records, now - rules.cascade_seconds), rules))
    found.extend(_common_cause(_since(records, now - rules.common_seconds), rules))
    return tuple(found)


def _since(records: Sequence[FailureRecord], start: float) -> list[FailureRecord]:
    return [record for record in records if record.at >= start]


def _pattern(kind: PatternKind, failures: Sequence[FailureRecord], detail: str) -> Pattern:
    children = tuple(dict.fromkeys(record.child for record in failures))
    return Pattern(kind, children, len(failures), failures[0].at, failures[-1].at, detail)


def _burst(child: str, failures: Sequence[FailureRecord], rules: PatternRules) -> Iterator[Pattern]:
    if len(failures) >= rules.burst_failures:
        detail = f"{child} failed {len(failures)} times within {rules.burst_seconds:g} s"
        yield _pattern(PatternKind.BURST, failures, detail)


def _rhythm(child: str, failures: Sequence[FailureRecord], now: float, rules: PatternRules) -> Iterator[Pattern]:
    if len(failures) < rules.rhythm_failures:
        return
    gaps = [later.at - earlier.at for earlier, later in pairwise(failures)]
    mean = sum(gaps) / len(gaps)
    regular = mean > 0 and all(abs(gap - mean) <= rules.rhythm_spread * mean for gap in gaps)
    if regular and now - failures[-1].at <= 2 * mean:  # later than that, the rhythm has ended
        yield _pattern(PatternKind.RHYTHM, failures, f"{child} fails about every {mean:.3g} s")


def _cascade(failures: Sequence[FailureRecord], rules: PatternRules) -> Iterator[Pattern]:
    children = dict.fromkeys(record.child for record in failures)
    if len(children) >= rules.cascade_children:
        detail = (
            f"{len(children)} children failed within {rules.cascade_seconds:g} s, {next(iter(children))} first"
        )
        yield _pattern(PatternKind.CASCADE, failures, detail)


def _common_cause(failures: Sequence[FailureRecord], rules: PatternRules) -> Iterator[Pattern]:
    by_kind: defaultdict[str, list[FailureRecord]] = defaultdict(list)
    for record in failures:
        by_kind[record.kind.value].append(record)
    for kind, same in by_kind.items():
        children = {record.child for record in same}
        if len(children) >= rules.common_children:
            yield _pattern(PatternKind.COMMON_CAUSE, same, f"{len(children)} children failed by {kind}")
