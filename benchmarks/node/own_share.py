"""Measures the node's time per block in production and import, without calls to the execution client.

A complete node produces blocks on the development chain, with database, signing guard and embedded engine. A
second node, a follower, imports each block.
"""

import os
import statistics
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from time import perf_counter
from typing import ParamSpec, TypeVar

import attrs
import trio

from alysd.config.chain_spec import load_chain_spec
from alysd.config.load import load_config
from alysd.config.model import AlysConfig
from alysd.embedded import read_transaction
from alysd.messages.block_import import ImportBlock
from alysd.messages.events import BlockProduced
from alysd.node import Addresses, Node, open_node
from alysd.nurseries import Bus, System
from alysd.ports import ExecutionEngine
from alysd.resources import NodeResources, open_resources
from alysd.testing.daemon import DEVELOPMENT
from alysd.types.block import ExecutionPayload, PayloadAttributes, SignedBlock
from alysd.types.chain_spec import ChainSpec
from alysd.types.hashes import BlockHash, PayloadHash
from alysd.types.verdict import Verdict
from alysd.validation import validate_node
from benchmarks.node.figures import Figure, Show
from benchmarks.node.transfers import Sender

BLOCKS = 8
"""Measured blocks of each kind, empty and full."""

TRANSFERS = 200

IMPORT_SECONDS = 30.0
"""Deadline of one import by the second node."""

P = ParamSpec("P")
R = TypeVar("R")


@attrs.define
class TimedEngine:
    """An execution engine that sums the duration of its calls in `seconds`."""

    engine: ExecutionEngine
    seconds: float = 0.0

    async def _timed(self, call: Callable[P, Awaitable[R]], *args: P.args, **kwargs: P.kwargs) -> R:
        begun = perf_counter()
        try:
            return await call(*args, **kwargs)
        finally:
            self.seconds += perf_counter() - begun

    async def genesis_hash(self) -> PayloadHash:
        return await self._timed(self.engine.genesis_hash)

    async def knows(self, payload: PayloadHash) -> bool:
        return await self._timed(self.engine.knows, payload)

    async def new_payload(self, payload: ExecutionPayload, parent_beacon_block_root: BlockHash) -> Verdict:
        return await self._timed(self.engine.new_payload, payload, parent_beacon_block_root)

    async def set_forkchoice(self, head: PayloadHash, safe: PayloadHash, finalized: PayloadHash) -> None:
        await self._timed(self.engine.set_forkchoice, head, safe, finalized)

    async def build_payload(
        self, head: PayloadHash, safe: PayloadHash, finalized: PayloadHash, attributes: PayloadAttributes
    ) -> ExecutionPayload:
        return await self._timed(self.engine.build_payload, head, safe, finalized, attributes)

    async def receipts(self, payload: ExecutionPayload) -> tuple[bytes, ...]:
        return await self._timed(self.engine.receipts, payload)

    async def aclose(self) -> None:
        await self.engine.aclose()


@attrs.frozen
class TimedNode:
    """The resources of a node, whose engine calls are timed, and the addresses of its actors."""

    resources: NodeResources
    timed: TimedEngine
    to: Addresses = attrs.field(factory=Addresses)
    bus: Bus = attrs.field(factory=Bus)

    @classmethod
    async def open(cls, stack: AsyncExitStack, folder: Path) -> "TimedNode":
        """Open the resources of a node of the development chain with its data in `folder`."""
        config, spec = development(folder)
        resources = await stack.enter_async_context(open_resources(validate_node(config, spec)))
        timed = TimedEngine(resources.engine)
        return cls(attrs.evolve(resources, engine=timed, sync_engine=timed), timed)

    def producing(self, config: AlysConfig) -> AbstractAsyncContextManager[System]:
        """Open the complete tree of a node."""
        return open_node(Node(config.mining, self.resources, self.to, self.bus))

    def importing(self, config: AlysConfig) -> AbstractAsyncContextManager[System]:
        """Open the tree of a follower, because two nodes with one key must not both make blocks."""
        return open_node(Node(config.mining, attrs.evolve(self.resources, signer=None), self.to, self.bus))

    async def import_block(self, signed: SignedBlock) -> float:
        """Import a block and return the seconds spent outside the engine."""
        before, begun = self.timed.seconds, perf_counter()
        await self.to.block_import.ask(ImportBlock(signed), seconds=IMPORT_SECONDS)
        return perf_counter() - begun - (self.timed.seconds - before)

    def fill_pool(self, batches: list[list[bytes]], now: float) -> None:
        """Add the next batch to the pool if it is empty. Called in a thread, as by the Ethereum RPC."""
        embedded = self.resources.embedded
        assert embedded is not None
        reader, pool = embedded.engine.reader, embedded.pool
        head = reader.head()
        pool.follow((), (), lambda sender: reader.account(head, sender), head.gas_limit, now)
        if any(pool.counts()):
            return  # the machine was too slow: a block took only a part of the batch
        for raw in batches.pop(0):
            transaction = read_transaction(raw, embedded.engine.chain_id)
            pool.add(transaction, lambda sender: reader.account(head, sender), head.gas_limit, now)


def development(folder: Path) -> tuple[AlysConfig, ChainSpec]:
    """Load the configuration of the development chain, with its data in `folder` and without a miner."""
    overrides = (f"storage.path={folder}", "mining.internal=false")
    config = load_config(DEVELOPMENT, environment=dict(os.environ), overrides=overrides)
    return config, load_chain_spec(config.chain.spec)


async def measure(folder: Path, show: Show) -> None:
    """Measure empty blocks, then blocks with transfers. The second node imports each block."""
    config, _ = development(folder / "producer")
    # Signed in advance, because signing takes longer than the rest of a slot.
    sender = Sender.of_development()
    batches = [sender.transfers(TRANSFERS) for _ in range(BLOCKS)]
    produced: dict[int, list[float]] = {0: [], TRANSFERS: []}
    imported: dict[int, list[float]] = {0: [], TRANSFERS: []}
    async with AsyncExitStack() as stack:
        producer = await TimedNode.open(stack, folder / "producer")
        importer = await TimedNode.open(stack, folder / "importer")
        await stack.enter_async_context(importer.importing(config))
        events = stack.enter_context(producer.bus.subscribe(BlockProduced, capacity=8))
        await stack.enter_async_context(producer.producing(config))
        engine_before = producer.timed.seconds
        for number in range(2 * BLOCKS):
            event = await events.receive()
            count = len(event.signed.block.payload.transactions)
            own = await importer.import_block(event.signed)
            if count in produced:
                produced[count].append(event.seconds - (producer.timed.seconds - engine_before))
                imported[count].append(own)
            if BLOCKS - 1 <= number < 2 * BLOCKS - 1:
                await trio.to_thread.run_sync(producer.fill_pool, batches, trio.current_time())
            engine_before = producer.timed.seconds
    for count, most in ((0, 20), (TRANSFERS, 60)):
        if produced[count]:
            text = f"a block of {count} transfers, the engine's time excluded"
            own = statistics.median(produced[count]) * 1e3
            show(Figure(f"producing {text}", own, "ms", at_most=20))
            own = statistics.median(imported[count]) * 1e3
            show(Figure(f"importing {text}", own, "ms", at_most=most))
