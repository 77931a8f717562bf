"""Children in real processes: how they die, what they may use, and what is left of them."""

import ctypes
import logging
import os
import re
import resource
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from alysd.nurseries import (
    Address,
    HealthMonitor,
    HealthRules,
    Immediate,
    Intensity,
    NotAnswered,
    OnCrash,
    OneForOne,
    Priority,
    ProcessLimits,
    System,
    open_system,
    process,
    supervisor,
)
from alysd.nurseries.processes.sandbox import LANDLOCK_CREATE_RULESET, SIGNALS_SINCE
from tests.nurseries.processes.counting import CODEC, Add, Answer, Counting, Misbehave, TooMuch, Total, Wait

START = "tests.nurseries.processes.counting:start"
SECONDS = 60.0
"""For an answer that needs a new process, on a machine that is busy with other work. Usual is half a second."""

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@asynccontextmanager
async def running(counter: Address[Counting], **options: Any) -> AsyncGenerator[System]:
    """The child in a system that restarts it as often as it has to."""
    options = {"codec": CODEC, "refusals": [TooMuch], "restart": Immediate(), **options}
    spec = process(counter, START, **options)
    async with open_system(supervisor("Root", OneForOne(), [spec], intensity=Intensity(10_000))) as system:
        yield system


def last_error(system: System) -> str:
    return system.snapshot().children[0].last_error or ""


def children() -> list[int]:
    """The processes below this one, zombies too."""
    return [
        int(each.name)
        for each in Path("/proc").iterdir()
        if each.name.isdigit() and f"PPid:\t{os.getpid()}\n" in _read(each / "status")
    ]


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # the process has ended meanwhile
        return ""


def _status(pid: int, file: str = "status") -> str:
    return _read(Path(f"/proc/{pid}/{file}"))


