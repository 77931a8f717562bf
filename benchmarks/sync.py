"""Measures how fast a newcomer gets a long chain of empty blocks from its peers.

    python -m benchmarks.sync [--blocks 20000] [--only [verification stored embedded geth]] [--kill-every 20]

"verification" checks ranges as they come from a peer, on two threads, and nothing else. For the other parts, a
node with all blocks and a newcomer run in one process, and each request takes 5 ms longer. Both share the
processors, so the figures are those of a newcomer whose peer costs it time. "stored" has an execution client that
executes nothing: the blocks are verified and written to disk. "embedded" and "geth" execute them. Before "geth",
another geth imports the same payloads with the same two calls per block, without a node. With `--kill-every`, a
newcomer daemon is killed again and again while it gets the chain from another daemon (`benchmarks.killed_sync`).
"""

import argparse
import os
import tempfile
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import attrs
import pytest
import trio

from alysd.config.chain_sections import MiningConfig
from alysd.consensus.ranges import check_range
from alysd.errors import PeerUnavailable
from alysd.integrations.bls import BLS
from alysd.integrations.clock import SystemClock
from alysd.integrations.execution.engine_api import EngineApiClient
from alysd.messages.chain import GetForkchoice
from alysd.node import Node, open_node
from alysd.ports import ExecutionEngine, GossipSink
from alysd.resources import NodeResources, open_resources
from alysd.testing import components
from alysd.testing.components import JWT
from alysd.testing.engine import FakeEngine
from alysd.testing.node import peer_host_over
from alysd.timing import Timing
from alysd.types.block import SignedBlock
from alysd.types.peers import PeerAddress, StreamKind, Topic
from alysd.types.units import Height
from alysd.types.verdict import Valid
from alysd.validation import validate_node
from alysd.wire.block_ssz import encode_block
from alysd.wire.sync import MAX_RANGE_BLOCKS, decode_blocks, encode_blocks
from benchmarks.killed_sync import show_killed
from benchmarks.node.__main__ import MEMORY_FOLDER
from benchmarks.node.figures import Figure, Show, resident_megabytes
from benchmarks.node.own_share import development
from benchmarks.sync_chain import build

KILLED = "also let a newcomer daemon get the chain, and kill it every SECONDS seconds"

PARTS = ("verification", "stored", "embedded", "geth")
THREADS = 2
LATENCY = 0.005
SAMPLE_SECONDS = 0.1
BEGUN = 0.05
"""The part of the blocks after which the measurement begins: connections are made and the caches are full."""


@attrs.define(eq=False)
class DirectGossip:
    """Implements `alysd.ports.Gossip` between two nodes of one process. It passes requests on, and no gossip.

    `peer` is the name of the other node.
    """

    peer: str
    other: "DirectGossip | None" = None
    sink: GossipSink | None = None
    runs: trio.Event = attrs.field(factory=trio.Event)

    async def run(self, sink: GossipSink) -> None:
        """Connect as soon as both nodes run, until cancelled."""
        self.sink = sink
        self.runs.set()
        if self.other is not None:
            await self.other.runs.wait()
        await sink.connected(self.peer, "/memory", inbound=False)
        await trio.sleep_forever()

    async def publish(self, topic: Topic, data: bytes) -> None:
        """Publish nothing."""

    async def request(self, peer: str, kind: StreamKind, request: bytes, max_bytes: int, seconds: float) -> bytes:
        """The answer of the other node."""
        with trio.move_on_after(seconds):
            await trio.sleep(LATENCY)
            if self.other is not None and self.other.sink is not None:
                answer = await self.other.sink.answer("asker", kind, request)
                if len(answer) <= max_bytes:
                    return answer
        raise PeerUnavailable(peer, "no answer")

    async def disconnect(self, peer: str, seconds: float) -> None:
        """Disconnect nobody."""

    async def change_peers(self, peers: Sequence[PeerAddress], max_inbound: int) -> None:
        """Keep the other node."""


@asynccontextmanager
async def resources(folder: Path, blocks: int) -> AsyncGenerator[NodeResources]:
    """The resources of a node of the development chain, which may have `blocks` blocks without proof of work."""
    config, spec = development(folder)
    spec = attrs.evolve(spec, max_blocks_without_auxpow=2 * blocks)
    async with open_resources(validate_node(config, spec)) as parts:
        yield parts


def ranges(parts: NodeResources, blocks: int) -> Iterator[Sequence[SignedBlock]]:
    """The blocks, in ranges as a peer asks for them."""
    for start in range(1, blocks + 1, MAX_RANGE_BLOCKS):
        yield parts.store.canonical_range(Height(start), MAX_RANGE_BLOCKS)


async def verification(parts: NodeResources, blocks: int, show: Show) -> None:
    """Decode, hash and check all ranges, as sync does."""
    answers = [
        (found[0].block.height, encode_blocks([encode_block(one) for one in found]))
        for found in ranges(parts, blocks)
    ]
    context = parts.context

    def check(start: Height, data: bytes) -> None:
        newest_first = (one.signed() for one in reversed(decode_blocks(data, MAX_RANGE_BLOCKS)))
        check_range(newest_first, start, context.first_federation, context, BLS.verify_all)

    begun, used = time.perf_counter(), time.process_time()
    limiter = trio.CapacityLimiter(THREADS)
    async with trio.open_nursery() as nursery:
        for start, data in answers:
            work = partial(check, start, data)
            nursery.start_soon(partial(trio.to_thread.run_sync, work, limiter=limiter))
    seconds, used = time.perf_counter() - begun, time.process_time() - used
    show(Figure("verification only, two threads", blocks / seconds, "/s", at_least=800))
    show(Figure("    processor time per block", used / blocks * 1e3, "ms"))


