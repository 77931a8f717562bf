"""The goals of the rows, and the figures that reach them."""

import pytest

from benchmarks.actors.rows import AGAINST_PYKKA, JOBS, ROWS, Goal, Row


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
    """Else the table says yes where a goal is missed, or no where nothing is known."""
    assert row.reached(value, ratio) is reached


def test_every_row_is_filled_by_a_job() -> None:
    """A row whose job is gone would stay empty for ever, and look as if no peer could do it."""
    for row in ROWS:
        assert any(row.key.startswith(job) for job in JOBS), row.key
    assert AGAINST_PYKKA.keys() <= {row.key for row in ROWS}
