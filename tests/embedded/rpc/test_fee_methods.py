"""The methods about the price of gas, over HTTP."""

from pathlib import Path
from typing import Any

import pytest

from tests.embedded.rpc.chain import RICH, RpcFailure, eth_chain

GWEI = 10**9


async def test_the_history_covers_the_blocks_asked_for(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        await chain.send(to=RICH.address, maxPriorityFeePerGas=2 * GWEI, maxFeePerGas=9 * GWEI)
        await chain.mine()
        await chain.mine()
        history = await chain.rpc("eth_feeHistory", "0x2", "latest", [50])
        assert (history["oldestBlock"], len(history["baseFeePerGas"])) == ("0x1", 3)
        least = hex(chain.pool.limits.minimum_tip)
        assert history["reward"] == [[hex(2 * GWEI)], [least]], "forge would offer 1 wei, which the pool refuses"
        assert history["gasUsedRatio"] == [21_000 / 30_000_000, 0]
        heads = [await chain.rpc("eth_getBlockByNumber", number, False) for number in ("0x1", "0x2")]
        assert history["baseFeePerGas"][:2] == [head["baseFeePerGas"] for head in heads]
        assert (history["baseFeePerBlobGas"], history["blobGasUsedRatio"]) == (["0x1"] * 3, [0, 0])


async def test_the_history_s_count_is_read_as_tools_write_it_and_cut_to_what_there_is(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        await chain.mine()
        for count in (2, "2", "0x2", 5000, "0xffffffff"):
            history = await chain.rpc("eth_feeHistory", count, "latest", None)
            assert (history["oldestBlock"], len(history["gasUsedRatio"])) == ("0x0", 2)
            assert "reward" not in history
        assert (await chain.rpc("eth_feeHistory", 1, "0x0", []))["oldestBlock"] == "0x0"
        assert (await chain.rpc("eth_feeHistory", 0, "latest", []))["gasUsedRatio"] is None


WRONG: list[tuple[tuple[Any, ...], str]] = [
    ((1, "0x5"), "-32000: request beyond head block: requested 5, head 0"),
    ((True, "latest"), "-32602: params[0]: must be a string, got a boolean"),
    ((-1, "latest"), "-32602: params[0]: must be a string, got a number"),
    ((1, "latest", 5), "-32602: params[2]: must be an array, got a number"),
    ((1, "latest", [101]), "-32000: invalid reward percentile: 101.000000"),
    ((1, "latest", [True]), "-32602: params[2]: each percentile must be a number, got a boolean"),
    (
        (1, "latest", [50, 50]),
        "-32000: invalid reward percentile: #0:50.000000 >= #1:50.000000",
    ),
    ((1, "latest", [1] * 101), "-32000: invalid reward percentile: over the query limit 100"),
]


async def test_what_is_wrong_in_a_history_is_said(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        for params, words in WRONG:
            with pytest.raises(RpcFailure) as caught:
                await chain.rpc("eth_feeHistory", *params)
            assert str(caught.value) == words


async def test_a_suggested_tip_is_what_others_paid_and_at_least_what_the_pool_asks(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        assert int(await chain.rpc("eth_maxPriorityFeePerGas"), 16) == chain.pool.limits.minimum_tip
        await chain.send(to=RICH.address, maxPriorityFeePerGas=2 * GWEI, maxFeePerGas=9 * GWEI)
        await chain.mine()
        assert int(await chain.rpc("eth_maxPriorityFeePerGas"), 16) == 2 * GWEI


async def test_a_suggested_price_gets_a_transaction_into_the_next_block(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        sent = await chain.send(to=RICH.address, gasPrice=int(await chain.rpc("eth_gasPrice"), 16))
        await chain.mine()
        assert (await chain.rpc("eth_getTransactionReceipt", sent))["blockNumber"] == "0x1"


async def test_blob_gas_has_its_least_price(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        assert await chain.rpc("eth_blobBaseFee") == "0x1"
