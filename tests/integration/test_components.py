"""Each real system starts on free ports, answers, survives what a test does to it, and leaves nothing behind.

Were this to fail, every other test here would fail for a reason that is not the node's.
"""

import os
import signal
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest
import trio

from alysd.testing import components
from alysd.testing.components import CANCUN_GENESIS, CHAIN_ID, JWT, RICH, ZERO_HASH, ExecutionProcess
from alysd.testing.processes import ComponentFailed, ComponentRefusal


class StartsClient(Protocol):
    """The common signature of `components.geth` and `components.ethereumjs`."""

    def __call__(
        self, tmp_path: Path, genesis: dict[str, Any], jwt: bytes, *, datadir: Path | None = None
    ) -> AbstractAsyncContextManager[ExecutionProcess]:
        """Starts the client."""
        ...


@pytest.fixture(params=[components.geth, components.ethereumjs], ids=["geth", "ethereumjs"])
def client(request: pytest.FixtureRequest) -> StartsClient:
    """Each execution client in turn."""
    return request.param


async def build_block(client: ExecutionProcess, parent: str, timestamp: int, paid_gwei: int) -> str:
    """Has the client build, import and adopt a block on `parent` with one withdrawal to 0xee…ee; its hash."""
    state = {"headBlockHash": parent, "safeBlockHash": ZERO_HASH, "finalizedBlockHash": ZERO_HASH}
    withdrawal = {"index": "0x0", "validatorIndex": "0x0", "address": "0x" + "ee" * 20, "amount": hex(paid_gwei)}
    attributes = {
        "timestamp": hex(timestamp),
        "prevRandao": ZERO_HASH,
        "suggestedFeeRecipient": "0x" + "fe" * 20,
        "withdrawals": [withdrawal],
        "parentBeaconBlockRoot": parent,
    }
    started = await client.engine("engine_forkchoiceUpdatedV3", state, attributes)
    payload = (await client.engine("engine_getPayloadV3", started["payloadId"]))["executionPayload"]
    verdict = await client.engine("engine_newPayloadV3", payload, [], parent)
    assert verdict["status"] == "VALID", verdict
    await client.engine("engine_forkchoiceUpdatedV3", {**state, "headBlockHash": payload["blockHash"]}, None)
    return payload["blockHash"]


