"""A genesis for chains of random transactions, and a real client that makes and judges their blocks."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import attrs

from alysd.integrations.clock import SystemClock
from alysd.integrations.execution.engine_api import EngineApiClient
from alysd.testing.components import CANCUN_GENESIS, JWT, ExecutionProcess
from alysd.timing import Timing
from tests.integration.random_transactions import address_of

SENDERS = 8

GENESIS: dict[str, Any] = {
    **CANCUN_GENESIS,
    "alloc": {
        **CANCUN_GENESIS["alloc"],
        **{f"0x{address_of(sender).hex()}": {"balance": hex(10**24)} for sender in range(SENDERS)},
    },
}


@attrs.frozen
class External:
    """A real client with its transaction pool."""

    engine: EngineApiClient
    process: ExecutionProcess
    name: str

    async def offer(self, transactions: Sequence[bytes]) -> None:
        for raw in transactions:
            await self.process.eth("eth_sendRawTransaction", f"0x{raw.hex()}")


@asynccontextmanager
async def external(process: ExecutionProcess) -> AsyncGenerator[External]:
    client = EngineApiClient.connect(
        process.engine_url, JWT, SystemClock(), Timing(2).engine_catching_up, process.eth_url
    )
    try:
        # Slow machines fail no slot here: only the verdicts count.
        deadlines = attrs.evolve(Timing(2).engine_catching_up, build=8.0)
        yield External(client.with_deadlines(deadlines), process, process.name)
    finally:
        await client.aclose()
