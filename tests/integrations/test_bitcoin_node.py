"""The peg's Bitcoin client: what it asks, and what it refuses to believe. A real node: tests/integration."""

from typing import Any, cast

import pytest

from alysd.errors import BitcoinUnavailable, NotBroadcast
from alysd.integrations.bitcoin_node import MAX_RESPONSE, BitcoinCore
from alysd.testing.bitcoin import FakeBitcoin
from alysd.testing.http_server import Reply, Server, refusal, result, serving
from alysd.types.hashes import BitcoinHash

REGTEST = "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206"
INFO = {"chain": "regtest", "blocks": 0, "bestblockhash": REGTEST, "initialblockdownload": False}


def answering(**replies: Any) -> Any:
    """A regtest node with a fixed reply a method."""

    async def answer(request: dict[str, Any]) -> Reply:
        if request["method"] == "getblockhash" and request["params"] == [0]:
            return result(REGTEST)
        reply = {"getblockchaininfo": INFO, **replies}[request["method"]]
        return reply if isinstance(reply, Reply) else result(reply)

    return serving(answer)


def methods(server: Server) -> list[str]:
    return [request["method"] for request in server.requests]


async def test_the_network_is_checked_before_the_first_call_and_after_a_failure() -> None:
    """A node of another network could be started at the same address."""
    check = ["getblockchaininfo", "getblockhash"]
    async with answering(estimatesmartfee={"feerate": 0.0001}, getblock=7) as server:
        node = BitcoinCore(server.url, "regtest")
        assert [await node.fee_rate(6) for _ in range(2)] == [10_000, 10_000]
        with pytest.raises(BitcoinUnavailable):
            await node.block(BitcoinHash(bytes(32)))
        await node.fee_rate(6)
        fees = ["estimatesmartfee"]
        assert methods(server) == [*check, *fees, *fees, "getblock", *check, *fees]
        await node.aclose()


@pytest.mark.parametrize(
    ("network", "info"),
    [("mainnet", INFO), ("regtest", {**INFO, "chain": "test"}), ("regtest", {**INFO, "chain": "main"})],
)
async def test_a_node_of_another_network_is_not_used(network: str, info: dict[str, Any]) -> None:
    async with answering(getblockchaininfo=info) as server:
        node = BitcoinCore(server.url, network)
        for _ in range(2):
            with pytest.raises(BitcoinUnavailable, match=f"it is on the network .*chain needs {network}"):
                await node.fee_rate(6)
        assert "estimatesmartfee" not in methods(server)
        await node.aclose()


async def test_the_first_block_decides_too() -> None:
    """Any chain can call itself regtest."""

    async def answer(request: dict[str, Any]) -> Reply:
        return result(INFO if request["method"] == "getblockchaininfo" else "00" * 32)

    async with serving(answer) as server:
        node = BitcoinCore(server.url, "regtest")
        with pytest.raises(BitcoinUnavailable, match="first block 0000"):
            await node.chain_info()
        await node.aclose()


async def test_the_median_time_is_that_of_the_block_that_was_asked_for() -> None:
    asked, shown = BitcoinHash(bytes(range(32))), bytes(range(32))[::-1].hex()
    async with answering(getblockheader={"hash": shown, "mediantime": 1_700_000_000, "time": 7}) as server:
        node = BitcoinCore(server.url, "regtest")
        assert await node.median_time(asked) == 1_700_000_000
        assert server.requests[-1]["params"] == [shown]
        with pytest.raises(BitcoinUnavailable, match=f"hash: the header of {'00' * 32} was requested"):
            await node.median_time(BitcoinHash(bytes(32)))
        await node.aclose()
    for wrong in (-1, 2**32, "7", None, True):
        async with answering(getblockheader={"hash": shown, "mediantime": wrong}) as server:
            node = BitcoinCore(server.url, "regtest")
            with pytest.raises(BitcoinUnavailable, match="mediantime: not an integer"):
                await node.median_time(asked)
            await node.aclose()


