"""The control socket: its commands on a real system, and clients that send nonsense, too much, or too slowly."""

import itertools
import json
import os
import socket
import stat
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from alysd.actors.configuration import ConfigurationActor, ReloadReports
from alysd.api import control
from alysd.api.control import CHILD, MAX_CONNECTIONS, MAX_REQUEST_BYTES, REQUEST_SECONDS, ControlSocket
from alysd.api.system_handle import SystemHandle
from alysd.config.chain_sections import ChainConfig
from alysd.config.config_source import ConfigSource
from alysd.config.model import AlysConfig
from alysd.config.operation_sections import LoggingConfig
from alysd.config.problems import InvalidConfig
from alysd.errors import ConfigError, ConfigRefused, NotNow
from alysd.messages.configuration import Configuration
from alysd.messages.log.base import LogEvent
from alysd.messages.log.process import OperatorCommand
from alysd.nurseries import (
    Actor,
    Address,
    Ask,
    HealthMonitor,
    Immediate,
    OneForOne,
    Priority,
    State,
    System,
    actor,
    handles,
    open_system,
    supervisor,
    task,
)
from alysd.testing.virtual_time import VirtualClock
from alysd.timing import Timing
from alysd.types.configuration import Reload
from alysd.types.latest import Latest
from alysd.types.units import Height
from alysd.workflows.clock_watch import ClockWatch
from alysd.workflows.config_reload import ConfigMemory, ConfigReload

CONFIGURATION: Address[Configuration] = Address("configuration")


@attrs.frozen
class AnyPart:
    """A part of the node that takes the only new option."""

    keys: frozenset[str] = frozenset({"logging.level"})
    children: frozenset[str] = frozenset()

    async def apply(self, config: AlysConfig) -> None:
        assert config.logging.level == "debug"
        await trio.lowlevel.checkpoint()


class AnyNode:
    """A healthy node at height 5."""

    def failure(self, children: frozenset[str], since: float) -> str:
        return ""

    async def unhealthy_reason(self) -> str:
        await trio.lowlevel.checkpoint()
        return ""

    async def head(self) -> Height:
        await trio.lowlevel.checkpoint()
        return Height(5)

    def add(self, reload: Reload) -> None:
        """Forget it."""


def configuration(files: Iterator[str]) -> ConfigurationActor:
    """The configuration actor. At each reading, `files` have the next of these log levels."""
    start = AlysConfig(chain=ChainConfig(Path("chain.toml")))

    def load() -> AlysConfig:
        level = next(files)
        if level not in ("info", "debug"):
            raise InvalidConfig(["a: wrong", "b: wrong"])
        return attrs.evolve(start, logging=LoggingConfig(level))

    memory, timing, view = ConfigMemory(start), Timing(2), AnyNode()
    reload = ConfigReload(memory, ConfigSource(load), [AnyPart()], view, VirtualClock(), timing)
    reports = ReloadReports(lambda _: None, lambda _: None, view)
    return ConfigurationActor(memory, reload, ConfigSource(load), view.head, reports, timing)


class Echo:
    """A protocol."""


@attrs.frozen
class Ping(Ask[Echo, int]):
    """Answered with the number of the instance."""


class EchoActor(Actor[Echo]):
    made = 0

    def __init__(self) -> None:
        EchoActor.made += 1
        self._number = EchoActor.made

    @handles(Ping)
    async def ping(self, message: Ping) -> int:
        return self._number


@attrs.frozen
class Controlled:
    """A system with a control socket, and an actor `echo` on which, so its priority says, blocks depend."""

    path: Path
    system: System
    echo: Address[Echo]

    def state(self, name: str) -> State:
        return next(child.state for child in self.system.snapshot().walk() if child.name == name)

    async def send(self, data: bytes) -> Any:
        """The answer to these bytes, after which nothing more is sent."""
        async with await trio.open_unix_socket(str(self.path)) as stream:
            await send_what_is_taken(stream, data)
            return await answer(stream)

    async def command(self, command: str, name: str | None = None) -> Any:
        request = {"command": command} | ({} if name is None else {"name": name})
        return await self.send(json.dumps(request).encode() + b"\n")


async def send_what_is_taken(stream: trio.SocketStream, data: bytes) -> None:
    """Send these bytes and no more; the node may refuse before it has read them."""
    try:
        await stream.send_all(data)
        await stream.send_eof()
    except trio.BrokenResourceError:
        return


async def answer(stream: trio.SocketStream) -> Any:
    """The answer that the socket sends before it closes the connection."""
    line = b""
    while not line.endswith(b"\n"):
        line += await stream.receive_some()
    return json.loads(line)


