"""The contract of every execution client with the node, for the real ones, the embedded one and the fake alike.

A fake that behaved better than what it stands for would make the tests that use it worthless.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

import attrs
import pytest

from alysd.embedded import EmbeddedEngine
from alysd.errors import EngineBehind
from alysd.integrations.clock import SystemClock
from alysd.integrations.execution.engine_api import EngineApiClient
from alysd.ports import ExecutionEngine
from alysd.testing import components
from alysd.testing.components import CANCUN_GENESIS, JWT
from alysd.testing.engine import FakeEngine
from alysd.testing.pending import NothingPending
from alysd.timing import Timing
from alysd.types.block import ExecutionPayload, PayloadAttributes, Withdrawal
from alysd.types.hashes import BURN_ADDRESS, BlockHash, EvmAddress, PayloadHash, sha256
from alysd.types.units import Gwei
from alysd.types.verdict import Invalid, Syncing, Valid
from alysd.wire.execution_header import block_hash_of

Opens = Callable[[Path], AbstractAsyncContextManager[ExecutionEngine]]

NOWHERE = PayloadHash(b"\x77" * 32)
ROOT = BlockHash(b"\x0b" * 32)


@asynccontextmanager
async def fake(_: Path) -> AsyncGenerator[ExecutionEngine]:
    yield FakeEngine.of(CANCUN_GENESIS)


@asynccontextmanager
async def embedded(path: Path) -> AsyncGenerator[ExecutionEngine]:
    engine = await EmbeddedEngine.open(path / "embedded", CANCUN_GENESIS, NothingPending())
    try:
        yield engine
    finally:
        await engine.aclose()


@asynccontextmanager
async def real(start: Callable[..., AbstractAsyncContextManager[components.ExecutionProcess]], path: Path):
    async with start(path, CANCUN_GENESIS, JWT) as process:
        client = EngineApiClient.connect(
            process.engine_url, JWT, SystemClock(), Timing(2).engine_catching_up, process.eth_url
        )
        try:
            yield client
        finally:
            await client.aclose()


@pytest.fixture(
    params=[
        pytest.param(fake, id="fake"),
        pytest.param(embedded, id="embedded"),
        pytest.param(partial(real, components.geth), id="geth", marks=pytest.mark.component),
        pytest.param(partial(real, components.ethereumjs), id="ethereumjs", marks=pytest.mark.component),
    ]
)
def opens(request: pytest.FixtureRequest) -> Opens:
    """Each client in turn, on a new chain."""
    return request.param


def attributes(parent: PayloadHash, timestamp: int) -> PayloadAttributes:
    """With one withdrawal, so that siblings differ by more than their time."""
    paid = (Withdrawal(0, 0, EvmAddress(b"\xee" * 20), Gwei(timestamp)),)
    return PayloadAttributes(parent, ROOT, timestamp, sha256(parent), BURN_ADDRESS, paid)


async def add(
    engine: ExecutionEngine, parent: PayloadHash, timestamp: int, genesis: PayloadHash
) -> ExecutionPayload:
    """Build on `parent`, execute, follow."""
    payload = await engine.build_payload(parent, genesis, genesis, attributes(parent, timestamp))
    assert await engine.new_payload(payload, ROOT) == Valid()
    await engine.set_forkchoice(payload.block_hash, genesis, genesis)
    return payload


async def test_payload_is_what_the_attributes_ask_for(tmp_path: Path, opens: Opens) -> None:
    """The rules of the chain fix all of these: a client with ideas of its own makes invalid blocks."""
    async with opens(tmp_path) as engine:
        genesis = await engine.genesis_hash()
        payload = await add(engine, genesis, 10, genesis)
        asked = attributes(genesis, 10)
        assert (payload.parent_hash, payload.block_number) == (genesis, 1)
        assert (payload.timestamp, payload.prev_randao) == (10, asked.prev_randao)
        assert (payload.fee_recipient, payload.withdrawals) == (BURN_ADDRESS, asked.withdrawals)
        assert payload.block_hash == block_hash_of(payload, ROOT)


async def test_what_is_executed_is_known_and_nothing_else(tmp_path: Path, opens: Opens) -> None:
    """The node relies on this answer to find out how far a client lags behind."""
    async with opens(tmp_path) as engine:
        genesis = await engine.genesis_hash()
        payload = await add(engine, genesis, 10, genesis)
        assert await engine.knows(genesis)
        assert await engine.knows(payload.block_hash)
        assert not await engine.knows(NOWHERE)


async def test_payload_may_be_given_again(tmp_path: Path, opens: Opens) -> None:
    """After a crash the node repeats what it does not know to be done."""
    async with opens(tmp_path) as engine:
        genesis = await engine.genesis_hash()
        payload = await add(engine, genesis, 10, genesis)
        assert await engine.new_payload(payload, ROOT) == Valid()
        await engine.set_forkchoice(payload.block_hash, genesis, genesis)


async def test_wrong_hash_is_invalid_with_a_reason(tmp_path: Path, opens: Opens) -> None:
    """Blocks are linked by this hash; one that is not the payload's own must not get in."""
    async with opens(tmp_path) as engine:
        genesis = await engine.genesis_hash()
        payload = await engine.build_payload(genesis, genesis, genesis, attributes(genesis, 10))
        verdict = await engine.new_payload(attrs.evolve(payload, block_hash=NOWHERE), ROOT)
        assert isinstance(verdict, Invalid)
        assert verdict.reason


