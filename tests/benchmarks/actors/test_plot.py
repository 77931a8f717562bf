"""The arithmetic of the plot."""

from benchmarks.actors.plot import betterment
from benchmarks.actors.rows import Goal, Row


def test_to_the_right_is_better_whatever_is_measured() -> None:
    """A twice as slow ask must not look like a twice as fast tell."""
    assert betterment(Row("a", "A", "/s", Goal(), more_is_better=True), 8.0) == 8.0
    assert betterment(Row("a", "A", "µs", Goal()), 0.25) == 4.0
