"""The messages to systemd, received on a socket of the test."""

import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from alysd.integrations.systemd import Notifier


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """systemd's end of the socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(tmp_path / "notify"))
        end.settimeout(5)
        yield end


def notifier_of(manager: socket.socket) -> Notifier:
    """A notifier that was told of this socket."""
    return Notifier({"NOTIFY_SOCKET": manager.getsockname()})


def test_each_state_is_told_in_systemds_words(manager: socket.socket) -> None:
    """systemd would never see the node ready, and kill it as stuck."""
    notifier = notifier_of(manager)
    notifier.ready()
    notifier.watchdog()
    notifier.status("head 12\nREADY=1")
    notifier.stopping()
    assert [manager.recv(999) for _ in range(4)] == [
        b"READY=1",
        b"WATCHDOG=1",
        b"STATUS=head 12 READY=1",
        b"STOPPING=1\nSTATUS=stopping",
    ]
    notifier.close()
    notifier.ready()
    manager.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.recv(999)


def test_a_reload_is_told_with_its_time(manager: socket.socket) -> None:
    """systemd ignores a reload without the time (systemd.service(5), notify-reload)."""
    before = time.monotonic_ns() // 1000
    notifier = notifier_of(manager)
    notifier.reloading()
    notifier.close()
    found = re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=(\d+)", manager.recv(999))
    assert found is not None
    assert before <= int(found[1]) <= time.monotonic_ns() // 1000


def test_an_abstract_socket_is_found() -> None:
    """systemd uses one inside some containers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(f"\0alysd-test-{os.getpid()}")
        end.settimeout(5)
        notifier = Notifier({"NOTIFY_SOCKET": f"@alysd-test-{os.getpid()}"})
        notifier.ready()
        assert end.recv(99) == b"READY=1"
        notifier.close()


def test_without_systemd_nothing_happens() -> None:
    """The node would not run from a shell."""
    notifier = Notifier({})
    notifier.ready()
    notifier.stopping()
    assert notifier.watchdog_seconds is None
    notifier.close()


def test_a_deaf_manager_never_holds_up_the_node(manager: socket.socket) -> None:
    """The daemon would stand still because its supervisor does."""
    notifier = notifier_of(manager)
    for _ in range(10_000):
        notifier.watchdog()
    manager.close()
    notifier.ready()
    notifier.close()


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"WATCHDOG_USEC": "180000000"}, 180.0),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": str(os.getpid())}, 0.5),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdogs_interval_is_for_this_process_only(
    environment: dict[str, str], seconds: float | None
) -> None:
    """A child would feed its parent's watchdog, or nobody any."""
    assert Notifier(environment).watchdog_seconds == seconds
