"""The control socket, by which `alysd actors`, `alysd clock` and `alysd config` control a running node.

It is a Unix socket in the data folder, with mode 0600, for processes of the node's own user and of root. A
connection has one request and one answer, each a line of JSON:

    {"command": "suspend", "name": "engine"}      →  {"name": "engine", "critical": true}
    {"command": "show_status"}                    →  {"status": {…}}, the page /status
    {"command": "accept_clock"}                   →  {"step": 3600.0}
    {"command": "compare_config"}                 →  {"changes": [{"key": "logging.level", …}]}
    {"command": "reload_config"}                  →  {"changes": […]}, of which the live ones are in force now
    {"command": "schedule_config", "height": 900} →  {"changes": […]}; "time" in Unix seconds instead of "height"
    {"command": "cancel_schedule"}                →  {"cancelled": true}
    {"command": "submit_update", "update": "0100…"} →  {"new": true}: the node keeps a change of the federation
    {"command": "restart", "name": "nonsense"}    →  {"error": "unknown_child", "message": "there is no child …"}
"""

import json
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, cast

import attrs
import trio

from alysd.api.system_handle import SystemHandle
from alysd.consensus.update_violations import InvalidUpdate, NoGovernance
from alysd.errors import ConfigRefused, Malformed, NotNow
from alysd.integrations.unix_socket import listening, peer_user
from alysd.messages.configuration import (
    CancelSchedule,
    CompareConfig,
    Configuration,
    ReloadConfig,
    ScheduleReload,
)
from alysd.messages.federation_update import FederationUpdates, SubmitFederationUpdate
from alysd.messages.log.base import log
from alysd.messages.log.process import OperatorCommand
from alysd.nurseries import Address, ChildSnapshot, NotAnswered, Priority, UnknownChild, WrongState
from alysd.timing import Timing
from alysd.types.configuration import OptionChange, ReloadTime
from alysd.wire.federation_update import MAX_UPDATE_BYTES, decode_update
from alysd.wire.json_input import parse_json
from alysd.workflows.clock_watch import ClockWatch

CHILD = "control socket"
"""The name of the task that serves the control socket."""

ACCEPT_CLOCK = "accept_clock"
"""The command that makes the node trust the present time of the machine's clock."""

COMPARE_CONFIG = "compare_config"
"""The command that compares the files of the configuration with the configuration in force."""

RELOAD_CONFIG = "reload_config"
"""The command that reloads the configuration."""

SCHEDULE_CONFIG = "schedule_config"
"""The command that schedules a reload of the configuration for a `time` or a `height`."""

CANCEL_SCHEDULE = "cancel_schedule"
"""The command that cancels the scheduled reload."""

SUBMIT_UPDATE = "submit_update"
"""The command that gives the node a signed change of the federation, in SSZ and hex."""

SHOW_STATUS = "show_status"
"""The command that answers with the page /status, for `alysd status`."""

WITHOUT_NAME = ("list", SHOW_STATUS, ACCEPT_CLOCK, COMPARE_CONFIG, RELOAD_CONFIG, CANCEL_SCHEDULE)
"""The commands that are not about a child."""

MAX_TIME = 2**40
"""The latest time in Unix seconds, and the highest height, of a scheduled reload."""

MAX_REQUEST_BYTES = 2 * MAX_UPDATE_BYTES + 1024
"""The maximum length of a request's line: a change of the federation in hex."""

MAX_CONNECTIONS = 8
"""The maximum number of open connections. A person types one command at a time, a script starts a few."""

REQUEST_SECONDS = 2.0
"""Deadline for a request to arrive, and again for its answer to be sent."""


class ControlRefused(Exception):
    """A request is not carried out. `error` names the reason for programs; the message is for people."""

    def __init__(self, error: str, message: str) -> None:
        self.error = error
        super().__init__(message)


