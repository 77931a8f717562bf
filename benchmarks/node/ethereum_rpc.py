"""Compares the embedded engine's JSON-RPC with geth's, with one connection to each and with sixteen.

Both have the same chain of `BLOCKS` blocks, the first of which creates a token and gives money to the senders.
They answer in turns, a tenth of a second each, so that a busy machine slows both. The rate is the median of all
turns, and the ratio the median of the ratios.
"""

import hashlib
import json
import statistics
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count, islice, repeat
from pathlib import Path
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

import attrs
import pytest
import trio
from eth_account import Account
from eth_utils.address import to_checksum_address

from alysd.integrations.clock import SystemClock
from alysd.integrations.execution.engine_api import EngineApiClient
from alysd.testing import components
from alysd.testing.daemon import DEVELOPMENT, daemon
from alysd.timing import Timing
from alysd.types.verdict import Valid
from alysd.wire.keccak import keccak256
from alysd.wire.rlp import encode
from benchmarks.node.database import Given, build, recover
from benchmarks.node.figures import Figure, Show
from benchmarks.node.requests import Connection, encode_request
from benchmarks.node.transfers import CHAIN_ID, GWEI, Sender

TURNS = 20
TURN_SECONDS = 0.1
CONNECTIONS = (1, 16)
BLOCKS = 1_000

SENDERS = 40
"""The accounts that send transactions, one each per turn."""

_ACCOUNT = "0x" + "11" * 20
_JWT = bytes(32)
_DEVELOPER = Sender.of_development()
_DEVELOPER_ADDRESS: str = Account.from_key(_DEVELOPER.key).address
_TOKEN = to_checksum_address(keccak256(encode([bytes.fromhex(_DEVELOPER_ADDRESS[2:]), b""]))[12:])
"""The contract that the account of the development chain creates with its first transaction."""

_BALANCE_OF = {"to": _TOKEN, "data": "0x70a08231" + _DEVELOPER_ADDRESS[2:].lower().rjust(64, "0")}
_NO_LOGS = {"fromBlock": "0x1", "toBlock": hex(BLOCKS), "address": _ACCOUNT}
_ONE_LOG = {**_NO_LOGS, "address": _TOKEN}

METHODS: tuple[tuple[str, str, tuple[object, ...], float], ...] = (
    ("eth_chainId", "eth_chainId", (), 0.6),
    ("eth_getBalance", "eth_getBalance", (_ACCOUNT, "latest"), 0.5),
    ("eth_call", "eth_call", (_BALANCE_OF, "latest"), 0.15),
    ("eth_getLogs", "eth_getLogs", (_NO_LOGS,), 0.1),
    ("eth_getLogs of one log", "eth_getLogs", (_ONE_LOG,), 0.1),
)
"""The name of each figure, the method, its parameters, and the goal: the share of geth's rate.

The call reads a balance of an ERC-20. The searches for logs look at all blocks; the first finds nothing.
"""

SEND_GOAL = 0.3


@attrs.frozen
class Peer:
    """Open connections to a server of the Ethereum JSON-RPC."""

    port: int
    connections: Sequence[Connection]

    async def ask(self, method: str, *params: object) -> Any:
        """Return the result of one request. Raises `ValueError` if it is an error."""
        return _result(await self.connections[0].send(encode_request(self.port, method, *params)))

    async def repeat(self, method: str, *params: object) -> float:
        """Return the answers per second during one turn."""
        request = encode_request(self.port, method, *params)
        end = perf_counter() + TURN_SECONDS

        def requests() -> Iterator[bytes]:
            while perf_counter() < end:
                yield request

        return await self._rate(requests())

    async def send(self, transactions: Sequence[bytes]) -> float:
        """Send raw transactions, and return the answers per second."""
        requests = [encode_request(self.port, "eth_sendRawTransaction", f"0x{raw.hex()}") for raw in transactions]
        return await self._rate(iter(requests))

    async def _rate(self, requests: Iterator[bytes]) -> float:
        count = 0

        async def work(connection: Connection) -> None:
            nonlocal count
            for request in requests:
                _result(await connection.send(request))
                count += 1

        begun = perf_counter()
        async with trio.open_nursery() as nursery:
            for connection in self.connections:
                nursery.start_soon(work, connection)
        return count / (perf_counter() - begun)


Turn = Callable[[Peer], Awaitable[float]]
"""One turn: the answers per second."""


