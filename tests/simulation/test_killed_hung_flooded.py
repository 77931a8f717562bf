"""Every part of a running node killed, hung and flooded while blocks flow: at the strategy that the tree gives it.

A hung actor is one with a handler that never returns. Tasks have no handlers; what can hang in them is what they
wait for, and each such wait has a deadline of its own. All but the metrics actor are killed in `test_faults`.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.integrations.signing import GuardedSigner
from alysd.messages.auxpow import GetQueuedWork
from alysd.messages.block_import import ImportBlock
from alysd.messages.chain import GetForkchoice
from alysd.messages.engine import CatchUp, SetForkchoice
from alysd.messages.events import HeadMoved, WorkflowMoved
from alysd.messages.metrics import GetCounts
from alysd.messages.reads import ReadBlockByHeight
from alysd.messages.storage import GetBlockByHeight
from alysd.nurseries import Address, Ask, AskTimeout, Health, MailboxFull, NotAnswered, State
from alysd.testing.chain import ChainHand, chain_spec
from alysd.testing.engine import FakeEngine
from alysd.testing.interception import HandlerStalls
from alysd.testing.node import MINING, SimulatedNode, open_simulated_node
from alysd.timing import Timing
from alysd.types.block import Approval
from alysd.types.chain import Forkchoice
from alysd.types.units import Height

ACTORS = ("storage", "reader", "engine", "chain", "auxpow", "block import", "metrics")

FOUND_WITHIN = {"reader": 50.0, "auxpow": Timing(2).mining_handler + 1.0, "metrics": 300.0}
"""Seconds in which a hung actor is found: four checks and a beat, by its priority (others: every 5 s), or the time
that the tree gives its handlers."""

FOLLOWERS = {"storage": {"chain"}}
"""Children that fail with an actor that hangs: the chain actor cannot know whether its block was written."""

SENDERS = 200
EACH = 25

FLOODED_SLOTS = {"engine": 13}
"""Slots that a flood may cost: 5,000 messages are 25 s of work for a client that takes 5 ms, worked off in order.
Only the node itself sends to the engine actor. The others answer from memory."""


def address_of(node: SimulatedNode, name: str) -> Address[Any]:
    """An actor's address, by its name."""
    return node.system.registry.address(name)


