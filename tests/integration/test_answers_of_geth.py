"""The answers of the embedded engine are those of geth, on the same chain of random transactions.

`ALYSD_SEED=… pytest …` makes other transactions: a search over seeds finds differences of words that one seed does
not show.
"""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import attrs
import httpx
import pytest
import trio

from alysd.api.http.server import listen
from alysd.api.jsonrpc import INVALID_PARAMS
from alysd.embedded import EmbeddedExecution
from alysd.messages.metrics import PortCounts
from alysd.testing import components
from alysd.testing.components import CHAIN_ID, JWT, ExecutionProcess
from alysd.types.block import PayloadAttributes
from alysd.types.hashes import BURN_ADDRESS, BlockHash, sha256
from alysd.types.verdict import Valid
from tests.integration.random_transactions import RandomTransactions
from tests.integration.rival_clients import GENESIS, SENDERS, External, external

pytestmark = pytest.mark.component

BLOCKS = 6
TRANSACTIONS = 20

CONFIGS: dict[str, dict[str, Any]] = {
    "calls": {"tracer": "callTracer", "tracerConfig": {"withLog": True}},
    "top call": {"tracer": "callTracer", "tracerConfig": {"onlyTopCall": True, "withLog": True}},
    "prestate": {"tracer": "prestateTracer"},
    "prestate with empty": {
        "tracer": "prestateTracer",
        "tracerConfig": {"includeEmpty": True, "disableCode": True},
    },
    "difference": {"tracer": "prestateTracer", "tracerConfig": {"diffMode": True}},
    "difference without storage": {
        "tracer": "prestateTracer",
        "tracerConfig": {"diffMode": True, "disableStorage": True, "disableCode": True},
    },
    "steps": {"enableMemory": True, "enableReturnData": True},
    "some steps": {"disableStack": True, "disableStorage": True, "limit": 500},
}


@attrs.frozen
class Pair:
    """The RPC of the embedded engine and geth, on the same chain."""

    url: str
    client: httpx.AsyncClient
    geth: ExecutionProcess

    async def own(self, method: str, *params: Any) -> Any:
        """The answer of the embedded engine: its result, or its error."""
        return await self._ask(self.url, method, params)

    async def of_geth(self, method: str, *params: Any) -> Any:
        """The answer of geth."""
        return await self._ask(self.geth.eth_url, method, params)

    async def same(self, method: str, *params: Any) -> Any:
        """Both give the same answer, which is returned."""
        own, theirs = await self.own(method, *params), await self.of_geth(method, *params)
        if own != theirs:
            pytest.fail(f"{method} {params}: {difference(own, theirs)}")
        return own

    async def _ask(self, url: str, method: str, params: Any) -> Any:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        answer = (await self.client.post(url, json=request)).json()
        return answer["result"] if "result" in answer else answer["error"]


def difference(own: Any, theirs: Any, path: str = "") -> str:
    """Where two answers differ first."""
    names: list[Any] = []
    for kind, of in (("dict", _names), ("list", _places)):
        if type(own).__name__ == type(theirs).__name__ == kind:
            names = of(own, theirs)
    for name in names:
        one, other = _part(own, name), _part(theirs, name)
        if one != other:
            return difference(one, other, f"{path}.{name}")
    return f"{path}: {str(own)[:600]}, geth has {str(theirs)[:600]}"


def _names(own: Any, theirs: Any) -> list[Any]:
    return sorted({*own, *theirs})


def _places(own: Any, theirs: Any) -> list[Any]:
    return list(range(max(len(own), len(theirs))))


def _part(whole: Any, name: Any) -> Any:
    try:
        return whole[name]
    except LookupError:
        return None


@asynccontextmanager
async def served(folder: Path, geth: ExecutionProcess) -> AsyncGenerator[tuple[EmbeddedExecution, Pair]]:
    """An embedded engine whose RPC is served beside geth's."""
    execution = await EmbeddedExecution.open(folder, GENESIS, CHAIN_ID, 1.0, "all")
    listeners = await listen("127.0.0.1", 0)
    try:
        async with trio.open_nursery() as nursery, httpx.AsyncClient(timeout=90) as client:
            nursery.start_soon(execution.serve, listeners, frozenset[str](), PortCounts("ethereum"))
            yield execution, Pair(f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}", client, geth)
            nursery.cancel_scope.cancel()
    finally:
        await execution.engine.aclose()


