"""Addresses that exclude each other, and places that a node could never use."""

import itertools
import os
import socket
from pathlib import Path

import pytest

from alysd.config.addresses import ListenAddress
from alysd.config.chain_sections import StorageConfig
from alysd.config.places import check_address, check_storage, collide
from alysd.testing.processes import free_ports

SAME = (
    ("127.0.0.1", "127.0.0.1"),
    ("127.0.0.1", "0.0.0.0"),  # noqa: S104  an address in a test
    ("127.0.0.1", "localhost"),
    ("0.0.0.0", "localhost"),  # noqa: S104
    ("::1", "localhost"),
    ("::", "localhost"),
    ("::", "::1"),
)
OTHERS = (("127.0.0.1", "127.0.0.2"), ("0.0.0.0", "::"), ("127.0.0.1", "::1"))  # noqa: S104


@pytest.mark.parametrize(("one", "other"), SAME)
def test_addresses_that_overlap_need_two_ports(one: str, other: str) -> None:
    """`check` would approve what `run` refuses."""
    for a, b in itertools.permutations((one, other)):
        assert collide(ListenAddress(a, 3000), ListenAddress(b, 3000))
        assert not collide(ListenAddress(a, 3000), ListenAddress(b, 3001))


@pytest.mark.parametrize(("one", "other"), OTHERS)
def test_other_addresses_may_share_a_port(one: str, other: str) -> None:
    assert not collide(ListenAddress(one, 3000), ListenAddress(other, 3000))


def test_an_address_of_another_machine_is_refused() -> None:
    """192.0.2.1 is for documentation (RFC 5737): no machine has it."""
    reason = check_address(ListenAddress("192.0.2.1", 3000))
    assert reason is not None
    assert reason.startswith("cannot be opened: Cannot assign")


def test_an_address_in_use_or_free_is_no_mistake() -> None:
    """`check` beside the running node would refuse its configuration."""
    (port,) = free_ports(1)
    assert check_address(ListenAddress("127.0.0.1", port)) is None
    assert check_address(ListenAddress("localhost", port)) is None
    with socket.create_server(("127.0.0.1", port)):
        assert check_address(ListenAddress("127.0.0.1", port)) is None


def test_a_port_that_only_root_may_open_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    assert check_address(ListenAddress("127.0.0.1", 80)) == (
        "may not be opened by this user; choose a port above 1023"
    )


def test_a_data_folder_is_not_made_by_the_check(tmp_path: Path) -> None:
    assert check_storage(StorageConfig(tmp_path / "a" / "b")) is None
    assert check_storage(StorageConfig(tmp_path)) is None
    assert os.listdir(tmp_path) == []  # noqa: PTH208  with hidden ones


@pytest.mark.parametrize("path", ["file", "file/below", "/proc/alysd", "/dev/null/x"])
def test_a_data_folder_that_cannot_be_made_is_refused(path: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    reason = check_storage(StorageConfig(tmp_path / path))
    assert reason is not None
    assert reason.startswith("cannot be used: ")


@pytest.mark.parametrize("folder", [True, False])
def test_another_file_in_place_of_the_control_socket_is_refused(tmp_path: Path, folder: bool) -> None:
    """The node would fail at it again and again."""
    path = tmp_path / "control.sock"
    path.mkdir() if folder else path.touch()
    assert check_storage(StorageConfig(tmp_path)) == (
        f"{path} is not a socket: move it away, because the control socket needs this path"
    )
