"""`alysd actors` with the daemon: what an operator types, against a node that makes blocks."""

import subprocess
import sys
from pathlib import Path

import pytest
import trio

from alysd.testing.daemon import DEVELOPMENT, Daemon, daemon

# httpx leaves its request's generator unfinished when the server dies in the middle of it.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator 'httpx:ResourceWarning")


async def actors(node: Daemon, *words: str) -> subprocess.CompletedProcess[bytes]:
    """`alysd actors …` on the node's data folder, as its user types it."""
    options = ("--config", str(DEVELOPMENT), "--set", f"storage.path={node.data}")
    command = [sys.executable, "-m", "alysd", "actors", *words, *options]
    return await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)


async def until_height(node: Daemon, height: int) -> None:
    with trio.fail_after(30):
        while True:
            if (await node.call("getheadblock"))["height"] >= height:
                return
            await trio.sleep(0.1)


async def test_an_operator_restarts_suspends_and_resumes(tmp_path: Path) -> None:
    async with daemon(tmp_path) as node:
        await until_height(node, 1)
        listed = await actors(node, "list")
        assert listed.returncode == 0
        assert b"control socket" in listed.stdout

        suspended = await actors(node, "suspend", "block import")
        assert (suspended.returncode, suspended.stderr) == (0, b"")
        assert b"no blocks are made while it is suspended" in suspended.stdout
        health = (await node.status())["health"]
        assert health["status"] == "degraded"
        assert any("block import is suspended" in reason for reason in health["reasons"])
        head = (await node.call("getheadblock"))["height"]
        await trio.sleep(3)
        assert (await node.call("getheadblock"))["height"] == head, "a slot has passed, and no block came"

        assert (await actors(node, "resume", "block import")).returncode == 0
        await until_height(node, head + 1)
        assert (await actors(node, "restart", "chain")).returncode == 0
        await until_height(node, head + 2)
        wrong = await actors(node, "restart", "nonsense")
        assert wrong.returncode == 2
        assert wrong.stderr.startswith(b"alysd: there is no child named nonsense")
        commands = [(event["command"], event["child"]) for event in node.events("operator_command")]
        assert commands == [("suspend", "block import"), ("resume", "block import"), ("restart", "chain")]

        await node.kill()
        assert (node.data / "control.sock").exists(), "killed: nobody removed it"
        gone = await actors(node, "list")
        assert (gone.returncode, gone.stdout) == (2, b"")
        assert f"alysd: no node is running on the data folder {node.data}; start it first." in gone.stderr.decode()
        await node.start()
        assert (await actors(node, "list")).returncode == 0
        assert await node.stop() == 0
        assert not (node.data / "control.sock").exists()
