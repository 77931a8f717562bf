"""`alysd peg out` with the engine, the pool and the bridge contract of a real chain."""

from pathlib import Path
from typing import Any

import pytest
import trio

from alysd.cli import main
from alysd.config.bridge import bridge_account
from alysd.integrations.new_key_file import write_key_file
from alysd.testing.http_server import Reply, result, serving
from alysd.types.peg import BRIDGE_ADDRESS
from alysd.wire.evm_address import checksum_address
from alysd.wire.keccak import keccak256
from tests.embedded.rpc.chain import CHAIN_ID, GENESIS, RICH, eth_chain

BRIDGE = checksum_address(BRIDGE_ADDRESS)
TO = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"
TERMS: dict[str, Any] = {
    "network": "regtest",
    "chainid": CHAIN_ID,
    "address": "bcrt1pzfyhn35mfyuj0ys4uyt03uwqh67fhc29evj9cgw3c8f7cqxy2clq84j7uv",
    "contract": BRIDGE,
    "pegoutminimum": 100_000,
    "servicefee": 0,
}


async def test_a_burn_becomes_a_log_of_the_contract(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And a second call, made because the first one seemed lost, burns nothing more."""
    key = tmp_path / "account.key"
    write_key_file(key, "account", bytes(RICH.key), RICH.address)
    genesis = {**GENESIS, "alloc": {**GENESIS["alloc"], BRIDGE: bridge_account(peg=True)}}

    async def node(_request: dict[str, Any]) -> Reply:
        return result(TERMS)

    async with eth_chain(tmp_path, genesis=genesis) as chain, serving(node) as alys:
        words = ["peg", "out", "--to", TO, "--amount", "0.01", "--key", str(key), "--yes", "--url", alys.url]

        async def burn(*options: str) -> int:
            return await trio.to_thread.run_sync(main, [*words, "--ethereum", chain.url, *options])

        assert await burn() == 0
        name = capsys.readouterr().out.split()[-1].rstrip("`")
        assert await burn() == 2
        assert "that wait for a block: 1;" in capsys.readouterr().err
        assert await burn("--nonce", "0") == 0, "the same transaction, which the pool has"
        await chain.mine()
        receipt = await chain.rpc("eth_getTransactionReceipt", name)
        (log,) = receipt["logs"]
        assert (receipt["status"], log["address"]) == ("0x1", BRIDGE_ADDRESS.hex().join(("0x", "")))
        assert log["topics"][0] == "0x" + keccak256(b"RequestPegOut(address,bytes,uint256)").hex()
        assert TO.encode().hex() in log["data"]
        assert await chain.rpc("eth_getBalance", BRIDGE, "latest") == hex(10**16)
        assert await burn("--nonce", "0") == 2
        assert "a block already has the account's transaction of this number" in capsys.readouterr().err


async def test_a_chain_without_a_peg_burns_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = tmp_path / "account.key"
    write_key_file(key, "account", bytes(RICH.key), RICH.address)
    genesis = {**GENESIS, "alloc": {**GENESIS["alloc"], BRIDGE: bridge_account()}}

    async def node(_request: dict[str, Any]) -> Reply:
        return result(TERMS)

    async with eth_chain(tmp_path, genesis=genesis) as chain, serving(node) as alys:
        words = ["peg", "out", "--to", TO, "--amount", "0.01", "--key", str(key), "--yes", "--url", alys.url]
        assert await trio.to_thread.run_sync(main, [*words, "--ethereum", chain.url]) == 1
        said = capsys.readouterr()
        assert "reverted" in said.err
        assert said.out == ""
