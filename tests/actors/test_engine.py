"""The engine actor with a client that works, refuses, lags behind, is down, or has another chain."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.actors.engine import ClientReport, EngineActor, no_report
from alysd.consensus.payload import payload_attributes
from alysd.consensus.payload_violations import InvalidPayload
from alysd.errors import ComponentError, EngineBehind, EngineUnavailable, NotNow, Refused, UserError, WrongChain
from alysd.messages.engine import BuildPayload, CatchUp, Engine, ExecutePayload, FollowPayload, SetForkchoice
from alysd.nurseries import (
    Address,
    CircuitBreaker,
    CircuitOpen,
    HandlerCrashed,
    NotAnswered,
    OneForOne,
    System,
    SystemFailed,
    TraceContext,
    actor,
    current_trace,
    open_system,
    supervisor,
    traced,
)
from alysd.nurseries.asks import TICK
from alysd.testing.blocks import FIRST_SLOT, context_of
from alysd.testing.engine import FakeEngine, transfer_receipts
from alysd.testing.executed_chain import (
    SPEC,
    ExecutedChain,
    MemoryStorage,
    extend,
    make_block,
    make_chain,
    storage_address,
    wipe,
)
from alysd.timing import Timing
from alysd.types.block import ExecutionPayload, Withdrawal
from alysd.types.chain import Forkchoice
from alysd.types.execution import ClientAnswer, PayloadResults
from alysd.types.hashes import BlockHash, EvmAddress, PayloadHash
from alysd.types.units import Gwei, Height, Slot, Wei
from alysd.types.verdict import Syncing, Valid, Verdict
from alysd.wire.receipts import encode_receipt
from alysd.wire.trie import indexed_root
from tests.workflows.engines import INVALID_HEAD, Lying, Recording, stubborn

TIMING = Timing(2)

NEXT_SLOT = Slot(FIRST_SLOT + 1000)
HOUR = 3600.0

LEGACY_TRANSFER = bytes.fromhex(
    # nonce 0, gas price 50 gwei, gas 21000, to 0x22…22, value 1, no data; the signature is of no matter here.
    "f86480850ba43b740082520894" + "22" * 20 + "018025a0" + "11" * 32 + "a0" + "11" * 32
)


@attrs.frozen
class StartedEngine:
    """A started engine actor, by its address, and the system it lives in."""

    engine: Address[Engine]
    system: System

    def restarts(self) -> int:
        return next(child.restarts for child in self.system.snapshot().walk() if child.name == "engine")


@asynccontextmanager
async def running(
    client: FakeEngine, chain: ExecutedChain, capacity: int = 64, report: ClientReport = no_report
) -> AsyncGenerator[StartedEngine]:
    storage, engine = storage_address(), Address[Engine]("engine", capacity=capacity)
    genesis = chain.states[0].payload_hash
    tree = supervisor(
        "Root",
        OneForOne(),
        [
            actor(storage, lambda: MemoryStorage(chain)),
            actor(
                engine,
                lambda: EngineActor(client, client, engine, storage, genesis, lambda _: None, TIMING, report),
                restart=CircuitBreaker(failures=3, open_seconds=10),
                handle_seconds=TIMING.engine_handler,
            ),
        ],
    )
    async with open_system(tree, refusals=(Refused,), fatal=(UserError,)) as system:
        yield StartedEngine(engine, system)


def build_on(tip: Forkchoice) -> BuildPayload:
    return BuildPayload(tip, payload_attributes(tip.head, NEXT_SLOT, None, context_of(SPEC)))


async def test_payload_is_built_on_the_head(autojump_clock: MockClock) -> None:
    """A payload that is built on another block could never become the next block."""
    built, chain = await make_chain(3)
    async with running(Recording.like(built), chain) as node:
        payload = await node.engine.ask(build_on(chain.head()))
    assert payload.parent_hash == chain.states[3].payload_hash
    assert payload.block_number == 4


@pytest.mark.parametrize(
    ("lies", "field"),
    [
        ({"parent_hash": PayloadHash(bytes(32))}, "parentHash"),
        ({"block_number": Height(3)}, "blockNumber"),
        ({"timestamp": 1}, "timestamp"),
        ({"prev_randao": bytes(32)}, "prevRandao"),
        ({"fee_recipient": EvmAddress(b"\x11" * 20)}, "feeRecipient"),
        ({"withdrawals": (Withdrawal(0, 0, EvmAddress(b"\x11" * 20), Gwei(1)),)}, "withdrawals"),
        ({"blob_gas_used": 1}, "blobGasUsed"),
        ({"block_hash": PayloadHash(b"\x11" * 32)}, "blockHash"),
        ({"gas_used": 5}, "blockHash"),
        ({"gas_limit": 2**300}, "blockHash"),
        ({"transactions": (LEGACY_TRANSFER,)}, "blockHash"),
    ],
)
async def test_a_payload_that_was_not_asked_for_is_not_signed(lies: dict[str, Any], field: str) -> None:
    """The key signed the block, the import refused it, and each slot of the node was lost."""
    built, chain = await make_chain(3)
    client = Lying(built.genesis, blocks=built.blocks, head=built.head, lies=lies)
    async with running(client, chain) as node:
        with pytest.raises(HandlerCrashed, match=f"the built payload has another {field} than"):
            await node.engine.ask(build_on(chain.head()))


async def test_client_is_brought_to_the_head_at_start(autojump_clock: MockClock) -> None:
    """Before any slot needs it: the first block after a start would be missed otherwise."""
    built, chain = await make_chain(3)
    wipe(built)
    client = Recording.like(built)
    async with running(client, chain):
        await trio.sleep(1)
        assert client.head == chain.states[3].payload_hash
    assert client.fed == [1, 2, 3]


async def test_empty_payload_is_executed_without_asking_for_receipts(autojump_clock: MockClock) -> None:
    """Most blocks of a quiet chain are empty; the call would cost each of them milliseconds."""
    built, chain = await make_chain(3)
    signed = await make_block(built, chain.head(), NEXT_SLOT)
    async with running(NoReceipts.like(built), chain) as node:
        fees = await node.engine.ask(ExecutePayload(signed.block.payload, signed.block.parent_hash))
    assert fees == PayloadResults(Wei(0))


async def test_an_execution_ends_when_its_asker_gives_up(autojump_clock: MockClock) -> None:
    """A proposal that is slow to execute would keep the client from building this node's own block."""
    built, chain = await make_chain(3)
    signed = await make_block(built, chain.head(), NEXT_SLOT)
    client = Recording.like(built)
    async with running(client, chain) as node:
        await trio.sleep(1)
        client.execution_seconds = 14.0
        begun = trio.current_time()
        with pytest.raises(NotNow, match="longer than the time for which its asker waits"):
            await node.engine.ask(
                ExecutePayload(signed.block.payload, signed.block.parent_hash, begun + 1.4), seconds=1.4
            )
        await node.engine.ask(build_on(chain.head()), seconds=1.0)
        assert trio.current_time() - begun < 1.5
        client.execution_seconds = 0.0
        assert await node.engine.ask(
            ExecutePayload(signed.block.payload, signed.block.parent_hash)
        ) == PayloadResults(Wei(0))
        assert node.restarts() == 0


