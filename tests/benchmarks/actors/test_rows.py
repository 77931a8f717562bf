"""The goals of the rows, and the figures that reach them."""

import pytest

from benchmarks.actors.peers import nurseries
from benchmarks.actors.rows import AGAINST_PYKKA, JOBS, ROWS, Goal, Row, jobs_of


@pytest.mark.parametrize(
    ("row", "value", "ratio", "reached"),
    [
        (Row("a", "A", "/s", Goal(times=6), more_is_better=True), 1.0, 6.0, True),
        (Row("a", "A", "/s", Goal(times=6), more_is_better=True), 1e9, 5.9, False),
        (Row("a", "A", "µs", Goal(times=0.45)), 1e9, 0.45, True),
        (Row("a", "A", "µs", Goal(times=0.45)), 1.0, 0.46, False),
        (Row("a", "A", "µs", Goal(times=3, value=1_000)), 1_001.0, 1.0, False),
        (Row("a", "A", "µs", Goal(times=3, value=1_000)), 1_000.0, 3.0, True),
        (Row("a", "A", "µs", Goal(value=25)), 25.0, None, True),
        (Row("a", "A", "µs", Goal()), 25.0, 1.0, None),
        (Row("a", "A", "µs", Goal(times=3, value=25)), 1.0, None, None),
    ],
)
def test_all_that_is_asked_must_be_so(row: Row, value: float, ratio: float | None, reached: bool | None) -> None:
    """Otherwise the table would say yes for a missed goal, or no where no figure is known."""
    assert row.reached(value, ratio) is reached


def test_every_row_is_filled_by_a_job() -> None:
    """A row whose job is gone would stay empty for ever, and look as if no peer could do it."""
    assert set(JOBS) <= nurseries.JOBS.keys()
    assert AGAINST_PYKKA.keys() <= {row.key for row in ROWS}


def test_a_job_runs_once_for_all_its_rows() -> None:
    """Otherwise the crash job would run twice per round, and its p99 and median would come from different runs."""
    assert jobs_of([row for row in ROWS if row.key.startswith("crash")]) == ("crash",)
