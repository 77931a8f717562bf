"""The daemon with geth as its first execution client and EthereumJS as its second: geth dies, hangs, returns."""

import json
import re
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from alysd.testing import components
from alysd.testing.components import ExecutionProcess
from alysd.testing.config_files import CONF
from alysd.testing.daemon import Daemon, daemon
from alysd.testing.http_server import Reply, serving
from alysd.testing.processes import ComponentRefusal

pytestmark = pytest.mark.component

GENESIS: dict[str, Any] = json.loads((CONF / "chains" / "dev.genesis.json").read_text())
JWT = bytes.fromhex((CONF / "dev-jwt.hex").read_text().strip().removeprefix("0x"))
SECOND_JWT = bytes(range(32))

LONGEST_WAIT = 150.0
"""Seconds: to be level for ten slots of two seconds takes 20. The machines that run these tests are shared."""

TOO_SLOW = re.compile(r"took more than|the second client: (no answer|.* no answer to|.* circuit breaker)")
"""The reason of a missed slot in which EthereumJS had no time to answer, on a busy machine."""


@attrs.frozen
class Beside:
    """The daemon and its two clients."""

    running: Daemon
    geth: ExecutionProcess
    ethereumjs: ExecutionProcess

    async def blocks(self, count: int) -> None:
        """Wait for more blocks."""
        before = (await self.running.call("getheadblock"))["height"]
        await self.until(lambda head: head["height"] >= before + count)

    async def until(self, reached: Callable[[dict[str, Any]], bool]) -> None:
        with trio.fail_after(LONGEST_WAIT):
            while not reached(await self.running.call("getheadblock")):  # noqa: ASYNC110
                await trio.sleep(0.1)

    async def logged(self, name: str, count: int) -> dict[str, Any]:
        """Wait until an event was logged for the `count`th time."""
        with trio.fail_after(LONGEST_WAIT):
            while len(self.running.events(name)) < count:  # noqa: ASYNC110
                await trio.sleep(0.1)
        return self.running.events(name)[count - 1]

    async def compared(self, count: int) -> None:
        """Wait until both clients have executed so many blocks for comparison."""
        with trio.fail_after(LONGEST_WAIT):
            while True:
                dual = (await self.running.status())["dual_path"]
                if dual is not None and dual["compared"] >= count:
                    return
                await trio.sleep(0.2)

    def missed(self) -> int:
        """The number of slots without a block so far, for another reason than a busy machine."""
        missed = self.running.events("slot_missed")
        return sum(event["slots"] for event in missed if not TOO_SLOW.search(event["reason"]))

    async def same_head(self, client: ExecutionProcess) -> None:
        """Wait until the client's newest block is that of the daemon."""
        with trio.fail_after(LONGEST_WAIT):
            while True:
                head = await self.running.call("getheadblock")
                latest = await client.eth("eth_getBlockByNumber", "latest", False)
                if latest["hash"] == head["executionhash"]:
                    return
                await trio.sleep(0.1)


@asynccontextmanager
async def beside_both(folder: Path) -> AsyncGenerator[Beside]:
    async with (
        components.geth(folder, GENESIS, JWT) as geth,
        components.ethereumjs(folder, GENESIS, SECOND_JWT) as ethereumjs,
    ):
        settings = (
            f"engine.url={geth.eth_url}",
            f"engine.engine_url={geth.engine_url}",
            f"engine.jwt_secret_file={geth.jwt_file}",
            f"engine.second_url={ethereumjs.eth_url}",
            f"engine.second_engine_url={ethereumjs.engine_url}",
            f"engine.second_jwt_secret_file={ethereumjs.jwt_file}",
            "mining.internal=true",
        )
        async with daemon(folder, *settings, config=CONF / "regtest.toml") as running:
            yield Beside(running, geth, ethereumjs)
            assert await running.stop() == 0


async def test_ethereumjs_takes_over_within_a_slot_when_geth_is_killed_and_gives_back(tmp_path: Path) -> None:
    async with beside_both(tmp_path) as node:
        await node.blocks(3)
        await node.same_head(node.ethereumjs)
        missed = node.missed()
        await node.geth.kill()
        await node.blocks(3)
        assert await node.logged("execution_takes_over", 1)
        used = (await node.running.status())["execution"][1]
        assert (used["name"], used["active"]) == ("second", True)
        assert used["reason"].startswith("the first client failed: ")
        assert node.missed() <= missed + 1, "at most the slot in which geth was killed"
        await node.geth.start()
        back = await node.logged("execution_given_back", 1)
        assert back["client"] == "first"
        await node.blocks(2)
        await node.same_head(node.geth)
        await node.same_head(node.ethereumjs)
        assert node.missed() <= missed + 1


