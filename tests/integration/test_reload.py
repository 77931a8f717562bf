"""Changing the configuration of a daemon that makes blocks: by its operator's commands, and by systemd."""

import random
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import trio

from alysd.testing.daemon import Daemon, daemon
from tests.integration.reload_steps import (
    CHOICES,
    DEADLINE,
    asked,
    random_change,
    send_transactions,
    two_more_blocks,
    with_values,
    written,
)
from tests.thorough import cases

# httpx leaves its request's generator unfinished when the server dies in the middle of it.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator 'httpx:ResourceWarning")


async def config(node: Daemon, path: Path, action: str, *more: str) -> subprocess.CompletedProcess[bytes]:
    """`alysd config …`, as the operator types it."""
    options = ("--config", str(path), "--set", f"storage.path={node.data}")
    command = [sys.executable, "-m", "alysd", "config", action, *more, *options]
    return await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(DEADLINE):
        while True:
            if condition():
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

        written(folder, '[logging]\nlevel = "warning"', api="operator_address = '127.0.0.1:1'")
        shown = await config(node, path, "diff")
        assert shown.stdout.decode() == (
            '`alysd config reload` applies:\n  logging.level = "info" → "warning"\n'
            'needs a restart:\n  api.operator_address = not set → "127.0.0.1:1"\n'
        )
        assert (await node.status())["reload"] is None, "a comparison changes nothing"
        done = await config(node, path, "reload")
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout.decode() == (
            'applied:\n  logging.level = "info" → "warning"\n'
            'not applied, needs a restart:\n  api.operator_address = not set → "127.0.0.1:1"\n'
        )
        lines = len(node.events("block"))
        await two_more_blocks(node)
        assert len(node.events("block")) == lines, "blocks are made, and not logged at this level"
        assert (await node.status())["reload"]["needs_restart"] == ["api.operator_address"]

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


async def test_a_changed_file_is_applied_and_a_schedule_kept(tmp_path: Path) -> None:
    """Over a symbolic link, as Kubernetes mounts a ConfigMap; and the history survives a restart of the node."""
    folder = tmp_path / "conf"
    one, two = folder / "one.toml", folder / "two.toml"
    text = written(folder, "[reload]\nwatch = true\ntrial_seconds = 1").rename(one).read_text()
    path = folder / "dev.toml"
    path.symlink_to("one.toml")
    async with daemon(tmp_path, config=path) as node:

        def reloads(count: int, name: str = "config_reloaded") -> Callable[[], bool]:
            return lambda: len(node.events(name)) == count

        await two_more_blocks(node)
        two.write_text(text + '[logging]\nlevel = "debug"\n')
        (folder / "fresh").symlink_to("two.toml")
        (folder / "fresh").replace(path)
        await until(reloads(1))
        (event,) = node.events("config_reloaded")
        assert (event["origin"], event["applied"]) == ("the file has changed", 'logging.level = "info" → "debug"')
        await until(reloads(1, "config_tried"))

        two.write_text(text + '[logging]\nlevel = "lou')  # half written
        await until(reloads(1, "config_not_reloaded"))
        two.write_text(text.replace("watch = true", "watch = false"))
        await until(reloads(2))
        assert (await node.status())["reload"]["outcome"] == "applied"

        two.write_text(text)
        height = (await node.call("getheadblock"))["height"] + 3
        shown = await config(node, path, "schedule", "--height", str(height))
        assert (shown.returncode, shown.stderr) == (0, b"")
        assert shown.stdout.decode() == "will be applied:\n  reload.watch = false → true\n"
        assert (await node.status())["scheduled_reload"]["height"] == height
        await until(reloads(3))
        assert (await node.call("getheadblock"))["height"] >= height
        assert (await node.status())["scheduled_reload"] is None
        assert await node.stop() == 0
        await node.start()
        history = (await config(node, path, "history")).stdout.decode()
        outcomes = [line.split("  ")[1] for line in history.splitlines() if line[0] != " "]
        assert outcomes == ["applied", "refused", "applied", "applied"]
        assert await node.stop() == 0


async def test_blocks_go_on_during_random_reloads(tmp_path: Path) -> None:
    """Valid and invalid files, one after the other, while blocks with transactions are made.

    The configuration in force is always the last one that was accepted as a whole. That no slot is missed shows
    tests/actors/test_configuration_blocks.py, which does not depend on the machine's speed.
    """
    folder, rng = tmp_path / "conf", random.Random(1)  # noqa: S311  repeatable, no secret
    path = written(folder)
    accepted: Mapping[str, str] = {key: values[0] for key, values in CHOICES.items()}
    with_values(folder, accepted)
    outcomes = {"applied": 0, "unchanged": 0, "refused": 0}
    async with daemon(tmp_path, config=path) as node, trio.open_nursery() as nursery:
        await two_more_blocks(node)
        nursery.start_soon(send_transactions, node)
        for _ in range(cases(25, 300)):
            values, valid = random_change(rng, accepted)
            with_values(folder, values)
            answer = await asked(node, "reload_config")
            assert ("error" in answer) != valid, answer
            outcome = "refused" if not valid else "unchanged" if values == accepted else "applied"
            assert (await node.status())["reload"]["outcome"] == outcome
            outcomes[outcome] += 1
            accepted = values if valid else accepted
            with_values(folder, accepted)
            assert await asked(node, "compare_config") == {"changes": []}, "what was accepted is in force"
            assert (await status_for(node, "a.example") == 200) == ("a.example" in accepted["api.allowed_hosts"])
        assert min(outcomes.values()) > 0
        await two_more_blocks(node)
        metrics = (await node.client.get(f"{node.url}/metrics")).text
        numbers = dict(line.split() for line in metrics.splitlines() if line.count(" ") == 1)
        assert float(numbers["alysd_produced_transactions_total"]) > 0
        nursery.cancel_scope.cancel()
