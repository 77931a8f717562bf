"""Accounts at any block, over HTTP."""

from pathlib import Path

import pytest

from tests.embedded.rpc.chain import BOX, RICH, RpcFailure, eth_chain

NOBODY = "0x" + "77" * 20


async def test_balance_and_nonce_are_those_of_the_block_asked_for(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        await chain.send(to=NOBODY, value=500)
        first = await chain.mine()
        assert await chain.rpc("eth_getBalance", NOBODY) == "0x1f4"
        assert await chain.rpc("eth_getBalance", NOBODY, "0x0") == "0x0"
        assert await chain.rpc("eth_getBalance", NOBODY, {"blockHash": "0x" + first.hex()}) == "0x1f4"
        assert await chain.rpc("eth_getBalance", NOBODY, "earliest") == "0x0"
        assert await chain.rpc("eth_getBalance", NOBODY, "finalized") == "0x0"
        assert await chain.rpc("eth_getBalance", NOBODY, "safe") == "0x0"
        assert await chain.rpc("eth_getTransactionCount", RICH.address) == "0x1"
        assert await chain.rpc("eth_getTransactionCount", RICH.address, "0x0") == "0x0"


async def test_the_pending_nonce_counts_what_is_in_the_pool(tmp_path: Path) -> None:
    """A wallet that asks for it may send several transactions in one slot."""
    async with eth_chain(tmp_path) as chain:
        await chain.send(to=NOBODY, nonce=0)
        await chain.send(to=NOBODY, nonce=1)
        await chain.send(to=NOBODY, nonce=5)
        assert await chain.rpc("eth_getTransactionCount", RICH.address, "pending") == "0x2"
        assert await chain.rpc("eth_getTransactionCount", RICH.address, "latest") == "0x0"


async def test_code_and_storage_are_those_of_the_block_asked_for(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        sent = await chain.send(data=BOX["bytecode"] + f"{5:064x}", gas=500_000, value=0)
        await chain.mine()
        box = (await chain.rpc("eth_getTransactionReceipt", sent))["contractAddress"]
        assert len(await chain.rpc("eth_getCode", box)) > 500
        assert await chain.rpc("eth_getCode", box, "0x0") == "0x"
        assert await chain.rpc("eth_getStorageAt", box, "0x0") == "0x" + f"{5:064x}"
        assert await chain.rpc("eth_getStorageAt", box, "0x" + "0" * 64, "latest") == "0x" + f"{5:064x}"
        assert await chain.rpc("eth_getStorageAt", box, "0x0", "0x0") == "0x" + "0" * 64
        assert await chain.rpc("eth_getStorageAt", box, "0x1") == "0x" + "0" * 64


async def test_a_block_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        with pytest.raises(RpcFailure, match=r"^-32000: header not found$"):
            await chain.rpc("eth_getBalance", NOBODY, "0x5")
        with pytest.raises(RpcFailure, match=r"^-32000: header for hash not found$"):
            await chain.rpc("eth_getBalance", NOBODY, "0x" + "12" * 32)


async def test_a_wrong_parameter_is_named(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        for method in ("eth_getBalance", "eth_getTransactionCount", "eth_getCode", "eth_getStorageAt"):
            with pytest.raises(RpcFailure, match=r"^-32602: params\[0\]: an EVM address is 20 bytes, got 1$"):
                await chain.rpc(method, "0x12")


async def test_the_node_has_no_accounts_of_its_own(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        assert await chain.rpc("eth_accounts") == []