async def test_ethereumjs_takes_over_within_a_slot_when_geth_hangs(tmp_path: Path) -> None:
    async with beside_both(tmp_path) as node:
        await node.blocks(3)
        await node.same_head(node.ethereumjs)
        missed = node.missed()
        node.geth.process.send_signal(signal.SIGSTOP)
        try:
            await node.blocks(4)
            assert await node.logged("execution_takes_over", 1)
            assert node.missed() <= missed + 1, "at most the slot in which geth was stopped"
        finally:
            node.geth.process.send_signal(signal.SIGCONT)
        await node.same_head(node.geth)


async def test_an_injected_disagreement_is_found_reported_and_rolled_back(tmp_path: Path) -> None:
    """EthereumJS executes all blocks of geth for comparison; then something between it and the node lies."""
    lies: list[bool] = []
    async with (
        components.geth(tmp_path, GENESIS, JWT) as geth,
        components.ethereumjs(tmp_path, GENESIS, SECOND_JWT) as ethereumjs,
    ):

        async def relay(request: dict[str, Any]) -> Reply:
            answer = {"jsonrpc": "2.0", "id": request["id"]}
            try:
                found = await ethereumjs.engine(request["method"], *request["params"])
            except ComponentRefusal as error:
                return Reply({**answer, "error": {"code": error.code, "message": error.message}})
            if lies and request["method"].startswith("engine_newPayload"):
                found = {**found, "status": "INVALID", "validationError": "a lie"}
            return Reply({**answer, "result": found})

        async with serving(relay) as between:
            settings = (
                f"engine.url={geth.eth_url}",
                f"engine.engine_url={geth.engine_url}",
                f"engine.jwt_secret_file={geth.jwt_file}",
                f"engine.second_url={ethereumjs.eth_url}",
                f"engine.second_engine_url={between.url}",
                f"engine.second_jwt_secret_file={ethereumjs.jwt_file}",
                "mining.internal=true",
                "flags.engine_compare=on",
            )
            async with daemon(tmp_path, *settings, config=CONF / "regtest.toml") as running:
                node = Beside(running, geth, ethereumjs)
                await node.compared(10)
                before = (await running.status())["dual_path"]
                assert (before["state"], before["success"], before["agreement"]) == ("both_prefer_old", 1.0, 1.0)
                lies.append(True)
                event = await node.logged("dual_path_rolled_back", 1)
                if "takes" in event["reason"]:
                    pytest.skip(f"EthereumJS is too slow on this busy machine: {event['reason']}")
                assert event["reason"].startswith("the answers for ")
                assert node.running.events("execution_answers_differ")
                status = await running.status()
                assert status["dual_path"]["state"] == "rolled_back"
                assert [one["active"] for one in status["execution"]] == [True, False]
                assert any("was rolled back" in reason for reason in status["health"]["reasons"])
                metrics = (await running.client.get(f"{running.url}/metrics")).text
                assert 'alysd_dual_path_state{state="rolled_back"} 1.0' in metrics
                await node.blocks(2)
                assert node.missed() == 0, "the comparison delays no block"
                assert await running.stop() == 0


async def test_a_second_client_of_another_chain_ends_the_daemon_and_names_the_option(tmp_path: Path) -> None:
    """It would never be level, and be missing on the day when it is needed."""
    other = {**GENESIS, "config": {**GENESIS["config"], "chainId": 4_711}}
    async with (
        components.geth(tmp_path, GENESIS, JWT) as geth,
        components.ethereumjs(tmp_path, other, SECOND_JWT) as ethereumjs,
    ):
        settings = (
            f"engine.url={geth.eth_url}",
            f"engine.engine_url={geth.engine_url}",
            f"engine.jwt_secret_file={geth.jwt_file}",
            f"engine.second_url={ethereumjs.eth_url}",
            f"engine.second_engine_url={ethereumjs.engine_url}",
            f"engine.second_jwt_secret_file={ethereumjs.jwt_file}",
        )
        async with daemon(tmp_path, *settings, config=CONF / "regtest.toml", start=False) as running:
            ended = await trio.run_process(running.command, capture_stdout=True, capture_stderr=True, check=False)
        assert ended.returncode == 2
        assert b"engine.second_engine_url: the execution client has the chain id 4711" in ended.stderr
        assert b"Traceback" not in ended.stderr