class NoReceipts(Recording):
    """Fails when receipts are asked for."""

    async def receipts(self, payload: ExecutionPayload) -> tuple[bytes, ...]:
        raise AssertionError("asked for the receipts of an empty block")


class Willing(Recording):
    """Executes whatever it is given, as if the hash were right."""

    async def new_payload(self, payload: ExecutionPayload, parent_beacon_block_root: BlockHash) -> Verdict:
        self.blocks[payload.block_hash] = payload
        return Valid()


async def test_priority_fees_are_summed_from_receipts() -> None:
    """Miners and federation get these fees: a wrong sum would mint a wrong amount.

    On the real clock, for a moment: a mock clock would jump over the worker thread.
    """
    built, chain = await make_chain(3)
    signed = await make_block(built, chain.head(), NEXT_SLOT)
    payload = two_transfers(signed.block.payload)
    async with running(Willing.like(built), chain) as node:
        fees = await node.engine.ask(ExecutePayload(payload, signed.block.parent_hash), seconds=HOUR)
    assert fees.fees == 2 * 21_000 * 30 * 10**9


def two_transfers(payload: ExecutionPayload) -> ExecutionPayload:
    """The payload with two transfers, which pay 30 gwei per gas above the base fee."""
    return attrs.evolve(
        payload,
        transactions=(LEGACY_TRANSFER,) * 2,
        base_fee_per_gas=Wei(20 * 10**9),
        gas_used=42_000,
        receipts_root=indexed_root(transfer_receipts(2)),
    )


