"""The rights that a process gives up, tried in a separate process, also on kernels without these features."""

import ctypes
import os
import platform
import subprocess
import sys
from typing import Any

import pytest

from alysd.nurseries.processes import sandbox

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")

TRIES = """
import ctypes, os, subprocess, sys
from alysd.nurseries.processes import sandbox
if not os.getuid():  # root may read everything
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
libc = ctypes.CDLL(None)
libc.prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE, which a change of the user has cleared
if not os.fork():
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    missing = sandbox.enter(libc)
    for attempt in (
        os.setsid,
        lambda: os.setpgid(0, 0),
        lambda: subprocess.run(["true"], start_new_session=True),
        lambda: open(f"/proc/{os.getppid()}/environ").read(),
        lambda: os.kill(os.getppid(), 0),
        lambda: os.kill(os.getpid(), 0),
        lambda: subprocess.run(["true"], check=True),
    ):
        try:
            attempt()
        except PermissionError:
            print("refused")
        else:
            print("possible")
    print([name for name, _ in missing], flush=True)
    os._exit(0)
os.wait()
"""


@linux
@pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="no table of system calls")
def test_what_the_sandbox_refuses() -> None:
    libc = ctypes.CDLL(None)
    version = libc.syscall(sandbox.LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    ran = subprocess.run([sys.executable, "-c", TRIES], capture_output=True, text=True, check=True)
    *tried, missing = ran.stdout.splitlines()
    reads = "refused" if version >= 1 else "possible"
    signals = "refused" if version >= sandbox.SIGNALS_SINCE else "possible"
    assert tried == ["refused"] * 3 + [reads, signals, "possible", "possible"]
    assert missing == ("[]" if version >= 1 else "['Landlock']")


class Kernel:
    """A libc whose kernel has Landlock in this version, or fails at a step."""

    def __init__(self, version: int = 7, ruleset: bool = True, seccomp: bool = True) -> None:
        self.version = version
        self.ruleset = ruleset
        self.seccomp = seccomp
        self.rules = b""
        self.restricted: int | None = None

    def prctl(self, *_: Any) -> int:
        return 0 if self.seccomp else -1

    def syscall(self, number: int, first: Any, *others: Any) -> int:
        if number == sandbox.LANDLOCK_RESTRICT_SELF:
            self.restricted = first
            return 0
        if first is None:
            return self.version
        self.rules = first
        return os.open("/dev/null", os.O_RDONLY) if self.ruleset else -1


@pytest.mark.parametrize(("version", "rules"), [(7, 24), (6, 24), (5, 8), (1, 8)])
def test_the_kernel_is_asked_for_what_it_knows(version: int, rules: int) -> None:
    kernel: Any = Kernel(version)
    assert sandbox.leave_others_alone(kernel)
    assert len(kernel.rules) == rules
    assert kernel.restricted is not None
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.close(kernel.restricted)


def test_what_a_kernel_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for kernel in (Kernel(0, seccomp=False), Kernel(-1, seccomp=False), Kernel(ruleset=False, seccomp=False)):
        libc: Any = kernel
        assert [name for name, _ in sandbox.enter(libc)] == ["system call filter (seccomp)", "Landlock"]
        assert kernel.restricted is None
    libc = Kernel()
    assert sandbox.enter(libc) == []
    monkeypatch.setattr(platform, "machine", lambda: "mips")
    assert [name for name, _ in sandbox.enter(libc)] == ["system call filter (seccomp)"]
