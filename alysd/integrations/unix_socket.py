"""Unix sockets that only the owner of a process can use."""

import socket
import stat
import struct
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import trio

from alysd.errors import ConfigError

CONNECTIONS_WAITING = 128
"""The number of connections that the kernel keeps until the process accepts them.

This many are enough for a script that starts many commands at once: the node can answer that it is busy. With
fewer, the script's connections would fail.
"""

_PEER_CREDENTIALS = struct.Struct("3i")  # struct ucred: process id, user id, group id


@contextmanager
def listening(path: Path) -> Generator[trio.SocketListener]:
    """Make the socket at `path`, and remove it afterwards. Replaces a socket that a killed process has left.

    The caller holds a lock, so that no other process of its kind uses that socket. Raises `ConfigError`
    when another kind of file is at `path`. At the end the socket is removed, unless another process has replaced
    it.
    """
    if path.exists() or path.is_symlink():
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ConfigError(f"{path} is not a socket: move it away, because a socket is made there")
        path.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(path))
        made = _identity(path)
        try:
            path.chmod(0o600)  # before it listens, so that nobody has connected yet
            listening.listen(CONNECTIONS_WAITING)
            yield trio.SocketListener(trio.socket.from_stdlib_socket(listening))
        finally:
            if _identity(path) == made:
                path.unlink()


def _identity(path: Path) -> tuple[int, int] | None:
    """The device and inode of a file, which identify the file while it exists; None if there is no file."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def peer_user(stream: trio.SocketStream) -> int:
    """The user id of the process that connected, as the kernel tells it."""
    data = stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_CREDENTIALS.size)
    _process, user, _group = _PEER_CREDENTIALS.unpack(data)
    return cast("int", user)
