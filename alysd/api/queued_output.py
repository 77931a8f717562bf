"""Output to a reader that may stop reading: lines go into a bounded queue, which one thread writes.

The same thread draws the status line of a terminal, so that lines and status line never mix.
"""

import os
import select
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress

MAX_WAITING_BYTES = 1024 * 1024
"""The maximum size of the queue: some 5,000 lines, an hour of a healthy node.

Further lines are lost and counted.
"""

CLOSE_SECONDS = 1.0
"""Deadline, in seconds, of `close`, which waits until all lines are written.

An active reader needs milliseconds; a stopped one must not delay the end of the process.
"""


class _Torn(Exception):
    """A write failed after `written` bytes."""

    def __init__(self, written: int) -> None:
        super().__init__(written)
        self.written = written


class QueuedOutput:
    """Writes lines to the file descriptor `descriptor`, in their order, from its construction until `close`.

    A line is lost if the queue is full or its write fails. As soon as a write succeeds again, a line with the
    number of lost lines, made by `report`, is written in their place.

    Only the thread of this class blocks while a terminal is stopped (Ctrl-S) or a pipe is full. It is a daemon
    thread, the only thread that may outlive its caller, because a blocked write(2) cannot be cancelled. It ends
    with the process, and holds no lock while it writes. Non-blocking writes cannot be used: O_NONBLOCK is a
    property of the open file, so it would also affect the shell and other processes.

    `screen` is the file descriptor of a terminal that has a status line (`show`), or None.
    """

    def __init__(
        self, descriptor: int, encoding: str, report: Callable[[int], str], screen: int | None = None
    ) -> None:
        self._descriptor = descriptor
        self.screen = screen
        self._status = ""
        self._encoding = encoding
        self._report = report
        self._queue: deque[bytes | int] = deque()  # lines, and between them the number of lines lost there
        self._waiting = 0
        self._lost = 0
        self._closed = False
        self._changed = threading.Condition()
        self._unreported = 0  # this and the next two are used by the thread only
        self._torn = False
        self._drawn = ""
        self._thread = threading.Thread(target=self._run, name="log output", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """The number of lost lines."""
        return self._lost

    def offer(self, line: str) -> None:
        """Add `line`, without its end of line, to the queue.

        Does not block; the line is lost if the queue is full. A character that the encoding lacks is written as
        an escape sequence.
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

    def show(self, status: str) -> None:
        """Replace the status line, below the last line, by `status`; "" removes it.

        Does not block, and has no effect without a terminal.
        """
        if self.screen is not None:
            with self._changed:
                self._status = status
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
            self._draw("")
            if isinstance(entry, int):
                self._unreported += entry
            if self._unreported and self._written(self._encoded(self._report(self._unreported))):
                self._unreported = 0
            if isinstance(entry, bytes) and not self._written(entry):
                self._unreported += 1
                with self._changed:
                    self._lost += 1
            self._draw(self._status)
        self._draw("")

    def _draw(self, status: str) -> None:
        """Replace the status line. It is left out if the terminal has gone."""
        if self.screen is not None and status != self._drawn:
            with suppress(_Torn):
                self._write(self.screen, b"\r\x1b[K" + status.encode("ascii", errors="backslashreplace"))
            self._drawn = status

    def _next(self) -> bytes | int | None:
        """Wait for an entry of the queue and take it; None when the queue is closed and empty.

        A number in the queue counts lost lines. Returns 0 if only the status line has changed.
        """
        with self._changed:
            while not self._queue:
                if self._closed:
                    return None
                if self._status != self._drawn:
                    return 0
                self._changed.wait()
            entry = self._queue.popleft()
            if isinstance(entry, bytes):
                self._waiting -= len(entry)
            return entry

    def _written(self, line: bytes) -> bool:
        """Write a line. Returns false if the reader has gone or the disk is full. Later writes may succeed."""
        data = b"\n" + line if self._torn else line
        try:
            self._write(self._descriptor, data)
        except _Torn as torn:
            self._torn = self._torn or torn.written > 0
            return False
        self._torn = False
        return True

    def _write(self, descriptor: int, data: bytes) -> None:
        """Write all of `data`, or raise `_Torn`."""
        rest = memoryview(data)
        try:
            while rest:
                try:
                    rest = rest[os.write(descriptor, rest) :]
                except BlockingIOError:  # another process has made the open file non-blocking
                    select.select([], [descriptor], [])
        except OSError as error:
            raise _Torn(len(data) - len(rest)) from error

    def _encoded(self, line: str) -> bytes:
        return f"{line}\n".encode(self._encoding, errors="backslashreplace")
