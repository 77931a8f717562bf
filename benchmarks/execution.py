"""Measures how many blocks per second geth, EthereumJS and the embedded engine import.

    python -m benchmarks.execution [--blocks 10] [--rounds 5]

All clients import the same chain, first empty blocks, then blocks with transfers, with a forkchoice update after
each block. They import one part of the chain in turn, so that load on the machine affects all clients equally; the
table has the medians of the rounds. "geth, fed by the node" is a second geth, to which the node's reconciliation
sends the blocks: its ratio to the first is the overhead of the node. Clients that are not installed are skipped.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from math import inf
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from eth_account import Account

from alysd.consensus.payload import payload_attributes
from alysd.consensus.validity import apply_block
from alysd.embedded import AccountReader, EmbeddedEngine, SignedTransaction, read_transaction
from alysd.integrations.clock import SystemClock
from alysd.integrations.execution.engine_api import EngineApiClient
from alysd.nurseries import OneForOne, actor, open_system, supervisor
from alysd.ports import ExecutionEngine
from alysd.testing import components
from alysd.testing.blocks import FIRST_SLOT, approve, context_of, genesis, make_spec
from alysd.testing.components import CANCUN_GENESIS, CHAIN_ID, JWT
from alysd.testing.executed_chain import ExecutedChain, MemoryStorage, storage_address
from alysd.timing import Timing
from alysd.types.block import Block, SignedBlock
from alysd.types.units import Slot, Wei
from alysd.types.verdict import Valid
from alysd.workflows.engine_reconcile import EngineReconcile

SPEC = make_spec()
KEY = "0x" + "11" * 32
TRANSFERS = 50
"""Transfers in a full block. EthereumJS executes a block that it did not build twice, in about 1.5 s."""

_account: Any = Account.from_key(KEY)
GENESIS: dict[str, Any] = {
    **CANCUN_GENESIS,
    "alloc": {**CANCUN_GENESIS["alloc"], _account.address: {"balance": hex(10**24)}},
}

Import = Callable[[ExecutedChain, Sequence[SignedBlock]], Awaitable[None]]
"""Imports blocks into a client; they are the last blocks of the given chain."""


@attrs.define
class Transfers:
    """A pool that offers `a_block` transfers per block, with nonces from `nonce` on."""

    a_block: int = 0
    nonce: int = 0

    def best(self, base_fee: int, accounts: AccountReader) -> list[SignedTransaction]:  # noqa: ARG002
        """Return the next transfers."""
        return [self._transfer(self.nonce + index) for index in range(self.a_block)]

    def slow(self, base_fee: int, accounts: AccountReader) -> list[SignedTransaction]:  # noqa: ARG002
        """Return nothing: all transfers are quick."""
        return []

    def set_back(self, transaction: SignedTransaction) -> None:
        """Fail: all transfers are quick."""
        raise AssertionError(transaction.hash.hex())

    def interrupted(self, transaction: SignedTransaction) -> int:
        """Fail: all transfers are quick."""
        raise AssertionError(transaction.hash.hex())

    def discard(self, transaction: SignedTransaction, reason: str) -> None:
        """Fail: all transfers are valid."""
        raise AssertionError(f"{transaction.hash.hex()}: {reason}")

    def _transfer(self, nonce: int) -> SignedTransaction:
        fields = {"nonce": nonce, "to": "0x" + "22" * 20, "value": 1, "gas": 21_000, "gasPrice": 100 * 10**9}
        signed: Any = Account.sign_transaction({**fields, "chainId": CHAIN_ID}, KEY)
        return read_transaction(bytes(signed.raw_transaction), CHAIN_ID)


async def build(path: Path, a_kind: int) -> ExecutedChain:
    """Build `a_kind` empty blocks, then as many blocks with transfers, with an embedded engine."""
    pool = Transfers()
    engine = await EmbeddedEngine.open(path, GENESIS, pool)
    start = attrs.evolve(genesis(SPEC), payload_hash=await engine.genesis_hash())
    chain = ExecutedChain((), (start,))
    for number in range(2 * a_kind):
        pool.a_block = TRANSFERS if number >= a_kind else 0
        tip, slot = chain.head().head, Slot(FIRST_SLOT + number)
        attributes = payload_attributes(tip, slot, None, context_of(SPEC))
        hashes = (tip.payload_hash, start.payload_hash, start.payload_hash)
        payload = await engine.build_payload(*hashes, attributes)
        pool.nonce += len(payload.transactions)  # fewer than offered if the machine is too slow
        await engine.new_payload(payload, tip.hash)
        signed = approve(Block(tip.hash, slot, payload), SPEC)
        state = apply_block(tip, signed, Wei(0), ()).state
        chain = ExecutedChain((*chain.blocks, signed), (*chain.states, state))
    await engine.aclose()
    return chain


def directly(engine: ExecutionEngine) -> Import:
    """Return an import that only makes the two calls per block."""

    async def run(chain: ExecutedChain, blocks: Sequence[SignedBlock]) -> None:
        first = chain.states[0].payload_hash
        for signed in blocks:
            payload = signed.block.payload
            verdict = await engine.new_payload(payload, signed.block.parent_hash)
            assert verdict == Valid(), verdict
            await engine.set_forkchoice(payload.block_hash, first, first)

    return run


async def by_the_node(stack: AsyncExitStack, engine: ExecutionEngine, chain: ExecutedChain) -> Import:
    """Return an import that works like a node whose client lags behind, with storage in memory."""
    address, storage = storage_address(), MemoryStorage(chain.until(0))
    await stack.enter_async_context(
        open_system(supervisor("Root", OneForOne(), [actor(address, lambda: storage)]))
    )
    reconcile = EngineReconcile(engine, address, chain.states[0].payload_hash, lambda _: None, Timing(2))

    async def run(until_now: ExecutedChain, _: Sequence[SignedBlock]) -> None:
        storage.chain = until_now
        reconcile.doubt()
        assert await reconcile.advance(inf)

    return run


async def importers(stack: AsyncExitStack, folder: Path, chain: ExecutedChain) -> dict[str, Import]:
    """Start all clients that are installed, each with a new data folder."""
    found: dict[str, Import] = {}
    for name, start in (
        ("geth", components.geth),
        ("geth, fed by the node", components.geth),
        ("EthereumJS", components.ethereumjs),
    ):
        try:
            datadir = folder / name.replace(" ", "-").replace(",", "")
            process = await stack.enter_async_context(start(folder, GENESIS, JWT, datadir=datadir))
        except pytest.skip.Exception as missing:
            print(f"without {name}: {missing}")
            continue
        client = EngineApiClient.connect(
            process.engine_url, JWT, SystemClock(), Timing(2).engine_catching_up, process.eth_url
        )
        stack.push_async_callback(client.aclose)
        fed = name.endswith("node")
        found[name] = await by_the_node(stack, client, chain) if fed else directly(client)
    embedded = await EmbeddedEngine.open(folder / "embedded", GENESIS, Transfers())
    stack.push_async_callback(embedded.aclose)
    found["embedded engine"] = directly(embedded)
    return found


async def measure(a_round: int, rounds: int) -> None:
    """Build the chain, import it part by part into all clients, and print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        chain = await build(folder / "builder", a_round * rounds)
        async with AsyncExitStack() as stack:
            clients = await importers(stack, folder, chain)
            seconds: dict[str, list[float]] = {client: [] for client in clients}
            for piece in range(2 * rounds):
                until_now = chain.until((piece + 1) * a_round)
                for client, run in clients.items():
                    begun = time.perf_counter()
                    await run(until_now, until_now.blocks[-a_round:])
                    seconds[client].append(time.perf_counter() - begun)
    transfers = statistics.mean(len(full.block.payload.transactions) for full in chain.blocks[a_round * rounds :])
    print(f"{'blocks/s imported':<24}{'empty':>10}{f'{transfers:.0f} transfers':>16}{'of geth':>18}")
    for client, times in seconds.items():
        kinds = [times[:rounds], times[rounds:]]
        speeds = [a_round / statistics.median(kind) for kind in kinds]
        reference = seconds.get("geth", times)
        ratios = [
            statistics.median(geth / own for geth, own in zip(base, kind, strict=True))
            for base, kind in zip((reference[:rounds], reference[rounds:]), kinds, strict=True)
        ]
        print(f"{client:<24}{speeds[0]:>10.0f}{speeds[1]:>16.1f}{ratios[0]:>11.2f} {ratios[1]:.2f}")


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--blocks", type=int, default=10, help="blocks of each kind per round (10)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds; the table shows medians (5)")
    options = parser.parse_args()
    trio.run(measure, options.blocks, options.rounds)


if __name__ == "__main__":
    main()
