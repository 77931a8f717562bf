"""Reads how much memory the process uses, according to the operating system."""

import os
from pathlib import Path

STATM = Path("/proc/self/statm")
"""The file with the memory of the process, on Linux: total size, resident size and more, in pages (proc(5))."""


def resident_bytes(statm: Path = STATM) -> int | None:
    """Return the resident memory of the process in bytes, or None on systems without this file, such as macOS."""
    try:
        pages = statm.read_text().split()[1]
    except (OSError, IndexError):
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
