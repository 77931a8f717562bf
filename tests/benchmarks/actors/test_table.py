"""The table's arithmetic and text, with invented figures."""

import pytest

from benchmarks.actors.rows import ROWS, Goal, Row
from benchmarks.actors.table import goal_text, main_table, median, median_ratio, pykka_table, short

ROUNDS = [
    {"raw trio": {"tell": 100.0, "ask": 30.0}, "alysd": {"tell": 1_000.0, "ask": 9.0}, "Pykka": {"tell": 125.0}},
    {"raw trio": {"tell": 10.0, "ask": 20.0}, "alysd": {"tell": 70.0}, "Pykka": {"tell": 35.0}},
    {"raw trio": {"tell": 50.0, "ask": 10.0}, "alysd": {"tell": 400.0, "ask": 6.0}, "Pykka": {"tell": 100.0}},
]


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    """The ratio of the medians would be wrong, because a slow round is slow for both."""
    assert median_ratio(ROUNDS, "alysd", "raw trio", "tell") == 8.0  # of 10, 7 and 8
    assert median(ROUNDS, "alysd", "tell") == 400.0


def test_a_round_without_a_figure_does_not_count() -> None:
    """A peer that has nothing for a row must not become a zero in it."""
    assert median_ratio(ROUNDS, "alysd", "raw trio", "ask") == pytest.approx(0.45)  # of 0.3 and 0.6
    assert median(ROUNDS, "Erlang", "tell") is None
    assert median_ratio(ROUNDS, "Pykka", "raw trio", "ask") is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.4567, "0.46"),
        (27.94, "27.9"),
        (366.4, "366"),
        (4_904.0, "4,904"),
        (131_000.0, "131 k"),
        (10_040.0, "10.0 k"),
        (2_170_000.0, "2.17 M"),
    ],
)
def test_figures_are_short_and_keep_three_digits(value: float | None, text: str) -> None:
    """The table must fit a terminal and still tell 5.9 from 6.1."""
    assert short(value) == text


def test_goals_read_as_people_write_them() -> None:
    """The goal column is what `reached` is judged by: it must show all of it."""
    assert goal_text(Row("a", "A", "/s", Goal(), more_is_better=True), Goal(times=6)) == "≥ 6×"
    assert goal_text(Row("a", "A", "µs", Goal()), Goal(times=3, value=1_000)) == "≤ 3×, ≤ 1000"
    assert goal_text(Row("a", "A", "/s", Goal(), more_is_better=True), Goal(value=500_000)) == "≥ 500 k"
    assert goal_text(Row("a", "A", "/s", Goal()), Goal()) == ""


def test_the_table_shows_every_row_with_its_verdict_and_fits_110_columns() -> None:
    """A row left out is a goal nobody looks at."""
    lines = list(main_table(ROUNDS, ["asyncio", "Pykka", "Erlang"]))
    assert len(lines) == 1 + len(ROWS)
    assert max(map(len, lines)) <= 110
    tell = next(line for line in lines if line.startswith("tell"))
    assert tell.split()[-7:] == ["8.00×", "≥", "14×", "NO", "–", "100", "–"]
    ask = next(line for line in lines if line.startswith("ask, one client"))
    assert "0.45×" in ask
    crowd = next(line for line in lines if line.startswith("1,000 actors"))
    assert "NO" not in crowd, "what was not measured has not failed"


def test_a_table_of_some_rows_has_no_others() -> None:
    """A run of one row would otherwise show its figures between twenty lines of dashes."""
    lines = list(main_table(ROUNDS, [], [row for row in ROWS if row.key == "ask"]))
    assert [line.split(",")[0] for line in lines[1:]] == ["ask"]


def test_pykka_has_a_table_of_its_own_where_it_was_measured() -> None:
    """The goals for Pykka differ from the goals for raw trio."""
    lines = list(pykka_table(ROUNDS))
    assert [line.split()[-1] for line in lines[1:]] == ["yes"]  # tell: 8, 2 and 4 times; the rest was not measured
    assert list(pykka_table([{"alysd": {"tell": 1.0}}])) == []