async def test_a_block_is_what_was_asked_for() -> None:
    chain = FakeBitcoin()
    chain.mine()
    async with answering(getblock=chain.blocks[1].data.hex()) as server:
        node = BitcoinCore(server.url, "regtest")
        assert await node.block(chain.tip) == chain.blocks[1].data
        assert server.requests[-1]["params"] == [chain.tip[::-1].hex(), 0]
        with pytest.raises(BitcoinUnavailable, match="the Bitcoin block .* was requested, found"):
            await node.block(chain.blocks[0].hash)
        await node.aclose()


@pytest.mark.parametrize(
    "answer",
    [
        *(None, 7, "", "xyz", "00" * 80, {"hex": "00"}, ["00"], True),
        pytest.param("00" * 4_000_001, id="too large"),
        Reply(b"<html>", 200),
        Reply(b"", 502),
        Reply(b'{"result": "' + b"0" * (MAX_RESPONSE + 1) + b'"}'),
    ],
    ids=lambda value: str(value)[:20],
)
async def test_garbage_counts_as_no_answer(answer: Any) -> None:
    """Nothing of it may end the actor, or be taken for a block."""
    replies = dict.fromkeys(("getblock", "estimatesmartfee", "waitforblockheight", "getblockhash"), answer)
    async with answering(**replies) as server:
        node = BitcoinCore(server.url, "regtest")
        for call in (
            lambda: node.block(BitcoinHash(bytes(32))),
            lambda: node.block_hash(1),
            lambda: node.wait_for_height(1, 0.1),
        ):
            with pytest.raises(BitcoinUnavailable):
                await call()
        await node.aclose()


@pytest.mark.parametrize(
    ("answer", "rate"),
    [
        ({"feerate": 0.00012345, "blocks": 6}, 12_345),
        ({"feerate": 1e-8}, 1),
        ({"errors": ["Insufficient data or no feerate found"], "blocks": 6}, None),
    ],
)
async def test_fee_estimates(answer: dict[str, Any], rate: int | None) -> None:
    async with answering(estimatesmartfee=answer) as server:
        node = BitcoinCore(server.url, "regtest")
        assert await node.fee_rate(6) == rate
        await node.aclose()


@pytest.mark.parametrize("feerate", [0, -1, "1", True, 1e300, float("inf"), float("nan"), [], 21_000_001])
async def test_impossible_fee_rates_are_no_estimate(feerate: object) -> None:
    async with answering(estimatesmartfee={"feerate": feerate}) as server:
        node = BitcoinCore(server.url, "regtest")
        with pytest.raises(BitcoinUnavailable, match="not a fee rate"):
            await node.fee_rate(6)
        await node.aclose()


async def test_a_height_above_the_tip_has_no_block() -> None:
    async with answering(getblockhash=refusal(-8, "Block height out of range")) as server:
        node = BitcoinCore(server.url, "regtest")
        assert await node.block_hash(7) is None
        await node.aclose()


async def test_waiting_needs_no_newer_bitcoin_core() -> None:
    """`waitfornewblock` refuses the known tip before version 30: such a node would never be usable."""
    async with answering(waitforblockheight={"hash": REGTEST, "height": 0}) as server:
        node = BitcoinCore(server.url, "regtest")
        await node.wait_for_height(7, 1.5)
        assert server.requests[-1]["params"] == [7, 1500]
        await node.wait_for_height(7, 0.0)
        assert server.requests[-1]["params"] == [7, 1]  # 0 would wait for ever
        await node.aclose()


async def test_a_pruned_block_says_what_to_do() -> None:
    async with answering(getblock=refusal(-1, "Block not available (pruned data)")) as server:
        node = BitcoinCore(server.url, "regtest")
        with pytest.raises(
            BitcoinUnavailable, match=r"pruned data.*: use a Bitcoin node that still has the block"
        ):
            await node.block(BitcoinHash(bytes(32)))
        await node.aclose()


async def test_a_node_that_starts_is_not_available() -> None:
    warming = refusal(-28, "Loading block index…")
    async with answering(getblockchaininfo=warming, sendrawtransaction=warming) as server:
        node = BitcoinCore(server.url, "regtest")
        with pytest.raises(BitcoinUnavailable, match="Loading block index"):
            await node.broadcast(b"\x01")
        await node.aclose()