async def grow(geth: External, own: EmbeddedExecution, source: RandomTransactions, random: Random) -> list[str]:
    """Let geth make blocks of random transactions, and the embedded engine import them; return their hashes."""
    head = genesis = await own.engine.genesis_hash()
    blocks: list[str] = []
    for number in range(1, BLOCKS + 1):
        root = BlockHash(sha256(head))
        attributes = PayloadAttributes(head, root, 1_000_000 + 2 * number, sha256(root), BURN_ADDRESS, ())
        await geth.offer(source.batch(random.randrange(1, TRANSACTIONS)))
        payload = await geth.engine.build_payload(head, genesis, genesis, attributes)
        for engine in (geth.engine, own.engine):
            assert await engine.new_payload(payload, root) == Valid()
            await engine.set_forkchoice(payload.block_hash, genesis, genesis)
        head = payload.block_hash
        blocks.append(f"0x{head.hex()}")
    return blocks


@pytest.fixture
def seed() -> int:
    """The same seed in each run, so that a rare difference of words does not fail an unrelated change."""
    return int(os.environ.get("ALYSD_SEED", "20"))


@pytest.fixture
async def pair_and_blocks(tmp_path: Path, seed: int) -> AsyncGenerator[tuple[Pair, list[str], Random]]:
    random = Random(seed)  # noqa: S311  the same seed must give the same chain
    async with (
        components.geth(tmp_path, GENESIS, JWT) as process,
        external(process) as geth,
        served(tmp_path / "embedded", process) as (own, pair),
    ):
        blocks = await grow(geth, own, RandomTransactions(CHAIN_ID, seed, SENDERS), random)
        yield pair, blocks, random


async def test_traces_are_those_of_geth(pair_and_blocks: tuple[Pair, list[str], Random]) -> None:
    pair, blocks, random = pair_and_blocks
    for config in CONFIGS.values():
        for block in blocks:
            await pair.same("debug_traceBlockByHash", block, config)
    for number in range(len(blocks) + 2):
        await pair.same("debug_traceBlockByNumber", hex(number), CONFIGS["calls"])
    await pair.same("debug_traceTransaction", "0x" + "77" * 32)
    for block in blocks:
        transactions = (await pair.own("eth_getBlockByHash", block, False))["transactions"]
        for wanted in random.sample(transactions, min(3, len(transactions))):
            await pair.same("debug_traceTransaction", wanted)
            await pair.same("debug_traceTransaction", wanted, CONFIGS["difference"])


async def test_traces_of_calls_are_those_of_geth(pair_and_blocks: tuple[Pair, list[str], Random]) -> None:
    pair, blocks, random = pair_and_blocks
    for block in blocks:
        found = await pair.own("eth_getBlockByHash", block, True)
        for index, sent in enumerate(found["transactions"][:8]):
            call = {name: sent[name] for name in ("from", "to", "value", "input", "gas") if sent[name] is not None}
            if random.randrange(2):
                call |= {"maxFeePerGas": hex(10**12), "maxPriorityFeePerGas": hex(10**9)}
            call["gas"] = hex(
                random.choice((int(sent["gas"], 16), 21_000, 60_000, random.randrange(21_000, 300_000)))
            )
            for config in CONFIGS.values():
                await pair.same("debug_traceCall", call, "latest", config)
                await pair.same("debug_traceCall", call, block, {**config, "txIndex": hex(index)})


async def test_access_lists_and_proofs_are_those_of_geth(
    pair_and_blocks: tuple[Pair, list[str], Random],
) -> None:
    pair, blocks, random = pair_and_blocks
    await pair.same("eth_config")
    slots = [hex(slot) for slot in range(5)] + [f"0x{3:064x}", "0x00ff"]
    for block in blocks:
        found = await pair.own("eth_getBlockByHash", block, True)
        for sent in found["transactions"]:
            receipt = await pair.own("eth_getTransactionReceipt", sent["hash"])
            for account in {sent["to"], receipt["contractAddress"], "0x" + "12" * 20} - {None}:
                await pair.same("eth_getProof", account, slots, "latest")
                await pair.same("eth_getProof", account, [], block)
            call = {name: sent[name] for name in ("from", "to", "value", "input", "gas") if sent[name] is not None}
            call["gas"] = hex(random.choice((int(sent["gas"], 16), 100_000, 400_000)))
            await pair.same("eth_createAccessList", call, "latest")
            await pair.same("eth_createAccessList", call | {"accessList": sent.get("accessList", [])}, block)


