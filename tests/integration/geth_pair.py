"""The embedded engine and geth on the same chain of random transactions, asked the same questions.

`ALYSD_SEED=… pytest …` makes other transactions: a search over seeds finds differences that one seed does not
show.
"""

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
from alysd.embedded import EmbeddedExecution
from alysd.messages.metrics import PortCounts
from alysd.testing import components
from alysd.testing.components import CHAIN_ID, JWT, ExecutionProcess
from alysd.types.block import PayloadAttributes
from alysd.types.hashes import BURN_ADDRESS, BlockHash, sha256
from alysd.types.verdict import Valid
from tests.integration.random_transactions import RandomTransactions
from tests.integration.rival_clients import GENESIS, SENDERS, External, external

BLOCKS = 6
TRANSACTIONS = 20
BUSY_TRIES = 4
BUILD_SECONDS = 30.0
"""The most time for a pending block: a busy machine must leave out no transaction."""


@attrs.frozen
class Pair:
    """The RPC of the embedded engine and geth, on the same chain."""

    url: str
    client: httpx.AsyncClient
    geth: ExecutionProcess
    source: RandomTransactions = attrs.Factory(lambda: RandomTransactions(CHAIN_ID, 0, 1))
    """The source of the transactions of the chain, which continues it."""

    async def own(self, method: str, *params: Any) -> Any:
        """The answer of the embedded engine: its result, or its error."""
        return await self._ask(self.url, method, params)

    async def of_geth(self, method: str, *params: Any) -> Any:
        """The answer of geth."""
        return await self._ask(self.geth.eth_url, method, params)

    async def of_geth_within(self, seconds: float, method: str, *params: Any) -> Any:
        """The answer of geth; None if it does not answer in this time."""
        with trio.move_on_after(seconds):
            return await self.of_geth(method, *params)
        return None

    async def same(self, method: str, *params: Any) -> Any:
        """Both give the same answer, which is returned."""
        own, theirs = await self.own(method, *params), await self.of_geth(method, *params)
        if own != theirs:
            pytest.fail(f"{method} {params}: {difference(own, theirs)}")
        return own

    async def _ask(self, url: str, method: str, params: Any) -> Any:
        """Ask, and again while the answer is only that a busy machine had not enough time."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        error: Any = None
        for _ in range(BUSY_TRIES):
            answer = (await self.client.post(url, json=request)).json()
            if "result" in answer:
                return answer["result"]
            error = answer["error"]
            if "timeout" not in error["message"]:
                break
        return error


def difference(own: Any, theirs: Any, path: str = "") -> str:
    """Where two answers differ first."""
    names: list[Any] = []
    for kind, of in (("dict", _names), ("list", _places)):
        if type(own).__name__ == type(theirs).__name__ == kind:
            names = of(own, theirs)
    for name in names:
        one, other = part_of(own, name), part_of(theirs, name)
        if one != other:
            return difference(one, other, f"{path}.{name}")
    return f"{path}: {str(own)[:600]}, geth has {str(theirs)[:600]}"


def _names(own: Any, theirs: Any) -> list[Any]:
    return sorted({*own, *theirs})


def _places(own: Any, theirs: Any) -> list[Any]:
    return list(range(max(len(own), len(theirs))))


def part_of(whole: Any, name: Any) -> Any:
    try:
        return whole[name]
    except LookupError:
        return None


@asynccontextmanager
async def served(folder: Path, geth: ExecutionProcess) -> AsyncGenerator[tuple[EmbeddedExecution, Pair]]:
    """An embedded engine whose RPC is served beside geth's."""
    execution = await EmbeddedExecution.open(folder, GENESIS, CHAIN_ID, BUILD_SECONDS, "all")
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


@asynccontextmanager
async def pair_with_blocks(folder: Path, seed: int) -> AsyncGenerator[tuple[Pair, list[str], Random]]:
    """Both, with the hashes of their blocks, and a source of further random numbers."""
    random = Random(seed)  # noqa: S311  the same seed must give the same chain
    async with (
        components.geth(folder, GENESIS, JWT) as process,
        external(process) as geth,
        served(folder / "embedded", process) as (own, pair),
    ):
        source = RandomTransactions(CHAIN_ID, seed, SENDERS)
        blocks = await grow(geth, own, source, random)
        yield attrs.evolve(pair, source=source), blocks, random