def status_of_this_process() -> str:
    """The text of `/proc/self/status`."""
    return Path("/proc/self/status").read_text()


async def newcomer(peer: NodeResources, own: NodeResources, blocks: int, name: str, show: Show) -> float:
    """Let a node without blocks get all of them, and return the blocks per second."""
    ends = DirectGossip("newcomer"), DirectGossip("peer")
    ends[0].other, ends[1].other = ends[1], ends[0]
    async with AsyncExitStack() as stack:
        nursery = await stack.enter_async_context(trio.open_nursery())
        stack.callback(nursery.cancel_scope.cancel)
        nodes = [
            Node(MiningConfig(), attrs.evolve(parts, signer=None, peer_host=peer_host_over(end)))
            for parts, end in zip((peer, own), ends, strict=True)
        ]
        for node in nodes:
            await stack.enter_async_context(open_node(node))
        begun, used = time.perf_counter(), time.process_time()
        height: int = 0
        first: int = 0
        while height < blocks:
            await trio.sleep(SAMPLE_SECONDS)
            height = (await nodes[1].to.chain.ask(GetForkchoice(), seconds=10)).head.height
            if not first and height >= BEGUN * blocks:
                begun, used, first = time.perf_counter(), time.process_time(), height
        rate = (height - first) / (time.perf_counter() - begun)
        used = (time.process_time() - used) / (height - first)
        show(Figure(f"newcomer, {name}", rate, "/s"))
        show(Figure("    processor time per block, with that of the peer", used * 1e3, "ms"))
        show(Figure("    memory of both nodes", resident_megabytes(status_of_this_process()), "MB"))
    return rate


async def import_directly(engine: ExecutionEngine, parts: NodeResources, blocks: int) -> float:
    """Let a client import all payloads, with two calls per block. Returns the blocks per second."""
    first, begun = parts.genesis.block.payload.block_hash, time.perf_counter()
    for found in ranges(parts, blocks):
        for signed in found:
            assert await engine.new_payload(signed.block.payload, signed.block.parent_hash) == Valid()
            await engine.set_forkchoice(signed.block.payload.block_hash, first, first)
    return blocks / (time.perf_counter() - begun)


async def with_geth(parts: NodeResources, folder: Path, blocks: int, show: Show) -> None:
    """Measure geth alone, then a newcomer with another geth."""
    rates: list[float] = []
    for name in ("alone", "newcomer"):
        async with AsyncExitStack() as stack:
            genesis = parts.context.spec.execution_genesis
            process = await stack.enter_async_context(
                components.geth(folder, genesis, JWT, datadir=folder / f"geth-{name}")
            )
            client = EngineApiClient.connect(
                process.engine_url, JWT, SystemClock(), Timing(2).engine_catching_up, process.eth_url
            )
            stack.push_async_callback(client.aclose)
            if name == "alone":
                rates.append(await import_directly(client, parts, blocks))
                show(Figure("geth alone, two calls per block", rates[0], "/s"))
                continue
            own = await stack.enter_async_context(resources(folder / "with-geth", blocks))
            own = attrs.evolve(own, engine=client, sync_engine=client)
            rates.append(await newcomer(parts, own, blocks, "geth", show))
    show(Figure("    of what geth alone imports", rates[1] / rates[0], "×", at_least=0.9))


def show(figure: Figure) -> None:
    """Print a figure."""
    print(figure.line(), flush=True)


async def measure(chosen: Sequence[str], blocks: int) -> None:
    """Build the chain, and measure the chosen parts."""
    with tempfile.TemporaryDirectory(dir=MEMORY_FOLDER) as memory, tempfile.TemporaryDirectory() as disk:
        async with resources(Path(memory), blocks) as parts:
            await build(parts, Path(memory), blocks)
            if "verification" in chosen:
                await verification(parts, blocks, show)
            if "stored" in chosen:
                async with resources(Path(disk) / "stored", blocks) as own:
                    nothing = FakeEngine.of(own.context.spec.execution_genesis)
                    own = attrs.evolve(own, engine=nothing, sync_engine=nothing, embedded=None)
                    await newcomer(parts, own, blocks, "verified and stored, nothing executed", show)
            if "embedded" in chosen:
                async with resources(Path(disk) / "embedded", blocks) as own:
                    await newcomer(parts, own, blocks, "embedded engine", show)
            if "geth" in chosen:
                try:
                    await with_geth(parts, Path(disk), blocks, show)
                except pytest.skip.Exception as missing:
                    print(f"without geth: {missing}")


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--blocks", type=int, default=20_000, help="blocks of the chain (20000)")
    parser.add_argument("--only", nargs="*", choices=PARTS, default=PARTS, help="the parts to run (all)")
    parser.add_argument("--kill-every", type=float, default=0.0, metavar="SECONDS", help=KILLED)
    options = parser.parse_args()
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}, {options.blocks:,} blocks")
    trio.run(measure, options.only, options.blocks)
    if options.kill_every:
        with tempfile.TemporaryDirectory() as disk:
            trio.run(show_killed, Path(disk), options.blocks, options.kill_every, show)


if __name__ == "__main__":
    main()