async def until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds."""
    with trio.fail_after(SECONDS):
        while not condition():  # noqa: ASYNC110  what other processes do
            await trio.sleep(0.001)


def _has_grown(journal: Path, size: int) -> bool:
    return len(_read(journal)) > size


def _has_restarted(system: System, times: int) -> bool:
    return system.snapshot().children[0].restarts == times


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def many_files() -> Generator[None]:
    """More open files than the child may have: the socket that it inherits has a number above its limit."""
    with ExitStack() as opened:
        for _ in range(100):
            opened.callback(os.close, os.dup(0))
        yield


@linux
@pytest.mark.usefixtures("many_files")
@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("exit", "ProcessDied: the process of counter ended: exit status 3"),
        ("SIGKILL", "ProcessDied: the process of counter ended: killed by SIGKILL"),
        ("fork", "ProcessDied: the process of counter ended: killed by SIGKILL"),
        ("SIGSEGV", "ProcessDied: the process of counter ended: killed by SIGSEGV"),
        ("memory", "ProcessCrashed: counter failed in its process: MemoryError: "),
        ("files", "ProcessCrashed: counter failed in its process: OSError: [Errno 24] Too many open files"),
        ("SIGSTOP", "HandlerTooSlow: counter took more than 1 s to handle Misbehave"),
        ("loop", "HandlerTooSlow: counter took more than 1 s to handle Misbehave"),
        ("close", "ProcessDied: the process of counter ended: "),
        ("garbage", "BrokenProtocol: the process of counter broke the protocol: a frame of"),
    ],
)
async def test_every_death_is_a_failure_of_the_child(how: str, error: str) -> None:
    before, counter = descriptors(), Address[Counting]("counter")
    limits = ProcessLimits(memory=256 << 20, files=64)
    # A short limit only where it is what ends the process: a busy machine may take a second for the others.
    seconds = 1.0 if how in ("SIGSTOP", "loop") else SECONDS
    async with running(counter, config=7, limits=limits, handle_seconds=seconds) as system:
        counter.tell(Add(1))
        counter.tell(Misbehave(how))
        counter.tell(Add(2))
        assert await counter.ask(Total(), seconds=SECONDS) == 9, "a new instance has handled what was not begun"
        assert last_error(system).startswith(error)
        assert [letter.message for letter in counter.mailbox.dead_letters or ()] == [Misbehave(how)]
        assert len(children()) == 1
    assert children() == []
    assert descriptors() == before


@linux
async def test_a_hundred_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    """Each number is handled once, or was being handled when the process was killed."""
    before, counter = descriptors(), Address[Counting]("counter")
    journal, kills = tmp_path / "journal", 100
    sent = [0]

    async def send() -> None:
        while True:
            await counter.send(Add(sent[0]))
            sent[0] += 1

    async with running(counter, config=str(journal)) as system:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            for kill in range(1, kills + 1):
                written = len(_read(journal))
                await until(partial(_has_grown, journal, written))
                os.kill(children()[0], signal.SIGKILL)
                await until(partial(_has_restarted, system, kill))
            nursery.cancel_scope.cancel()
        await counter.ask(Total(), seconds=SECONDS)
    handled = [int(line) for line in journal.read_text().split()]
    lost = [letter.message for letter in counter.mailbox.dead_letters or ()]
    assert handled == sorted(set(handled)), "none twice, and in order"
    missing = set(range(sent[0])) - set(handled)
    assert len(missing) <= counter.mailbox.dropped <= kills, "only those that were being handled"
    assert missing >= {add.amount for add in lost if isinstance(add, Add)} - set(handled)
    assert children() == []
    assert descriptors() == before


@linux
async def test_a_hang_is_found_although_the_process_has_no_message() -> None:
    counter = Address[Counting]("counter")
    spec = process(counter, START, codec=CODEC, restart=Immediate(), priority=Priority.CRITICAL)
    rules = HealthRules(intervals=dict.fromkeys(Priority, 0.2), timeout=0.5)
    async with open_system(supervisor("Root", OneForOne(), [spec]), monitor=HealthMonitor(rules)) as system:
        os.kill(children()[0], signal.SIGSTOP)
        await until(lambda: system.snapshot().children[0].restarts > 0)
        assert last_error(system).startswith("HealthCheckFailed")
        assert await counter.ask(Total(), seconds=SECONDS) == 0


@linux
async def test_a_process_starts_clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ALYSD_TEST_SECRET", "secret")
    counter = Address[Counting]("counter")
    kept = os.open(tmp_path / "open", os.O_CREAT | os.O_WRONLY)
    os.set_inheritable(kept, True)
    limits = ProcessLimits(environment={"GIVEN": "yes"}, nice=7)
    async with running(counter, limits=limits):
        environment = await counter.ask(Answer("environment"), seconds=SECONDS)
        assert not any("ALYSD_TEST_SECRET" in each for each in environment)
        assert "GIVEN=yes" in environment
        assert await counter.ask(Answer("nice")) == os.nice(0) + 7
        files = await counter.ask(Answer("files"))
        assert not any("/open" in name for name in files), files
        assert len(files) <= 12, files
        pid = children()[0]
        assert re.search(r"NoNewPrivs:\s+1", _status(pid))
        assert re.search(r"Max core file size\s+0\s+0", _status(pid, "limits"))
        assert os.getpgid(pid) == os.getsid(pid) == pid, "Ctrl-C on the terminal does not reach it"
    os.close(kept)


@linux
async def test_a_daemon_that_a_process_starts_ends_with_it() -> None:
    """It left the process group, which is killed at the end of the process."""
    counter = Address[Counting]("counter")
    async with running(counter) as system:
        grandchild = await counter.ask(Answer("grandchild"), seconds=SECONDS)
        await until(lambda: "sleep" in _status(grandchild, "comm"))
        counter.tell(Misbehave("SIGKILL"))
        await until(lambda: _has_restarted(system, 1))
        await until(lambda: "sleep" not in _status(grandchild, "comm") or "State:\tZ" in _status(grandchild))


@linux
async def test_a_process_cannot_touch_other_processes() -> None:
    """Needs Landlock. Root may read what it likes, so that only signals are refused to it."""
    counter = Address[Counting]("counter")
    async with running(counter):
        if os.getuid():
            assert await counter.ask(Answer("parent's secret"), seconds=SECONDS) == "PermissionError"
        if _landlock() >= SIGNALS_SINCE:
            assert await counter.ask(Answer("parent's life"), seconds=SECONDS) == "PermissionError"


def _landlock() -> int:
    return ctypes.CDLL(None).syscall(LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), 1)


@linux
async def test_a_process_ends_with_its_parent(tmp_path: Path) -> None:
    """Also if it is stopped or computes, and so cannot see that the parent has gone."""
    program = f"""