async def some_status() -> dict[str, Any]:
    """The data of `alysd status`; none while the node starts."""
    await trio.lowlevel.checkpoint()
    if STARTING.value:
        raise NotNow("the node is starting")
    return {"health": {"status": "healthy"}}


STARTING = Latest(False)


def control_socket(path: Path, handle: SystemHandle, clock: VirtualClock | None = None) -> ControlSocket:
    """The socket of a node with slots of 2 s, beside this clock."""
    watch = ClockWatch(clock or VirtualClock(), 2)
    return ControlSocket(path, handle, watch, CONFIGURATION, Timing(2), status=some_status)


@asynccontextmanager
async def controlled(folder: Path, clock: VirtualClock | None = None) -> AsyncGenerator[Controlled]:
    handle = SystemHandle(HealthMonitor())
    path = folder / "control.sock"
    echo: Address[Echo] = Address("echo", capacity=8)
    socket = control_socket(path, handle, clock)
    root = supervisor("Root", OneForOne(), [
        actor(echo, EchoActor, restart=Immediate(), priority=Priority.CRITICAL),
        task("sleeper", trio.sleep_forever),
        supervisor("ApiSupervisor", OneForOne(), [task(CHILD, socket.run)]),
    ])  # fmt: skip
    async with open_system(root) as handle.system:
        await handle.system.started()
        await trio.testing.wait_all_tasks_blocked()  # the socket is made without any wait
        yield Controlled(path, handle.system, echo)


async def test_only_the_owner_may_open_the_file(tmp_path: Path) -> None:
    async with controlled(tmp_path) as node:
        assert stat.S_IMODE(node.path.stat().st_mode) == 0o600
    assert not node.path.exists(), "a node that has ended leaves none"


