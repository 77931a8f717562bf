"""The control socket, by which `alysd actors` and `alysd clock` control a running node.

It is a Unix socket in the data folder, with mode 0600, for processes of the node's own user and of root. A
connection has one request and one answer, each a line of JSON:

    {"command": "suspend", "name": "engine"}      →  {"name": "engine", "critical": true}
    {"command": "accept_clock"}                   →  {"step": 3600.0}
    {"command": "restart", "name": "nonsense"}    →  {"error": "unknown_child", "message": "there is no child …"}
"""

import json
import os
import socket
import stat
import struct
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import trio

from alysd.api.system_handle import SystemHandle
from alysd.errors import ConfigError, NotNow
from alysd.messages.log.base import log
from alysd.messages.log.process import OperatorCommand
from alysd.nurseries import ChildSnapshot, Priority, UnknownChild, WrongState
from alysd.wire.json_input import parse_json
from alysd.workflows.clock_watch import ClockWatch

CHILD = "control socket"
"""The name of the task that serves the control socket."""

ACCEPT_CLOCK = "accept_clock"
"""The command that makes the node trust the present time of the machine's clock."""

MAX_REQUEST_BYTES = 4096
"""The maximum length of a request's line. The longest name of a child has some twenty bytes."""

MAX_CONNECTIONS = 8
"""The maximum number of open connections. A person types one command at a time, a script starts a few."""

CONNECTIONS_WAITING = 128
"""The number of connections that the kernel keeps until the node accepts them.

This many are enough for a script that starts many commands at once: the node can answer that it is busy. With
fewer, the script's connections would fail.
"""

REQUEST_SECONDS = 2.0
"""Deadline for a request to arrive, and again for its answer to be sent."""

_PEER_CREDENTIALS = struct.Struct("3i")  # struct ucred: process id, user id, group id


class ControlRefused(Exception):
    """A request is not carried out. `error` names the reason for programs; the message is for people."""

    def __init__(self, error: str, message: str) -> None:
        self.error = error
        super().__init__(message)


class ControlSocket:
    """Serves the socket at `path` for the system of `handle`; `run` is a task of the tree."""

    def __init__(self, path: Path, handle: SystemHandle, watch: ClockWatch) -> None:
        self._path = path
        self._watch = watch
        self._handle = handle
        self._connections = 0

    async def run(self) -> None:
        """Make the socket and serve it until cancelled, then remove it."""
        with _listening(self._path) as listener:
            await trio.serve_listeners(self._serve, [listener])

    async def _serve(self, stream: trio.SocketStream) -> None:
        self._connections += 1
        try:
            async with stream:
                answer = await self._answer(stream)
                with trio.move_on_after(REQUEST_SECONDS):
                    await stream.send_all(json.dumps(answer).encode() + b"\n")
        except trio.BrokenResourceError:
            return  # the peer has gone: there is nobody to answer
        finally:
            self._connections -= 1

    async def _answer(self, stream: trio.SocketStream) -> dict[str, Any]:
        try:
            user = _peer_user(stream)
            if user not in (os.geteuid(), 0):
                raise ControlRefused("not_permitted", "only the node's own user and root may control this node")
            if self._connections > MAX_CONNECTIONS:
                raise ControlRefused(
                    "busy", f"{MAX_CONNECTIONS} other commands are running; try again when one has ended"
                )
            return await self._carry_out(_parse(await _read_line(stream)), user)
        except ControlRefused as error:
            return {"error": error.error, "message": str(error)}
        except UnknownChild as error:
            return {"error": "unknown_child", "message": f"{error}; `alysd actors list` shows all"}
        except WrongState as error:
            return {"error": "wrong_state", "message": str(error)}
        except NotNow as error:
            return {"error": "not_now", "message": str(error)}

    async def _carry_out(self, request: dict[str, str], user: int) -> dict[str, Any]:
        if request["command"] == ACCEPT_CLOCK:
            log(OperatorCommand(ACCEPT_CLOCK, "clock", user))
            return {"step": self._watch.accept()}
        system = self._handle.up()
        tree, command, name = system.snapshot(), request["command"], request.get("name", "")
        if command == "list":
            return {"children": [_child_json(child) for child in tree.walk()]}
        child = next((child for child in tree.walk() if child.name == name), None)
        if child is None:
            raise UnknownChild(name)
        if command == "restart" and any(below.name == CHILD for below in child.walk()):
            raise ControlRefused(
                "own_child",
                f"{name} is or contains the control socket, which executes this command: restart the node instead",
            )
        log(OperatorCommand(command, name, user))
        if command == "restart":
            await system.restart(name)
        elif command == "suspend":
            system.suspend(name)
        else:
            system.resume(name)
        return {"name": name, "critical": child.priority is Priority.CRITICAL}


def _child_json(child: ChildSnapshot) -> dict[str, Any]:
    return {
        "name": child.name,
        "kind": child.kind,
        "state": child.state.value,
        "health": child.health.value,
        "priority": child.priority.name.lower(),
        "restarts": child.restarts,
        "waiting": None if child.mailbox is None else child.mailbox.depth,
    }


@contextmanager
def _listening(path: Path) -> Generator[trio.SocketListener]:
    """Make the socket at `path`, and remove it afterwards. Replaces a socket that a killed node has left.

    No other node uses that socket, because this node has locked the data folder. Raises `ConfigError` when another
    kind of file is at `path`. At the end the socket is removed, unless another process has replaced it.
    """
    if path.exists() or path.is_symlink():
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ConfigError(f"{path} is not a socket: move it away, because the control socket needs this path")
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


def _peer_user(stream: trio.SocketStream) -> int:
    """The user id of the process that connected, as the kernel tells it."""
    data = stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_CREDENTIALS.size)
    _process, user, _group = _PEER_CREDENTIALS.unpack(data)
    return cast("int", user)


async def _read_line(stream: trio.SocketStream) -> bytes:
    """Receive a line, without its end. Raises `ControlRefused` if it is too long, too slow or incomplete."""
    line = bytearray()
    with trio.move_on_after(REQUEST_SECONDS):
        while len(line) <= MAX_REQUEST_BYTES:
            data = await stream.receive_some(MAX_REQUEST_BYTES)
            line += data
            first, end, _rest = bytes(line).partition(b"\n")
            if end:
                return first
            if not data:
                words = f"the request has {len(line)} bytes and no end of line: end it with one"
                raise ControlRefused("malformed", words)
        raise ControlRefused("malformed", f"the request has more than {MAX_REQUEST_BYTES} bytes")
    raise ControlRefused("too_slow", f"the request was not complete within {REQUEST_SECONDS:g} s")


def _parse(line: bytes) -> dict[str, str]:
    """Decode a request. It has a `command`, and a `name` if the command is about a child.

    Raises `ControlRefused` if the line is no such request.
    """
    try:
        request: object = parse_json(line)
    except ValueError:
        raise ControlRefused("malformed", f"the request is not JSON: {line[:40]!r}") from None
    for command in ("list", ACCEPT_CLOCK):
        if request == {"command": command}:
            return {"command": command}
    fields = cast("dict[str, object]", request) if isinstance(request, dict) else {}
    command, name = fields.get("command"), fields.get("name")
    if len(fields) == 2 and isinstance(name, str) and command in ("restart", "suspend", "resume"):
        return {"command": cast("str", command), "name": name}
    words = (
        'a request is {"command": "list"}, {"command": "accept_clock"}, or restart, suspend or resume with the '
        '"name" of a child'
    )
    raise ControlRefused("malformed", words)
