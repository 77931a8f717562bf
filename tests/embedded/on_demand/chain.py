"""A chain whose blocks are made on demand, with its Ethereum RPC on a free port."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import attrs
import httpx
import trio

from alysd.api.http.server import listen
from alysd.embedded.demand_execution import DemandExecution
from alysd.messages.metrics import PortCounts
from alysd.testing.chain import chain_spec
from alysd.types.hashes import EvmAddress
from alysd.validation import genesis_of
from tests.embedded.rpc.chain import GENESIS, RICH, RpcFailure

KEYS = {EvmAddress(bytes.fromhex(RICH.address[2:])): bytes(RICH.key)}
SENDER = RICH.address.lower()
START = 2_000_000_000
"""The timestamp of the genesis block, and the time of the machine's clock when the chain begins."""


class StoppedClock:
    """A clock of the machine that only the test moves."""

    def __init__(self) -> None:
        self.now = float(START)

    def time(self) -> float:
        return self.now

    def boottime(self) -> float:
        return self.now


@attrs.frozen
class OnDemand:
    """The chain, the machine's clock, and a client."""

    execution: DemandExecution
    machine: StoppedClock
    url: str
    client: httpx.AsyncClient
    _ids: Any = attrs.field(factory=count)

    async def rpc(self, method: str, *params: Any) -> Any:
        """Ask the RPC; raises `RpcFailure`."""
        request = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": list(params)}
        answer = (await self.client.post(self.url, json=request)).json()
        if "error" in answer:
            raise RpcFailure(answer["error"])
        return answer["result"]

    async def head(self) -> tuple[int, int]:
        """The number and the time since the genesis of the newest block."""
        block = await self.rpc("eth_getBlockByNumber", "latest", False)
        return int(block["number"], 16), int(block["timestamp"], 16) - START


@asynccontextmanager
async def on_demand(build_seconds: float = 1.0) -> AsyncGenerator[OnDemand]:
    """Open a chain and serve it."""
    spec = attrs.evolve(
        chain_spec(), slot_seconds=1, chain_id=7, execution_genesis={**GENESIS, "timestamp": hex(START)}
    )
    genesis, machine = genesis_of(spec), StoppedClock()
    listeners = await listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
    async with (
        DemandExecution.open(genesis.context, genesis.state, machine, build_seconds, KEYS) as execution,
        trio.open_nursery() as nursery,
        httpx.AsyncClient(timeout=30) as client,
    ):
        nursery.start_soon(execution.serve, listeners, (), PortCounts("ethereum"))
        nursery.start_soon(execution.chain.run)
        yield OnDemand(execution, machine, url, client)
        nursery.cancel_scope.cancel()
