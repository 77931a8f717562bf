"""The choice between two execution clients: whose answer is a vote, and when the other one takes over."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.actors.engine import EngineActor
from alysd.actors.engine_failover import EngineFailover, FailoverMemory, reports_to
from alysd.consensus.payload import payload_attributes
from alysd.consensus.payload_violations import InvalidPayload
from alysd.errors import NotNow, Refused, UserError
from alysd.messages.engine import BuildPayload, Engine, ExecutePayload, SetForkchoice
from alysd.messages.events import ExecutionClientsSeen
from alysd.messages.log.base import LogEvent
from alysd.messages.log.execution import (
    DualPathRolledBack,
    ExecutionAnswersDiffer,
    ExecutionClientOverruled,
    ExecutionClientsDiffer,
    ExecutionClientsUnusable,
    ExecutionClientTakesOver,
    ExecutionClientUsable,
    ExecutionGivenBack,
)
from alysd.nurseries import Address, CircuitBreaker, OneForOne, actor, open_system, supervisor
from alysd.testing.blocks import FIRST_SLOT, context_of
from alysd.testing.engine import FakeEngine
from alysd.testing.executed_chain import (
    EXECUTION_GENESIS,
    SPEC,
    ExecutedChain,
    MemoryStorage,
    make_block,
    make_chain,
    storage_address,
)
from alysd.timing import Timing
from alysd.types.block import SignedBlock
from alysd.types.chain import Forkchoice
from alysd.types.execution import ExecutionClientStatus
from alysd.types.hashes import PayloadHash
from alysd.types.units import Slot
from alysd.workflows.dual_path import FEWEST, DualPath
from tests.workflows.engines import Lying, Recording

TIMING = Timing(2)
NEXT_SLOT = Slot(FIRST_SLOT + 1000)


@attrs.define
class Pair:
    """Two started clients behind one address, with a chain and the next block on it."""

    first: Recording
    second: Recording
    engine: Address[Engine]
    memory: FailoverMemory
    chain: ExecutedChain
    block: SignedBlock
    seen: list[ExecutionClientsSeen]

    @property
    def active(self) -> str:
        return self.memory.used.name

    def execution(self, *, approved: bool = False) -> ExecutePayload:
        return ExecutePayload(
            self.block.block.payload, self.block.block.parent_hash, trio.current_time() + 1.4, approved
        )

    def status(self) -> tuple[ExecutionClientStatus, ...]:
        return self.seen[-1].clients


def build_on(tip: Forkchoice) -> BuildPayload:
    return BuildPayload(tip, payload_attributes(tip.head, NEXT_SLOT, None, context_of(SPEC)))


@asynccontextmanager
async def pair(
    length: int = 3, dual: DualPath | None = None, first: type[Recording] = Recording
) -> AsyncGenerator[Pair]:
    built, chain = await make_chain(length)
    block = await make_block(built, chain.head(), NEXT_SLOT)
    clients = [one(built.genesis, blocks=dict(built.blocks), head=built.head) for one in (first, Recording)]
    storage, engine = storage_address(), Address[Engine]("engine", capacity=64)
    own = [Address[Engine](f"{name} client", capacity=64) for name in ("first", "second")]
    memory, seen = FailoverMemory.of(own[0], own[1], dual), list[ExecutionClientsSeen]()
    genesis = chain.states[0].payload_hash

    def started(place: int) -> EngineActor:
        client = clients[place]
        report = reports_to(engine, place)
        return EngineActor(client, client, own[place], storage, genesis, lambda _: None, TIMING, report)

    breaker = CircuitBreaker(failures=2, open_seconds=TIMING.engine_pause)
    handle = TIMING.engine_handler
    tree = supervisor("Root", OneForOne(), [
        actor(storage, lambda: MemoryStorage(chain)),
        actor(own[0], lambda: started(0), restart=breaker, handle_seconds=handle),
        actor(own[1], lambda: started(1), restart=breaker, handle_seconds=handle),
        actor(engine, lambda: EngineFailover(memory, seen.append, TIMING), handle_seconds=handle),
    ])  # fmt: skip
    async with open_system(tree, refusals=(Refused,), fatal=(UserError,)):
        await trio.sleep(1)
        await engine.ask(SetForkchoice(chain.head()))
        await trio.sleep(1)
        yield Pair(clients[0], clients[1], engine, memory, chain, block, seen)


def kinds(logged: list[LogEvent]) -> list[type[LogEvent]]:
    return [type(event) for event in logged if type(event).__name__.startswith("ExecutionClient")]


async def test_a_block_that_the_client_in_use_refuses_gets_no_vote(
    autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    """The second would vote for it. A fault in one of two programs would be enough to get votes for bad blocks."""
    async with pair() as node:
        node.first.refuse.add(node.block.block.payload.block_hash)
        with pytest.raises(InvalidPayload, match="refused by the test"):
            await node.engine.ask(node.execution())
        assert node.active == "first"
    assert kinds(logged) == []


async def test_a_quorum_and_the_second_client_overrule_the_first(
    autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    async with pair() as node:
        node.first.refuse.add(node.block.block.payload.block_hash)
        await node.engine.ask(node.execution(approved=True))
        assert node.active == "second"
    assert kinds(logged) == [ExecutionClientOverruled, ExecutionClientTakesOver]


@pytest.mark.parametrize("second", ["refuses it too", "down"])
async def test_a_quorum_alone_overrules_nobody(
    second: str, autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    async with pair() as node:
        payload = node.block.block.payload.block_hash
        node.first.refuse.add(payload)
        if second == "down":
            node.second.down = True
        else:
            node.second.refuse.add(payload)
        with pytest.raises(InvalidPayload):
            await node.engine.ask(node.execution(approved=True))
        assert node.active == "first"
    assert ExecutionClientTakesOver not in kinds(logged)


async def test_a_second_client_that_refuses_a_block_holds_up_nothing_and_is_reported(
    autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    async with pair() as node:
        node.second.refuse.add(node.block.block.payload.block_hash)
        await node.engine.ask(node.execution())
        await trio.sleep(1)
        assert node.active == "first"
    assert kinds(logged) == [ExecutionClientsDiffer]


@pytest.mark.parametrize("failure", ["down", "hang"])
async def test_the_second_client_answers_the_request_that_the_first_does_not(
    failure: str, autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    """Within the time of a slot, whichever the request is. A candidate is judged within its own deadline."""
    async with pair() as node:
        setattr(node.first, failure, True)
        begun = trio.current_time()
        await node.engine.ask(node.execution(), seconds=TIMING.candidate_execution)
        assert trio.current_time() - begun < TIMING.candidate_execution
        assert node.active == "second"
        await node.engine.ask(build_on(node.chain.head()), seconds=1.0)
        await node.engine.ask(SetForkchoice(node.chain.head()), seconds=1.0)
        used = node.status()[1]
        assert (used.name, used.active, used.behind) == ("second", True, 0)
        assert used.reason.startswith("the first client failed: ")
    assert kinds(logged) == [ExecutionClientTakesOver]


async def test_a_client_that_builds_another_payload_than_was_asked_for_is_replaced_within_the_slot(
    autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    """Each slot of the node was lost, while the other client was ready."""
    async with pair(first=Lying) as node:
        assert isinstance(node.first, Lying)
        node.first.lies = {"block_hash": PayloadHash(b"\x11" * 32)}
        payload = await node.engine.ask(build_on(node.chain.head()), seconds=1.0)
        assert payload.parent_hash == node.chain.states[3].payload_hash
        assert node.active == "second"
    assert kinds(logged) == [ExecutionClientTakesOver]


async def test_a_client_that_contradicts_itself_is_replaced(
    autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    """It builds blocks that nobody accepts, not even itself: each slot of the node was lost."""
    async with pair() as node:
        payload = await node.engine.ask(build_on(node.chain.head()))
        node.first.refuse.add(payload.block_hash)
        node.second.refuse.add(payload.block_hash)
        root = node.chain.head().head.hash
        request = ExecutePayload(payload, root, trio.current_time() + 1.4, approved=True)
        with pytest.raises(InvalidPayload):
            await node.engine.ask(request)
        assert node.active == "second"
        await trio.sleep(1)
        with pytest.raises(InvalidPayload):
            await node.engine.ask(request)
        assert node.active == "second", "it has not built this block"
    assert kinds(logged)[0] == ExecutionClientTakesOver


async def test_a_slow_client_without_a_level_second_has_its_whole_deadline(autojump_clock: MockClock) -> None:
    """On a busy machine both are slow: a check would only cost the slot, because nothing can take over."""
    async with pair() as node:
        node.second.down = True
        await node.engine.ask(node.execution())
        await trio.sleep(1)
        node.first.answer_seconds = 0.8
        payload = await node.engine.ask(build_on(node.chain.head()), seconds=1.5)
        assert payload.parent_hash == node.chain.states[3].payload_hash
        assert node.active == "first"


async def test_a_slow_block_is_not_the_failure_of_a_client(
    autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    """Its author decides how long it takes; it could else choose the client on which this node votes."""
    async with pair() as node:
        node.first.execution_seconds = 3.0
        with pytest.raises(NotNow, match="longer than the time"):
            await node.engine.ask(node.execution(), seconds=2.0)
        node.first.execution_seconds = 0.0
        await node.engine.ask(build_on(node.chain.head()), seconds=1.0)
        assert node.active == "first"
    assert kinds(logged) == []


async def test_a_second_client_without_the_state_does_not_take_over(
    autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    """It would build on, or judge by, another state than the chain's."""
    async with pair(length=40) as node:
        node.second.blocks = {node.second.genesis.block_hash: node.second.genesis}
        node.second.seconds, node.first.down = 1.0, True
        with pytest.raises(NotNow, match="no execution client serves the request: the first client: .* second"):
            await node.engine.ask(build_on(node.chain.head()), seconds=10.0)
        assert node.active == "first"
        node.second.seconds = 0.0
        await trio.sleep(10)
        payload = await node.engine.ask(build_on(node.chain.head()), seconds=1.0)
        assert payload.parent_hash == node.chain.states[40].payload_hash
        assert node.active == "second"
        assert "connection refused" in node.memory.reason, "an open circuit says nothing of the cause"
    assert kinds(logged) == [ExecutionClientsUnusable, ExecutionClientTakesOver]


