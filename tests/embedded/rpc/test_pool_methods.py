"""The methods that add transactions to the pool and show it, over HTTP. tests/embedded/pool tests the rules."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.embedded.rpc.chain import NOBODY, RICH, RpcFailure, eth_chain


async def test_a_transaction_is_in_the_pool_until_a_block_has_it(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        sent = await chain.send(to=NOBODY)
        assert await chain.rpc("txpool_status") == {"pending": "0x1", "queued": "0x0"}
        await chain.mine()
        assert await chain.rpc("txpool_status") == {"pending": "0x0", "queued": "0x0"}
        assert (await chain.rpc("eth_getTransactionByHash", sent))["blockNumber"] == "0x1"


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"chainId": 8}, "invalid sender: invalid chain id for signer: have 8 want 7"),
    ({"gas": 20_999}, "intrinsic gas too low: gas 20999, minimum needed 21000"),
    ({"gas": 30_000_001}, "exceeds block gas limit"),
    ({"maxPriorityFeePerGas": 4 * 10**9}, "max priority fee per gas higher than max fee per gas"),
    ({"gasPrice": 5}, "transaction gas price below minimum: gas tip cap 5, minimum needed 1000000"),
    ({"value": 2000 * 10**18}, "insufficient funds for gas * price + value: balance 1000000000000000000000, "),
    (
        {"data": b"x" * 50_000, "to": "", "gas": 10**7},
        "max initcode size exceeded: code size 50000 limit 49152",
    ),
    ({"data": b"x" * 140_000, "gas": 10**7}, "oversized data: transaction size 140"),
]


async def test_a_refusal_has_geth_s_code_and_words(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        for fields, words in REFUSED:
            with pytest.raises(RpcFailure) as caught:
                await chain.send(RICH, **{"to": NOBODY, **fields})
            assert str(caught.value).startswith(f"-32000: {words}")
        assert await chain.rpc("txpool_status") == {"pending": "0x0", "queued": "0x0"}


async def test_a_used_nonce_and_a_replay_are_told_apart(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        await chain.send(to=NOBODY)
        with pytest.raises(RpcFailure, match=r"^-32000: already known$"):
            await chain.send(to=NOBODY)
        await chain.mine()
        with pytest.raises(RpcFailure, match=r"^-32000: nonce too low: next nonce 1, tx nonce 0$"):
            await chain.send(to=NOBODY)


async def test_transactions_of_many_clients_are_added_together_each_with_its_own_answer(tmp_path: Path) -> None:
    """One is wrong; the others do not notice."""
    async with eth_chain(tmp_path) as chain:
        answers: dict[int, str] = {}

        async def send(nonce: int, **fields: Any) -> None:
            try:
                answers[nonce] = await chain.send(nonce=nonce, to=NOBODY, **fields)
            except RpcFailure as error:
                answers[nonce] = error.message

        async with trio.open_nursery() as nursery:
            for nonce in range(40):
                nursery.start_soon(partial(send, nonce, **({"gas": 20_999} if nonce == 39 else {})))
        assert answers.pop(39) == "intrinsic gas too low: gas 20999, minimum needed 21000"
        assert len(set(answers.values())) == 39
        assert await chain.rpc("txpool_status") == {"pending": "0x27", "queued": "0x0"}
        await chain.mine()
        mined = await chain.rpc("eth_getBlockByNumber", "latest", False)
        assert mined["transactions"] == [answers[nonce] for nonce in range(39)]


NO_TRANSACTIONS = ["0x", "0x02", "0x02c0", "0xc0", "0x05c0", "0x02f86e", "0x" + "c1" * 1000]


async def test_bytes_that_are_no_transaction_are_refused(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        for raw in NO_TRANSACTIONS:
            with pytest.raises(RpcFailure, match=r"^-32000: "):
                await chain.rpc("eth_sendRawTransaction", raw)


async def test_the_pool_is_shown_by_sender_and_nonce(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        pending = await chain.send(to=NOBODY, nonce=0, value=5)
        queued = await chain.send(nonce=7, data=b"\0", gas=100_000, value=0)
        content = await chain.rpc("txpool_content")
        assert content["pending"][RICH.address]["0"]["hash"] == pending
        assert content["queued"][RICH.address]["7"]["hash"] == queued
        assert await chain.rpc("txpool_contentFrom", RICH.address) == {
            kind: senders[RICH.address] for kind, senders in content.items()
        }
        assert await chain.rpc("txpool_contentFrom", NOBODY) == {"pending": {}, "queued": {}}
        inspected = await chain.rpc("txpool_inspect")
        assert inspected["pending"][RICH.address]["0"].endswith(": 5 wei + 21000 gas × 3000000000 wei")
        assert inspected["queued"][RICH.address]["7"].startswith("contract creation: 0 wei + 100000 gas")


async def test_a_dropped_transaction_is_answered_with_the_reason(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        sent = await chain.send(to=NOBODY)
        waiting = chain.pool.get(bytes.fromhex(sent[2:]))
        assert waiting is not None
        assert await chain.rpc("eth_getTransactionReceipt", sent) is None
        chain.pool.discard(waiting, "takes longer than 0.75 s of processor time to execute")
        for method in ("eth_getTransactionReceipt", "eth_getTransactionByHash"):
            with pytest.raises(RpcFailure, match=r"^-32000: transaction dropped: takes longer than 0.75 s"):
                await chain.rpc(method, sent)
        with pytest.raises(RpcFailure, match=r"^-32000: transaction dropped: takes longer than 0.75 s"):
            await chain.send(to=NOBODY)
