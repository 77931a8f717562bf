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
    ("behind", 8),
    ("late", 9),
)
"""The columns with their widths. The health follows.

`behind` is the number of slots since that of the head, `late` the time from the start of the newest finished slot
until its block arrived at the member.
"""


@attrs.frozen
class Row:
    """A member: its number, the state of its process, and its status if it answers."""

    number: int
    process: str
    status: Mapping[str, Any] | None


def draw_table(rows: Sequence[Row], keys: str) -> str:
    """The whole text: the table, then a line about the keyboard."""
    head = "".join(name.ljust(width) for name, width in COLUMNS) + "health"
    return "\n".join([head, *map(_line, rows), "", keys]) + "\n"


def _line(row: Row) -> str:
    status = row.status
    if status is None or "head" not in status:
        words = "no answer" if row.process == "running" else ""
        return _joined([row.number, row.process, *("-" for _ in COLUMNS[2:])], words)
    head, health = status["head"], status["health"]
    cells = [row.number, row.process, head["height"], head["slot"], status["safe"]["height"]]
    cells += [status["final"]["height"], "-" if status.get("peers") is None else len(status["peers"])]
    cells += [int(status["time"] // status["slot_seconds"]) - head["slot"] if head["height"] else "-"]
    cells += [_late(status.get("federation"))]
    return _joined(cells, health["reasons"][0] if health["reasons"] else health["status"])


def _late(federation: Mapping[str, Any] | None) -> str:
    newest = federation["slots"][-1]["seconds"] if federation and federation["slots"] else None
    return "-" if newest is None else f"{newest:.2f} s"


def _joined(cells: Sequence[object], health: str) -> str:
    text = "".join(str(cell)[: width - 1].ljust(width) for cell, (_, width) in zip(cells, COLUMNS, strict=True))
    return f"{text}{health[:60]}".rstrip()
