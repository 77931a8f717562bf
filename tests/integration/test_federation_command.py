"""`alysd federation` on a terminal: two daemons make one chain, obey a person, and none stays behind."""

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import attrs
import pytest

pytest.importorskip("ethereum", reason="needs alysd[embedded]")

SECONDS = 240.0
"""For two daemons to start and make three blocks: 15 s on an idle machine."""


@attrs.define
class Terminal:
    """The terminal of the command, which is `process`, and all that it has shown."""

    descriptor: int
    process: "subprocess.Popen[bytes]"
    shown: str = ""

    @property
    def table(self) -> str:
        """The newest table."""
        return self.shown.rpartition("\x1b[2J")[2]

    def until(self, condition: Callable[[str], bool]) -> None:
        """Wait until the newest table meets a condition."""
        deadline = time.monotonic() + SECONDS
        while not condition(self.table):
            assert time.monotonic() < deadline, self.shown[-2000:]
            assert self.process.poll() is None, self.shown[-2000:]
            if select.select([self.descriptor], [], [], 1.0)[0]:
                self.shown += os.read(self.descriptor, 65536).decode()

    def press(self, keys: str) -> None:
        os.write(self.descriptor, keys.encode())


def committed(table: str) -> list[int]:
    """The heights of the newest committed blocks of the members that answer."""
    return [int(height) for height in re.findall(r"^\d +running +\d+ +\d+ +(\d+) ", table, re.MULTILINE)]


def processes_of(folder: Path) -> list[str]:
    """The command lines of all processes that name the folder."""
    lines: list[bytes] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # the process has ended meanwhile
            lines.append(path.read_bytes())
    return [line.decode(errors="replace") for line in lines if str(folder).encode() in line]


def test_two_members(tmp_path: Path) -> None:
    """The command would show a federation that stands still, or leave daemons behind.

    The names are short because the path of a member's control socket has at most 107 bytes.
    """
    ours, theirs = pty.openpty()
    folder = tmp_path / "two"
    command = [sys.executable, "-m", "alysd", "federation", "--members", "2", "--folder", str(folder)]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        try:
            terminal = Terminal(ours, process)
            terminal.until(lambda table: len(found := committed(table)) == 2 and min(found) >= 2)
            terminal.press("p2")
            terminal.until(lambda table: re.search(r"^2 +paused ", table, re.MULTILINE) is not None)
            terminal.press("c2")
            terminal.until(lambda table: len(committed(table)) == 2)
            before = max(committed(terminal.table))
            terminal.press("x1\n")
            terminal.until(lambda table: "partition: 1 | 2" in table and "approvals needed" in table)
            terminal.press("h")
            terminal.until(lambda table: len(found := committed(table)) == 2 and min(found) > before + 2)
            terminal.press("q")
            assert process.wait(60) == 0
        finally:
            process.kill()
    os.close(ours)
    os.close(theirs)
    assert processes_of(folder) == []