async def test_the_status_is_shown_without_any_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator whose file is broken does not know the port of the node, or cannot reach it."""
    async with controlled(tmp_path) as node:
        assert await node.command("show_status") == {"status": {"health": {"status": "healthy"}}}
        monkeypatch.setattr(STARTING, "value", True)
        assert await node.command("show_status") == {"error": "not_now", "message": "the node is starting"}


async def test_a_clock_that_was_set_is_accepted(tmp_path: Path, logged: list[LogEvent]) -> None:
    """The node would make no blocks for ten minutes although a person knows better."""
    clock = VirtualClock()
    async with controlled(tmp_path, clock) as node:
        assert await node.command("accept_clock") == {"step": 0.0}
        clock.offset += 3600
        assert (await node.command("accept_clock"))["step"] == pytest.approx(3600.0)
        assert await node.command("accept_clock") == {"step": 0.0}
    assert [event.name for event in logged if "clock" in event.name] == ["clock_stepped", "clock_believed"]


async def test_the_configuration_is_compared_and_reloaded(tmp_path: Path, logged: list[LogEvent]) -> None:
    handle, path = SystemHandle(HealthMonitor()), tmp_path / "control.sock"
    files = iter(["debug", "debug", "loud"])
    root = supervisor("Root", OneForOne(), [
        actor(CONFIGURATION, lambda: configuration(files), restart=Immediate()),
        task(CHILD, control_socket(path, handle).run),
    ])  # fmt: skip
    change = {"key": "logging.level", "old": '"info"', "new": '"debug"', "live": True, "restarts": ""}
    async with open_system(root, refusals=[ConfigRefused]) as handle.system:
        await handle.system.started()
        await trio.testing.wait_all_tasks_blocked()  # the socket is made without any wait
        node = Controlled(path, handle.system, Address("echo"))
        assert await node.command("compare_config") == {"changes": [change]}
        assert logged == []
        assert await node.command("reload_config") == {"changes": [change]}
        assert await node.command("reload_config") == {
            "error": "config_refused", "message": "a: wrong\nb: wrong"
        }  # fmt: skip
    commands = [event for event in logged if isinstance(event, OperatorCommand)]
    assert commands == [OperatorCommand("reload_config", "configuration", os.geteuid())] * 2


async def test_a_reload_is_scheduled_and_cancelled(tmp_path: Path, logged: list[LogEvent]) -> None:
    path, handle = tmp_path / "control.sock", SystemHandle(HealthMonitor())
    child = actor(CONFIGURATION, lambda: configuration(itertools.repeat("debug")), restart=Immediate())
    root = supervisor("Root", OneForOne(), [child, task(CHILD, control_socket(path, handle).run)])
    async with open_system(root, refusals=[ConfigRefused]) as handle.system:
        await handle.system.started()
        await trio.testing.wait_all_tasks_blocked()
        node = Controlled(path, handle.system, Address("echo"))

        async def asked(**request: object) -> Any:
            return await node.send(json.dumps(request).encode() + b"\n")

        (change,) = (await asked(command="schedule_config", height=900))["changes"]
        assert change["key"] == "logging.level"
        assert len((await asked(command="schedule_config", time=2**39))["changes"]) == 1
        assert (await asked(command="schedule_config", height=5))["error"] == "config_refused"
        for wrong in (
            {},
            {"height": -1},
            {"height": 2**70},
            {"time": 1.5},
            {"time": True},
            {"time": 1, "height": 1},
        ):
            assert (await asked(command="schedule_config", **wrong))["error"] == "malformed"
        assert await asked(command="cancel_schedule") == {"cancelled": True}
        assert await asked(command="cancel_schedule") == {"cancelled": False}
    assert "schedule_config" in [event.command for event in logged if isinstance(event, OperatorCommand)]


async def test_without_a_configuration_actor_the_answer_says_so(tmp_path: Path) -> None:
    async with controlled(tmp_path) as node:
        assert (await node.command("compare_config"))["error"] == "not_now"


async def test_the_list_has_every_child(tmp_path: Path) -> None:
    async with controlled(tmp_path) as node:
        children = (await node.command("list"))["children"]
    assert [child["name"] for child in children] == ["Root", "echo", "sleeper", "ApiSupervisor", CHILD]
    assert children[1] == {
        "name": "echo",
        "kind": "actor",
        "state": "Running",
        "health": "Unknown",
        "priority": "critical",
        "restarts": 0,
        "waiting": 0,
    }
    assert children[2]["waiting"] is None


async def test_a_child_is_restarted(tmp_path: Path, logged: list[LogEvent]) -> None:
    async with controlled(tmp_path) as node:
        before = await node.echo.ask(Ping())
        assert await node.command("restart", "echo") == {"name": "echo", "critical": True}
        assert await node.echo.ask(Ping()) == before + 1
        assert await node.command("restart", "sleeper") == {"name": "sleeper", "critical": False}
    assert logged == [OperatorCommand("restart", name, os.geteuid()) for name in ("echo", "sleeper")]


async def test_an_actor_is_suspended_and_resumed(tmp_path: Path) -> None:
    """The messages of a suspended actor wait, and the answer says that blocks depend on the actor."""
    async with controlled(tmp_path) as node:
        assert await node.command("suspend", "echo") == {"name": "echo", "critical": True}
        await trio.testing.wait_all_tasks_blocked()
        assert node.state("echo") is State.SUSPENDED
        with trio.move_on_after(0.1) as waited:
            await node.echo.ask(Ping())
        assert waited.cancelled_caught
        assert await node.command("resume", "echo") == {"name": "echo", "critical": True}
        await node.echo.ask(Ping())
        assert node.state("echo") is State.RUNNING


@pytest.mark.parametrize(
    ("command", "name", "error", "words"),
    [
        (
            "restart",
            "nonsense",
            "unknown_child",
            "there is no child named nonsense; `alysd actors list`",
        ),
        ("restart", "Root", "own_child", "Root is or contains the control socket"),
        ("restart", "ApiSupervisor", "own_child", "ApiSupervisor is or contains the control socket"),
        ("restart", CHILD, "own_child", "control socket is or contains the control socket"),
        ("suspend", "sleeper", "wrong_state", "cannot suspend sleeper: it is not an actor"),
        ("resume", "echo", "wrong_state", "cannot resume echo: it is running"),
    ],
)
async def test_what_cannot_be_done_is_refused(
    command: str, name: str, error: str, words: str, tmp_path: Path
) -> None:
    async with controlled(tmp_path) as node:
        refused = await node.command(command, name)
        assert refused["error"] == error
        assert refused["message"].startswith(words)
        await node.echo.ask(Ping())


async def test_a_node_that_is_starting_says_so(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(control_socket(path, SystemHandle(HealthMonitor())).run)
        await trio.testing.wait_all_tasks_blocked()
        async with await trio.open_unix_socket(str(path)) as stream:
            await stream.send_all(b'{"command": "list"}\n')
            assert await answer(stream) == {"error": "not_now", "message": "the node is starting"}
        nursery.cancel_scope.cancel()


MALFORMED = (
    b"\n",
    b"nonsense\n",
    b"\xff\xfe\n",
    b"[" * (MAX_REQUEST_BYTES - 1) + b"\n",
    b"null\n",
    b'"list"\n',
    b"{}\n",
    b'{"command": "stop", "name": "echo"}\n',
    b'{"command": ["restart"], "name": "echo"}\n',
    b'{"command": "restart"}\n',
    b'{"command": "restart", "name": 7}\n',
    b'{"command": "restart", "name": "echo", "more": 1}\n',
    b'{"command": "list", "name": "echo"}\n',
    b'{"command": "list"}',
    b"",
    b"x" * (MAX_REQUEST_BYTES + 1),
    b"x" * 1_000_000,
)


@pytest.mark.parametrize("data", MALFORMED, ids=range(len(MALFORMED)))
async def test_a_malformed_request_is_refused_and_changes_nothing(data: bytes, tmp_path: Path) -> None:
    async with controlled(tmp_path) as node:
        async with await trio.open_unix_socket(str(node.path)) as stream, trio.open_nursery() as nursery:
            nursery.start_soon(send_what_is_taken, stream, data)
            refused = await answer(stream)
            nursery.cancel_scope.cancel()
        assert refused["error"] == "malformed"
        assert refused["message"]
        assert (await node.command("list"))["children"][1]["restarts"] == 0


async def test_a_request_may_come_in_parts(tmp_path: Path) -> None:
    async with controlled(tmp_path) as node, await trio.open_unix_socket(str(node.path)) as stream:
        for byte in b'{"command": "resume", "name": "nobody"}\n':
            await stream.send_all(bytes([byte]))
        assert (await answer(stream))["error"] == "unknown_child"


async def test_a_slow_request_is_refused(tmp_path: Path, autojump_clock: MockClock) -> None:
    """One client that sends nothing would hold a connection for ever."""
    async with controlled(tmp_path) as node, await trio.open_unix_socket(str(node.path)) as stream:
        await stream.send_all(b'{"command"')
        began = trio.current_time()
        assert (await answer(stream))["error"] == "too_slow"
        assert trio.current_time() - began == pytest.approx(REQUEST_SECONDS)  # pyright: ignore[reportUnknownMemberType]


async def test_a_client_that_goes_away_harms_nobody(tmp_path: Path) -> None:
    async with controlled(tmp_path) as node:
        for data in (b"", b'{"comm', b'{"command": "list"}\n'):
            stream = await trio.open_unix_socket(str(node.path))
            await stream.send_all(data)
            await stream.aclose()
        await node.command("list")
        assert node.state(CHILD) is State.RUNNING


async def test_connections_are_bounded(tmp_path: Path) -> None:
    async with controlled(tmp_path) as node:
        idle = [await trio.open_unix_socket(str(node.path)) for _ in range(MAX_CONNECTIONS)]
        await trio.testing.wait_all_tasks_blocked()
        assert (await node.command("list"))["error"] == "busy"
        await idle.pop().aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert "children" in await node.command("list")
        for stream in idle:
            await stream.aclose()


@pytest.mark.parametrize(("user", "allowed"), [(os.geteuid(), True), (0, True), (54321, False)])
async def test_only_the_own_user_and_root_are_obeyed(
    user: int, allowed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that was opened to a group would let all of it stop the node's work."""

    def peer_user(_stream: trio.SocketStream) -> int:
        return user

    monkeypatch.setattr(control, "peer_user", peer_user)
    async with controlled(tmp_path) as node:
        refused = await node.command("restart", "echo")
        assert refused.get("error") == (None if allowed else "not_permitted")


