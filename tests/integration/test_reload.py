"""Changing the configuration of a daemon that makes blocks: by its operator's commands, and by systemd."""

import json
import random
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from alysd.testing.config_files import CONF
from alysd.testing.daemon import Daemon, daemon
from tests.thorough import cases

# httpx leaves its request's generator unfinished when the server dies in the middle of it.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator 'httpx:ResourceWarning")

DEADLINE = 60.0


def written(folder: Path, *lines: str, api: str = "") -> Path:
    """The configuration of the development chain in `folder`, with more `lines`, and with `api` in [api]."""
    if not folder.exists():
        shutil.copytree(CONF, folder)
    text = (CONF / "dev.toml").read_text()
    assert "[logging]" not in text
    (folder / "dev.toml").write_text(text.replace("[api]", f"[api]\n{api}") + "\n" + "\n".join(lines) + "\n")
    return folder / "dev.toml"


async def config(node: Daemon, path: Path, action: str) -> subprocess.CompletedProcess[bytes]:
    """`alysd config …`, as the operator types it."""
    options = ("--config", str(path), "--set", f"storage.path={node.data}")
    command = [sys.executable, "-m", "alysd", "config", action, *options]
    return await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)


async def asked(node: Daemon, command: str) -> dict[str, Any]:
    """The answer of the control socket, without a process for the command."""
    async with await trio.open_unix_socket(str(node.data / "control.sock")) as stream:
        await stream.send_all(json.dumps({"command": command}).encode() + b"\n")
        line = b""
        with trio.fail_after(DEADLINE):
            while not line.endswith(b"\n"):
                line += await stream.receive_some()
    return json.loads(line)


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(DEADLINE):
        while True:
            if condition():
                return
            await trio.sleep(0.1)


async def two_more_blocks(node: Daemon) -> None:
    start = (await node.call("getheadblock"))["height"]
    with trio.fail_after(DEADLINE):
        while True:
            if (await node.call("getheadblock"))["height"] >= start + 2:
                return
            await trio.sleep(0.1)


async def status_for(node: Daemon, host: str) -> int:
    """The HTTP status of a request by this host name."""
    return (await node.client.get(f"{node.url}/health/live", headers={"host": host})).status_code


async def test_an_operator_changes_a_running_node(tmp_path: Path) -> None:
    folder = tmp_path / "conf"
    path = written(folder)
    async with daemon(tmp_path, config=path) as node:
        await two_more_blocks(node)
        assert await status_for(node, "node.example") == 421
        assert (await config(node, path, "diff")).stdout == b"the node runs with the configuration of its files\n"

        written(folder, '[logging]\nlevel = "warning"', "[network]\nmax_inbound = 5")
        shown = await config(node, path, "diff")
        assert shown.stdout.decode() == (
            '`alysd config reload` applies:\n  logging.level = "info" → "warning"\n'
            "needs a restart:\n  network.max_inbound = 32 → 5\n"
        )
        assert (await node.status())["reload"] is None, "a comparison changes nothing"
        done = await config(node, path, "reload")
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout.decode() == (
            'applied:\n  logging.level = "info" → "warning"\n'
            "not applied, needs a restart:\n  network.max_inbound = 32 → 5\n"
        )
        lines = len(node.events("block"))
        await two_more_blocks(node)
        assert len(node.events("block")) == lines, "blocks are made, and not logged at this level"
        assert (await node.status())["reload"]["needs_restart"] == ["network.max_inbound"]

        written(folder, '[logging]\nlevel = "loud"')
        assert b'must be one of "debug"' in (await config(node, path, "reload")).stderr
        refused = await asked(node, "reload_config")
        assert refused["error"] == "config_refused"
        assert f"{path}" in refused["message"]
        assert (await node.status())["reload"]["outcome"] == "refused"

        written(folder, api='allowed_hosts = ["node.example"]')
        assert len((await asked(node, "reload_config"))["changes"]) == 2
        assert await status_for(node, "node.example") == 200
        assert (await node.client.post(node.eth_url, headers={"host": "node.example"}, content=b"[]")).is_success
        await until(lambda: len(node.events("block")) > lines)
        await two_more_blocks(node)
        metrics = (await node.client.get(f"{node.url}/metrics")).text
        assert 'alysd_config_reloads_total{outcome="applied"} 2.0' in metrics
        assert 'alysd_config_reloads_total{outcome="refused"} 1.0' in metrics
        assert "alysd_config_needs_restart 0.0" in metrics
        assert [event["event"] for event in node.events("config_not_reloaded")] == ["config_not_reloaded"]
        assert await node.stop() == 0


async def test_systemd_asks_for_a_reload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "conf"
    path = written(folder)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        said: list[str] = []

        def has_said(words: str) -> Callable[[], bool]:
            def look() -> bool:
                try:
                    while True:
                        said.append(manager.recv(9999).decode().partition("\n")[0])
                except BlockingIOError:
                    return words in said

            return look

        async with daemon(tmp_path, config=path) as node:
            await until(has_said("READY=1"))
            said.clear()
            written(folder, '[logging]\nlevel = "debug"')
            node.process.send_signal(signal.SIGHUP)
            await until(has_said("READY=1"))
            assert [one for one in said if "STATUS" not in one] == ["RELOADING=1", "READY=1"]
            (event,) = node.events("config_reloaded")
            assert (event["origin"], event["applied"]) == ("SIGHUP", 'logging.level = "info" → "debug"')
            await two_more_blocks(node)
            assert await node.stop() == 0


async def test_blocks_go_on_during_random_reloads(tmp_path: Path) -> None:
    """Valid and invalid files, one after the other, while blocks are made."""
    folder, rng = tmp_path / "conf", random.Random(1)  # noqa: S311  repeatable, no secret
    path = written(folder)
    level, outcomes = "info", {"applied": 0, "unchanged": 0, "refused": 0}
    async with daemon(tmp_path, config=path) as node:
        await two_more_blocks(node)
        for _ in range(cases(25, 300)):
            chosen = rng.choice(["info", "debug", "warning", "loud", "in\n"])
            written(folder, f"[logging]\nlevel = {chosen!r}" if "\n" not in chosen else "[logging]\nlevel = '''")
            answer = await asked(node, "reload_config")
            wrong = chosen in ("loud", "in\n")
            assert ("error" in answer) == wrong
            outcome = "refused" if wrong else "unchanged" if chosen == level else "applied"
            assert (await node.status())["reload"]["outcome"] == outcome
            outcomes[outcome] += 1
            level = level if wrong else chosen
        assert min(outcomes.values()) > 0
        await two_more_blocks(node)
        assert await node.stop() == 0
