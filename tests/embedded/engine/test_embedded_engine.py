"""The embedded engine as a port: its calls run one at a time, can be interrupted, and report head changes."""

import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from alysd.embedded.engine.embedded_engine import EmbeddedEngine
from alysd.embedded.engine.pending_source import AccountReader
from alysd.embedded.engine.transaction import SignedTransaction
from alysd.embedded.engine.values import CallRequest, HeadChange
from alysd.errors import EngineBehind, WrongChain
from alysd.ports import ExecutionEngine
from alysd.types.block import ExecutionPayload
from alysd.types.hashes import BlockHash, PayloadHash
from alysd.types.verdict import Invalid, Valid
from alysd.wire.execution_genesis import genesis_payload
from alysd.wire.execution_header import block_hash_of
from alysd.wire.receipts import proven_gas
from tests.embedded.engine.kit import (
    LOOP,
    OTHER,
    RICH,
    Offered,
    Sandbox,
    attributes,
    genesis,
    read,
    transfer,
)

HUNG = 30.0
"""Seconds after which something takes too long on any machine."""

BEACON = BlockHash(b"\xbe" * 32)


@pytest.fixture
async def pool() -> Offered:
    return Offered([])


@pytest.fixture
async def engine(tmp_path: Path, pool: Offered) -> AsyncIterator[EmbeddedEngine]:
    opened = await EmbeddedEngine.open(tmp_path / "engine", genesis(), pool)
    yield opened
    await opened.aclose()


async def build(engine: ExecutionEngine, head: Any) -> ExecutionPayload:
    base = await engine.genesis_hash()
    return await engine.build_payload(head.hash, base, base, attributes(head))


async def make(engine: EmbeddedEngine) -> ExecutionPayload:
    """Build a block, import it and follow it, through the port alone."""
    port: ExecutionEngine = engine
    payload = await build(port, engine.reader.head())
    assert await port.new_payload(payload, BEACON) == Valid()
    base = await port.genesis_hash()
    await port.set_forkchoice(payload.block_hash, base, base)
    return payload


async def test_a_block_goes_round(engine: EmbeddedEngine, pool: Offered) -> None:
    assert await engine.genesis_hash() == genesis_payload(genesis()).block_hash
    pool.transactions = [read(transfer(RICH, 0)), read(transfer(OTHER, 0, data=b"\1", gas=30_000))]
    payload = await make(engine)
    assert await engine.knows(payload.block_hash)
    assert not await engine.knows(PayloadHash(b"\x99" * 32))
    receipts = await engine.receipts(payload)
    assert proven_gas(receipts, payload) == (21_000, 21_016)
    assert engine.chain_id == 7


async def test_what_is_not_known_is_said(engine: EmbeddedEngine) -> None:
    base, nowhere = await engine.genesis_hash(), PayloadHash(b"\x99" * 32)
    with pytest.raises(EngineBehind):
        await engine.set_forkchoice(nowhere, base, base)
    with pytest.raises(EngineBehind):
        await engine.build_payload(nowhere, base, base, attributes(engine.reader.head()))
    with pytest.raises(EngineBehind):
        await engine.receipts(attrs.evolve(genesis_payload(genesis()), block_hash=nowhere))
    with pytest.raises(EngineBehind):
        await engine.receipts(attrs.evolve(genesis_payload(genesis()), transactions=(b"\x02",) * 3))


async def test_a_refused_payload_has_its_reason(engine: EmbeddedEngine) -> None:
    payload = await build(engine, engine.reader.head())
    verdict = await engine.new_payload(attrs.evolve(payload, gas_used=5), BEACON)
    assert isinstance(verdict, Invalid)
    assert verdict.reason.startswith("block hash is ")


async def test_those_who_watch_hear_of_every_forkchoice_in_trios_thread(engine: EmbeddedEngine) -> None:
    heard: list[HeadChange] = []
    threads: list[int] = []

    def watch(change: HeadChange) -> None:
        heard.append(change)
        threads.append(threading.get_ident())

    end = engine.on_head(watch)
    payload = await make(engine)
    assert [header.hash for header in heard[-1].added] == [payload.block_hash]
    assert engine.reader.head() == heard[-1].head, "what is told can be read"
    await engine.set_forkchoice(payload.block_hash, payload.block_hash, payload.block_hash)
    assert (heard[-1].added, heard[-1].safe.hash) == ((), payload.block_hash)
    assert set(threads) == {threading.get_ident()}
    end()
    before = len(heard)
    await make(engine)
    assert len(heard) == before


@attrs.define
class Held(Offered):
    """A pool that after its transactions holds up the building until `released`."""

    begun: trio.Event = attrs.Factory(trio.Event)
    released: threading.Event = attrs.Factory(threading.Event)

    def best(self, base_fee: int, accounts: AccountReader) -> Iterator[SignedTransaction]:
        trio.from_thread.run_sync(self.begun.set)
        yield from self.transactions
        assert self.released.wait(HUNG), "reading or calling waits for the block"


async def test_reading_and_calling_go_on_while_a_block_is_executed(tmp_path: Path) -> None:
    pool = Held([read(transfer(RICH, 0, to=LOOP, gas=29_000_000))])
    engine = await EmbeddedEngine.open(tmp_path / "engine", genesis(), pool)
    head = engine.reader.head()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(build, engine, head)
        await pool.begun.wait()
        result = await trio.to_thread.run_sync(engine.calls.call, head, CallRequest(to=RICH.address))
        assert result.succeeded
        assert engine.reader.account(head, RICH.address).nonce == 0
        pool.released.set()
    assert pool.late == pool.transactions, "it needed more time than the block gives at first"
    await engine.aclose()


async def test_cancelling_ends_a_long_execution_and_stores_nothing(engine: EmbeddedEngine, tmp_path: Path) -> None:
    """SIGTERM must not wait for a block that takes a minute to execute."""
    sandbox = Sandbox.open(tmp_path / "other")
    slow = attrs.evolve(sandbox.build(), transactions=(transfer(RICH, 0, to=LOOP, gas=30_000_000),))
    slow = attrs.evolve(slow, block_hash=block_hash_of(slow, BEACON))
    sandbox.chain.close()
    began = time.process_time()
    with trio.move_on_after(0.2) as scope:
        await engine.new_payload(slow, BEACON)
    assert scope.cancelled_caught
    assert time.process_time() - began < 5
    assert not await engine.knows(slow.block_hash)
    await make(engine)


async def test_closing_works_in_a_cancelled_scope(tmp_path: Path) -> None:
    engine = await EmbeddedEngine.open(tmp_path, genesis(), Offered([]))
    with trio.CancelScope() as scope:
        scope.cancel()
        await engine.aclose()
    again = await EmbeddedEngine.open(tmp_path, genesis(), Offered([]))
    await again.aclose()


async def test_another_chains_folder_is_refused(tmp_path: Path) -> None:
    await (await EmbeddedEngine.open(tmp_path, genesis(), Offered([]))).aclose()
    with pytest.raises(WrongChain):
        await EmbeddedEngine.open(tmp_path, genesis(**{f"0x{'77' * 20}": {}}), Offered([]))