async def test_payload_on_an_unknown_parent_is_not_judged(tmp_path: Path, opens: Opens) -> None:
    """The verdict is neither valid nor invalid: the node sends the missing blocks and asks again."""
    async with opens(tmp_path) as engine:
        genesis = await engine.genesis_hash()
        payload = await engine.build_payload(genesis, genesis, genesis, attributes(genesis, 10))
        orphan = attrs.evolve(payload, parent_hash=NOWHERE, block_number=2)
        orphan = attrs.evolve(orphan, block_hash=block_hash_of(orphan, ROOT))
        assert await engine.new_payload(orphan, ROOT) == Syncing()


async def test_unknown_head_is_not_followed(tmp_path: Path, opens: Opens) -> None:
    """Building on an unknown head is refused with the error that makes the node send the missing blocks."""
    async with opens(tmp_path) as engine:
        genesis = await engine.genesis_hash()
        with pytest.raises(EngineBehind):
            await engine.set_forkchoice(NOWHERE, genesis, genesis)
        with pytest.raises(EngineBehind) as behind:
            await engine.build_payload(NOWHERE, genesis, genesis, attributes(NOWHERE, 10))
        assert behind.value.payload == NOWHERE


async def test_unknown_final_block_is_not_followed(tmp_path: Path, opens: Opens) -> None:
    """A client that knows the head but not the final block is not at the node's chain."""
    async with opens(tmp_path) as engine:
        genesis = await engine.genesis_hash()
        with pytest.raises(EngineBehind):
            await engine.set_forkchoice(genesis, NOWHERE, NOWHERE)


async def test_chain_can_be_left_for_a_sibling_and_taken_up_again(tmp_path: Path, opens: Opens) -> None:
    """Reorganisations: back to an ancestor to build on it, over to the sibling, and back to where it was."""
    async with opens(tmp_path) as engine:
        genesis = await engine.genesis_hash()
        first = await add(engine, genesis, 10, genesis)
        second = await add(engine, first.block_hash, 12, genesis)
        sibling = await add(engine, first.block_hash, 14, genesis)
        assert sibling.block_number == second.block_number == 2
        await engine.set_forkchoice(second.block_hash, genesis, genesis)
        third = await add(engine, second.block_hash, 16, genesis)
        assert third.parent_hash == second.block_hash


async def test_empty_block_has_no_receipts(tmp_path: Path, opens: Opens) -> None:
    """Receipts of a block without transactions are an empty list, not an error."""
    async with opens(tmp_path) as engine:
        genesis = await engine.genesis_hash()
        payload = await add(engine, genesis, 10, genesis)
        assert await engine.receipts(payload) == ()


async def test_receipts_of_an_unknown_block_are_not_made_up(tmp_path: Path, opens: Opens) -> None:
    """Fees of nothing must not be paid."""
    async with opens(tmp_path) as engine:
        genesis = await engine.genesis_hash()
        payload = await add(engine, genesis, 10, genesis)
        with pytest.raises(EngineBehind):
            await engine.receipts(attrs.evolve(payload, block_hash=NOWHERE))