async def measure(folder: Path, show: Show) -> None:
    """Start both, and measure each method. Prints the reason and measures nothing where geth is missing."""
    senders = [Sender(hashlib.sha256(b"sender %d" % number).hexdigest()) for number in range(SENDERS)]
    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(daemon(folder, start=False))
        given = await build(node.data, BLOCKS, _first_transactions(senders))
        await recover(node)
        try:
            theirs = await stack.enter_async_context(_geth(folder, given))
        except pytest.skip.Exception as missing:
            print(f"without geth: {missing}")
            return
        await node.start()
        urls = node.eth_url, theirs
        for name, method, params, goal in METHODS:
            await _check_equal(urls, method, *params)
            turns: Iterator[Turn] = repeat(lambda peer, m=method, p=params: peer.repeat(m, *p))
            await _compare(show, name, goal, urls, turns)
        batches = ([raw for sender in senders for raw in sender.transfers(1)] for _ in count())
        await _compare(
            show,
            "eth_sendRawTransaction",
            SEND_GOAL,
            urls,
            (lambda peer, raws=raws: peer.send(raws) for raws in batches),
        )


async def _check_equal(urls: tuple[str, str], method: str, *params: object) -> None:
    async with _connected(urls[0], 1) as ours, _connected(urls[1], 1) as theirs:
        if (found := await ours.ask(method, *params)) != (expected := await theirs.ask(method, *params)):
            raise ValueError(f"{method}: the node answered {found!r}, geth {expected!r}")


async def _compare(show: Show, method: str, goal: float, urls: tuple[str, str], turns: Iterator[Turn]) -> None:
    """Measure a method with each number of connections. A server closes connections that wait, so they are new."""
    for connections in CONNECTIONS:
        async with _connected(urls[0], connections) as ours, _connected(urls[1], connections) as theirs:
            rates = [(await turn(ours), await turn(theirs)) for turn in islice(turns, TURNS)]
        _show(show, method, connections, rates, goal)


def _show(show: Show, method: str, connections: int, rates: Sequence[tuple[float, float]], goal: float) -> None:
    what = f"{method}, {connections} connection{'s' if connections > 1 else ''}"
    show(Figure(what, statistics.median(own for own, _ in rates), "/s"))
    show(Figure(f"{what}, geth", statistics.median(peer for _, peer in rates), "/s"))
    show(
        Figure(f"{what}, of geth's rate", statistics.median(own / peer for own, peer in rates), "×", at_least=goal)
    )


def _first_transactions(senders: Sequence[Sender]) -> list[bytes]:
    """The transactions of the first block: the token, and a coin for each sender."""
    bytecode = json.loads(Path(__file__).with_name("token.json").read_text())["bytecode"]
    calls: list[dict[str, Any]] = [{"data": bytecode + f"{10**24:064x}", "gas": 1_000_000, "value": 0}]
    calls += [{"to": Account.from_key(sender.key).address, "gas": 21_000, "value": 10**18} for sender in senders]
    fees = {"chainId": CHAIN_ID, "maxFeePerGas": 3 * GWEI, "maxPriorityFeePerGas": GWEI}
    signed: list[Any] = [
        Account.sign_transaction({**call, **fees, "nonce": nonce}, _DEVELOPER.key)
        for nonce, call in enumerate(calls)
    ]
    return [bytes(one.raw_transaction) for one in signed]


@asynccontextmanager
async def _geth(folder: Path, given: Sequence[Given]) -> AsyncGenerator[str]:
    """The URL of a geth that has these blocks."""
    genesis = json.loads((DEVELOPMENT.parent / "chains" / "dev.genesis.json").read_text())
    async with components.geth(folder, genesis, _JWT) as geth:
        engine = EngineApiClient.connect(geth.engine_url, _JWT, SystemClock(), Timing(2).engine_catching_up)
        for one in given:
            verdict = await engine.new_payload(one.payload, one.parent)
            if verdict != Valid():
                raise ValueError(f"geth refuses block {one.payload.block_number}: {verdict}")
        first, head = await engine.genesis_hash(), given[-1].payload.block_hash
        await engine.set_forkchoice(head, first, first)
        await engine.aclose()
        yield geth.eth_url


@asynccontextmanager
async def _connected(url: str, connections: int) -> AsyncGenerator[Peer]:
    port = urlsplit(url).port
    assert port is not None
    async with AsyncExitStack() as stack:
        streams = [
            await stack.enter_async_context(await trio.open_tcp_stream("127.0.0.1", port))
            for _ in range(connections)
        ]
        yield Peer(port, [Connection(stream) for stream in streams])


def _result(body: bytes) -> Any:
    answer = json.loads(body)
    if "result" not in answer:
        raise ValueError(f"the answer has no result: {body[:200]!r}")
    return answer["result"]