@pytest.mark.parametrize("name", ACTORS)
async def test_an_actor_that_hangs_is_found_and_blocks_go_on(
    name: str, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """A handler that never returns would stop the chain, or its part of the node, until a person looks."""
    stalls, spec = HandlerStalls(), chain_spec()
    async with open_simulated_node(tmp_path, spec, mining=MINING, adapt=stalls.intercept) as node:
        await node.slots(5.5)
        message = messages(ChainHand.of(spec), await node.forkchoice())[name]
        hung_at = trio.current_time()
        with stalls.stalling([name]):
            with pytest.raises(AskTimeout):
                await address_of(node, name).ask(message, seconds=1.0)
            await node.until(lambda: name in node.found_stuck(), slots=200)
        assert trio.current_time() - hung_at <= FOUND_WITHIN.get(name, 26.0)
        before = await node.forkchoice()
        await node.slots(20)
        after = await node.forkchoice()
        assert node.found_stuck() == {name}, "who only waited was taken for stuck"
        assert node.crashed() - FOLLOWERS.get(name, set()) == {name}
        assert node.system.failure is None
        assert after.head.height - before.head.height >= 15
        assert after.finalized.height > before.finalized.height, "finality and miner waited for it, and went on"
        state = next(node.system.registry.find(name)).state
        assert state is (State.FAILED if name == "metrics" else State.RUNNING)
        assert next(node.system.registry.find("chain")).health is Health.HEALTHY


async def test_a_node_that_has_just_started_is_well(tmp_path: Path, autojump_clock: MockClock) -> None:
    """A child that has not started yet answers no check. This must not make a new node unhealthy."""
    async with open_simulated_node(tmp_path, chain_spec(), mining=MINING) as node:
        await node.slots(40)
        assert {change.new for change in node.health} == {Health.HEALTHY}
        assert {change.name for change in node.health} >= {"AlysSystem", "metrics", *ACTORS, "finality"}


async def test_a_metrics_actor_that_is_killed_stays_away_and_harms_nobody(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """The chain would stop, or a counter that lies would go on."""
    async with open_simulated_node(tmp_path, chain_spec()) as node:
        await node.slots(5.5)
        node.system.inject("metrics", RuntimeError("a panic for the test"))
        await node.slots(10)
        assert len(node.produced) == 15
        assert node.crashed() == {"metrics"}
        with pytest.raises(NotAnswered):
            await node.to.metrics.ask(GetCounts())


@pytest.mark.parametrize(("name", "waits"), [("finality", 0.8), ("internal miner", 0.8), ("chain", 0.11)])
async def test_what_no_block_needs_returns_when_none_is_made(
    name: str, waits: float, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Restarts would take from the time of a block; or those that it needs would wait until it is lost."""
    async with open_simulated_node(tmp_path, chain_spec(), mining=MINING) as node:
        await node.slots(5.1)  # 0.2 s into a slot of this node's, of which the first second is for its block
        node.system.inject(name, RuntimeError("a panic for the test"))
        await node.slots(2)
        crashed, back = (
            next(change.at for change in node.changes if change.name == name and change.new is state)
            for state in (State.CRASHED, State.RESTARTING)
        )
        assert back - crashed <= waits + 0.001
        assert (back - crashed >= waits - 0.001) or name == "chain"
        assert not node.missed


async def test_a_signer_that_hangs_costs_its_slots_only(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Block production, a task that nobody can ask how it is, would hang with what it waits for."""
    async with open_simulated_node(tmp_path, chain_spec()) as node:
        await node.slots(5.5)
        hung = True
        real = GuardedSigner.approve

        async def approve(signer: GuardedSigner, *args: Any, **options: Any) -> Approval:
            if hung:
                await trio.sleep_forever()
            return await real(signer, *args, **options)

        monkeypatch.setattr(GuardedSigner, "approve", approve)
        await node.slots(10)
        hung = False
        await node.slots(5)
        assert [miss.reason for miss in node.missed] == ["signing took more than 1.9 s"] * 10
        assert len(node.produced) == 10
        assert node.crashed() == set()


async def test_a_busy_client_gets_nobody_restarted(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Eight seconds a block: engine and import answer no check in that time, and must not lose the block."""
    spec = chain_spec()
    engine = FakeEngine.of(spec.execution_genesis)
    engine.execution_seconds = 8.0
    async with open_simulated_node(tmp_path, spec, engine=engine, mining=MINING) as node:
        await node.slots(150)
        assert node.crashed() == set()
        assert (await node.forkchoice()).head.height >= 18, "every block is imported, though late"
        found = {(change.name, change.new) for change in node.health}
        assert not [name for name, health in found if health is Health.UNHEALTHY]
        engine.execution_seconds = 0.0
        await node.slots(10)
        height = (await node.forkchoice()).head.height
        await node.slots(10)
        assert (await node.forkchoice()).head.height - height == 10


async def test_a_client_beyond_all_patience_fails_the_engine_actor_alone(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """A client that never comes back would be found by the monitor only, and those who wait for it restarted."""
    spec = chain_spec()
    engine = FakeEngine.of(spec.execution_genesis)
    async with open_simulated_node(tmp_path, spec, engine=engine) as node:
        await node.slots(5.5)
        engine.hang = True
        await node.slots(30)
        engine.hang = False
        assert node.crashed() == {"engine"}
        assert "engine took more than 15 s to handle" in node.system.failures.recent[0].error
        await node.slots(20)
        assert (await node.forkchoice()).head.height >= 15


def messages(hand: ChainHand, tip: Forkchoice) -> dict[str, Ask[Any, Any]]:
    """For each actor something that it may be asked, at some expense where there is any."""
    return {
        "storage": GetBlockByHeight(Height(3)),
        "reader": ReadBlockByHeight(Height(3)),
        "engine": SetForkchoice(tip),
        "chain": GetForkchoice(),
        "auxpow": GetQueuedWork(),
        "block import": ImportBlock(hand.genesis),
        "metrics": GetCounts(),
    }


async def _keep_asking(address: Address[Any], message: Ask[Any, Any], done: Callable[[str], None]) -> None:
    for _ in range(EACH):
        try:
            await address.ask(message, seconds=2.0)
        except NotAnswered as error:
            done(type(error).__name__)
        else:
            done("answered")


@pytest.mark.parametrize("name", ACTORS)
async def test_an_actor_that_is_flooded_keeps_its_bounds_and_its_slots(
    name: str, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """A sender could fill the memory, stop the blocks, or have an actor restarted for being busy."""
    spec = chain_spec()
    engine = SlowFollower.of(spec.execution_genesis)
    async with open_simulated_node(tmp_path, spec, engine=engine, mining=MINING) as node:
        await node.slots(5.5)
        message = messages(ChainHand.of(spec), await node.forkchoice())[name]
        address, outcomes, deepest = address_of(node, name), list[str](), 0
        async with trio.open_nursery() as nursery:
            for _ in range(SENDERS):
                nursery.start_soon(_keep_asking, address, message, outcomes.append)
            while len(outcomes) < SENDERS * EACH:
                deepest = max(deepest, address.depth)
                await trio.sleep(0.05)
        assert deepest <= address.mailbox.capacity
        assert address.depth == 0
        assert outcomes.count("answered") > 0
        missed = sum(miss.count for miss in node.missed)
        assert missed <= FLOODED_SLOTS.get(name, 0)
        before = (await node.forkchoice()).head.height
        await node.slots(10)
        assert (await node.forkchoice()).head.height - before >= 9, "blocks are back in their slots"
        assert node.crashed() == set()
        assert not [change for change in node.health if change.new is Health.UNHEALTHY]


@attrs.define
class SlowFollower(FakeEngine):
    """A client that takes its time to follow a head: so a flood of messages is one that lasts."""

    async def set_forkchoice(self, head: Any, safe: Any, finalized: Any) -> None:
        """Follow after 5 ms."""
        await trio.sleep(0.005)
        await FakeEngine.set_forkchoice(self, head, safe, finalized)


async def test_a_flood_of_events_is_dropped_and_counted(tmp_path: Path, autojump_clock: MockClock) -> None:
    """The tasks that follow events, finality and miner, would grow with the events, or fall over them."""
    async with open_simulated_node(tmp_path, chain_spec(), mining=MINING) as node:
        await node.slots(5.5)
        tip = await node.forkchoice()
        for number in range(20_000):
            node.bus.publish(HeadMoved(tip, tip, 0))
            node.bus.publish(WorkflowMoved("flood", "a"))
            if not number % 1000:
                await trio.sleep(0.01)
        assert next(node.system.registry.find("metrics")).state is State.RUNNING
        await node.slots(60)
        assert len(node.produced) == 65
        assert node.crashed() == set()
        assert (await node.forkchoice()).finalized.height > 40, "finality goes on"


def flood_of_tells(node: SimulatedNode) -> Iterator[int]:
    """Messages that nobody waits for, until the mailbox has no more room."""
    for number in range(5_000):
        try:
            node.to.engine.tell(CatchUp(-1))
        except MailboxFull:
            return
        yield number


async def test_a_mailbox_full_of_tells_refuses_more_and_is_worked_off(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """A sender that does not wait would fill the memory, or the actor's own announcement would crash it."""
    async with open_simulated_node(tmp_path, chain_spec()) as node:
        await node.slots(5.5)
        for _ in range(50):
            assert len(list(flood_of_tells(node))) == node.to.engine.mailbox.capacity
            await trio.sleep(0.2)
        await node.slots(10)
        assert len(node.produced) >= 18
        assert node.crashed() == set()
