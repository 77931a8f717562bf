"""Measures the node's time per block in production and import, without calls to the execution client.

A complete node produces blocks on the development chain, with database, signing guard and embedded engine. A
second node, a follower, imports each block. Processor time, and the time for which threads of this process waited
for a processor, say whether a time on the clock is that of the node or that of a busy machine.
"""

import os
import statistics
from collections.abc import Awaitable, Callable, Generator, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from pathlib import Path
from time import perf_counter, process_time
from typing import ParamSpec, TypeVar

import attrs
import trio

from alysd.addresses import Addresses
from alysd.config.chain_spec import load_chain_spec
from alysd.config.load import load_config
from alysd.config.model import AlysConfig
from alysd.embedded import read_transaction
from alysd.integrations.tracing import NoTracing
from alysd.messages.block_import import ImportBlock
from alysd.messages.events import BlockProduced
from alysd.node import Node, open_node
from alysd.nurseries import Bus, System
from alysd.ports import ExecutionEngine
from alysd.resources import NodeResources, open_resources
from alysd.testing.daemon import DEVELOPMENT
from alysd.types.block import ExecutionPayload, PayloadAttributes, SignedBlock
from alysd.types.chain_spec import ChainSpec
from alysd.types.hashes import BlockHash, PayloadHash
from alysd.types.verdict import Verdict
from alysd.validation import validate_node
from benchmarks.node.figures import Figure, Show, queued_seconds
from benchmarks.node.transfers import Sender

BLOCKS = 8
"""Measured blocks of each kind, empty and full."""

TRANSFERS = 200

IMPORT_SECONDS = 30.0
"""Deadline of one import by the second node."""

P = ParamSpec("P")
R = TypeVar("R")


@attrs.frozen
class Cost:
    """Seconds on the clock, and seconds of processor time of this process."""

    clock: float = 0.0
    processor: float = 0.0

    @classmethod
    def now(cls) -> "Cost":
        """Read both clocks."""
        return cls(perf_counter(), process_time())

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.clock + other.clock, self.processor + other.processor)

    def __sub__(self, other: "Cost") -> "Cost":
        return Cost(self.clock - other.clock, self.processor - other.processor)


@attrs.define
class TimedEngine:
    """An execution engine that sums the cost of its calls in `cost`.

    The processor time of a call includes that of other tasks meanwhile. The node does nothing else in a slot.
    """

    engine: ExecutionEngine
    cost: Cost = Cost()

    async def _timed(self, call: Callable[P, Awaitable[R]], *args: P.args, **kwargs: P.kwargs) -> R:
        begun = Cost.now()
        try:
            return await call(*args, **kwargs)
        finally:
            self.cost += Cost.now() - begun

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
class Measured:
    """The cost of a block without its engine calls.

    `queued` are the seconds for which the threads of the process waited for a processor, engine calls included.
    """

    own: Cost
    queued: float


@attrs.define
class SlotTimer(NoTracing):
    """Tracing that measures each slot of a node. `last` is the last slot."""

    timed: TimedEngine
    last: Measured | None = None

    @contextmanager
    def span(self, name: str, **attributes: int | str) -> Generator[None]:  # noqa: ARG002
        """Measure the span if it is that of a slot."""
        if name != "slot":
            yield
            return
        queued, engine, begun = queued_seconds(), self.timed.cost, Cost.now()
        yield
        own = Cost.now() - begun - (self.timed.cost - engine)
        self.last = Measured(own, queued_seconds() - queued)


@attrs.frozen
class TimedNode:
    """The resources of a node, whose engine calls and slots are timed, and the addresses of its actors."""

    resources: NodeResources
    timed: TimedEngine
    slots: SlotTimer
    to: Addresses = attrs.field(factory=Addresses)
    bus: Bus = attrs.field(factory=Bus)

    @classmethod
    async def open(cls, stack: AsyncExitStack, folder: Path) -> "TimedNode":
        """Open the resources of a node of the development chain with its data in `folder`."""
        config, spec = development(folder)
        resources = await stack.enter_async_context(open_resources(validate_node(config, spec)))
        timed = TimedEngine(resources.engine)
        slots = SlotTimer(timed)
        return cls(attrs.evolve(resources, engine=timed, sync_engine=timed, tracing=slots), timed, slots)

    def producing(self, config: AlysConfig) -> AbstractAsyncContextManager[System]:
        """Open the complete tree of a node."""
        return open_node(Node(config.mining, self.resources, self.to, self.bus))

    def importing(self, config: AlysConfig) -> AbstractAsyncContextManager[System]:
        """Open the tree of a follower, because two nodes with one key must not both make blocks."""
        return open_node(Node(config.mining, attrs.evolve(self.resources, signer=None), self.to, self.bus))

    async def import_block(self, signed: SignedBlock) -> Measured:
        """Import a block and measure it."""
        queued, engine, begun = queued_seconds(), self.timed.cost, Cost.now()
        await self.to.block_import.ask(ImportBlock(signed), seconds=IMPORT_SECONDS)
        own = Cost.now() - begun - (self.timed.cost - engine)
        return Measured(own, queued_seconds() - queued)

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
    produced: dict[int, list[Measured]] = {0: [], TRANSFERS: []}
    imported: dict[int, list[Measured]] = {0: [], TRANSFERS: []}
    async with AsyncExitStack() as stack:
        producer = await TimedNode.open(stack, folder / "producer")
        importer = await TimedNode.open(stack, folder / "importer")
        await stack.enter_async_context(importer.importing(config))
        events = stack.enter_context(producer.bus.subscribe(BlockProduced, capacity=8))
        await stack.enter_async_context(producer.producing(config))
        for number in range(2 * BLOCKS):
            event = await events.receive()
            count = len(event.signed.block.payload.transactions)
            own = await importer.import_block(event.signed)
            if count in produced and producer.slots.last is not None:
                produced[count].append(producer.slots.last)
                imported[count].append(own)
            if BLOCKS - 1 <= number < 2 * BLOCKS - 1:
                await trio.to_thread.run_sync(producer.fill_pool, batches, trio.current_time())
    for count, most in ((0, 20), (TRANSFERS, 60)):
        text = f"a block of {count} transfers, the engine's time excluded"
        for figure in (
            *figures(f"producing {text}", produced[count], 20),
            *figures(f"importing {text}", imported[count], most),
        ):
            show(figure)


def figures(what: str, blocks: Iterable[Measured], at_most: float) -> list[Figure]:
    """The medians of measured blocks; no figures without blocks."""
    measured = list(blocks)
    if not measured:
        return []
    return [
        Figure(what, statistics.median(each.own.clock for each in measured) * 1e3, "ms", at_most),
        Figure("    processor time", statistics.median(each.own.processor for each in measured) * 1e3, "ms"),
        Figure(
            "    its threads waited for a processor, the engine's included",
            statistics.median(each.queued for each in measured) * 1e3,
            "ms",
        ),
    ]
