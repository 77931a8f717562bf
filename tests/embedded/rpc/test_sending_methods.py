"""eth_sendRawTransactionSync waits for the block of a transaction; eth_config names the rules."""

from pathlib import Path
from typing import Any

import pytest
import trio

from tests.embedded.rpc.chain import NOBODY, RpcFailure, eth_chain

METHOD = "eth_sendRawTransactionSync"


async def test_the_receipt_is_the_answer(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        raw = "0x" + chain.signed(to=NOBODY).hex()
        answers: list[Any] = []

        async def send() -> None:
            answers.append(await chain.rpc(METHOD, raw))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            with trio.fail_after(10):
                while chain.pool.counts() != (1, 0):  # noqa: ASYNC110  the request has no event for this
                    await trio.sleep(0.01)
            assert not answers
            await chain.mine()
        (receipt,) = answers
        assert receipt["blockNumber"] == "0x1"
        assert receipt == await chain.rpc("eth_getTransactionReceipt", receipt["transactionHash"])


async def test_a_transaction_that_stays_in_the_pool_is_named(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        with pytest.raises(RpcFailure) as caught:
            await chain.rpc(METHOD, "0x" + chain.signed(to=NOBODY, nonce=1).hex(), 50)
        assert caught.value.code == 4
        assert caught.value.message.endswith("wasn't processed in 0.05s")
        assert (await chain.rpc("eth_getTransactionByHash", caught.value.data))["nonce"] == "0x1"


async def test_what_the_pool_refuses_is_refused_at_once(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        with pytest.raises(RpcFailure, match="insufficient funds"):
            await chain.rpc(METHOD, "0x" + chain.signed(to=NOBODY, value=10**30).hex())
        with pytest.raises(RpcFailure, match=r"params\[1\]: must be a number of milliseconds, got a string"):
            await chain.rpc(METHOD, "0x" + chain.signed(to=NOBODY).hex(), "0x5")


async def test_a_transaction_that_is_sent_again_while_its_sender_waits_is_refused_as_known(tmp_path: Path) -> None:
    """The answer was an internal error, logged with its traceback, if both requests were the same."""
    async with eth_chain(tmp_path) as chain:
        raw = "0x" + chain.signed(to=NOBODY).hex()
        answers: list[Any] = []

        async def send() -> None:
            answers.append(await chain.rpc(METHOD, raw, 20_000))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            with trio.fail_after(10):
                while chain.pool.counts() != (1, 0):  # noqa: ASYNC110  the request has no event for this
                    await trio.sleep(0.01)
            with pytest.raises(RpcFailure) as caught:
                await chain.rpc(METHOD, raw, 20_000)
            assert (caught.value.code, caught.value.message) == (-32000, "already known")
            assert not answers
            await chain.mine()
        assert [answer["blockNumber"] for answer in answers] == ["0x1"]


async def test_only_some_wait_at_a_time(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        refused = 0

        async def send(nonce: int) -> None:
            nonlocal refused
            with pytest.raises(RpcFailure) as caught:
                await chain.rpc(METHOD, "0x" + chain.signed(to=NOBODY, nonce=nonce).hex(), 1000)
            refused += caught.value.code == -32000 and "too many callers" in caught.value.message

        async with trio.open_nursery() as nursery:
            for nonce in range(1, 41):
                nursery.start_soon(send, nonce)
        assert refused == 8


async def test_the_rules_of_the_chain_are_named(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        found = await chain.rpc("eth_config")
        assert (found["next"], found["last"]) == (None, None)
        assert found["current"]["chainId"] == "0x7"
        assert len(found["current"]["precompiles"]) == 10
