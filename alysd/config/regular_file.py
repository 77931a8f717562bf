"""Opens files that others may have put into a folder of the node: at once, and only regular files.

To open or to read a pipe waits for the program at its other end, and a device may have no end. A thread that
waits there is lost to the node.
"""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_regular(path: Path, flags: int = os.O_RDONLY) -> int:
    """Open a regular file without waiting, and return its descriptor.

    Raises `OSError`, also for a pipe, a socket, a device or a folder (`IsADirectoryError`).
    """
    # Without O_NONBLOCK, to open a pipe would wait; without O_NOCTTY, a terminal could become that of the node.
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, 0o600)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "not a regular file", str(path))


def reading_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading bytes; the caller closes it. Raises `OSError`, as `open_regular` does."""
    return os.fdopen(open_regular(path), "rb")


def read_regular(path: Path, most: int) -> bytes:
    """Read a regular file of at most `most` bytes. Raises `OSError`, also for a longer one."""
    with reading_regular(path) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most} bytes", str(path))
    return data
