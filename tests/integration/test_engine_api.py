"""The engine actor beside geth and EthereumJS: what they really do when they lag, vanish, or are another's."""

import signal
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import attrs
import pytest
import trio
from eth_account import Account

from alysd.actors.engine import EngineActor
from alysd.consensus.payload import payload_attributes
from alysd.consensus.validity import apply_block
from alysd.errors import EngineUnavailable, NotNow, Refused, UserError, WrongChain
from alysd.integrations.clock import SystemClock
from alysd.integrations.execution.engine_api import EngineApiClient
from alysd.messages.engine import BuildPayload, Engine, ExecutePayload, SetForkchoice
from alysd.nurseries import (
    Address,
    CircuitBreaker,
    HandlerCrashed,
    NotAnswered,
    OneForOne,
    SystemFailed,
    actor,
    open_system,
    supervisor,
)
from alysd.testing import components
from alysd.testing.blocks import FIRST_SLOT, approve, context_of, make_spec
from alysd.testing.blocks import genesis as genesis_state
from alysd.testing.components import CANCUN_GENESIS, CHAIN_ID, JWT, ExecutionProcess
from alysd.testing.executed_chain import ExecutedChain, MemoryStorage, storage_address
from alysd.timing import Timing
from alysd.types.block import Block
from alysd.types.chain import Forkchoice
from alysd.types.units import Slot

TIMING = Timing(2)

pytestmark = pytest.mark.component

SPEC = make_spec()
KEY = "0x" + "11" * 32
SENDER: str = Account.from_key(KEY).address
RICH_GENESIS: dict[str, Any] = {
    **CANCUN_GENESIS,
    "alloc": {**CANCUN_GENESIS["alloc"], SENDER: {"balance": hex(10**24)}},
}

ASK_SECONDS = 5.0
"""More than a slot's timeout: machines that run these tests are shared."""

FEED_SECONDS = 60.0
"""For a client to be fed the 40 blocks of the longest chain here: 3 s on an idle machine."""


class StartsClient(Protocol):
    """The common signature of `components.geth` and `components.ethereumjs`."""

    def __call__(
        self, tmp_path: Path, genesis: dict[str, Any], jwt: bytes, *, datadir: Path | None = None
    ) -> AbstractAsyncContextManager[ExecutionProcess]: ...


@pytest.fixture(params=[components.geth, components.ethereumjs], ids=["geth", "ethereumjs"])
def start(request: pytest.FixtureRequest) -> StartsClient:
    """Each execution client in turn."""
    return request.param


@attrs.define
class Node:
    """As much of a node as makes blocks: the chain so far, in storage, and the engine actor."""

    chain: ExecutedChain
    storage: MemoryStorage
    engine: Address[Engine]

    def keep(self, chain: ExecutedChain) -> None:
        """Make this the stored chain."""
        self.chain = self.storage.chain = chain

    async def produce(self, count: int = 1, wait: int = 0) -> None:
        """Make `count` blocks as a node does: build, execute, store, follow; `wait` slots pass before each."""
        for _ in range(count):
            tip = self.chain.head()
            slot = Slot(max(tip.head.slot + 1, FIRST_SLOT) + wait)
            attributes = payload_attributes(tip.head, slot, None, context_of(SPEC))
            payload = await self.engine.ask(BuildPayload(tip, attributes), seconds=ASK_SECONDS)
            signed = approve(Block(tip.head.hash, slot, payload), SPEC)
            fees = await self.engine.ask(ExecutePayload(payload, signed.block.parent_hash), seconds=ASK_SECONDS)
            state = apply_block(tip.head, signed, fees.fees, ()).state
            self.keep(ExecutedChain((*self.chain.blocks, signed), (*self.chain.states, state)))
            await self.engine.ask(SetForkchoice(self.chain.head()), seconds=ASK_SECONDS)


@asynccontextmanager
async def node_beside(client: ExecutionProcess, chain: ExecutedChain | None = None) -> AsyncGenerator[Node]:
    """An engine actor for the client, with a chain that goes on from `chain`."""
    engine_client = EngineApiClient.connect(
        client.engine_url, JWT, SystemClock(), TIMING.engine_in_slot, client.eth_url
    )
    sync_engine = engine_client.with_deadlines(TIMING.engine_catching_up)
    if chain is None:
        start = attrs.evolve(genesis_state(SPEC), payload_hash=await engine_client.genesis_hash())
        chain = ExecutedChain((), (start,))
    storage, engine = MemoryStorage(chain), Address[Engine]("engine", capacity=64)
    where, genesis = storage_address(), chain.states[0].payload_hash
    tree = supervisor(
        "Root",
        OneForOne(),
        [
            actor(where, lambda: storage),
            actor(
                engine,
                lambda: EngineActor(engine_client, sync_engine, engine, where, genesis, lambda _: None, TIMING),
                restart=CircuitBreaker(failures=2, open_seconds=1.0),
                handle_seconds=TIMING.engine_handler,
            ),
        ],
    )
    try:
        async with open_system(tree, refusals=(Refused, NotAnswered), fatal=(UserError,)):
            yield Node(chain, storage, engine)
    finally:
        await engine_client.aclose()


async def head_of(client: ExecutionProcess) -> bytes:
    """The client's own idea of the newest block."""
    return bytes.fromhex((await client.eth("eth_getBlockByNumber", "latest", False))["hash"][2:])


async def wait_for_head(client: ExecutionProcess, head: Forkchoice) -> None:
    """Until the client is there, at most FEED_SECONDS."""
    with trio.fail_after(FEED_SECONDS):
        while await head_of(client) != head.head.payload_hash:  # noqa: ASYNC110  another process has no event to wait for
            await trio.sleep(0.05)


