"""How much memory the process holds, as the system counts it."""

import os
from pathlib import Path

STATM = Path("/proc/self/statm")
"""Pages of the process, by Linux: its whole size first, then those in memory (proc_pid_statm(5))."""


def resident_bytes(statm: Path = STATM) -> int | None:
    """Bytes of the process that are in memory now; None where the system does not say, as on macOS."""
    try:
        pages = statm.read_text().split()[1]
    except (OSError, IndexError):
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
