"""Defines figures with goals, and computes memory and processor figures."""

import os
import re
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path

import attrs


@attrs.frozen
class Figure:
    """A measured value in `unit`, with an upper or lower bound as its goal, or no goal."""

    what: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None

    def reached(self) -> bool | None:
        """Return whether the goal is reached, or `None` without a goal."""
        if self.at_most is None and self.at_least is None:
            return None
        return (self.at_most is None or self.value <= self.at_most) and (
            self.at_least is None or self.value >= self.at_least
        )

    def goal(self) -> str:
        """Return the goal as text."""
        bounds = (("≤", self.at_most), ("≥", self.at_least))
        return ", ".join(f"{sign} {bound:,g}" for sign, bound in bounds if bound is not None)

    def line(self) -> str:
        """Return the line of the report: the figure, its goal and whether it is reached."""
        digits = 0 if self.value >= 100 or self.value == int(self.value) else 1 if self.value >= 10 else 2
        verdict = {True: "yes", False: "NO", None: ""}[self.reached()]
        shown = f"{self.value:,.{digits}f}"
        return f"{self.what:<62}{shown:>10} {self.unit:<6} {self.goal():<10} {verdict}".rstrip()


Show = Callable[[Figure], None]
"""Receives each figure as soon as it is measured, since measuring all takes minutes."""


_VM_RSS = re.compile(r"^VmRSS:\s+(\d+) kB$", re.MULTILINE)


def resident_megabytes(status: str) -> float:
    """Return VmRSS from the text of `/proc/PID/status`, in MB of 10^6 bytes. Raises `ValueError` without it."""
    found = _VM_RSS.search(status)
    if found is None:
        raise ValueError("/proc/PID/status has no VmRSS: check whether the process has ended")
    return int(found[1]) * 1024 / 1e6


def queued_seconds() -> float:
    """Return the seconds for which the threads of this process have waited for a processor since they began.

    The kernel counts them per thread, in nanoseconds (`/proc/PID/task/TID/schedstat`, the second number). A thread
    that has ended is missing; trio keeps idle worker threads for ten seconds, five times a slot. Returns 0 where
    the kernel does not count.
    """
    total = 0
    for task in Path(f"/proc/{os.getpid()}/task").glob("*/schedstat"):
        try:
            total += int(task.read_text().split()[1])
        except OSError:
            continue  # the thread has ended, or the kernel does not count
    return total / 1e9


def idle_share(samples: Iterable[tuple[float, float]], blocks: Iterable[float], busy_for: float) -> float | None:
    """Return the share of a core used between slots.

    `samples` are pairs (time, processor seconds so far), oldest first; `blocks` are the times of blocks. Intervals
    within `busy_for` seconds of a block are excluded. Returns `None` if all are excluded.
    """
    moments = list(blocks)
    used = passed = 0.0
    for (start, before), (end, after) in pairwise(samples):
        if all(end < moment - busy_for or start > moment + busy_for for moment in moments):
            used += after - before
            passed += end - start
    return used / passed if passed else None
