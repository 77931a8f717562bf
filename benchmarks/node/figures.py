"""Measured figures with their goals, and their lines in the report."""

import re
from collections.abc import Callable, Iterable
from itertools import pairwise

import attrs


@attrs.frozen
class Figure:
    """One figure, in `unit`. Its goal is at most `at_most`, or at least `at_least`, or there is none."""

    what: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None

    def reached(self) -> bool | None:
        """Whether the goal is reached; `None` without a goal."""
        if self.at_most is None and self.at_least is None:
            return None
        return (self.at_most is None or self.value <= self.at_most) and (
            self.at_least is None or self.value >= self.at_least
        )

    def goal(self) -> str:
        """The goal as text."""
        bounds = (("≤", self.at_most), ("≥", self.at_least))
        return ", ".join(f"{sign} {bound:,g}" for sign, bound in bounds if bound is not None)

    def line(self) -> str:
        """The line with the figure, its goal and whether it is reached."""
        digits = 0 if self.value >= 100 or self.value == int(self.value) else 1 if self.value >= 10 else 2
        verdict = {True: "yes", False: "NO", None: ""}[self.reached()]
        shown = f"{self.value:,.{digits}f}"
        return f"{self.what:<62}{shown:>10} {self.unit:<6} {self.goal():<10} {verdict}".rstrip()


Show = Callable[[Figure], None]
"""Receives each figure as soon as it is measured; all of them take minutes."""


_VM_RSS = re.compile(r"^VmRSS:\s+(\d+) kB$", re.MULTILINE)


def resident_megabytes(status: str) -> float:
    """Return the resident memory in a `/proc/PID/status`, in MB of 10^6 bytes. Raises `ValueError` without one."""
    found = _VM_RSS.search(status)
    if found is None:
        raise ValueError("no VmRSS in it: has the process ended?")
    return int(found[1]) * 1024 / 1e6


def idle_share(samples: Iterable[tuple[float, float]], blocks: Iterable[float], busy_for: float) -> float | None:
    """The share of a core used between slots, from `(moment, processor seconds so far)`, oldest first.

    Pieces of time that touch the `busy_for` seconds around a moment of `blocks` are left out; `None` when nothing
    is left.
    """
    moments = list(blocks)
    used = passed = 0.0
    for (start, before), (end, after) in pairwise(samples):
        if all(end < moment - busy_for or start > moment + busy_for for moment in moments):
            used += after - before
            passed += end - start
    return used / passed if passed else None
