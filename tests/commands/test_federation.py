"""`alysd federation`: its keyboard, and the members as real processes that never stay behind."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from alysd.cli import main
from alysd.commands import federation_members
from alysd.commands.federation_files import MemberFolder
from alysd.commands.federation_members import MemberProcess, stop_all

SECONDS = 300.0
"""For what takes a process a fraction of a second, and minutes when other programs use all processors."""


@pytest.mark.parametrize("members", ["0", "10"])
def test_a_number_of_members_that_the_keyboard_cannot_name_is_refused(
    members: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["federation", "--members", members, "--folder", str(tmp_path / "new")]) == 2
    assert f"--members {members}: must be 1 to 9" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("option", [["--delay", "-1"], ["--jitter", "10001"], ["--delay", "nan"]])
def test_a_delay_that_no_link_can_have_is_refused(
    option: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["federation", *option, "--folder", str(tmp_path / "new")]) == 2
    assert ": must be 0 to 10000" in capsys.readouterr().err


@pytest.fixture
def member(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MemberProcess:
    """A member whose process writes its id and sleeps, instead of running a node."""
    program = (
        "import os, sys, time; os.getppid() == int(sys.argv.pop(1)) or sys.exit(1); "
        "print(os.getpid(), flush=True); time.sleep(600)"
    )
    monkeypatch.setattr(
        federation_members, "PROGRAM", federation_members.PROGRAM.partition("os.getppid")[0] + program
    )
    monkeypatch.setattr(federation_members, "STOP_SECONDS", SECONDS)
    return MemberProcess(MemberFolder(1, tmp_path / "alysd.toml", tmp_path / "log", "http://127.0.0.1:1"))


def eventually(condition: Callable[[], bool]) -> None:
    """Wait for another process, in real time."""
    until = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def written(member: MemberProcess) -> list[str]:
    return member.files.log.read_text().split()


def test_a_member_can_be_killed_started_paused_and_continued(member: MemberProcess) -> None:
    assert member.state == "not started"
    member.kill()
    member.start()
    eventually(lambda: len(written(member)) == 1)
    member.pause()
    pid = int(written(member)[0])
    eventually(lambda: "T (stopped)" in Path(f"/proc/{pid}/status").read_text())
    assert (member.state, member.alive) == ("paused", True)
    member.start()
    assert len(written(member)) == 1, "it runs already"
    member.resume()
    eventually(lambda: "T (stopped)" not in Path(f"/proc/{pid}/status").read_text())
    assert member.state == "running"
    member.kill()
    eventually(lambda: not member.alive)
    assert member.state == "killed by signal 9"
    member.pause()
    assert member.state == "killed by signal 9"
    member.start()
    eventually(lambda: len(written(member)) == 2)
    trio.run(stop_all, [member])
    assert member.state == "killed by signal 15"


def test_a_member_that_does_not_stop_is_killed(member: MemberProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would keep its ports, and the next start would fail."""
    monkeypatch.setattr(federation_members, "STOP_SECONDS", 0.2)
    deaf = federation_members.PROGRAM.replace("print(", "import signal; signal.signal(15, signal.SIG_IGN); print(")
    monkeypatch.setattr(federation_members, "PROGRAM", deaf)
    member.start()
    eventually(lambda: len(written(member)) == 1)
    member.pause()
    trio.run(stop_all, [member])
    assert member.state == "killed by signal 9"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_killed_command_leaves_no_member_behind(member: MemberProcess, tmp_path: Path) -> None:
    """Four nodes would go on in the background, with their ports, until the machine is restarted."""
    starter = (
        "import sys, time; from pathlib import Path; from alysd.commands import federation_members as all_; "
        "from alysd.commands.federation_files import MemberFolder; all_.PROGRAM = sys.argv[1]; "
        "all_.MemberProcess(MemberFolder(1, Path('x'), Path(sys.argv[2]), '')).start(); time.sleep(600)"
    )
    command = [sys.executable, "-c", starter, federation_members.PROGRAM, str(member.files.log)]
    with subprocess.Popen(command) as parent:
        try:
            eventually(lambda: member.files.log.exists() and len(written(member)) == 1)
        finally:
            parent.send_signal(signal.SIGKILL)
    pid = written(member)[0]
    eventually(
        lambda: not Path(f"/proc/{pid}").exists() or "Z (zombie)" in Path(f"/proc/{pid}/status").read_text()
    )
