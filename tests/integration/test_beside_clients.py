"""The daemon of conf/regtest.toml beside real execution clients: first, later, away for a while, and another's."""

import json
import subprocess
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import attrs
import pytest
import trio

from alysd.testing import components
from alysd.testing.components import ExecutionProcess
from alysd.testing.config_files import CONF
from alysd.testing.daemon import Daemon, daemon

pytestmark = pytest.mark.component

GENESIS: dict[str, Any] = json.loads((CONF / "chains" / "dev.genesis.json").read_text())
JWT = bytes.fromhex((CONF / "dev-jwt.hex").read_text().strip().removeprefix("0x"))
REGTEST = CONF / "regtest.toml"
SLOT = 2.0


class StartsClient(Protocol):
    """The common signature of `components.geth` and `components.ethereumjs`."""

    def __call__(
        self, tmp_path: Path, genesis: dict[str, Any], jwt: bytes
    ) -> AbstractAsyncContextManager[ExecutionProcess]: ...


@asynccontextmanager
async def beside(client: ExecutionProcess, folder: Path, *, start: bool = True) -> AsyncGenerator[Daemon]:
    """A daemon that uses `client`."""
    settings = (
        f"engine.url={client.eth_url}",
        f"engine.engine_url={client.engine_url}",
        f"engine.jwt_secret_file={client.jwt_file}",
        "mining.internal=true",
    )
    async with daemon(folder, *settings, config=REGTEST, start=start) as running:
        yield running


async def height_above(running: Daemon, height: int, seconds: float = 30.0) -> int:
    """Wait until the daemon's head is above a height."""
    with trio.fail_after(seconds):
        while True:
            head = await running.call("getheadblock")
            if head["height"] > height:
                return head["height"]
            await trio.sleep(0.1)


async def same_head(running: Daemon, client: ExecutionProcess) -> None:
    """The client's latest block is the one in the daemon's head."""
    with trio.fail_after(10):
        while True:
            head = await running.call("getheadblock")
            latest = await client.eth("eth_getBlockByNumber", "latest", False)
            if latest["hash"] == head["executionhash"]:
                return
            await trio.sleep(0.1)


@pytest.mark.parametrize("start_client", [components.geth, components.ethereumjs], ids=["geth", "ethereumjs"])
async def test_blocks_flow_and_a_client_that_goes_away_costs_only_its_slots(
    tmp_path: Path, start_client: StartsClient
) -> None:
    async with start_client(tmp_path, GENESIS, JWT) as client, beside(client, tmp_path) as running:
        before = await height_above(running, 3)
        await same_head(running, client)
        await client.kill()
        await trio.sleep(4 * SLOT)
        stuck = (await running.call("getheadblock"))["height"]
        assert stuck <= before + 2
        missed = running.events("slot_missed")
        assert missed, "missed slots are said"
        assert all(event["reason"] for event in missed)
        await client.start()
        await height_above(running, stuck + 2)
        await same_head(running, client)
        assert running.process.poll() is None
        assert await running.stop() == 0


async def test_a_daemon_that_starts_before_its_client_waits_for_it(tmp_path: Path) -> None:
    async with components.geth(tmp_path, GENESIS, JWT) as client:
        await client.stop()
        async with beside(client, tmp_path, start=False) as running:
            waiting = attrs.evolve(running, settled=b'"event": "not_ready"')
            await waiting.start()
            try:
                assert not waiting.events("ready")
                await client.start()
                await height_above(waiting, 2)
                assert len(waiting.events("ready")) == 1
            finally:
                assert await waiting.stop() == 0


async def test_a_client_of_another_chain_ends_the_daemon_with_both_hashes(tmp_path: Path) -> None:
    other = {**GENESIS, "gasLimit": hex(int(GENESIS["gasLimit"], 16) + 1)}
    async with (
        components.geth(tmp_path, other, JWT) as client,
        beside(client, tmp_path, start=False) as running,
    ):
        ended = await trio.to_thread.run_sync(
            lambda: subprocess.run(running.command, capture_output=True, text=True, timeout=60, check=False)
        )
        assert ended.returncode == 2
        assert "the execution client has another chain" in ended.stderr
        found = (await client.eth("eth_getBlockByNumber", "0x0", False))["hash"].removeprefix("0x")
        assert found in ended.stderr
        assert "Traceback" not in ended.stderr