class Behind(Willing):
    """Lacks the parent of each block that it is told of."""

    async def new_payload(self, payload: ExecutionPayload, parent_beacon_block_root: BlockHash) -> Verdict:
        await trio.lowlevel.checkpoint()
        return Syncing()


class Liar(Willing):
    """States 500,000 times the gas that the second transaction used."""

    async def receipts(self, payload: ExecutionPayload) -> tuple[bytes, ...]:
        return (transfer_receipts(1)[0], encode_receipt(0, 1, 21_000 + 21_000 * 500_000, bytes(256), []))


async def test_receipts_that_the_receipts_root_does_not_cover_mint_nothing() -> None:
    """A receipt of 21 billion gas was 21 BTC of fees. The client is wrong, not the block: it is asked again."""
    built, chain = await make_chain(3)
    signed = await make_block(built, chain.head(), NEXT_SLOT)
    payload = two_transfers(signed.block.payload)
    async with running(Liar.like(built), chain) as node:
        with pytest.raises(HandlerCrashed) as caught:
            await node.engine.ask(ExecutePayload(payload, signed.block.parent_hash), seconds=HOUR)
    assert isinstance(caught.value.__cause__, ComponentError)
    assert "receipts root: expected " in str(caught.value.__cause__)


@attrs.define
class Reports:
    """The answers that an actor reports for comparison, and whether the last report said that it is ready."""

    answers: list[ClientAnswer] = attrs.field(factory=list[ClientAnswer])
    ready: bool = False
    count: int = 0

    def __call__(
        self, *, ready: bool, height: Height | None = None, refusal: str = "", answer: ClientAnswer | None = None
    ) -> None:
        self.ready, self.count = ready, self.count + 1
        if answer is not None:
            self.answers.append(answer)


async def until(condition: Callable[[], bool]) -> None:
    """Wait on the real clock."""
    with trio.fail_after(60):
        while True:
            if condition():
                return
            await trio.sleep(0.01)


async def followed(
    client: FakeEngine, chain: ExecutedChain, payload: ExecutionPayload, *, compare: bool
) -> Reports:
    """The reports of a client that is told to execute a payload and is not in use."""
    reports = Reports()
    signed = await make_block(client, chain.head(), NEXT_SLOT)
    async with running(client, chain, report=reports) as node:
        await until(lambda: reports.ready)
        before = reports.count
        node.engine.tell(FollowPayload(payload, signed.block.parent_hash, compare))
        await until(lambda: reports.count > before)
    return reports


@pytest.mark.parametrize("client", ["honest", "liar", "behind"])
async def test_the_results_of_a_payload_are_reported_for_comparison(client: str) -> None:
    """A client whose results are wrong would be used for all blocks. On the real clock: a thread works."""
    built, chain = await make_chain(3)
    signed = await make_block(built, chain.head(), NEXT_SLOT)
    payload = two_transfers(signed.block.payload)
    kind = {"honest": Willing, "liar": Liar, "behind": Behind}[client]
    (found,) = (await followed(kind.like(built), chain, payload, compare=True)).answers
    assert found.block == payload.block_hash
    if client == "honest":
        assert (found.results, found.failure) == (PayloadResults(Wei(2 * 21_000 * 30 * 10**9)), "")
    else:
        assert found.results is None
        assert ("receipts root" if client == "liar" else "lacks") in found.failure
    assert (await followed(kind.like(built), chain, payload, compare=False)).answers == []