def is_running(process: trio.Process) -> bool:
    """Whether anything is left of the process's group."""
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any component; the folder that they would be in."""
    for name in ("BITCOIND", "GETH", "ETHEREUMJS", "REQUIRE_COMPONENTS"):
        monkeypatch.delenv(f"ALYSD_{name}", raising=False)
    monkeypatch.setenv("ALYSD_COMPONENTS", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    return tmp_path / "bin"


def program_at(path: Path) -> Path:
    """A file there that can be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_components_are_found_by_variable_then_folder_then_path(
    nothing_installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program that a variable names must take precedence. Otherwise another program would be tested."""
    assert components.find("geth") is None
    on_path = program_at(nothing_installed.parent / "path" / "geth")
    assert components.find("geth") == on_path
    installed = program_at(nothing_installed / "geth")
    assert components.find("geth") == installed
    pointed_at = program_at(nothing_installed.parent / "mine" / "geth-next")
    monkeypatch.setenv("ALYSD_GETH", str(pointed_at))
    assert components.find("geth") == pointed_at


def test_a_variable_that_points_nowhere_is_an_error(
    nothing_installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slip in a path must not silently test the installed program instead."""
    program_at(nothing_installed / "geth")
    monkeypatch.setenv("ALYSD_GETH", "/nonexistent/geth")
    with pytest.raises(FileNotFoundError, match="ALYSD_GETH=/nonexistent/geth"):
        components.find("geth")


@pytest.mark.usefixtures("nothing_installed")
def test_a_missing_component_skips_and_says_how_to_get_it() -> None:
    """Someone without the components can still run the suite, and learns what it left out."""
    with pytest.raises(pytest.skip.Exception, match="install-components --only bitcoind"):
        components.require("bitcoind")


@pytest.mark.usefixtures("nothing_installed")
def test_a_missing_component_fails_where_components_are_required(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where everything must run, a skipped test would hide that nothing was tested."""
    monkeypatch.setenv("ALYSD_REQUIRE_COMPONENTS", "1")
    with pytest.raises(pytest.fail.Exception, match="bitcoind is not installed"):
        components.require("bitcoind")


@pytest.mark.component
async def test_bitcoind_answers_and_ends(tmp_path: Path) -> None:
    """Without this there is no regtest: a fresh chain, a wallet that mines and pays, and a clean end."""
    async with components.bitcoind(tmp_path) as node:
        info = await node.call("getblockchaininfo")
        assert (info["chain"], info["blocks"]) == ("regtest", 0)
        await node.call("createwallet", "w")
        address = await node.call("getnewaddress", wallet="w")
        await node.call("generatetoaddress", 101, address)
        assert await node.call("getbalance", wallet="w") == 50
        process = node.process
    assert process.returncode == 0
    assert not is_running(process)


@pytest.mark.component
async def test_bitcoind_refusals_carry_code_and_words(tmp_path: Path) -> None:
    """A caller that could not tell a refusal from an outage could not test either."""
    async with components.bitcoind(tmp_path) as node:
        with pytest.raises(ComponentRefusal, match="out of range") as refused:
            await node.call("getblockhash", 7)
    assert refused.value.code == -8


@pytest.mark.component
async def test_two_bitcoinds_do_not_meet(tmp_path: Path) -> None:
    """Tests that ran side by side would otherwise share a chain or a port."""
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    async with components.bitcoind(folders[0]) as one, components.bitcoind(folders[1]) as two:
        await one.call("createwallet", "w")
        await one.call("generatetoaddress", 1, await one.call("getnewaddress", wallet="w"))
        assert await one.call("getblockcount") == 1
        assert await two.call("getblockcount") == 0


@pytest.mark.component
async def test_execution_client_answers_both_apis_and_ends(tmp_path: Path, client: StartsClient) -> None:
    """Without this no payload is ever judged by a client that is not ours."""
    async with client(tmp_path, CANCUN_GENESIS, JWT) as running:
        assert await running.eth("eth_chainId") == hex(CHAIN_ID)
        assert await running.eth("eth_getBalance", RICH, "latest") == hex(10**24)
        methods = await running.engine("engine_exchangeCapabilities", [])
        assert {"engine_forkchoiceUpdatedV3", "engine_getPayloadV3", "engine_newPayloadV3"} <= set(methods)
        process = running.process
    assert not is_running(process)


@pytest.mark.component
async def test_execution_client_refuses_another_secret(tmp_path: Path, client: StartsClient) -> None:
    """If the Engine API were open, a test of the node's token could not fail."""
    async with client(tmp_path, CANCUN_GENESIS, JWT) as running:
        running.jwt_file.write_text("0x" + "77" * 32)
        with pytest.raises(httpx.HTTPStatusError, match="401"):
            await running.engine("engine_exchangeCapabilities", [])


@pytest.mark.component
async def test_execution_clients_agree_on_the_genesis(tmp_path: Path) -> None:
    """A genesis that the clients read differently makes two chains."""
    hashes: set[str] = set()
    for start in (components.geth, components.ethereumjs):
        async with start(tmp_path, CANCUN_GENESIS, JWT) as running:
            hashes.add((await running.eth("eth_getBlockByNumber", "0x0", False))["hash"])
    assert len(hashes) == 1


@pytest.mark.component
async def test_blocks_are_built_and_old_states_stay(tmp_path: Path, client: StartsClient) -> None:
    """Historical calls are compared against these clients; a pruned one could not answer."""
    async with client(tmp_path, CANCUN_GENESIS, JWT) as running:
        head = (await running.eth("eth_getBlockByNumber", "latest", False))["hash"]
        for number in range(1, 6):
            head = await build_block(running, head, timestamp=2 * number, paid_gwei=1)
        for number in (1, 3, 5):
            assert await running.eth("eth_getBalance", "0x" + "ee" * 20, hex(number)) == hex(number * 10**9)


@pytest.mark.component
async def test_a_long_branch_can_be_abandoned(tmp_path: Path, client: StartsClient) -> None:
    """The chain goes back as far as its last final block, and the client has to go along, 40 blocks here."""
    async with client(tmp_path, CANCUN_GENESIS, JWT) as running:
        genesis = head = (await running.eth("eth_getBlockByNumber", "latest", False))["hash"]
        for number in range(1, 41):
            head = await build_block(running, head, timestamp=2 * number, paid_gwei=1)
        other = await build_block(running, genesis, timestamp=100, paid_gwei=2)
        assert (await running.eth("eth_getBlockByNumber", "latest", False))["hash"] == other


@pytest.mark.component
async def test_client_returns_at_the_same_addresses_after_a_crash(tmp_path: Path, client: StartsClient) -> None:
    """A node is told one address; a client that came back elsewhere would never be found again."""
    async with client(tmp_path, CANCUN_GENESIS, JWT) as running:
        genesis = (await running.eth("eth_getBlockByNumber", "latest", False))["hash"]
        assert await running.kill() == -signal.SIGKILL
        with pytest.raises(httpx.ConnectError):
            await running.eth("eth_chainId")
        await running.start()
        assert (await running.eth("eth_getBlockByNumber", "0x0", False))["hash"] == genesis


@pytest.mark.component
async def test_client_continues_on_an_earlier_folder(tmp_path: Path, client: StartsClient) -> None:
    """The node's reconciliation with a client that is ahead or behind is tested on such folders."""
    folder = tmp_path / "kept"
    async with client(tmp_path, CANCUN_GENESIS, JWT, datadir=folder) as running:
        genesis = (await running.eth("eth_getBlockByNumber", "latest", False))["hash"]
        block = await build_block(running, genesis, timestamp=2, paid_gwei=1)
    async with client(tmp_path, CANCUN_GENESIS, JWT, datadir=folder) as running:
        assert (await running.eth("eth_getBlockByNumber", "0x1", False))["hash"] == block


@pytest.mark.component
async def test_refused_genesis_is_reported_in_geths_own_words(tmp_path: Path) -> None:
    """A wrong genesis must say what is wrong with it, not time out."""
    config = {key: value for key, value in CANCUN_GENESIS["config"].items() if key != "blobSchedule"}
    with pytest.raises(ComponentFailed, match="blobSchedule"):
        async with components.geth(tmp_path, {**CANCUN_GENESIS, "config": config}, JWT):
            pytest.fail("geth took a genesis without a blob schedule")