class ControlSocket:
    """Serves the socket at `path` for the system of `handle`; `run` is a task of the tree.

    `status` makes the data of `alysd status`.
    """

    def __init__(
        self,
        path: Path,
        handle: SystemHandle,
        watch: ClockWatch,
        configuration: Address[Configuration],
        timing: Timing,
        updates: Address[FederationUpdates] | None = None,
        *,
        status: Callable[[], Awaitable[dict[str, Any]]],
    ) -> None:
        self._status = status
        self._updates = updates
        self._update_seconds = timing.storage_write + timing.chain_lookup
        self._path = path
        self._configuration = configuration
        self._seconds = timing.config_reload
        self._watch = watch
        self._handle = handle
        self._connections = 0

    async def run(self) -> None:
        """Make the socket and serve it until cancelled, then remove it."""
        with listening(self._path) as listener:
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
            user = peer_user(stream)
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
        except (NotNow, NotAnswered) as error:
            return {"error": "not_now", "message": str(error)}
        except ConfigRefused as error:
            return {"error": "config_refused", "message": str(error)}
        except (InvalidUpdate, Malformed) as error:
            return {"error": "update_refused", "rule": type(error).__name__, "message": str(error)}

    async def _carry_out(self, request: dict[str, Any], user: int) -> dict[str, Any]:
        if request["command"] == SHOW_STATUS:
            return {"status": await self._status()}
        if request["command"] == ACCEPT_CLOCK:
            log(OperatorCommand(ACCEPT_CLOCK, "clock", user))
            return {"step": self._watch.accept()}
        if request["command"] in (COMPARE_CONFIG, RELOAD_CONFIG):
            return {"changes": [attrs.asdict(one) for one in await self._changes(request["command"], user)]}
        if request["command"] in (SCHEDULE_CONFIG, CANCEL_SCHEDULE):
            return await self._schedule(request, user)
        if request["command"] == SUBMIT_UPDATE:
            return {"new": await self._submit(request["update"], user)}
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

    async def _schedule(self, request: dict[str, Any], user: int) -> dict[str, Any]:
        """Schedule a reload, or cancel it. Raises `ConfigRefused`, or `NotAnswered`."""
        origin = f"alysd config schedule, by the user with the id {user}"
        log(OperatorCommand(request["command"], "configuration", user))
        if request["command"] == CANCEL_SCHEDULE:
            found = await self._configuration.ask(CancelSchedule(origin), seconds=self._seconds)
            return {"cancelled": found is not None}
        when = ReloadTime(request.get("time"), request.get("height"))
        scheduled = await self._configuration.ask(ScheduleReload(when, origin), seconds=self._seconds)
        return {"changes": [attrs.asdict(one) for one in scheduled.changes]}

    async def _submit(self, text: str, user: int) -> bool:
        """Give the node a change of the federation. Raises `InvalidUpdate`, `Malformed` or `NotAnswered`."""
        if self._updates is None:
            raise NoGovernance
        try:
            update = decode_update(bytes.fromhex(text))
        except ValueError:
            raise ControlRefused("malformed", "the update is not hex") from None
        log(OperatorCommand(SUBMIT_UPDATE, "federation updates", user))
        return await self._updates.ask(SubmitFederationUpdate(update), seconds=self._update_seconds)

    async def _changes(self, command: str, user: int) -> Sequence[OptionChange]:
        """Compare or reload. Raises `ConfigRefused`, or `NotAnswered`."""
        if command == COMPARE_CONFIG:
            return await self._configuration.ask(CompareConfig(), seconds=self._seconds)
        log(OperatorCommand(command, "configuration", user))
        reload = ReloadConfig(f"alysd config reload, by the user with the id {user}")
        return (await self._configuration.ask(reload, seconds=self._seconds)).changes


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


def _parse(line: bytes) -> dict[str, Any]:
    """Decode a request. It has a `command`, a `name` if the command is about a child, and the time of a schedule.

    Raises `ControlRefused` if the line is no such request.
    """
    try:
        request: object = parse_json(line)
    except ValueError:
        raise ControlRefused("malformed", f"the request is not JSON: {line[:40]!r}") from None
    for command in WITHOUT_NAME:
        if request == {"command": command}:
            return {"command": command}
    fields = cast("dict[str, object]", request) if isinstance(request, dict) else {}
    command, name, update = fields.get("command"), fields.get("name"), fields.get("update")
    if len(fields) == 2 and command == SUBMIT_UPDATE and isinstance(update, str):
        return {"command": SUBMIT_UPDATE, "update": update}
    if len(fields) == 2 and isinstance(name, str) and command in ("restart", "suspend", "resume"):
        return {"command": cast("str", command), "name": name}
    when = fields.get("time", fields.get("height"))
    if command == SCHEDULE_CONFIG and len(fields) == 2 and type(when) is int and 0 <= when <= MAX_TIME:
        return {**fields}
    words = (
        'a request is {"command": "list"}, "show_status", "accept_clock", "compare_config", "reload_config" or '
        '"cancel_schedule", schedule_config with a "time" in Unix seconds or a "height", or restart, suspend or '
        'resume with the "name" of a child, or submit_update with an "update"'
    )
    raise ControlRefused("malformed", words)