async def test_a_payload_that_is_refused_has_no_results_and_is_no_failure() -> None:
    built, chain = await make_chain(3)
    signed = await make_block(built, chain.head(), NEXT_SLOT)
    client = Recording.like(built)
    client.refuse = {signed.block.payload.block_hash}
    (found,) = (await followed(client, chain, signed.block.payload, compare=True)).answers
    assert (found.results, found.failure) == (None, "")


async def test_a_rule_that_the_fees_break_is_an_answer_and_the_client_goes_on() -> None:
    """The actor reported nothing: the client would be told nothing more."""
    built, chain = await make_chain(3)
    signed = await make_block(built, chain.head(), NEXT_SLOT)
    payload = attrs.evolve(two_transfers(signed.block.payload), base_fee_per_gas=Wei(90 * 10**9))
    reports = await followed(Willing.like(built), chain, payload, compare=True)
    (found,) = reports.answers
    assert (found.results, found.failure, reports.ready) == (None, "", True)


async def test_invalid_payload_is_refused_and_the_actor_lives_on(autojump_clock: MockClock) -> None:
    """Any peer can send such a block; if it cost a restart, peers could stop the node."""
    built, chain = await make_chain(3)
    client = Recording.like(built)
    signed = await make_block(built, chain.head(), NEXT_SLOT)
    client.refuse = {signed.block.payload.block_hash}
    async with running(client, chain) as node:
        with pytest.raises(InvalidPayload, match="refused by the test"):
            await node.engine.ask(ExecutePayload(signed.block.payload, signed.block.parent_hash))
        await node.engine.ask(build_on(chain.head()))
        assert node.restarts() == 0


async def test_client_follows_the_head_it_is_given(autojump_clock: MockClock) -> None:
    """web3 users must see the node's head at the client, not the newest executed block."""
    built, chain = await make_chain(3)
    client = Recording.like(built)
    other = await extend(built, chain.until(1), 1, FIRST_SLOT + 100)
    async with running(client, chain) as node:
        await node.engine.ask(SetForkchoice(other.head()))
        assert client.head == other.states[-1].payload_hash


async def test_a_sibling_of_the_head_can_be_built(autojump_clock: MockClock) -> None:
    """After a reorganisation the next block stands on a block that the client had left."""
    built, chain = await make_chain(3)
    async with running(Recording.like(built), chain) as node:
        payload = await node.engine.ask(build_on(chain.head(2)))
    assert payload.parent_hash == chain.states[2].payload_hash


async def test_client_that_lost_its_last_blocks_costs_no_slot(autojump_clock: MockClock) -> None:
    """A restarted client often has; a gap that closes in a moment is closed before the answer."""
    built, chain = await make_chain(10)
    signed = await make_block(built, chain.head(), NEXT_SLOT)
    client = Recording.like(built)
    async with running(client, chain) as node:
        await trio.sleep(1)
        wipe(client, chain.blocks[:7])
        payload = await node.engine.ask(build_on(chain.head()))
        assert payload.block_number == 11
        wipe(client, chain.blocks[:7])
        assert await node.engine.ask(
            ExecutePayload(signed.block.payload, signed.block.parent_hash)
        ) == PayloadResults(Wei(0))
        wipe(client, chain.blocks[:7])
        await node.engine.ask(SetForkchoice(chain.head()))
        assert client.head == chain.states[10].payload_hash
        assert node.restarts() == 0
    assert client.fed[:3] == [8, 9, 10]


async def test_requests_are_refused_with_the_progress_while_a_long_history_is_fed(
    autojump_clock: MockClock,
) -> None:
    """Feeding hours of blocks must not hold up a slot, nor look like a crash; and it must come to its end."""
    built, chain = await make_chain(200)
    wipe(built)
    client = Recording.like(built)
    client.seconds = 0.1
    async with running(client, chain) as node:
        await trio.sleep(5)
        for request in (build_on(chain.head()), SetForkchoice(chain.head())):
            begun = trio.current_time()
            with pytest.raises(NotNow, match=r"catching up: \d+ of 200"):
                await node.engine.ask(request, seconds=2)
            assert trio.current_time() - begun < 1
        begun = trio.current_time()
        while True:
            try:
                await node.engine.ask(build_on(chain.head()), seconds=2)
                break
            except NotNow:
                await trio.sleep(2)
        assert trio.current_time() - begun < 20
        assert node.restarts() == 0
    assert client.fed == list(range(1, 201))