async def test_what_is_read_is_that_of_geth(pair_and_blocks: tuple[Pair, list[str], Random]) -> None:
    pair, blocks, random = pair_and_blocks
    differing: list[str] = []

    async def same(method: str, *params: Any) -> None:
        own, theirs = await pair.own(method, *params), await pair.of_geth(method, *params)
        if own != theirs and not equal_errors(own, theirs):
            differing.append(f"{method} {params}: {difference(own, theirs)}")

    for block in blocks:
        found = await pair.own("eth_getBlockByHash", block, True)
        for full in (True, False):
            await same("eth_getBlockByHash", block, full)
        await same("eth_getBlockByNumber", found["number"], True)
        await same("eth_getHeaderByHash", block)
        await same("eth_getHeaderByNumber", found["number"])
        await same("eth_getBlockReceipts", block)
        await same("eth_getLogs", {"blockHash": block})
        for index, sent in enumerate(found["transactions"]):
            await same("eth_getTransactionByHash", sent["hash"])
            await same("eth_getTransactionReceipt", sent["hash"])
            await same("eth_getRawTransactionByHash", sent["hash"])
            await same("eth_getTransactionByBlockHashAndIndex", block, hex(index))
            for account in (sent["from"], sent["to"]):
                if account is not None:
                    await same("eth_getBalance", account, block)
                    await same("eth_getTransactionCount", account, "latest")
                    await same("eth_getStorageAt", account, "0x1", "latest")
                    await same("eth_getCode", account, "latest")
            call = {name: sent[name] for name in ("from", "to", "value", "input") if sent[name] is not None}
            await same("eth_call", call, block)
            call["gas"] = hex(random.randrange(21_000, 300_000))
            await same("eth_call", call, "latest")
            if sent["to"] is not None:
                await same("eth_estimateGas", call, "latest")
            fees = {"maxFeePerGas": "0x77359400", "maxPriorityFeePerGas": "0x3b9aca00"}
            await same("eth_fillTransaction", {**call, **fees})
            await same("eth_fillTransaction", {**call, "gasPrice": "0x77359400", "nonce": "0x7"})
    await same("eth_feeHistory", "0x5", "latest", [10, 50, 99.5])
    await same("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest"})
    for method, params in MISTAKES:
        await same(method, *params)
    assert not differing, "\n".join(differing)


def equal_errors(own: Any, theirs: Any) -> bool:
    """Whether both refuse a request with one code. geth names Go's types in the texts about parameters."""
    code, other = (_part(each, "code") if "message" in str(each) else None for each in (own, theirs))
    if code is None or code != other:
        return False
    short, long = str(own["message"]), str(theirs["message"])
    return code == INVALID_PARAMS or (short == "out of gas" and "out of gas" in long)


ACCOUNT = "0x" + "12" * 20
MISTAKES: list[tuple[str, tuple[Any, ...]]] = [
    ("eth_getBlockByNumber", ("0x01", False)),
    ("eth_getBlockByNumber", ("0x", False)),
    ("eth_getBlockByNumber", ("1", False)),
    ("eth_getBlockByNumber", ("0x1",)),
    ("eth_getBlockByNumber", ()),
    ("eth_getBlockByHash", ("0x12", False)),
    ("eth_getBalance", (ACCOUNT,)),
    ("eth_getBalance", ("0x12", "latest")),
    ("eth_getBalance", (ACCOUNT, "0x99")),
    ("eth_call", ({"to": ACCOUNT, "value": "0x01"}, "latest")),
    ("eth_call", ({"to": ACCOUNT, "gas": "0x"}, "latest")),
    ("eth_call", ({"to": ACCOUNT, "gas": "0x0"}, "latest")),
    ("eth_call", ({"to": ACCOUNT, "gas": "0x5207"}, "latest")),
    ("eth_estimateGas", ({"to": ACCOUNT, "gas": "0x5"}, "latest")),
    ("eth_estimateGas", ({"from": ACCOUNT, "to": ACCOUNT, "gasPrice": "0x77359400"}, "latest")),
    ("eth_call", ({"to": ACCOUNT, "data": "0x1"}, "latest")),
    ("eth_getTransactionReceipt", ("0x" + "00" * 32,)),
    ("eth_getStorageAt", (ACCOUNT, "0x0", "latest", "more")),
    ("eth_nothing", ()),
    ("debug_traceTransaction", ()),
    ("eth_sendTransaction", ({"from": ACCOUNT, "to": ACCOUNT},)),
    ("eth_accounts", ()),
]
