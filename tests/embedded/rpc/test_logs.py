"""eth_getLogs, over HTTP."""

from pathlib import Path
from typing import Any

import pytest
from eth_utils.crypto import keccak

from alysd.embedded.rpc.backend import RpcLimits
from tests.embedded.rpc.chain import EthChain, RpcFailure, eth_chain
from tests.embedded.rpc.test_calls import box, selector

CHANGED = "0x" + keccak(text="Changed(address,uint256,string)").hex()


async def changes(chain: EthChain, numbers: list[int]) -> str:
    """Put a box into the chain and change it, a block each time; the changes are in blocks 2, 3, …"""
    to = await box(chain)
    for nonce, number in enumerate(numbers, start=1):
        data = selector("set(uint256,string)") + f"{number:064x}{64:064x}{0:064x}"
        await chain.send(nonce=nonce, to=to, data=data, gas=200_000, value=0)
        await chain.mine()
    return to


def values(found: list[dict[str, Any]]) -> list[int]:
    return [int(log["topics"][2], 16) for log in found]


async def test_logs_are_found_by_range_address_and_topics(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        to = await changes(chain, [7, 8, 7])

        async def found(**query: Any) -> list[int]:
            return values(await chain.rpc("eth_getLogs", query))

        assert await found() == [7]
        assert await found(fromBlock="earliest", toBlock="latest") == [7, 8, 7]
        assert await found(fromBlock="0x3", toBlock="0x3") == [8]
        assert await found(fromBlock="0x0", address=to) == [7, 8, 7]
        assert await found(fromBlock="0x0", address="0x" + "12" * 20) == []
        seven = "0x" + f"{7:064x}"
        assert await found(fromBlock="0x0", topics=[CHANGED, None, seven]) == [7, 7]
        assert await found(fromBlock="0x0", topics=[[CHANGED, seven], [], [seven, "0x" + f"{8:064x}"]]) == [
            7,
            8,
            7,
        ]
        assert await found(fromBlock="0x0", topics=[seven]) == []
        head = await chain.rpc("eth_getBlockByNumber", "latest")
        assert await found(blockHash=head["hash"]) == [7]


NOT_FOUND: list[tuple[dict[str, Any], str]] = [
    ({"fromBlock": "0x1", "toBlock": "0x0"}, "-32602: invalid block range params"),
    ({"fromBlock": "0x0", "toBlock": "0x5"}, "-32602: block range extends beyond current head block"),
    ({"fromBlock": "pending"}, "-32602: pending logs are not supported"),
    ({"blockHash": "0x" + "12" * 32}, "-32000: unknown block"),
    ({"topics": "0x12"}, "-32602: params[0]: topics: an array is wanted, got a string"),
]


async def test_what_cannot_be_found_is_said(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        await chain.mine()
        for query, words in NOT_FOUND:
            with pytest.raises(RpcFailure) as caught:
                await chain.rpc("eth_getLogs", query)
            assert str(caught.value) == words


async def test_a_query_is_bounded_in_blocks_and_in_results(tmp_path: Path) -> None:
    async with eth_chain(tmp_path, RpcLimits(logs=1, log_blocks=4)) as chain:
        await changes(chain, [1, 2])
        with pytest.raises(RpcFailure, match=r"^-32005: query returned more than 1 results$"):
            await chain.rpc("eth_getLogs", {"fromBlock": "0x0"})
        await chain.mine()
        with pytest.raises(RpcFailure, match=r"^-32602: exceed maximum block range 4$"):
            await chain.rpc("eth_getLogs", {"fromBlock": "0x0"})