import sys, trio
sys.path.insert(0, {str(Path.cwd())!r})
from alysd.nurseries import *
from tests.nurseries.processes.counting import *
async def main():
    counter = Address("counter")
    async with open_system(supervisor("Root", OneForOne(), [process(counter, {START!r}, codec=CODEC)])):
        print(await counter.ask(Answer("pid")), flush=True)
        counter.tell(Misbehave("loop"))
        await trio.sleep_forever()
trio.run(main)
"""
    parent = await trio.lowlevel.open_process([sys.executable, "-c", program], stdout=-1)
    assert parent.stdout is not None
    pid = int(await parent.stdout.receive_some())
    parent.kill()
    await parent.wait()
    await until(lambda: _status(pid) == "" or "State:\tZ" in _status(pid))
    await parent.stdout.aclose()


async def test_the_output_of_a_process_is_logged_with_its_name(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    counter = Address[Counting]("counter")
    async with running(counter):
        counter.tell(Misbehave("print"))
        await counter.ask(Total(), seconds=SECONDS)
    lines = [(each.levelno, each.getMessage()) for each in caplog.records if each.name.endswith("processes")]
    assert (logging.INFO, "counter: INFO the actor prints") in lines
    assert (logging.WARNING, "counter: WARNING a control \\x1b[31m character") in lines
    assert max(len(text) for _, text in lines) < 2100


@linux
async def test_stops_restarts_and_cancelled_starts_leave_nothing() -> None:
    before, counter = descriptors(), Address[Counting]("counter", on_crash=OnCrash.RETRY)
    for wait in (0.0, 0.001, 0.01, 0.1, 0.3):
        with trio.move_on_after(wait):
            async with running(counter):
                await trio.sleep_forever()
        assert (children(), descriptors()) == ([], before)
    async with trio.open_nursery() as nursery, running(counter, stop_seconds=0.5) as system:
        for _ in range(5):
            await system.restart("counter")
            await counter.ask(Total(), seconds=SECONDS)

        async def ask() -> None:
            with pytest.raises(NotAnswered):
                await counter.ask(Wait(100), seconds=200)

        nursery.start_soon(ask)
        await trio.sleep(0.2)
    assert (children(), descriptors()) == ([], before)


RESTARTS = int(os.environ.get("ALYSD_RESTARTS", "20"))
"""Restarts in a row of the test below: as many as somebody asks for."""


@linux
async def test_restarts_in_a_row_leave_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL + 1)  # pytest would keep the traceback of each
    counter = Address[Counting]("counter")
    async with running(counter, config=5) as system:

        async def restart(times: int) -> tuple[int, int]:
            for _ in range(times):
                pid = await counter.ask(Answer("pid"), seconds=SECONDS)
                before = system.snapshot().children[0].restarts
                os.kill(pid, signal.SIGKILL)
                await until(partial(_has_restarted, system, before + 1))
            assert await counter.ask(Total(), seconds=SECONDS) == 5
            return descriptors(), int(_status(os.getpid(), "statm").split()[1]) * resource.getpagesize()

        files, memory = await restart(5)
        files_later, memory_later = await restart(RESTARTS)
        print(f"{RESTARTS} restarts: {files_later - files} descriptors, {memory_later - memory} bytes more")
        assert files_later == files
        assert memory_later - memory < (4 << 20)
        assert len(children()) == 1
    assert children() == []
