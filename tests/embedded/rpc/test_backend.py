"""The search for a referenced block, and the limit on concurrent executions."""

from pathlib import Path

import pytest
import trio

from alysd.api.jsonrpc import RpcError
from alysd.embedded.rpc.backend import EthBackend
from alysd.embedded.rpc.requests import BlockAtHash
from tests.embedded.rpc.chain import eth_chain


async def test_tags_numbers_and_hashes_mean_blocks(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        backend = EthBackend(chain.engine, chain.pool)
        genesis = await chain.engine.genesis_hash()
        first, second = await chain.mine(), await chain.mine()
        await chain.engine.set_forkchoice(second, first, genesis)

        def number(reference: str | int | BlockAtHash) -> int | None:
            header = backend.find(reference)
            return None if header is None else header.number

        assert [number(tag) for tag in ("latest", "pending", "safe", "finalized", "earliest")] == [2, 2, 1, 0, 0]
        assert [number(at) for at in (0, 2, 3, BlockAtHash(first))] == [0, 2, None, 1]


async def test_an_abandoned_block_is_found_unless_a_canonical_one_is_asked_for(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        backend = EthBackend(chain.engine, chain.pool)
        abandoned = await chain.mine()
        await chain.mine(parent=await chain.engine.genesis_hash())
        assert backend.state_at(BlockAtHash(abandoned)).hash == abandoned
        with pytest.raises(RpcError, match="hash is not currently canonical"):
            backend.state_at(BlockAtHash(abandoned, canonical=True))


async def test_executions_wait_for_each_other(tmp_path: Path) -> None:
    """Each execution keeps the interpreter busy: a hundred at once would make the node miss its slots."""
    async with eth_chain(tmp_path) as chain:
        backend = EthBackend(chain.engine, chain.pool)
        started, gate, running = trio.Event(), trio.Event(), [0, 0]

        def work() -> None:
            running[0] += 1
            running[1] = max(running)
            if running[0] == backend.limits.callers:
                trio.from_thread.run_sync(started.set)
            trio.from_thread.run(gate.wait)
            running[0] -= 1

        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(backend.execute, work)
            with trio.fail_after(30):
                await started.wait()
            await trio.sleep(0.1)  # in which the others would have come
            gate.set()
        assert running == [0, backend.limits.callers]
