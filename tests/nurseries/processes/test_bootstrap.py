"""The rights that a new process gives up, without giving them up in the process of the tests."""

import ctypes
import os
import resource
import socket
import sys
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import pytest
import trio

from alysd.nurseries.processes import bootstrap
from alysd.nurseries.processes.progress import Progress, progress_file


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


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The options of a process whose rights and limits stay those of the tests."""
    near, far = socket.socketpair()
    monkeypatch.setattr(bootstrap, "give_up_rights", Mock(return_value=[("Landlock", "reading")]))
    monkeypatch.setattr(bootstrap, "limit_resources", Mock())
    yield {
        "parent": 1,
        "memory": None,
        "files": 64,
        "nice": 0,
        "socket": near.detach(),
        "progress": progress_file(),
    }
    far.close()


def hosting(monkeypatch: pytest.MonkeyPatch, error: BaseException | None) -> list[int]:
    """Let the actor of the process end at once, with an error or without. Returns the numbers that it began."""
    began: list[int] = []

    async def run(end: socket.socket, progress: Progress) -> None:
        await trio.lowlevel.checkpoint()
        assert not end.getblocking()
        assert not os.get_inheritable(end.fileno())
        progress.begin(3)
        began.append(progress.begun)
        progress.close()
        end.close()
        if error is not None:
            raise BaseExceptionGroup("of a nursery", [error])

    monkeypatch.setattr(bootstrap, "host", run)
    return began


def test_a_process_hosts_its_actor(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    began = hosting(monkeypatch, None)
    bootstrap.main(options)
    assert began == [3]
    assert caplog.messages == ["this kernel has no Landlock, so the process is not kept from reading"]


@pytest.mark.parametrize(
    ("error", "raised"), [(SystemExit(3), SystemExit), (ValueError("bad"), BaseExceptionGroup)]
)
def test_an_exit_of_a_handler_is_the_exit_of_the_process(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, error: BaseException, raised: type[BaseException]
) -> None:
    hosting(monkeypatch, error)
    with pytest.raises(raised) as caught:
        bootstrap.main(options)
    assert isinstance(caught.value, BaseExceptionGroup) or caught.value is error


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
