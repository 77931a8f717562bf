"""The table of `alysd federation`: one line per member."""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

COLUMNS = (
    ("member", 8),
    ("process", 20),
    ("head", 8),
    ("slot", 12),
    ("committed", 11),
    ("final", 8),
    ("peers", 7),
)
"""The columns with their widths. Two more follow: `behind`, the slots since that of the head, and the health."""


@attrs.frozen
class Row:
    """A member: its number, the state of its process, and its status if it answers."""

    number: int
    process: str
    status: Mapping[str, Any] | None


def draw_table(rows: Sequence[Row], keys: str) -> str:
    """The whole text: the table, then a line about the keyboard."""
    head = "".join(name.ljust(width) for name, width in COLUMNS) + "behind  health"
    return "\n".join([head, *map(_line, rows), "", keys]) + "\n"


def _line(row: Row) -> str:
    status = row.status
    if status is None or "head" not in status:
        cells = [str(row.number), row.process, *("-" for _ in COLUMNS[2:])]
        return _joined(cells, "-", "no answer" if row.process == "running" else "")
    head = status["head"]
    peers = "-" if status.get("peers") is None else str(len(status["peers"]))
    heights = (status["safe"]["height"], status["final"]["height"])
    cells = [str(cell) for cell in (row.number, row.process, head["height"], head["slot"], *heights, peers)]
    behind = str(int(status["time"] // status["slot_seconds"]) - head["slot"]) if head["height"] else "-"
    health = status["health"]
    words = health["reasons"][0] if health["reasons"] else health["status"]
    return _joined(cells, behind, words)


def _joined(cells: Sequence[str], behind: str, health: str) -> str:
    text = "".join(cell[: width - 1].ljust(width) for cell, (_, width) in zip(cells, COLUMNS, strict=True))
    return f"{text}{behind:<8}{health[:60]}".rstrip()
