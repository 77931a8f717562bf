"""Output to a reader that may stop reading: lines go into a bounded queue, which one thread writes."""

import os
import select
import threading
from collections import deque
from collections.abc import Callable

MAX_WAITING_BYTES = 1024 * 1024
"""The maximum size of the queue: some 5,000 lines, an hour of a healthy node.

Further lines are lost and counted.
"""

CLOSE_SECONDS = 1.0
"""Deadline, in seconds, of `close`, which waits until all lines are written.

An active reader needs milliseconds; a stopped one must not delay the end of the process.
"""


class QueuedOutput:
    """Writes lines to the file descriptor `descriptor`, in their order, from its construction until `close`.

    A line is lost if the queue is full or its write fails. As soon as a write succeeds again, a line with the
    number of lost lines, made by `report`, is written in their place.

    Only the thread of this class blocks while a terminal is stopped (Ctrl-S) or a pipe is full. It is a daemon
    thread, the only thread that may outlive its caller, because a blocked write(2) cannot be cancelled. It ends
    with the process, and holds no lock while it writes. Non-blocking writes cannot be used: O_NONBLOCK is a
    property of the open file, so it would also affect the shell and other processes.
    """

    def __init__(self, descriptor: int, encoding: str, report: Callable[[int], str]) -> None:
        self._descriptor = descriptor
        self._encoding = encoding
        self._report = report
        self._queue: deque[bytes | int] = deque()  # lines, and between them the number of lines lost there
        self._waiting = 0
        self._lost = 0
        self._closed = False
        self._changed = threading.Condition()
        self._unreported = 0  # this and the next one are used by the thread only
        self._torn = False
        self._thread = threading.Thread(target=self._run, name="log output", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """The number of lost lines."""
        return self._lost

    def offer(self, line: str) -> None:
        """Add `line`, without its end of line, to the queue.

        Does not block; the line is lost if the queue is full.
        A character that the encoding lacks is written as an escape sequence.
        """
        data = self._encoded(line)
        with self._changed:
            if self._closed or (self._queue and self._waiting + len(data) > MAX_WAITING_BYTES):
                self._lost += 1
                if self._queue and isinstance(self._queue[-1], int):
                    self._queue[-1] += 1
                else:
                    self._queue.append(1)
            else:
                self._queue.append(data)
                self._waiting += len(data)
            self._changed.notify()

    def close(self, seconds: float = CLOSE_SECONDS) -> bool:
        """Accept no more lines, and wait at most `seconds` until all are written. Return false if some are not."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (entry := self._next()) is not None:
            if isinstance(entry, int):
                self._unreported += entry
            if self._unreported and self._written(self._encoded(self._report(self._unreported))):
                self._unreported = 0
            if isinstance(entry, bytes) and not self._written(entry):
                self._unreported += 1
                with self._changed:
                    self._lost += 1

    def _next(self) -> bytes | int | None:
        """Wait for an entry of the queue and take it; None when the queue is closed and empty."""
        with self._changed:
            while not self._queue:
                if self._closed:
                    return None
                self._changed.wait()
            entry = self._queue.popleft()
            if isinstance(entry, bytes):
                self._waiting -= len(entry)
            return entry

    def _written(self, line: bytes) -> bool:
        """Write a line. Returns false if the reader has gone or the disk is full. Later writes may succeed."""
        rest = memoryview(b"\n" + line if self._torn else line)
        whole = len(rest)
        try:
            while rest:
                try:
                    rest = rest[os.write(self._descriptor, rest) :]
                except BlockingIOError:  # another process has made the open file non-blocking
                    select.select([], [self._descriptor], [])
        except OSError:
            self._torn = self._torn or len(rest) < whole
            return False
        self._torn = False
        return True

    def _encoded(self, line: str) -> bytes:
        return f"{line}\n".encode(self._encoding, errors="backslashreplace")
