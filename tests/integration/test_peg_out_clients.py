"""`alysd peg out` with the Ethereum JSON-RPC of geth and of EthereumJS: their pools take the transaction."""

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import trio
from eth_account import Account
from eth_account.signers.local import LocalAccount

from alysd.cli import main
from alysd.config.bridge import bridge_account
from alysd.integrations.new_key_file import write_key_file
from alysd.testing import components
from alysd.testing.components import ExecutionProcess
from alysd.testing.config_files import CONF
from alysd.testing.http_server import Reply, result, serving
from alysd.types.peg import BRIDGE_ADDRESS
from alysd.wire.evm_address import checksum_address

pytestmark = pytest.mark.component

JWT = bytes.fromhex((CONF / "dev-jwt.hex").read_text().strip().removeprefix("0x"))
RICH: LocalAccount = Account.from_key(b"\x01" * 32)
BRIDGE = checksum_address(BRIDGE_ADDRESS)
DEV: dict[str, Any] = json.loads((CONF / "chains" / "dev.genesis.json").read_text())
ALLOC: dict[str, Any] = {key: value for key, value in DEV["alloc"].items() if key.lower() != BRIDGE.lower()}
GENESIS: dict[str, Any] = {
    **DEV,
    "alloc": {**ALLOC, BRIDGE: bridge_account(peg=True), RICH.address: {"balance": hex(10**20)}},
}
TERMS: dict[str, Any] = {
    "network": "regtest",
    "chainid": DEV["config"]["chainId"],
    "address": "bcrt1pzfyhn35mfyuj0ys4uyt03uwqh67fhc29evj9cgw3c8f7cqxy2clq84j7uv",
    "contract": BRIDGE,
    "pegoutminimum": 100_000,
    "servicefee": 0,
}
Starts = Callable[[Path, dict[str, Any], bytes], AbstractAsyncContextManager[ExecutionProcess]]


@pytest.mark.parametrize("start", [components.geth, components.ethereumjs], ids=["geth", "EthereumJS"])
async def test_the_pool_takes_one_burn(start: Starts, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """EthereumJS suggests no priority fee. A second call finds the first one in the pool, and adds nothing."""
    key = tmp_path / "account.key"
    write_key_file(key, "account", bytes(RICH.key), RICH.address)

    async def node(_request: dict[str, Any]) -> Reply:
        return result(TERMS)

    with trio.fail_after(90):
        async with start(tmp_path, GENESIS, JWT) as client, serving(node) as alys:
            order = ("--to", "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080", "--amount", "0.01", "--yes")
            urls = ("--url", alys.url, "--ethereum", client.eth_url)
            words = ["peg", "out", "--key", str(key), *order, *urls]
            assert await trio.to_thread.run_sync(main, words) == 0
            assert "sent; follow it with `alysd peg watch 0x" in capsys.readouterr().out
            assert await trio.to_thread.run_sync(main, words) == 2
            assert "that wait for a block: 1;" in capsys.readouterr().err
