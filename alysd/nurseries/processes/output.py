"""Writes the output of a process to the parent's log, with the child's name and bounds on length and rate."""

import logging
import os
from collections import deque

import trio

logger = logging.getLogger("alysd.nurseries.processes")

LINE_BYTES = 2_000
"""The longest logged line. The rest of a longer line is dropped."""

PERIOD_SECONDS = 10.0
"""The period, in seconds, in which at most `lines` lines are logged."""

READ_BYTES = 1 << 16
"""The capacity of a pipe on Linux."""

_LEVELS = {name: getattr(logging, name) for name in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")}


class Output:
    """Logs the lines that arrive at the descriptor `fd`, which it owns: at most `lines` in any 10 s."""

    def __init__(self, name: str, fd: int, lines: int) -> None:
        self._name = name
        self._fd = fd
        self._rest = b""
        self._skipping = False
        self._recent: deque[float] = deque(maxlen=lines)
        self._dropped = 0
        os.set_blocking(fd, False)

    async def run(self) -> None:
        """Log lines until the process has closed its end. Also read the lines that are not logged.

        Otherwise the process would wait for room in the pipe.
        """
        while True:
            await trio.lowlevel.wait_readable(self._fd)
            if not self._read():
                return

    def close(self) -> None:
        """Log the rest of the output, at most a mebibyte, and close the descriptor."""
        for _ in range(16):  # a mebibyte: a process that this one started may still write
            if not self._read():
                break
        if self._rest:
            self._log(self._rest)
        self._report_dropped()
        os.close(self._fd)

    def _read(self) -> bool:
        """Read once. Returns false at the end, or when there is nothing to read now."""
        try:
            data = os.read(self._fd, READ_BYTES)
        except BlockingIOError:
            return False
        *lines, rest = (self._rest + data).split(b"\n")
        for line in lines:
            if not self._skipping:
                self._log(line)
            self._skipping = False
        if len(rest) > LINE_BYTES:
            if not self._skipping:
                self._log(rest)
            self._skipping, rest = True, b""
        self._rest = rest
        return bool(data)

    def _log(self, line: bytes) -> None:
        now, recent = trio.current_time(), self._recent
        if len(recent) == recent.maxlen and now - recent[0] < PERIOD_SECONDS:
            self._dropped += 1
            return
        self._report_dropped()
        recent.append(now)
        text = line[:LINE_BYTES].decode(errors="backslashreplace").rstrip()
        printable = "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in text)
        logger.log(_LEVELS.get(text.partition(" ")[0], logging.INFO), "%s: %s", self._name, printable)

    def _report_dropped(self) -> None:
        if self._dropped:
            logger.warning("%s: %d lines of its output were dropped", self._name, self._dropped)
            self._dropped = 0
