"""The progress of a process, in memory that it shares with its parent.

The process writes the number of the message that it begins, and of the last one that it finished, before and after
each handler. So the parent knows even after a SIGKILL which messages were not begun. A write costs 40 ns; a frame
per message would cost a system call.
"""

import fcntl
import mmap
import os
import tempfile

_BEGUN, _DONE = 0, 1
_BYTES = 16


class Progress:
    """A map of the file `fd`. The process may write any numbers, so a reader has to check their bounds."""

    __slots__ = ("_map", "_numbers")

    def __init__(self, fd: int) -> None:
        self._map = mmap.mmap(fd, _BYTES)
        self._numbers = memoryview(self._map).cast("Q")

    def begin(self, number: int) -> None:
        """Record that message `number` begins, and that all before it are finished."""
        self._numbers[_BEGUN] = number

    def finish(self, number: int) -> None:
        """Record that message `number` is finished."""
        self._numbers[_DONE] = number

    @property
    def begun(self) -> int:
        """The number of the last message that was begun; 0 before the first."""
        return self._numbers[_BEGUN]

    @property
    def done(self) -> int:
        """The number up to which all messages are finished."""
        return max(self._numbers[_DONE], self._numbers[_BEGUN] - 1)

    def close(self) -> None:
        """Unmap the memory."""
        self._numbers.release()
        self._map.close()


def progress_file() -> int:
    """A new anonymous file for a `Progress`, as a descriptor that the caller closes.

    On Linux its size is sealed: the parent maps the file, and a process that shortens it would end the parent with
    SIGBUS. macOS has no seals.
    """
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("progress", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, _BYTES)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    else:  # macOS
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
        os.ftruncate(fd, _BYTES)
    return fd
