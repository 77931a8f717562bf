"""Starting, ending and reaping processes: real ones, of which each test starts one that ends at once."""

import errno
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from alysd.nurseries import Address, process
from alysd.nurseries.processes import launch
from alysd.nurseries.processes.launch import OperatingSystem, OsProcess
from alysd.nurseries.processes.progress import Progress, progress_file
from tests.nurseries.processes.counting import CODEC, Counting

SPEC = process(Address[Counting]("counter"), "tests.nurseries.processes.counting:start", codec=CODEC)


def started(program: str, *inherited: int) -> OsProcess:
    here, there = socket.socketpair()
    there.close()
    fd = progress_file()
    progress = Progress(fd)
    os.close(fd)
    child = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", program], start_new_session=True, pass_fds=inherited
    )
    return OsProcess(child, here, progress, -1)


def release(process: OsProcess) -> None:
    process.socket.close()
    process.progress.close()


@pytest.mark.parametrize(
    ("program", "seconds", "how"),
    [
        ("raise SystemExit(4)", 30.0, "exit status 4"),
        ("import time; time.sleep(60)", 0.0, "killed by SIGKILL"),
        ("import os; os.kill(os.getpid(), 40)", 30.0, "killed by signal 40"),
    ],
)
async def test_a_process_is_reaped_and_says_how_it_ended(program: str, seconds: float, how: str) -> None:
    process = started(program)
    assert await process.end(seconds) == how
    assert await process.end(0.0) == how, "also when asked again"
    release(process)


async def test_what_a_process_started_ends_with_it() -> None:
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    program = f"import os, time\nif os.fork() == 0:\n    os.write({writing}, b'x'); time.sleep(60)"
    process = started(program, writing)
    os.close(writing)
    assert os.read(reading, 1) == b"x"
    assert await process.end(30.0) == "exit status 0"
    assert os.read(reading, 1) == b"", "the grandchild, which held the pipe, has been killed"
    os.close(reading)
    release(process)


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="only Linux tells the end of a process by a descriptor")
async def test_the_end_of_a_process_is_known_while_what_it_forked_lives() -> None:
    before = descriptors()
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    process = started("import os, time\nif os.fork() == 0:\n    time.sleep(60)", writing)
    os.close(writing)
    with trio.fail_after(30):
        await process.exited()
    os.set_blocking(reading, False)
    with pytest.raises(BlockingIOError):
        os.read(reading, 1)
    assert await process.end(30.0) == "exit status 0"
    await process.exited()
    os.close(reading)
    release(process)
    assert descriptors() == before


async def test_a_system_that_does_not_tell_the_end_of_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    process = started("pass")
    with trio.move_on_after(0) as scope:
        await process.exited()
    assert scope.cancelled_caught
    assert await process.end(30.0) == "exit status 0"
    release(process)


def never(_: OsProcess) -> bool:
    return False


async def test_a_process_that_cannot_be_killed_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    process = started("import time; time.sleep(60)")
    monkeypatch.setattr(launch, "REAP_SECONDS", 0.0)
    monkeypatch.setattr(OsProcess, "_reaped", never)
    assert "does not end after SIGKILL" in await process.end(0.0)
    monkeypatch.undo()
    assert await process.end(30.0) == "killed by SIGKILL"
    release(process)


async def test_a_group_that_may_not_be_signalled_is_reaped_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    process = started("pass")

    def refuse(pid: int, number: int) -> None:
        raise PermissionError(signal.Signals(number))

    monkeypatch.setattr(os, "killpg", refuse)
    assert await process.end(30.0) == "exit status 0"
    release(process)


async def test_a_start_that_fails_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise BlockingIOError("no process more")

    monkeypatch.setattr(subprocess, "Popen", fail)
    before = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0  # noqa: PTH208
    async with trio.open_nursery() as nursery:
        with pytest.raises(BlockingIOError):
            OperatingSystem().launch(SPEC, nursery)
    after = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0  # noqa: PTH208
    assert after == before


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="only Linux has files with seals")
def test_a_process_cannot_shorten_the_memory_that_its_parent_reads() -> None:
    """Its parent would end with SIGBUS at the next look."""
    fd = progress_file()
    for size in (0, 1 << 20):
        with pytest.raises(PermissionError):
            os.ftruncate(fd, size)
    progress = Progress(fd)
    os.close(fd)
    progress.begin(3)
    assert progress.begun == 3
    progress.close()


def test_a_system_without_such_files_has_a_temporary_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    fd = progress_file()
    one, other = Progress(fd), Progress(fd)
    os.close(fd)
    one.finish(7)
    assert other.done == 7
    one.close()
    other.close()


def descriptors() -> int:
    """The number of open files."""
    return len([*Path("/dev/fd").iterdir()])


@pytest.mark.parametrize("step", ["pipe", "Popen", "Progress"])
async def test_a_start_that_fails_leaves_no_descriptor_and_no_process(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node would reach its limit of open files by trying again."""
    begun: list[subprocess.Popen[Any]] = []
    popen = subprocess.Popen

    def fail(*_args: object, **_options: object) -> None:
        raise OSError(errno.EMFILE, "too many open files")

    def watched(*args: Any, **options: Any) -> "subprocess.Popen[Any]":
        begun.append(popen(*args, **options))
        return begun[-1]

    monkeypatch.setattr(subprocess, "Popen", watched)
    target = {"pipe": (os, "pipe"), "Popen": (subprocess, "Popen"), "Progress": (launch, "Progress")}[step]
    monkeypatch.setattr(*target, fail)
    before = descriptors()
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            with pytest.raises(OSError, match="too many open files"):
                OperatingSystem().launch(SPEC, nursery)
    assert descriptors() == before
    assert [process.returncode for process in begun] == [-signal.SIGKILL] * (3 if step == "Progress" else 0)
