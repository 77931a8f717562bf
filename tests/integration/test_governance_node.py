"""A whole node and `alysd dev-governance`, each started as a person starts it."""

import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from alysd.cli import main
from alysd.integrations.payment_link import TlsFiles
from alysd.testing.certificates import CertificateAuthority
from alysd.testing.daemon import Daemon, daemon
from alysd.testing.processes import free_ports
from tests.integrations.governance import needs_governance

pytestmark = needs_governance

SECONDS = 90.0


async def until(found: Callable[[], Awaitable[bool]]) -> None:
    with trio.fail_after(SECONDS):
        while True:
            if await found():
                return
            await trio.sleep(0.1)


class Keyboard:
    """`alysd dev-governance`, whose keyboard is the test."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self.shown = ""

    async def read(self) -> None:
        """Collect the output until it ends."""
        assert self._process.stdout is not None
        async for data in self._process.stdout:
            self.shown += data.decode()

    async def type(self, line: str, expected: str) -> None:
        """Type a line, and wait until `expected` is shown after it."""
        assert self._process.stdin is not None
        before = len(self.shown)
        await self._process.stdin.send_all(line.encode() + b"\n")

        async def shown() -> bool:
            return expected in self.shown[before:]

        await until(shown)


@asynccontextmanager
async def keyboard(files: TlsFiles, port: int) -> AsyncGenerator[Keyboard]:
    command = [
        sys.executable, "-m", "alysd", "dev-governance", "--address", f"127.0.0.1:{port}", "--certificate",
        str(files.certificate), "--key", str(files.key), "--authority", str(files.authority),
    ]  # fmt: skip
    process = await trio.lowlevel.open_process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        async with trio.open_nursery() as nursery:
            person = Keyboard(process)
            nursery.start_soon(person.read)
            await person.type("nodes", "no node is registered")
            yield person
            process.kill()
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                await pipe.aclose()


async def governance_of(node: Daemon) -> dict[str, Any]:
    return (await node.status())["governance"]


async def test_a_node_attests_what_a_person_proposes_and_makes_blocks_without_governance(tmp_path: Path) -> None:
    """The parts work one by one; this shows that the node connects them, and that no block depends on them."""
    (port,) = free_ports(1)
    authority = CertificateAuthority(tmp_path)
    node_files = authority.member("node")
    settings = (
        f"governance.endpoints=127.0.0.1:{port}", "governance.node_id=member-1",
        f"governance.certificate={node_files.certificate}", f"governance.key={node_files.key}",
        f"governance.authority={node_files.authority}",
    )  # fmt: skip
    async with daemon(tmp_path, *settings) as node:

        async def connected() -> bool:
            return (await governance_of(node))["connected"]

        async def attested() -> bool:
            found = (await node.call("listgovernanceproposals"))["proposals"]
            state = await node.call("getgovernance")
            return [one["id"] for one in found if one["signature"]] == ["p-1"] and state["waiting"] == 0

        async def degraded() -> bool:
            health = (await node.status())["health"]
            return any("no connection to the governance" in reason for reason in health["reasons"])

        async with keyboard(authority.member("server"), port) as person:
            await until(connected)
            await person.type("nodes", "member-1")
            await person.type("propose p-1 parameter hello", "member-1 sends proposal attestation attestation-")
            await until(attested)
            assert (await node.call("getgovernanceproposal", "p-1"))["data"] == "0x" + b"hello".hex()
            text = (await node.client.get(f"{node.url}/metrics")).text
            assert "alysd_governance_connected 1.0" in text
        await until(degraded)
        height = (await node.call("getheadblock"))["height"]

        async def higher() -> bool:
            return (await node.call("getheadblock"))["height"] >= height + 3

        await until(higher)
        status = await node.status()
        assert status["health"]["status"] == "degraded"
        assert status["counts"]["slots_missed"] == 0
        assert await trio.to_thread.run_sync(main, ["governance", "show", "p-1", "--url", node.url]) == 0
        assert node.events("proposal_kept")[0]["attested"] is True
        await node.stop()
        await node.start()
        found = (await node.call("listgovernanceproposals"))["proposals"]
        assert [one["id"] for one in found] == ["p-1"]
        assert node.events("failed") == []
