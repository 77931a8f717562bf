"""Steps of the tests that change the configuration of running daemons."""

import json
from typing import Any

import trio

from alysd.testing.daemon import Daemon

DEADLINE = 60.0
"""The seconds until a condition must hold."""


async def asked(node: Daemon, command: str) -> dict[str, Any]:
    """The answer of the control socket, without a process for the command."""
    async with await trio.open_unix_socket(str(node.data / "control.sock")) as stream:
        await stream.send_all(json.dumps({"command": command}).encode() + b"\n")
        line = b""
        with trio.fail_after(DEADLINE):
            while not line.endswith(b"\n"):
                line += await stream.receive_some()
    return json.loads(line)


async def two_more_blocks(node: Daemon) -> None:
    start = (await node.call("getheadblock"))["height"]
    with trio.fail_after(DEADLINE):
        while True:
            if (await node.call("getheadblock"))["height"] >= start + 2:
                return
            await trio.sleep(0.1)
