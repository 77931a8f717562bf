"""Compares the embedded engine's JSON-RPC with geth's, with one connection to each.

Both serve a chain with the same genesis and answer in turns, a tenth of a second each, so that a busy machine
slows both. The rate is the median of all turns, and the ratio the median of the ratios.
"""

import json
import statistics
from contextlib import AsyncExitStack
from pathlib import Path
from time import perf_counter
from urllib.parse import urlsplit

import pytest
import trio

from alysd.testing import components
from alysd.testing.daemon import DEVELOPMENT, daemon
from benchmarks.node.figures import Figure, Show
from benchmarks.node.requests import Client

TURNS = 20
TURN_SECONDS = 0.1

_ACCOUNT = "0x" + "11" * 20
_IDENTITY = {"to": "0x" + "00" * 19 + "04", "data": "0x" + "ab" * 32}
"""A call to the identity precompile, which returns its input."""

METHODS: tuple[tuple[str, tuple[object, ...], float], ...] = (
    ("eth_chainId", (), 0.6),
    ("eth_getBalance", (_ACCOUNT, "latest"), 0.5),
    ("eth_call", (_IDENTITY, "latest"), 0.15),
)
"""Each method, its parameters, and the goal: the share of geth's rate."""


async def measure(folder: Path, show: Show) -> None:
    """Start both, and measure each method. Prints the reason and measures nothing where geth is missing."""
    genesis = json.loads((DEVELOPMENT.parent / "chains" / "dev.genesis.json").read_text())
    async with AsyncExitStack() as stack:
        try:
            geth = await stack.enter_async_context(components.geth(folder, genesis, bytes(32)))
        except pytest.skip.Exception as missing:
            print(f"without geth: {missing}")
            return
        node = await stack.enter_async_context(daemon(folder))
        for method, params, goal in METHODS:
            ours = await _client(stack, node.eth_url, method, *params)
            theirs = await _client(stack, geth.eth_url, method, *params)
            if (found := await ours.ask()) != (expected := await theirs.ask()) and method != "eth_getBalance":
                raise ValueError(f"{method}: the node answered {found!r}, geth {expected!r}")
            rates = [(await _rate(ours), await _rate(theirs)) for _ in range(TURNS)]
            show(Figure(f"{method}, one client", statistics.median(own for own, _ in rates), "/s"))
            show(Figure(f"{method}, one client, geth", statistics.median(peer for _, peer in rates), "/s"))
            ratio = statistics.median(own / peer for own, peer in rates)
            show(Figure(f"{method}, of geth's rate", ratio, "×", at_least=goal))


async def _client(stack: AsyncExitStack, url: str, method: str, *params: object) -> Client:
    port = urlsplit(url).port
    assert port is not None
    stream = await stack.enter_async_context(await trio.open_tcp_stream("127.0.0.1", port))
    return Client(stream, port, method, *params)


async def _rate(client: Client) -> float:
    """Answers per second during one turn."""
    count, begun = 0, perf_counter()
    while perf_counter() < begun + TURN_SECONDS:
        await client.ask()
        count += 1
    return count / (perf_counter() - begun)
