"""Measures the running daemon: start time, memory, processor time, time per block, time per answer."""

import statistics
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import trio

from alysd.testing.config_files import CONF
from alysd.testing.daemon import Daemon, daemon
from benchmarks.actors.measuring import percentile
from benchmarks.node.figures import Figure, Show, idle_share, resident_megabytes
from benchmarks.node.requests import load
from benchmarks.node.transfers import Sender

HELP_RUNS = 7

REST_BLOCKS = 30
"""The number of blocks after which the caches are full and memory use is constant."""

IDLE_SECONDS = 30.0
SAMPLE_SECONDS = 0.05
BUSY_SECONDS = 0.3
"""Seconds before and after a block's log line that count as work on the block."""

TRANSFERS = 200
FULL_BLOCKS = 5
BATCH = 100
"""Calls per request."""
CLIENTS = 50
LOAD_SECONDS = 10.0
BLOCK_SECONDS = 60.0
"""Deadline for the next block: thirty slots."""


def help_time() -> Figure:
    """Measure `alysd --help` from the start of the process to its end."""
    times: list[float] = []
    for _ in range(HELP_RUNS):
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-m", "alysd", "--help"], check=True, capture_output=True, cwd=CONF.parent)
        times.append((time.perf_counter() - begun) * 1e3)
    return Figure("alysd --help", statistics.median(times), "ms", at_most=100)


def moment(event: dict[str, Any]) -> float:
    """Return the time of a log event in Unix seconds."""
    return datetime.fromisoformat(event["time"]).timestamp()


async def start(node: Daemon, note: str) -> list[Figure]:
    """Start the daemon, and measure the time until it is ready and until its first block."""
    begun = time.time()
    await node.start()
    ready = moment(node.events("ready")[-1]) - begun
    await blocks_until(node, 1)
    first = moment(node.events("block")[0]) - begun
    return [
        Figure(f"start to ready, {note}", ready, "s", at_most=2),
        Figure(f"start to first block, {note}", first, "s"),
    ]


async def blocks_until(node: Daemon, count: int) -> list[dict[str, Any]]:
    """Wait until the log has `count` blocks and return them. Raises `trio.TooSlowError` if no block follows."""
    blocks = node.events("block")
    while len(blocks) < count:
        seen = len(blocks)
        with trio.fail_after(BLOCK_SECONDS):
            while len(blocks) == seen:
                await trio.sleep(SAMPLE_SECONDS)
                blocks = node.events("block")
    return blocks


def processor_seconds(pid: int) -> float:
    """Return the processor time of a process in seconds, including threads that have ended."""
    clock = ~pid << 3 | 2  # as clock_getcpuclockid(3), which Python provides only for threads
    return time.clock_gettime(clock)


async def at_rest(node: Daemon) -> list[Figure]:
    """Measure memory after `REST_BLOCKS`, processor use between slots and overall, time per empty block."""
    blocks = await blocks_until(node, REST_BLOCKS)
    pid = node.process.pid
    memory = resident_megabytes(await trio.Path(f"/proc/{pid}/status").read_text())
    samples: list[tuple[float, float]] = []
    until = time.time() + IDLE_SECONDS
    while (now := time.time()) < until:
        samples.append((now, processor_seconds(pid)))
        await trio.sleep(SAMPLE_SECONDS)
    between = idle_share(samples, map(moment, node.events("block")), BUSY_SECONDS)
    whole = (samples[-1][1] - samples[0][1]) / (samples[-1][0] - samples[0][0])
    assert between is not None, "no samples between blocks: BUSY_SECONDS must be less than half of a slot"
    return [
        Figure(f"memory after {len(blocks)} blocks, embedded engine", memory, "MB", at_most=160),
        Figure("processor between slots, of one core", between * 100, "%", at_most=3),
        Figure("processor, blocks with it, of one core", whole * 100, "%"),
        Figure("an empty block, with the embedded engine's time", block_ms(blocks), "ms"),
    ]


def block_ms(blocks: list[dict[str, Any]]) -> float:
    """Return the median time per block in milliseconds, from the log."""
    return statistics.median(block["ms"] for block in blocks)


async def full_blocks(node: Daemon) -> list[Figure]:
    """Measure blocks with `TRANSFERS` transfers, which are in the pool before the slot starts."""
    sender = Sender.of_development()
    full: list[dict[str, Any]] = []
    for _ in range(FULL_BLOCKS):
        transfers = sender.transfers(TRANSFERS)
        await blocks_until(node, len(node.events("block")) + 1)
        for begin in range(0, TRANSFERS, BATCH):
            await send(node, transfers[begin : begin + BATCH])
        # The other process sends no event for this, so poll.
        while int((await node.eth("txpool_status"))["pending"], 16):  # noqa: ASYNC110
            await trio.sleep(SAMPLE_SECONDS)
        full = [block for block in node.events("block") if block["transactions"] == TRANSFERS]
    if not full:
        return []
    return [Figure(f"a block of {TRANSFERS} transfers, with the embedded engine's time", block_ms(full), "ms")]


async def send(node: Daemon, transfers: Sequence[bytes]) -> None:
    """Add transfers to the pool with one request, so that all are in it before the next slot."""
    calls = [
        {"jsonrpc": "2.0", "id": raw.hex(), "method": "eth_sendRawTransaction", "params": [f"0x{raw.hex()}"]}
        for raw in transfers
    ]
    answer = await node.client.post(node.eth_url, json=calls)
    refused = [each["error"] for each in answer.json() if "error" in each]
    assert not refused, refused[0]


async def answers(node: Daemon) -> list[Figure]:
    """Measure `getheadblock` with many concurrent clients, and the slots missed during that time."""
    before = (await node.status())["counts"]["slots_missed"]
    port = urlsplit(node.url).port
    assert port is not None
    used_before = processor_seconds(node.process.pid)
    seen = await load(port, "getheadblock", CLIENTS, LOAD_SECONDS)
    used = processor_seconds(node.process.pid) - used_before
    missed = (await node.status())["counts"]["slots_missed"] - before
    return [
        Figure(f"getheadblock, {CLIENTS} clients", len(seen.times) / seen.seconds, "/s", at_least=4_000),
        Figure(f"getheadblock, {CLIENTS} clients, p99", percentile(seen.times, 0.99) * 1e3, "ms", at_most=20),
        Figure("getheadblock, the daemon's processor time for one", used / len(seen.times) * 1e6, "µs"),
        Figure("slots missed meanwhile", missed, "", at_most=0),
    ]


@asynccontextmanager
async def fresh(folder: Path) -> AsyncGenerator[Daemon]:
    """Provide a daemon of the development chain that is not started yet."""
    async with daemon(folder, start=False) as node:
        yield node


async def measure(folder: Path, show: Show) -> None:
    """Measure everything with one daemon."""
    show(help_time())
    async with fresh(folder) as node:
        for figure in await start(node, "new chain"):
            show(figure)
        for step in (at_rest, full_blocks, answers):
            for figure in await step(node):
                show(figure)
