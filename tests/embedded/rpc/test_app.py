"""The application as a whole: every method that web3 libraries call, CORS, and serving it with its feed."""

import re
from pathlib import Path
from typing import Any

import httpx
import trio

from alysd import __version__
from alysd.api.http.server import listen
from alysd.api.jsonrpc import Params
from alysd.embedded.engine.embedded_engine import EmbeddedEngine
from alysd.embedded.pool.transaction_pool import TransactionPool
from alysd.embedded.rpc.app import IdentityMethods, eth_methods, serve_ethereum
from alysd.embedded.rpc.backend import EthBackend
from tests.embedded.rpc.chain import CHAIN_ID, GENESIS, eth_chain

EXPECTED = """
    debug_getRawBlock debug_getRawHeader debug_getRawReceipts debug_getRawTransaction debug_traceBlock
    debug_traceBlockByHash debug_traceBlockByNumber debug_traceCall debug_traceTransaction eth_accounts
    eth_baseFee eth_blobBaseFee eth_blockNumber eth_call eth_chainId eth_config eth_createAccessList
    eth_estimateGas eth_feeHistory eth_fillTransaction eth_gasPrice eth_getBalance eth_getBlockByHash
    eth_getBlockByNumber eth_getBlockReceipts eth_getBlockTransactionCountByHash
    eth_getBlockTransactionCountByNumber eth_getCode eth_getFilterChanges eth_getFilterLogs
    eth_getHeaderByHash eth_getHeaderByNumber eth_getLogs eth_getProof
    eth_getRawTransactionByBlockHashAndIndex eth_getRawTransactionByBlockNumberAndIndex
    eth_getRawTransactionByHash eth_getStorageAt eth_getTransactionByBlockHashAndIndex
    eth_getTransactionByBlockNumberAndIndex eth_getTransactionByHash eth_getTransactionCount
    eth_getTransactionReceipt eth_getUncleByBlockHashAndIndex eth_getUncleByBlockNumberAndIndex
    eth_getUncleCountByBlockHash eth_getUncleCountByBlockNumber eth_maxPriorityFeePerGas eth_newBlockFilter
    eth_newFilter eth_newPendingTransactionFilter eth_pendingTransactions eth_sendRawTransaction
    eth_sendRawTransactionSync eth_sendTransaction eth_sign eth_signTransaction eth_signTypedData_v4
    eth_simulateV1 eth_syncing
    eth_uninstallFilter net_listening net_peerCount net_version personal_sign rpc_modules txpool_content
    txpool_contentFrom txpool_inspect txpool_status web3_clientVersion web3_sha3
"""


async def test_all_methods_are_there(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        found = eth_methods(EthBackend(chain.engine, chain.pool), chain.feed)
        assert sorted(found) == EXPECTED.split()


async def test_a_page_of_any_origin_may_ask(tmp_path: Path) -> None:
    """Wallets in a browser do, and a browser asks first."""
    async with eth_chain(tmp_path) as chain:
        asking = {
            "origin": "http://localhost:5173",
            "access-control-request-method": "POST",
            "access-control-request-headers": "content-type",
        }
        allowed = await chain.client.options(chain.url, headers=asking)
        assert allowed.status_code == 204
        assert allowed.headers["access-control-allow-origin"] == "*"
        body = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"}
        answer = await chain.client.post(chain.url, json=body, headers={"origin": "http://localhost:5173"})
        assert answer.headers["access-control-allow-origin"] == "*"


async def test_a_batch_of_a_library_is_answered(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        batch = [{"jsonrpc": "2.0", "id": n, "method": "eth_chainId"} for n in range(20)]
        answers = (await chain.client.post(chain.url, json=batch)).json()
        assert [(answer["id"], answer["result"]) for answer in answers] == [(n, "0x7") for n in range(20)]


async def test_serving_runs_the_feed_beside_it_and_ends_quickly(tmp_path: Path) -> None:
    pool = TransactionPool(CHAIN_ID)
    engine = await EmbeddedEngine.open(tmp_path, GENESIS, pool)
    listeners = await listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
    body = {"jsonrpc": "2.0", "id": 1, "method": "eth_newBlockFilter"}
    async with trio.open_nursery() as nursery, httpx.AsyncClient() as client:
        await nursery.start(serve_ethereum, engine, pool, listeners)
        assert re.fullmatch("0x[1-9a-f][0-9a-f]{,31}", (await client.post(url, json=body)).json()["result"])
        began = trio.current_time()
        nursery.cancel_scope.cancel()
    assert trio.current_time() - began < 1.0
    await engine.aclose()


async def ask(method: str, *params: Any) -> Any:
    return await IdentityMethods(121212).table()[method].call(Params(params))


async def test_the_chain_is_named_in_hex_and_the_network_in_decimal() -> None:
    """Libraries compare the two: 121212 in both, written as each method's readers expect."""
    assert (await ask("eth_chainId"), await ask("net_version")) == ("0x1d97c", "121212")


async def test_the_program_names_itself_and_its_version() -> None:
    name, version, system, language = (await ask("web3_clientVersion")).split("/")
    assert (name, version) == ("alysd", f"v{__version__}")
    assert system.startswith("linux")
    assert language.startswith("python3.")


async def test_the_engine_has_no_network_of_its_own() -> None:
    assert await ask("eth_syncing") is False
    assert await ask("net_listening") is True
    assert await ask("net_peerCount") == "0x0"


async def test_data_is_hashed_with_keccak() -> None:
    empty = "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert await ask("web3_sha3", "0x") == empty
