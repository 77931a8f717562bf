"""Figures: goals, text, and what is computed from samples."""

import pytest

from benchmarks.node.figures import Figure, idle_share, queued_seconds, resident_megabytes


@pytest.mark.parametrize(
    ("figure", "reached"),
    [
        (Figure("a", 20.0, "ms", at_most=20), True),
        (Figure("a", 20.1, "ms", at_most=20), False),
        (Figure("a", 1_500.0, "/s", at_least=1_500), True),
        (Figure("a", 1_499.0, "/s", at_least=1_500), False),
        (Figure("a", 5.0, "s"), None),
    ],
)
def test_a_goal_is_reached_at_its_bound(figure: Figure, reached: bool | None) -> None:
    """Otherwise the table would say yes for a missed goal."""
    assert figure.reached() is reached


def test_a_line_shows_figure_goal_and_verdict() -> None:
    """All three stand side by side, or nobody compares them."""
    assert Figure("start", 3.842, "s", at_most=2).line().split() == ["start", "3.84", "s", "≤", "2", "NO"]
    assert Figure("asks", 1_612.4, "/s", at_least=1_500).line().split()[1:] == ["1,612", "/s", "≥", "1,500", "yes"]
    assert Figure("missed", 0, "", at_most=0).line().split() == ["missed", "0", "≤", "0", "yes"]
    assert len(Figure("x" * 62, 123_456.0, "ms", at_most=100_000).line()) <= 110


def test_memory_is_read_in_millions_of_bytes() -> None:
    """The goal is in MB, the kernel's kB are of 1024 bytes."""
    assert resident_megabytes("Name:\talysd\nVmHWM:\t  9999 kB\nVmRSS:\t  100000 kB\n") == pytest.approx(102.4)
    with pytest.raises(ValueError, match="no VmRSS"):
        resident_megabytes("Name:\talysd\n")


def test_idle_time_leaves_out_the_work_on_blocks() -> None:
    """A block's work counted as idle would show a node that never rests, or hide one that does not."""
    samples = [(0.0, 1.0), (1.0, 1.01), (2.0, 1.51), (3.0, 1.52), (4.0, 1.53)]
    assert idle_share(samples, [1.6], 0.3) == pytest.approx(0.03 / 3)
    assert idle_share(samples, [], 0.3) == pytest.approx(0.53 / 4)
    assert idle_share(samples, [0.5, 1.5, 2.5, 3.5], 0.3) is None


def test_the_time_in_the_run_queue_only_grows() -> None:
    """Otherwise a time on the clock could not be told from that of a busy machine."""
    before = queued_seconds()
    assert 0 <= before <= queued_seconds()
