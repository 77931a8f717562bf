"""The search for a referenced block, and the limit on concurrent executions."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trio

from alysd.api.jsonrpc import RpcError
from alysd.embedded.rpc.backend import EthBackend, RpcLimits
from alysd.embedded.rpc.requests import BlockAtHash
from alysd.types.hashes import EvmAddress
from tests.embedded.rpc.chain import NOBODY, RICH, box, eth_chain

T = TypeVar("T")


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


async def test_an_account_that_was_read_is_answered_without_a_thread_until_the_next_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The change to a thread and back is four fifths of the time of an answer, and more at many connections."""
    async with eth_chain(tmp_path) as chain:
        backend, account = EthBackend(chain.engine, chain.pool), EvmAddress(bytes.fromhex(NOBODY[2:]))
        reads: list[object] = []

        async def read(work: Callable[[], T]) -> T:
            reads.append(work)
            return work()

        monkeypatch.setattr(backend, "read", read)

        async def balance(at: str | int) -> int:
            return (await backend.account(account, at)).balance

        assert [await balance(at) for at in ("latest", "latest", "pending")] == [0, 0, 0]
        assert len(reads) == 1
        await chain.send(to=NOBODY, value=5)
        await chain.mine()
        assert [await balance(at) for at in ("latest", "latest")] == [5, 5]
        assert len(reads) == 2
        assert [await balance(at) for at in (0, 1, "safe")] == [0, 5, 0], "other blocks have other states"


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


async def test_logs_are_searched_in_threads_of_their_own_and_typed_data_hashed_in_those_of_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixteen clients of these took the GIL with eight threads, and blocks came 4 s late."""
    used: list[str] = []

    def noting(name: str) -> None:
        real = getattr(EthBackend, name)

        async def run(backend: EthBackend, work: Callable[[], object]) -> object:
            used.append(name)
            return await real(backend, work)

        monkeypatch.setattr(EthBackend, name, run)

    typed: dict[str, Any] = {
        "types": {"EIP712Domain": [], "A": []},
        "primaryType": "A",
        "domain": {},
        "message": {},
    }
    account = EvmAddress(bytes.fromhex(RICH.address[2:]))
    async with eth_chain(tmp_path, keys={account: bytes(RICH.key)}) as chain:
        await box(chain)
        await chain.send(nonce=1, to=NOBODY)
        block = await chain.mine()
        await chain.feed.caught_up()
        for name in ("read", "search", "execute"):
            noting(name)
        await chain.rpc("eth_getLogs", {"blockHash": "0x" + block.hex()})
        await chain.rpc("eth_signTypedData_v4", RICH.address, typed)
    assert used == ["search", "execute"]


async def test_no_more_searches_run_at_a_time_than_are_allowed(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        backend = EthBackend(chain.engine, chain.pool, RpcLimits(searchers=1))
        running, most = 0, 0

        def work() -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            running -= 1

        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(backend.search, work)
        assert most == 1