@pytest.mark.parametrize("code", [-22, -25, -26])
async def test_a_refused_transaction_has_the_reason(code: int) -> None:
    async with answering(sendrawtransaction=refusal(code, "bad-txns-inputs-missingorspent")) as server:
        node = BitcoinCore(server.url, "regtest")
        with pytest.raises(NotBroadcast, match="bad-txns-inputs-missingorspent"):
            await node.broadcast(b"\x01")
        await node.aclose()


@pytest.mark.parametrize("reply", ["00" * 32, refusal(-27, "Transaction outputs already in utxo set")])
async def test_a_transaction_that_is_known_was_sent(reply: object) -> None:
    """The federation sends each payment again until it is confirmed."""
    async with answering(sendrawtransaction=reply) as server:
        node = BitcoinCore(server.url, "regtest")
        await node.broadcast(b"\x01\x02")
        assert server.requests[-1]["params"] == ["0102", 0]  # no limit on the fee: the chain has its own
        await node.aclose()


def mempool_node(transactions: dict[str, str], **replies: Any) -> Any:
    """A regtest node with these transactions in its mempool, by txid."""
    fixed = {
        "getblockchaininfo": INFO,
        "getmempoolinfo": {"size": len(transactions)},
        "getrawmempool": list(transactions),
        **replies,
    }

    async def answer(request: Any) -> Reply:
        if isinstance(request, list):
            calls = cast("list[dict[str, Any]]", request)
            assert all(call["method"] == "getrawtransaction" and call["params"][1] is False for call in calls)
            found = [(call["id"], transactions.get(call["params"][0])) for call in calls]
            gone = {"code": -5, "message": "No such mempool transaction"}
            return Reply([
                {"id": number, "result": one, "error": None if one is not None else gone} for number, one in found
            ])  # fmt: skip
        return result(REGTEST if request["method"] == "getblockhash" else fixed[request["method"]])

    return serving(answer)


async def test_the_mempool_is_listed_and_read() -> None:
    async with mempool_node({"11" * 31 + "22": "aa", "33" * 32: "bbbb"}) as server:
        node = BitcoinCore(server.url, "regtest")
        first, second = BitcoinHash(b"\x22" + b"\x11" * 31), BitcoinHash(b"\x33" * 32)
        assert await node.mempool(2) == {first, second}
        gone = BitcoinHash(bytes(32))
        assert await node.transactions([second, gone, first]) == (b"\xbb\xbb", None, b"\xaa")
        assert await node.mempool(1) is None
        assert server.requests[-1]["method"] == "getmempoolinfo"
        await node.aclose()


async def test_large_transactions_are_requested_alone_and_too_large_ones_left_out() -> None:
    third = MAX_RESPONSE // 3 // 2 * 2
    names = [number.to_bytes(32, "big") for number in range(4)]
    sizes = (third, third, third, MAX_RESPONSE)
    async with mempool_node({name.hex(): "0" * size for name, size in zip(names, sizes, strict=True)}) as server:
        node = BitcoinCore(server.url, "regtest")
        found = await node.transactions([BitcoinHash(name[::-1]) for name in names])
        assert found == (bytes(third // 2), bytes(third // 2), bytes(third // 2), None)
        await node.aclose()


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        *(("getmempoolinfo", answer) for answer in (7, None, {"size": -1}, {"size": True})),
        *(("getrawmempool", answer) for answer in (7, None, [7], ["zz" * 32], ["11" * 31])),
    ],
    ids=str,
)
async def test_a_garbled_mempool_counts_as_no_answer(method: str, answer: Any) -> None:
    async with mempool_node({}, **{method: answer}) as server:
        node = BitcoinCore(server.url, "regtest")
        with pytest.raises(BitcoinUnavailable):
            await node.mempool(10)
        await node.aclose()


async def test_a_garbled_transaction_counts_as_no_answer_and_the_network_is_checked_again() -> None:
    async with mempool_node({"33" * 32: "not hex"}) as server:
        node = BitcoinCore(server.url, "regtest")
        for _ in range(2):
            with pytest.raises(BitcoinUnavailable, match="the answer to getrawtransaction is invalid"):
                await node.transactions([BitcoinHash(b"\x33" * 32)])
        assert str(server.requests).count("getblockchaininfo") == 2
        await node.aclose()
