"""Plots the table: the factor by which each figure is better than raw trio's, on a logarithmic scale."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.actors.peers import BASE, OURS
from benchmarks.actors.rows import ROWS, Row
from benchmarks.actors.table import Round, median_ratio

DOTS_AN_INCH = 150


def betterment(row: Row, ratio: float) -> float:
    """The factor by which a figure is better: its ratio, or the inverse if a lower figure is better."""
    return ratio if row.more_is_better else 1 / ratio


def save_plot(rounds: Sequence[Round], others: Sequence[str], path: Path) -> None:
    """Draw a dot for each peer and row that has a ratio, and a mark for each goal, and save it as a picture."""
    import matplotlib as mpl  # half a second that only a plot needs

    mpl.use("Agg")
    from matplotlib import pyplot

    rows = [row for row in reversed(ROWS) if median_ratio(rounds, OURS.title, BASE.title, row.key) is not None]
    figure, axes = _figure(pyplot, rows)
    for index, peer in enumerate((OURS.title, *others)):
        dots = [
            (betterment(row, ratio), height)
            for height, row in enumerate(rows)
            if (ratio := median_ratio(rounds, peer, BASE.title, row.key)) is not None
        ]
        own = peer == OURS.title
        axes.scatter(
            *zip(*dots, strict=True), label=peer, s=70 if own else 28, zorder=3 if own else 2, color=f"C{index}"
        )
    goals = [(betterment(row, row.goal.times), height) for height, row in enumerate(rows) if row.goal.times]
    axes.scatter(*zip(*goals, strict=True), label="goal", marker="|", s=260, color="black", zorder=1)
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=DOTS_AN_INCH, bbox_inches="tight")
    pyplot.close(figure)


def _figure(pyplot: Any, rows: Sequence[Row]) -> tuple[Any, Any]:
    figure, axes = pyplot.subplots(figsize=(9, 0.45 * len(rows) + 1))
    axes.set_xscale("log")
    axes.set_yticks(range(len(rows)), [row.title for row in rows])
    axes.axvline(1, color="grey", linewidth=0.8)
    axes.grid(axis="both", linewidth=0.3)
    axes.set_xlabel(f"times better than {BASE.title} (same run, median of the rounds' ratios)")
    return figure, axes
