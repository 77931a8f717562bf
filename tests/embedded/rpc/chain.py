"""An embedded engine with its Ethereum RPC on a free port. Tests make its blocks one by one."""

import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import attrs
import httpx
import trio
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from alysd.api.http.server import listen, serve
from alysd.embedded.engine.embedded_engine import EmbeddedEngine
from alysd.embedded.engine.pruning import KEPT_STATES
from alysd.embedded.pool.transaction_pool import TransactionPool
from alysd.embedded.rpc.app import eth_site
from alysd.embedded.rpc.backend import RpcLimits
from alysd.embedded.rpc.feed import ChainFeed
from alysd.embedded.rpc.news import ChainNews, News
from alysd.types.block import PayloadAttributes
from alysd.types.hashes import BURN_ADDRESS, BlockHash, EvmAddress, PayloadHash
from alysd.types.verdict import Valid

CHAIN_ID = 7
RICH: LocalAccount = Account.from_key(b"\x01" * 32)
"""Has 1,000 BTC from the genesis."""

NOBODY = "0x" + "77" * 20
"""An address that no block has touched."""

BOX: dict[str, Any] = json.loads(Path(__file__).with_name("box.json").read_text())
"""A compiled contract: source, abi and bytecode."""

GENESIS: dict[str, Any] = {
    "config": {"chainId": CHAIN_ID, "shanghaiTime": 0, "cancunTime": 0, "terminalTotalDifficulty": 0},
    "nonce": "0x0",
    "timestamp": "0x0",
    "extraData": "0x",
    "gasLimit": "0x1c9c380",
    "difficulty": "0x0",
    "mixHash": "0x" + "00" * 32,
    "coinbase": "0x" + "00" * 20,
    "baseFeePerGas": "0x3b9aca00",
    "alloc": {RICH.address.lower(): {"balance": hex(1000 * 10**18)}},
}


class RpcFailure(Exception):
    """The answer to a request was an error."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"{error['code']}: {error['message']}")
        self.code: int = error["code"]
        self.message: str = error["message"]
        self.data: Any = error.get("data")


@attrs.define
class EthChain:
    """The engine, its pool, where its RPC is, and a client for it."""

    engine: EmbeddedEngine
    pool: TransactionPool
    feed: ChainFeed
    port: int
    client: httpx.AsyncClient
    stop_feed: Callable[[], None]
    """Ends the feed, so that nothing follows the engine's head."""

    _time: int = 0
    _ids: Any = attrs.field(factory=count)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def rpc(self, method: str, *params: Any) -> Any:
        """Ask the RPC; raises `RpcFailure`."""
        request = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": list(params)}
        answer = (await self.client.post(self.url, json=request)).json()
        if "error" in answer:
            raise RpcFailure(answer["error"])
        return answer["result"]

    async def send(self, signer: LocalAccount = RICH, **fields: Any) -> str:
        """Sign a transaction, filling in what is left out, and send it; returns its hash."""
        return await self.rpc("eth_sendRawTransaction", "0x" + self.signed(signer, **fields).hex())

    def signed(self, signer: LocalAccount = RICH, **fields: Any) -> bytes:
        """Sign a transaction, of type 2 unless a gas price is given."""
        filled: dict[str, Any] = {"chainId": CHAIN_ID, "gas": 21_000, "value": 1, "nonce": 0, **fields}
        if "gasPrice" not in filled:
            filled = {"maxFeePerGas": 3 * 10**9, "maxPriorityFeePerGas": 10**9, **filled}
        if filled.get("to"):
            filled["to"] = to_checksum_address(filled["to"])
        return bytes(signer.sign_transaction(filled).raw_transaction)

    async def mine(self, parent: PayloadHash | None = None) -> PayloadHash:
        """Make a block on the head, or on `parent`, and follow it."""
        block = await self.build(parent)
        await self.follow(block, await self.engine.genesis_hash())
        return block

    async def build(self, parent: PayloadHash | None = None) -> PayloadHash:
        """Make a block on the head, or on `parent`, without following it."""
        finalized = await self.engine.genesis_hash()
        parent = parent or self.engine.reader.head().hash
        self._time += 2
        root = BlockHash(self._time.to_bytes(32, "big"))
        attributes = PayloadAttributes(parent, root, self._time, bytes(32), BURN_ADDRESS, ())
        payload = await self.engine.build_payload(parent, finalized, finalized, attributes)
        verdict = await self.engine.new_payload(payload, root)
        assert verdict == Valid(), verdict
        return payload.block_hash

    async def follow(self, head: PayloadHash, finalized: PayloadHash | None = None) -> None:
        """Make a block the head, and wait until the pool and all listeners know."""
        told = trio.Event()

        def watch(news: News) -> None:
            if isinstance(news, ChainNews):
                told.set()

        stop = self.feed.listen(watch)
        finalized = finalized or await self.engine.genesis_hash()
        await self.engine.set_forkchoice(head, finalized, finalized)
        with trio.fail_after(30):
            await told.wait()
        stop()


@asynccontextmanager
async def eth_chain(
    folder: Path,
    limits: RpcLimits = RpcLimits(),  # noqa: B008  frozen, shareable
    kept_states: int | None = KEPT_STATES,
    genesis: Mapping[str, Any] = GENESIS,
    keys: Mapping[EvmAddress, bytes] | None = None,
) -> AsyncGenerator[EthChain]:
    """Open an engine in `folder` and serve it."""
    pool = TransactionPool(CHAIN_ID)
    engine = await EmbeddedEngine.open(folder, genesis, pool, kept_states=kept_states)
    listeners = await listen("127.0.0.1", 0)
    try:
        async with trio.open_nursery() as nursery, httpx.AsyncClient(timeout=30) as client:
            site, feed = eth_site(engine, pool, limits, keys)
            following = trio.CancelScope()

            async def follow() -> None:
                with following:
                    await feed.run()

            nursery.start_soon(follow)
            await nursery.start(serve, site, listeners)
            port = listeners[0].socket.getsockname()[1]
            yield EthChain(engine, pool, feed, port, client, following.cancel)
            nursery.cancel_scope.cancel()
    finally:
        await engine.aclose()


def selector(signature: str) -> str:
    """Return the first four bytes of call data for a function or error, in hex with 0x."""
    return "0x" + keccak(text=signature)[:4].hex()


async def box(chain: EthChain, nonce: int = 0) -> str:
    """Put a box that holds 5 into the chain and return its address."""
    sent = await chain.send(nonce=nonce, data=BOX["bytecode"] + f"{5:064x}", gas=500_000, value=0)
    await chain.mine()
    return (await chain.rpc("eth_getTransactionReceipt", sent))["contractAddress"]