async def test_a_socket_that_a_killed_node_left_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(tmp_path / "control.sock"))
    async with controlled(tmp_path) as node:
        assert "children" in await node.command("list")


@pytest.mark.parametrize("kind", ["file", "link", "folder"])
async def test_another_file_in_its_place_is_left_alone(kind: str, tmp_path: Path) -> None:
    """A `ConfigError` ends the node with one sentence; any other error would be a traceback at every restart."""
    path, other = tmp_path / "control.sock", tmp_path / "other"
    other.write_text("mine")
    if kind == "file":
        path.write_text("mine")
    elif kind == "link":
        path.symlink_to(other)
    else:
        path.mkdir()
    before = path.lstat()
    with pytest.raises(ConfigError, match="is not a socket: move it away"):
        await control_socket(path, SystemHandle(HealthMonitor())).run()
    assert path.lstat() == before
    assert other.read_text() == "mine"


async def test_the_socket_of_another_process_is_left_alone_at_the_end(tmp_path: Path) -> None:
    """A node that stops late would cut off its successor."""
    path = tmp_path / "control.sock"
    async with controlled(tmp_path):
        path.unlink()
        other = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        other.bind(str(path))
    assert path.exists()
    other.close()


async def test_a_socket_that_was_removed_is_no_error_at_the_end(tmp_path: Path) -> None:
    async with controlled(tmp_path):
        (tmp_path / "control.sock").unlink()


async def test_many_commands_at_once_wait_in_line(tmp_path: Path) -> None:
    """The ninth would be refused by the kernel, in words that name no node."""
    async with controlled(tmp_path):
        waiting = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(100)]
        for one in waiting:
            one.setblocking(False)
            one.connect(str(tmp_path / "control.sock"))
        for one in waiting:
            one.close()
