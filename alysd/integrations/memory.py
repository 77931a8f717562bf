"""The memory that the process uses, as the operating system counts it."""

import os
from pathlib import Path

STATM = Path("/proc/self/statm")
"""The process in pages, on Linux: its whole size, then the part that is in memory (proc_pid_statm(5))."""


def resident_bytes(statm: Path = STATM) -> int | None:
    """Bytes of the process that are in memory now; None where the system has no such file, as on macOS."""
    try:
        pages = statm.read_text().split()[1]
    except (OSError, IndexError):
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