async def test_while_no_client_answers_that_is_said_once(
    autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    async with pair() as node:
        node.first.down = node.second.down = True
        for _ in range(5):
            with pytest.raises(NotNow, match="no execution client serves the request"):
                await node.engine.ask(build_on(node.chain.head()), seconds=10.0)
            await trio.sleep(2)
        node.first.down = False
        await trio.sleep(10)
        await node.engine.ask(build_on(node.chain.head()), seconds=1.0)
    assert kinds(logged) == [ExecutionClientsUnusable, ExecutionClientUsable]


async def test_a_restarted_second_client_with_another_chain_does_not_stop_the_node(
    autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    """The node would be stopped by the client that it does not use."""
    async with pair() as node:
        other = FakeEngine.of({**EXECUTION_GENESIS, "gasLimit": "0x1c9c381"})
        node.second.down = True
        await node.engine.ask(node.execution())
        await trio.sleep(1)
        node.second.genesis, node.second.down = other.genesis, False
        await trio.sleep(30)
        await node.engine.ask(build_on(node.chain.head()), seconds=1.0)
        assert node.active == "first"


async def test_blocks_that_a_slow_second_client_was_not_told_come_from_the_database(
    autojump_clock: MockClock,
) -> None:
    """Otherwise the messages for a client that is too slow would fill the memory."""
    async with pair() as node:
        node.second.seconds = 5.0
        for _ in range(30):
            await node.engine.ask(node.execution())
            await node.engine.ask(SetForkchoice(node.chain.head()))
            assert len(node.memory.clients[1].waiting) <= 8
        node.second.seconds = 0.0
        await trio.sleep(60)
        await node.engine.ask(SetForkchoice(node.chain.head()))
        await trio.sleep(1)
        assert node.status()[1].behind == 0
        assert node.second.head == node.chain.states[3].payload_hash


class On:
    """A flag that is on until it is turned off."""

    used = True

    def on(self, number: int = 0) -> bool:
        return self.used


async def more_blocks(node: Pair, count: int) -> AsyncGenerator[SignedBlock]:
    """Blocks on the same parent, one after the other: no two have the same hash."""
    for number in range(count):
        yield await make_block(node.first, node.chain.head(), Slot(NEXT_SLOT + 1 + number))


async def executed(node: Pair, count: int) -> None:
    """Let the node execute `count` blocks. No one takes longer than the client in use."""
    async for signed in more_blocks(node, count):
        node.block = signed
        begun = trio.current_time()
        await node.engine.ask(node.execution())
        assert trio.current_time() - begun < 0.1
        await trio.sleep(2)


async def test_equal_answers_are_compared_and_change_nothing(
    autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    async with pair(dual=DualPath(On())) as node:
        await executed(node, FEWEST + 5)
        found = node.memory.dual.status()
        assert (found.state, found.compared, found.success, found.agreement) == (
            "both_prefer_old", FEWEST + 5, 1.0, 1.0
        )  # fmt: skip
        assert node.active == "first"
    assert ExecutionAnswersDiffer not in [type(event) for event in logged]


async def test_an_injected_disagreement_is_found_and_rolled_back(
    autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    """The new client would be used for all blocks, and leave the chain."""
    async with pair(dual=DualPath(On())) as node:
        await executed(node, FEWEST - 1)
        async for signed in more_blocks(node, FEWEST):
            node.block = signed
        node.block = await make_block(node.first, node.chain.head(), Slot(NEXT_SLOT + 999))
        node.second.refuse.add(node.block.block.payload.block_hash)
        await node.engine.ask(node.execution())
        await trio.sleep(1)
        assert node.memory.dual.state == "rolled_back"
        seen = node.seen[-1].dual
        assert seen is not None
        assert (seen.state, seen.agreement) == ("rolled_back", (FEWEST - 1) / FEWEST)
        assert node.active == "first"
    kinds_seen = [type(event) for event in logged]
    assert kinds_seen.count(ExecutionAnswersDiffer) == kinds_seen.count(DualPathRolledBack) == 1


async def test_a_slow_second_client_delays_no_block_and_is_rolled_back(
    autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    async with pair(dual=DualPath(On())) as node:
        node.second.seconds = 1.5
        await executed(node, FEWEST + 1)
        assert node.memory.dual.rolled_back == "the second client takes 1.500 s per block, the first 0.000 s"


async def test_a_second_client_that_fails_is_rolled_back(autojump_clock: MockClock) -> None:
    """It is asked while it seems to be up, and gives no answer."""
    async with pair(dual=DualPath(On())) as node:
        node.second.execution_seconds = 2 * TIMING.engine_handler
        async for signed in more_blocks(node, 3 * FEWEST):
            node.block = signed
            await node.engine.ask(node.execution())
            await trio.sleep(60)
        assert "the second client has answered" in node.memory.dual.rolled_back
        assert node.active == "first"


async def test_the_preferred_client_is_used_once_it_is_level_and_given_up_after_a_roll_back(
    autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    prefer = On()
    async with pair(dual=DualPath(On(), prefer)) as node:
        await node.engine.ask(SetForkchoice(node.chain.head()))
        assert (node.active, node.memory.reason, node.memory.dual.state) == ("second", "", "both_prefer_new")
        await executed(node, FEWEST - 1)
        assert node.memory.dual.status().agreement == 1.0
        node.memory.dual.rolled_back = "a test"
        for _ in range(2):
            await node.engine.ask(SetForkchoice(node.chain.head()))
            await trio.sleep(2)
        assert (node.active, node.memory.reason) == ("first", "")
    assert [event.client for event in logged if isinstance(event, ExecutionGivenBack)] == ["second", "first"]


async def test_the_old_client_takes_over_from_a_preferred_one_that_fails(
    autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    async with pair(dual=DualPath(On(), On())) as node:
        await node.engine.ask(SetForkchoice(node.chain.head()))
        await trio.sleep(1)
        node.second.down = True
        await node.engine.ask(node.execution(), seconds=TIMING.candidate_execution)
        assert node.active == "first"
        assert node.memory.reason.startswith("the second client failed: ")
        assert node.memory.dual.status().success in (None, 0.0)
