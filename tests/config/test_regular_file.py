"""Files that others may have replaced are opened at once, and only if they are regular files."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from alysd.config.regular_file import open_regular, read_regular


def pipe(path: Path) -> None:
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.mkdir()


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (pipe, "not a regular file"),
        (folder, "Is a directory"),
        (device, "not a regular file"),
        (unix_socket, "No such device or address"),
    ],
)
def test_other_things_are_refused_at_once(tmp_path: Path, make: Callable[[Path], None], reason: str) -> None:
    path = tmp_path / "it"
    make(path)
    with pytest.raises(OSError, match=".") as raised:
        read_regular(path, 100)
    assert raised.value.strerror == reason
    assert isinstance(raised.value, IsADirectoryError) is (make is folder)


def test_a_pipe_is_not_waited_for_to_write(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "it")
    with pytest.raises(OSError, match="No such device or address"):
        open_regular(tmp_path / "it", os.O_WRONLY)
    reader = os.open(tmp_path / "it", os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(OSError, match="not a regular file"):
        open_regular(tmp_path / "it", os.O_WRONLY)
    os.close(reader)


def test_a_file_of_the_largest_size_is_read(tmp_path: Path) -> None:
    (tmp_path / "it").write_bytes(b"x" * 100)
    assert read_regular(tmp_path / "it", 100) == b"x" * 100
    with pytest.raises(OSError, match="it is larger than 99 bytes"):
        read_regular(tmp_path / "it", 99)


def test_no_descriptor_is_left(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(10):
        with pytest.raises(IsADirectoryError):
            open_regular(tmp_path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
