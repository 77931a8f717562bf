"""Runs the daemon by its command line, as a user does, on free ports and with its own data folder."""

import json
import resource
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx

from alysd.testing.config_files import CONF
from alysd.testing.processes import CALL_SECONDS, LoopbackProcess, call_json_rpc, free_ports

DEVELOPMENT = CONF / "dev.toml"
"""The configuration of the development chain, which has one node."""

DEV_CLOCK = "--dev-clock"
"""The option with which blocks are made on demand."""


@attrs.define(eq=False, kw_only=True)
class Daemon(LoopbackProcess):
    """A process `alysd run`. `url` serves the JSON-RPC and the pages, `eth_url` the embedded engine's RPC."""

    url: str
    eth_url: str
    data: Path

    async def probe(self) -> None:
        """Return once the JSON-RPC answers; with --dev-clock, that of Ethereum is the only one."""
        if DEV_CLOCK in self.command:
            await self.eth("eth_blockNumber")
        else:
            await self.call("getheadblock")

    async def call(self, method: str, *params: object) -> Any:
        """Call a method of Alys's JSON-RPC and return its result."""
        return await call_json_rpc(self.client, self.url, method, params)

    async def eth(self, method: str, *params: object) -> Any:
        """Call a method of the Ethereum RPC and return its result."""
        return await call_json_rpc(self.client, self.eth_url, method, params)

    async def status(self) -> dict[str, Any]:
        """The status page, which `alysd status --json` prints."""
        answer = await self.client.get(f"{self.url}/status")
        return answer.json()

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log events with the given name, from all runs, oldest first."""
        found: list[dict[str, Any]] = []
        for line in self.log.read_text(errors="replace").splitlines():
            if line.startswith("{"):
                event = json.loads(line)
                if event["event"] == name:
                    found.append(event)
        return found

    def limit_files(self, most_bytes: int) -> None:
        """Limit the size of the files that the running daemon writes, which has the effect of a full disk."""
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))


@asynccontextmanager
async def daemon(
    folder: Path,
    *settings: str,
    config: Path = DEVELOPMENT,
    name: str = "alysd",
    start: bool = True,
    dev_clock: bool = False,
) -> AsyncGenerator[Daemon]:
    """Run `alysd run --config CONFIG --set …` while the `with` block runs, and with `--dev-clock` if asked.

    With `start=False` the test has to start the process itself.
    """
    api, eth = free_ports(2)
    data = folder / f"{name}-data"
    options = (
        f"storage.path={data}",
        f"api.address=127.0.0.1:{api}",
        f"api.ethereum_address=127.0.0.1:{eth}",
        "logging.format=json",
        *settings,
    )
    command = [sys.executable, "-m", "alysd", "run", "--config", str(config)]
    command += [DEV_CLOCK] if dev_clock else []
    for option in options:
        command += ["--set", option]
    async with httpx.AsyncClient(timeout=CALL_SECONDS) as client:
        running = Daemon(
            name=name,
            command=tuple(command),
            log=folder / f"{name}.log",
            client=client,
            settled=b'"event": "ready"',
            url=f"http://127.0.0.1:{api}",
            eth_url=f"http://127.0.0.1:{eth}",
            data=data,
        )
        if start:
            await running.start()
        try:
            yield running
        finally:
            if running.started:
                await running.kill()