async def test_feeding_goes_on_without_requests(autojump_clock: MockClock) -> None:
    """A node that makes no blocks itself has nobody who asks."""
    built, chain = await make_chain(100)
    wipe(built)
    client = Recording.like(built)
    client.seconds = 0.1
    async with running(client, chain):
        await trio.sleep(11)
        assert client.head == chain.states[100].payload_hash


class Seeing(Recording):
    """Notes in which trace each block is fed."""

    seen: ClassVar[list[TraceContext | None]] = []

    async def new_payload(self, payload: ExecutionPayload, parent_beacon_block_root: BlockHash) -> Verdict:
        self.seen.append(current_trace())
        return await super().new_payload(payload, parent_beacon_block_root)


async def test_feeding_that_a_slot_began_is_no_part_of_its_trace(autojump_clock: MockClock) -> None:
    """The trace of one slot would go on for hours, and hold every block that was fed."""
    built, chain = await make_chain(100)
    client = Seeing.like(built)
    client.seconds = 0.1
    context = TraceContext("a" * 32, "b" * 16)
    async with running(client, chain) as node:
        await trio.sleep(1)
        wipe(client)
        with traced(context), pytest.raises(NotNow):
            await node.engine.ask(build_on(chain.head()), seconds=2)
        assert context in Seeing.seen
        Seeing.seen.clear()
        await trio.sleep(30)
        assert client.head == chain.states[100].payload_hash
    assert set(Seeing.seen) == {None}


async def test_feeding_survives_a_full_mailbox(autojump_clock: MockClock) -> None:
    """The actor sends to itself: if it waited for room in its own mailbox it would wait for ever."""
    built, chain = await make_chain(100)
    wipe(built)
    client = Recording.like(built)
    client.seconds = 0.1
    refused = 0

    async def ask() -> None:
        nonlocal refused
        with pytest.raises(NotNow):
            await node.engine.ask(build_on(chain.head()), seconds=HOUR)
        refused += 1

    async with running(client, chain, capacity=2) as node, trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(ask)
        await trio.sleep(15)
        assert refused == 10
        assert client.head == chain.states[100].payload_hash


async def test_announcements_of_an_earlier_instance_are_void(autojump_clock: MockClock) -> None:
    """Otherwise each crash while blocks are sent would add another series of `CatchUp` messages."""
    built, chain = await make_chain(100)
    wipe(built)
    client = Recording.like(built)
    client.seconds = 0.1
    async with running(client, chain) as node:
        await trio.sleep(1)
        for _ in range(20):
            node.engine.tell(CatchUp(turn=-1))
        await trio.sleep(1)
        assert node.engine.depth <= 1


async def test_client_that_is_gone_opens_the_circuit_and_is_found_again(autojump_clock: MockClock) -> None:
    """Slots are missed meanwhile, each with the reason; nothing has to be restarted by hand."""
    built, chain = await make_chain(3)
    client = Recording.like(built)
    async with running(client, chain) as node:
        await trio.sleep(1)
        client.down = True
        with pytest.raises(HandlerCrashed) as crashed:
            await node.engine.ask(build_on(chain.head()), seconds=2)
        assert isinstance(crashed.value.__cause__, EngineUnavailable)
        await trio.sleep(1)
        with pytest.raises(CircuitOpen):
            await node.engine.ask(build_on(chain.head()), seconds=2)
        await trio.sleep(60)
        client.down = False
        await trio.sleep(11)
        assert (await node.engine.ask(build_on(chain.head()), seconds=2)).block_number == 4


async def test_node_waits_for_a_client_that_starts_later(autojump_clock: MockClock) -> None:
    """After a power cut both are started at once, and the client takes longer."""
    built, chain = await make_chain(3)
    client = Recording.like(built)
    client.down = True

    async def starts_late() -> None:
        await trio.sleep(30)
        client.down = False

    async with trio.open_nursery() as nursery:
        nursery.start_soon(starts_late)
        async with running(client, chain) as node:
            assert trio.current_time() < 30, "the rest of the node is not held up"
            with pytest.raises(NotAnswered):
                await node.engine.ask(build_on(chain.head()), seconds=2)
            await trio.sleep(45)
            await node.engine.ask(build_on(chain.head()))


