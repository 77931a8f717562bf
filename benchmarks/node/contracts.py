"""Measures blocks and answers while contracts compute in the embedded engine, in threads of the node's process.

Two clients repeat an `eth_call` that computes until its gas is used up. No more calls run at the same time.
"""

import statistics
from pathlib import Path
from time import perf_counter
from urllib.parse import urlsplit

import trio

from alysd.testing.daemon import daemon
from benchmarks.actors.measuring import percentile
from benchmarks.node.daemon import blocks_until
from benchmarks.node.figures import Figure, Show
from benchmarks.node.requests import Client

CALLERS = 2
"""The number of executions that the Ethereum RPC runs at the same time (`RpcLimits.callers`)."""

LOOP = {"data": "0x5b4a50600056", "gas": "0x30d40"}
"""A call of 200,000 gas whose code repeats BLOBBASEFEE, which the engine executes slowly."""

BLOCKS = 20
PAUSE_SECONDS = 0.05


async def measure(folder: Path, show: Show) -> None:
    """Start a daemon, and measure `BLOCKS` blocks and the answers of one client meanwhile."""
    async with daemon(folder) as node:
        seen = len(await blocks_until(node, 2))
        missed = (await node.status())["counts"]["slots_missed"]
        times: list[float] = []
        async with trio.open_nursery() as nursery:
            for _ in range(CALLERS):
                nursery.start_soon(_repeat, node.eth_url, "eth_call", (LOOP, "latest"))
            nursery.start_soon(_repeat, node.url, "getheadblock", (), times, PAUSE_SECONDS)
            blocks = await blocks_until(node, seen + BLOCKS)
            nursery.cancel_scope.cancel()
        missed = (await node.status())["counts"]["slots_missed"] - missed
    block_ms = statistics.median(block["ms"] for block in blocks[seen:])
    show(Figure("a block while contracts compute", block_ms, "ms"))
    show(Figure("getheadblock meanwhile, median", statistics.median(times) * 1e3, "ms"))
    show(Figure("getheadblock meanwhile, p90", percentile(times, 0.9) * 1e3, "ms"))
    show(Figure("slots missed meanwhile", missed, "", at_most=0))


async def _repeat(
    url: str, method: str, params: tuple[object, ...], times: list[float] | None = None, pause: float = 0.0
) -> None:
    """Ask over one connection until cancelled. `times` gets the seconds of each answer."""
    port = urlsplit(url).port
    assert port is not None
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        client = Client(stream, port, method, *params)
        while True:
            begun = perf_counter()
            await client.ask()
            if times is not None:
                times.append(perf_counter() - begun)
            await trio.sleep(pause)
