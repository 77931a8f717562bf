"""Blocks, transactions and receipts, over HTTP."""

from pathlib import Path
from typing import Any

import pytest

from tests.embedded.rpc.chain import BOX, NOBODY, RICH, EthChain, RpcFailure, eth_chain

MISSING = "0x" + "99" * 32


async def mined(chain: EthChain) -> tuple[list[str], Any]:
    """Send a transfer and a creation, make a block; returns their hashes and the block."""
    sent = [
        await chain.send(to=NOBODY, nonce=0),
        await chain.send(nonce=1, data=BOX["bytecode"] + f"{5:064x}", gas=500_000, value=0),
    ]
    await chain.mine()
    return sent, await chain.rpc("eth_getBlockByNumber", "latest", False)


async def test_a_block_is_found_by_number_and_by_hash(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        sent, block = await mined(chain)
        assert await chain.rpc("eth_blockNumber") == block["number"] == "0x1"
        assert block["transactions"] == sent
        assert await chain.rpc("eth_getBlockByHash", block["hash"], False) == block
        assert await chain.rpc("eth_getBlockByNumber", "0x1", False) == block
        assert int(block["size"], 16) > 1000


async def test_a_block_is_shown_with_whole_transactions(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        sent, block = await mined(chain)
        full = (await chain.rpc("eth_getBlockByNumber", "0x1", True))["transactions"]
        assert full == [await chain.rpc("eth_getTransactionByHash", hash_) for hash_ in sent]
        assert [one["transactionIndex"] for one in full] == ["0x0", "0x1"]
        assert full == [
            await chain.rpc("eth_getTransactionByBlockNumberAndIndex", "0x1", "0x0"),
            await chain.rpc("eth_getTransactionByBlockHashAndIndex", block["hash"], "0x1"),
        ]


async def test_receipts_agree_with_each_other(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        sent, block = await mined(chain)
        receipts = [await chain.rpc("eth_getTransactionReceipt", hash_) for hash_ in sent]
        assert await chain.rpc("eth_getBlockReceipts", "latest") == receipts
        assert await chain.rpc("eth_getBlockReceipts", block["hash"]) == receipts
        transfer, creation = receipts
        assert (transfer["status"], transfer["gasUsed"], transfer["contractAddress"]) == ("0x1", "0x5208", None)
        assert (creation["to"], len(creation["contractAddress"])) == (None, 42)
        assert creation["from"] == RICH.address.lower()
        assert int(creation["cumulativeGasUsed"], 16) == int(block["gasUsed"], 16)


async def test_logs_are_counted_through_the_block(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        sent, _ = await mined(chain)
        box = (await chain.rpc("eth_getTransactionReceipt", sent[1]))["contractAddress"]
        call = "0x64371977" + f"{9:064x}{64:064x}{1:064x}" + "78" + "00" * 31
        for nonce in (2, 3):
            await chain.send(to=box, nonce=nonce, data=call, gas=200_000, value=0)
        await chain.mine()
        receipts = await chain.rpc("eth_getBlockReceipts", "latest")
        assert [log["logIndex"] for one in receipts for log in one["logs"]] == ["0x0", "0x1"]
        single = await chain.rpc("eth_getTransactionReceipt", receipts[1]["transactionHash"])
        assert single == receipts[1]
        assert await chain.rpc("eth_getLogs", {"blockHash": receipts[0]["blockHash"]}) == [
            log for one in receipts for log in one["logs"]
        ]


async def test_a_waiting_transaction_is_found_without_a_block(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        sent = await chain.send(to=NOBODY)
        waiting = await chain.rpc("eth_getTransactionByHash", sent)
        assert (waiting["hash"], waiting["blockHash"], waiting["transactionIndex"]) == (sent, None, None)
        assert await chain.rpc("eth_getTransactionReceipt", sent) is None


async def test_counts_are_those_of_the_block(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        _, block = await mined(chain)
        assert await chain.rpc("eth_getBlockTransactionCountByNumber", "latest") == "0x2"
        assert await chain.rpc("eth_getBlockTransactionCountByHash", block["hash"]) == "0x2"
        assert await chain.rpc("eth_getUncleCountByBlockNumber", "latest") == "0x0"
        assert await chain.rpc("eth_getUncleCountByBlockHash", block["hash"]) == "0x0"


NOT_THERE: list[tuple[str, tuple[Any, ...]]] = [
    ("eth_getBlockByNumber", ("0x5", False)),
    ("eth_getBlockByHash", (MISSING, True)),
    ("eth_getBlockTransactionCountByNumber", ("0x5",)),
    ("eth_getBlockTransactionCountByHash", (MISSING,)),
    ("eth_getUncleCountByBlockNumber", ("0x5",)),
    ("eth_getUncleCountByBlockHash", (MISSING,)),
    ("eth_getTransactionByHash", (MISSING,)),
    ("eth_getTransactionByBlockNumberAndIndex", ("0x0", "0x0")),
    ("eth_getTransactionByBlockHashAndIndex", (MISSING, "0x0")),
    ("eth_getTransactionReceipt", (MISSING,)),
    ("eth_getBlockReceipts", ("0x5",)),
]


async def test_what_is_not_there_is_null(tmp_path: Path) -> None:
    """Libraries poll until it is no longer null: an error would end their waiting."""
    async with eth_chain(tmp_path) as chain:
        for method, params in NOT_THERE:
            assert await chain.rpc(method, *params) is None, method


async def test_a_transaction_of_an_abandoned_block_is_no_longer_included(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        sent = await chain.send(to=NOBODY)
        abandoned = await chain.mine()
        chain.pool.discard(chain.engine.reader.block(abandoned).transactions[0], "not again")  # pyright: ignore[reportOptionalMemberAccess]
        await chain.mine(parent=await chain.engine.genesis_hash())
        found = await chain.rpc("eth_getTransactionByHash", sent)
        assert found["blockNumber"] in (None, "0x1")
        assert (await chain.rpc("eth_getBlockByHash", "0x" + abandoned.hex(), False))["number"] == "0x1"


async def test_a_wrong_parameter_is_named(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        with pytest.raises(RpcFailure, match=r"^-32602: params\[0\]: must start with 0x, got 'newest'$"):
            await chain.rpc("eth_getBlockByNumber", "newest")
        with pytest.raises(RpcFailure, match=r"^-32602: params\[1\]: must be true or false, got a string$"):
            await chain.rpc("eth_getBlockByNumber", "0x1", "yes")
        with pytest.raises(RpcFailure, match=r"^-32602: missing value for required argument 0$"):
            await chain.rpc("eth_getTransactionByHash")


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


async def test_a_wrong_account_is_named(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        for method in ("eth_getBalance", "eth_getTransactionCount", "eth_getCode", "eth_getStorageAt"):
            with pytest.raises(
                RpcFailure, match=r"^-32602: params\[0\]: an EVM address must have 20 bytes, got 1$"
            ):
                await chain.rpc(method, "0x12")


async def test_the_node_has_no_accounts_of_its_own(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        assert await chain.rpc("eth_accounts") == []


async def test_a_pruned_state_is_refused_in_geths_words(tmp_path: Path) -> None:
    """Tools recognise a node without history by these words; blocks and receipts of the same height are there."""
    async with eth_chain(tmp_path, kept_states=2) as chain:
        head = [await chain.mine() for _ in range(5)][-1]
        await chain.engine.set_forkchoice(head, head, head)
        root = (await chain.rpc("eth_getBlockByNumber", "0x2", False))["stateRoot"]
        call = {"to": NOBODY, "data": "0x"}
        for method, params in {
            "eth_getBalance": (NOBODY, "0x2"),
            "eth_getTransactionCount": (NOBODY, "0x2"),
            "eth_getCode": (NOBODY, "0x2"),
            "eth_getStorageAt": (NOBODY, "0x0", "0x2"),
            "eth_call": (call, "0x2"),
            "eth_estimateGas": (call, "0x2"),
        }.items():
            with pytest.raises(RpcFailure) as refused:
                await chain.rpc(method, *params)
            assert (refused.value.code, refused.value.message) == (
                -32000,
                f"missing trie node {root[2:]} (path ) state {root} is not available, not found",
            ), method
        assert await chain.rpc("eth_getBalance", NOBODY, "0x3") == "0x0"
        assert await chain.rpc("eth_getBlockReceipts", "0x2") == []


async def test_headers_raw_transactions_and_uncles_as_geth_has_them(tmp_path: Path) -> None:
    nowhere = "0x" + "01" * 32
    async with eth_chain(tmp_path) as chain:
        raw = "0x" + chain.signed(to=NOBODY).hex()
        sent = await chain.send(to=NOBODY)
        assert await chain.rpc("eth_getRawTransactionByHash", sent) == raw, "from the pool"
        block = "0x" + (await chain.mine()).hex()
        assert await chain.rpc("eth_getRawTransactionByHash", sent) == raw
        for method, at in (
            ("eth_getRawTransactionByBlockNumberAndIndex", "latest"),
            ("eth_getRawTransactionByBlockHashAndIndex", block),
        ):
            assert await chain.rpc(method, at, "0x0") == raw
            assert await chain.rpc(method, at, "0x1") == "0x"
        assert await chain.rpc("eth_getRawTransactionByBlockNumberAndIndex", "0x99", "0x0") == "0x"
        assert await chain.rpc("eth_getRawTransactionByHash", nowhere) == "0x"
        header = await chain.rpc("eth_getHeaderByHash", block)
        assert header == await chain.rpc("eth_getHeaderByNumber", "0x1")
        whole = await chain.rpc("eth_getBlockByHash", block, False)
        assert header == {name: value for name, value in whole.items() if name in header}
        assert whole.keys() - header.keys() == {"size", "transactions", "uncles", "withdrawals"}
        assert await chain.rpc("eth_getHeaderByNumber", "0x99") is None
        assert await chain.rpc("eth_getHeaderByHash", nowhere) is None
        assert await chain.rpc("eth_getUncleByBlockNumberAndIndex", "latest", "0x0") is None
        assert await chain.rpc("eth_getUncleByBlockHashAndIndex", block, "0x0") is None
        assert await chain.rpc("rpc_modules") == dict.fromkeys(
            ("debug", "eth", "net", "rpc", "txpool", "web3"), "1.0"
        )
        base_fee = await chain.rpc("eth_baseFee")
        following = await chain.mine()
        assert (await chain.rpc("eth_getHeaderByHash", "0x" + following.hex()))["baseFeePerGas"] == base_fee


async def test_a_batch_has_up_to_a_thousand_requests(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        batch = [{"jsonrpc": "2.0", "id": n, "method": "eth_chainId"} for n in range(1001)]
        answers = (await chain.client.post(chain.url, json=batch[:1000])).json()
        assert [answer["id"] for answer in answers] == list(range(1000))
        refused = (await chain.client.post(chain.url, json=batch)).json()
        assert refused["error"]["message"] == "batch of 1001 requests, at most 1000 are taken"