async def transfer(client: ExecutionProcess, nonce: int, tip: int) -> None:
    """Offer a transfer with this priority fee, in wei a gas."""
    fields = {
        "type": 2,
        "chainId": CHAIN_ID,
        "nonce": nonce,
        "to": "0x" + "22" * 20,
        "value": 1,
        "gas": 21_000,
        "maxFeePerGas": 100 * 10**9,
        "maxPriorityFeePerGas": tip,
    }
    raw = Account.sign_transaction(fields, KEY).raw_transaction
    await client.eth("eth_sendRawTransaction", f"0x{bytes(raw).hex()}")


async def test_blocks_are_made_and_their_fees_counted(tmp_path: Path, start: StartsClient) -> None:
    """The spine of a node beside a real client; fees must come out as offered, whatever the client calls them."""
    async with start(tmp_path, RICH_GENESIS, JWT) as client, node_beside(client) as node:
        await node.produce(2)
        for nonce in range(3):
            await transfer(client, nonce, tip=(nonce + 1) * 10**9)
        await node.produce()
        assert len(node.chain.blocks[2].block.payload.transactions) == 3
        assert node.chain.states[3].unpaid_fees - node.chain.states[2].unpaid_fees == 21_000 * 6 * 10**9
        assert await head_of(client) == node.chain.states[3].payload_hash


async def test_a_sibling_of_the_head_is_built_and_followed(tmp_path: Path, start: StartsClient) -> None:
    """After a reorganisation the next block stands on one that the client had left behind."""
    async with start(tmp_path, RICH_GENESIS, JWT) as client, node_beside(client) as node:
        await node.produce(4)
        left = node.chain
        node.keep(node.chain.until(2))
        await node.produce(3, wait=10)
        assert node.chain.states[3].payload_hash != left.states[3].payload_hash
        assert await head_of(client) == node.chain.head().head.payload_hash


async def test_wiped_client_is_fed_the_whole_chain(tmp_path: Path, start: StartsClient) -> None:
    """A client that lost its disk comes back without anybody copying anything."""
    async with start(tmp_path, RICH_GENESIS, JWT) as client, node_beside(client) as node:
        for nonce in range(4):
            await transfer(client, nonce, tip=10**9)
            await node.produce(10)
        chain = node.chain
    async with (
        start(tmp_path, RICH_GENESIS, JWT, datadir=tmp_path / "new") as wiped,
        node_beside(wiped, chain) as node,
    ):
        await wait_for_head(wiped, chain.head())
        await node.produce(2)
        assert await wiped.eth("eth_getTransactionCount", SENDER, "latest") == "0x4"


async def test_client_that_is_ahead_goes_back_with_the_node(tmp_path: Path, start: StartsClient) -> None:
    """A node restored from a backup goes on from its own head."""
    async with start(tmp_path, RICH_GENESIS, JWT) as client:
        async with node_beside(client) as node:
            await node.produce(5)
            chain = node.chain
        async with node_beside(client, chain.until(3)) as node:
            await wait_for_head(client, chain.head(3))
            await node.produce()
            assert await head_of(client) == node.chain.states[4].payload_hash


async def test_crash_of_the_client_costs_no_block(tmp_path: Path, start: StartsClient) -> None:
    """kill -9 takes what a client had only in memory; the node gives it back, and goes on."""
    async with start(tmp_path, RICH_GENESIS, JWT) as client, node_beside(client) as node:
        await node.produce(5)
        await client.kill()
        with pytest.raises(HandlerCrashed) as crashed:
            await node.produce()
        assert isinstance(crashed.value.__cause__, EngineUnavailable)
        await client.start()
        await produce_when_it_is_back(node)
        assert await head_of(client) == node.chain.states[6].payload_hash


async def produce_when_it_is_back(node: Node) -> None:
    """Make a block as soon as one can be made, within FEED_SECONDS."""
    with trio.fail_after(FEED_SECONDS):
        while True:
            try:
                return await node.produce()
            except (NotAnswered, NotNow):
                await trio.sleep(0.2)


async def test_client_that_hangs_is_given_up_within_the_slot_and_found_again(
    tmp_path: Path, start: StartsClient
) -> None:
    """A stopped process accepts connections and answers nothing: only deadlines get the slot back."""
    async with start(tmp_path, RICH_GENESIS, JWT) as client, node_beside(client) as node:
        await node.produce(2)
        client.process.send_signal(signal.SIGSTOP)
        begun = trio.current_time()
        with pytest.raises(HandlerCrashed, match=r"no answer to \w+ within"):
            await node.produce()
        assert trio.current_time() - begun < 1.5
        client.process.send_signal(signal.SIGCONT)
        await produce_when_it_is_back(node)
        assert await head_of(client) == node.chain.head().head.payload_hash


async def test_client_of_another_chain_is_refused_with_both_hashes(tmp_path: Path, start: StartsClient) -> None:
    """The usual mistake: the client was initialized with another genesis, or none."""
    chain = ExecutedChain((), (genesis_state(SPEC),))
    async with start(tmp_path, RICH_GENESIS, JWT) as client:
        found = (await head_of(client)).hex()
        with pytest.raises(SystemFailed) as failed:
            async with node_beside(client, chain):
                await trio.sleep_forever()
    assert isinstance(failed.value.__cause__, WrongChain)
    assert found in str(failed.value.__cause__)
    assert chain.states[0].payload_hash.hex() in str(failed.value.__cause__)