async def test_client_of_another_chain_ends_the_node_with_both_hashes(autojump_clock: MockClock) -> None:
    """No restart can fix that; the operator has to see what was found and what was expected."""
    built, chain = await make_chain(3)
    client = Foreign.like(built)
    with pytest.raises(SystemFailed) as failed:
        async with running(client, chain):
            await trio.sleep_forever()
    cause = failed.value.__cause__
    assert isinstance(cause, WrongChain)
    assert "77" * 32 in str(cause)
    assert chain.states[0].payload_hash.hex() in str(cause)


class Foreign(Recording):
    """Has another genesis block."""

    async def genesis_hash(self) -> PayloadHash:
        return PayloadHash(b"\x77" * 32)


async def test_block_on_a_branch_that_the_client_lost_is_refused(autojump_clock: MockClock) -> None:
    """The client gets only canonical blocks. A block on an abandoned branch must not crash the actor."""
    built, chain = await make_chain(5)
    other = await extend(built, chain.until(2), 2, FIRST_SLOT + 100)
    orphan = await make_block(built, other.head(), NEXT_SLOT)
    wipe(built, chain.blocks)
    async with running(Recording.like(built), chain) as node:
        with pytest.raises(NotNow, match="not on the branch of the node's head"):
            await node.engine.ask(ExecutePayload(orphan.block.payload, orphan.block.parent_hash))
        assert node.restarts() == 0


async def test_head_that_the_client_calls_invalid_crashes_the_actor(autojump_clock: MockClock) -> None:
    """The client executed this block before, so it has changed: after a restart, the actor compares it again."""
    built, chain = await make_chain(5)
    other = await extend(built, chain.until(2), 2, FIRST_SLOT + 100)
    client = stubborn(built, other.states[-1].payload_hash, INVALID_HEAD)
    async with running(client, chain) as node:
        with pytest.raises(HandlerCrashed) as crashed:
            await node.engine.ask(SetForkchoice(other.head()))
        assert isinstance(crashed.value.__cause__, ComponentError)


async def test_words_of_an_error_name_the_block() -> None:
    """A missed slot's reason is this text."""
    assert "ab" * 32 in str(EngineBehind(b"\xab" * 32))


@pytest.mark.parametrize("asked", ["build", "execute", "follow"])
async def test_a_message_holds_the_actor_for_so_long_and_no_longer(asked: str, autojump_clock: MockClock) -> None:
    """A client that never answers would keep the actor silent until the health monitor takes it for stuck."""
    built, chain = await make_chain(3)
    signed = await make_block(built, chain.head(), NEXT_SLOT)
    messages = {
        "build": build_on(chain.head()),
        "execute": ExecutePayload(signed.block.payload, signed.block.parent_hash),
        "follow": SetForkchoice(chain.head()),
    }
    client = Recording.like(built)
    async with running(client, chain) as node:
        await trio.sleep(1)
        client.hang, begun = True, trio.current_time()
        with pytest.raises(HandlerCrashed, match="engine took more than 15 s to handle"):
            await node.engine.ask(messages[asked], seconds=HOUR)
        assert 0 <= trio.current_time() - begun - TIMING.engine_handler < 2 * TICK
        client.hang = False
        await trio.sleep(2 * TIMING.engine_handler)  # its next instance was held by its first question, too
        assert (await node.engine.ask(build_on(chain.head()))).block_number == 4


async def test_catching_up_holds_the_actor_no_longer_either(autojump_clock: MockClock) -> None:
    """The one call that nobody asks for would be the one that nobody ends."""
    built, chain = await make_chain(3)
    wipe(built)
    client = Recording.like(built)
    client.execution_seconds = HOUR
    async with running(client, chain) as node:
        await trio.sleep(TIMING.engine_handler + 1)
        assert node.restarts() == 1
        client.execution_seconds = 0.0
        await trio.sleep(TIMING.engine_handler)
        assert client.head == chain.states[3].payload_hash
