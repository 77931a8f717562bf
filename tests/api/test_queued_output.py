"""Output whose reader stops, goes, or comes back: nothing waits for it, and what is lost is counted and said."""

import fcntl
import os
import pty
import subprocess
import sys
import threading
import tty
from collections.abc import Generator
from pathlib import Path

import pytest

from alysd.api.queued_output import MAX_WAITING_BYTES, QueuedOutput

LONG = "x" * 4095
"""A line of a page, which is all that the smallest pipe holds."""

IN_TIME = 20.0
"""Seconds: a limit for a busy machine. Nothing here takes that long."""


class SmallPipe:
    """A pipe that holds one page. `read` takes what is in it."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        fcntl.fcntl(self.writing, fcntl.F_SETPIPE_SZ, 4096)

    def read(self, until: str) -> list[str]:
        """Read the lines up to one that begins like this."""
        text = ""
        while not any(line.startswith(until) for line in text.split("\n")[:-1]):
            text += os.read(self.reading, 65536).decode()
        return text.splitlines()


@pytest.fixture
def pipe() -> Generator[SmallPipe]:
    one = SmallPipe()
    yield one
    for descriptor in (one.reading, one.writing):
        try:
            os.close(descriptor)
        except OSError:
            continue  # the test has closed it


def output_on(descriptor: int) -> QueuedOutput:
    return QueuedOutput(descriptor, "utf-8", lambda lost: f"{lost} lost")


def writer_threads() -> int:
    return sum(thread.name == "log output" for thread in threading.enumerate())


def test_lines_are_written_in_their_order_and_the_thread_ends(pipe: SmallPipe) -> None:
    before = writer_threads()
    output = output_on(pipe.writing)
    for number in range(200):
        output.offer(f"line {number}")
    assert output.close(IN_TIME)
    assert pipe.read("line 199") == [f"line {number}" for number in range(200)]
    assert (output.lost, writer_threads()) == (0, before)


def test_a_reader_that_stops_holds_up_nobody_and_what_is_lost_is_said_in_its_place(pipe: SmallPipe) -> None:
    """The whole node would stand still with its log."""
    output = output_on(pipe.writing)
    fitting = MAX_WAITING_BYTES // len(LONG)
    for _ in range(fitting + 20):
        output.offer(LONG)
    lost = output.lost
    assert 15 <= lost <= 20, "the queue, the pipe, and the line that the thread holds"
    threading.Thread(target=output.close, args=(IN_TIME,)).start()
    *lines, last = pipe.read(f"{lost} lost")
    assert (lines, last) == ([LONG] * (fitting + 20 - lost), f"{lost} lost")


def test_lines_after_a_gap_stand_behind_its_report(pipe: SmallPipe) -> None:
    output = output_on(pipe.writing)
    while not output.lost:
        output.offer(LONG)
    assert pipe.read("x")[0] == LONG  # and there is room for at least one more
    taken = False
    while not taken:
        before = output.lost
        output.offer("late")
        taken = output.lost == before
    threading.Thread(target=output.close, args=(IN_TIME,)).start()
    *_, report, late = pipe.read("late")
    assert (report, late) == (f"{output.lost} lost", "late")


def test_close_waits_a_bounded_time_for_a_reader_that_has_stopped(pipe: SmallPipe) -> None:
    """SIGTERM would not end the node."""
    output = output_on(pipe.writing)
    for _ in range(5):
        output.offer(LONG)
    assert output.close(0.05) is False
    output.offer("too late")
    assert output.lost == 1
    pipe.read("1 lost")  # the reader is back: the thread ends by itself
    assert output.close(IN_TIME)


def test_a_reader_that_has_gone_costs_lines_and_no_more(pipe: SmallPipe) -> None:
    """`alysd run | head` would end the node."""
    os.close(pipe.reading)
    output = output_on(pipe.writing)
    output.offer("one")
    output.offer("two")
    assert output.close(IN_TIME)
    assert output.lost == 2


def test_a_full_disk_is_said_when_there_is_room_again(tmp_path: Path) -> None:
    """A line that was cut would run into the next one."""
    code = (
        "import os, resource, sys\n"
        "from alysd.api.queued_output import QueuedOutput\n"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8, resource.RLIM_INFINITY))\n"
        "out = QueuedOutput(os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT), 'utf-8', '{} lost'.format)\n"
        "out.offer('first'); out.offer('second'); out.offer('third')\n"
        "while out.lost < 2: pass\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, resource.RLIM_INFINITY))\n"
        "out.offer('fourth')\n"
        "assert out.close(20)\n"
    )
    file = tmp_path / "log"
    subprocess.run([sys.executable, "-c", code, str(file)], timeout=60, check=True)
    assert file.read_text().splitlines() == ["first", "se", "2 lost", "fourth"]


def test_a_non_blocking_file_is_waited_for(pipe: SmallPipe) -> None:
    """Another program with the same output may have made it so: lines would be lost although somebody reads."""
    os.set_blocking(pipe.writing, False)
    output = output_on(pipe.writing)
    for _ in range(5):
        output.offer(LONG)
    output.offer("end")
    threading.Thread(target=output.close, args=(IN_TIME,)).start()
    assert pipe.read("end") == [*[LONG] * 5, "end"]
    assert output.lost == 0


def test_the_process_ends_although_nobody_reads() -> None:
    """The thread that writes would hold it up, or end it with SIGABRT."""
    code = (
        "import os\nfrom alysd.api.queued_output import QueuedOutput\n"
        "out = QueuedOutput(1, 'utf-8', str)\n"
        "for _ in range(200): out.offer('x' * 4095)\n"
        "assert not out.close(0.1)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.communicate()


def test_a_character_that_the_encoding_lacks_is_escaped(pipe: SmallPipe) -> None:
    """`PYTHONIOENCODING=ascii alysd run` would be a traceback at the first hash."""
    output = QueuedOutput(pipe.writing, "ascii", str)
    output.offer("1f1e1d…\udcff")
    assert output.close(IN_TIME)
    assert pipe.read("1f") == ["1f1e1d\\u2026\\udcff"]


@pytest.fixture
def screen() -> Generator[tuple[int, int]]:
    """A terminal: what reads from it, and what writes to it."""
    reading, writing = pty.openpty()
    tty.setraw(writing)
    yield reading, writing
    os.close(reading)
    os.close(writing)


def read_until(descriptor: int, end: bytes) -> bytes:
    found = b""
    while not found.endswith(end):
        found += os.read(descriptor, 4096)
    return found


def test_a_status_line_stays_below_the_lines(screen: tuple[int, int]) -> None:
    """A line that is written into a progress bar cannot be read."""
    reading, writing = screen
    output = QueuedOutput(writing, "utf-8", lambda lost: f"{lost} lost", writing)
    output.show("45 %")
    assert read_until(reading, b"%") == b"\r\x1b[K45 %"
    output.offer("a line")
    assert read_until(reading, b"%") == b"\r\x1b[Ka line\n\r\x1b[K45 %"
    output.show("46 %")
    assert read_until(reading, b"%") == b"\r\x1b[K\r\x1b[K46 %"
    output.show("")
    output.offer("the end")
    assert output.close(IN_TIME)
    assert read_until(reading, b"end\n") == b"\r\x1b[Kthe end\n"


def test_the_status_line_goes_when_the_output_ends(screen: tuple[int, int]) -> None:
    reading, writing = screen
    output = QueuedOutput(writing, "utf-8", lambda lost: f"{lost} lost", writing)
    output.show("45 %")
    read_until(reading, b"%")
    assert output.close(IN_TIME)
    assert read_until(reading, b"K") == b"\r\x1b[K"


def test_without_a_terminal_there_is_no_status_line(pipe: SmallPipe) -> None:
    output = output_on(pipe.writing)
    output.show("45 %")
    output.offer("a line")
    assert output.close(IN_TIME)
    assert os.read(pipe.reading, 4096) == b"a line\n"


def test_a_terminal_that_has_gone_stops_no_line(pipe: SmallPipe) -> None:
    reading, writing = pty.openpty()
    os.close(reading)
    output = QueuedOutput(pipe.writing, "utf-8", lambda lost: f"{lost} lost", writing)
    output.show("45 %")
    output.offer("a line")
    assert output.close(IN_TIME)
    os.close(writing)
    assert (os.read(pipe.reading, 4096), output.lost) == (b"a line\n", 0)
