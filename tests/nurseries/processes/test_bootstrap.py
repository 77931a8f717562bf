"""What a new process gives up, without giving it up in the process of the tests."""

import ctypes
import os
import resource
import sys
from typing import Any

import pytest

from alysd.nurseries.processes import bootstrap


class Libc:
    def __init__(self, result: int = 0) -> None:
        self.options: list[tuple[int, int]] = []
        self.result = result
        self.calls: list[int] = []

    def prctl(self, option: int, value: Any, *_: Any) -> int:
        self.options.append((option, value.value))
        return self.result

    def syscall(self, number: int, *_: Any) -> int:
        self.calls.append(number)
        return -1


@pytest.fixture
def libc(monkeypatch: pytest.MonkeyPatch) -> Libc:
    found = Libc()

    def load(name: str | None, use_errno: bool) -> Libc:
        return found

    monkeypatch.setattr(ctypes, "CDLL", load)
    monkeypatch.setattr(sys, "platform", "linux")
    return found


def test_rights_are_given_up(libc: Libc) -> None:
    missing = bootstrap.give_up_rights(os.getppid())
    assert libc.options == [(1, 9), (38, 1), (4, 0), (22, 2)]
    assert missing == [("Landlock", "reading the memory of other processes of its user")]


def test_a_process_whose_parent_has_ended_ends(libc: Libc) -> None:
    with pytest.raises(SystemExit, match="the parent has ended"):
        bootstrap.give_up_rights(-1)


def test_a_kernel_that_refuses_ends_the_process(libc: Libc) -> None:
    libc.result = -1
    with pytest.raises(OSError, match=r"prctl\(1\) failed"):
        bootstrap.give_up_rights(os.getppid())


def test_other_systems_have_no_such_rights(libc: Libc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    bootstrap.give_up_rights(-1)
    assert libc.options == []


@pytest.mark.parametrize("memory", [None, 1 << 28])
def test_limits_are_lowered_and_never_raised(monkeypatch: pytest.MonkeyPatch, memory: int | None) -> None:
    limits: dict[int, tuple[int, int]] = {}
    priorities: list[int] = []
    hard = {resource.RLIMIT_NOFILE: 100, resource.RLIMIT_CORE: resource.RLIM_INFINITY}

    def getrlimit(kind: int) -> tuple[int, int]:
        return 0, hard.get(kind, 1 << 40)

    monkeypatch.setattr(resource, "getrlimit", getrlimit)
    monkeypatch.setattr(resource, "setrlimit", limits.__setitem__)
    monkeypatch.setattr(os, "nice", priorities.append)
    bootstrap.limit_resources(memory, 256, 5)
    assert limits.pop(resource.RLIMIT_DATA, (None, None)) == (memory, memory)
    assert limits == {resource.RLIMIT_CORE: (0, 0), resource.RLIMIT_NOFILE: (100, 100)}
    assert priorities == [5]
