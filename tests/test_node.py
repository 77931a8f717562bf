"""The tree that node.py draws: its shape is what the documents promise and operators see."""

from contextlib import suppress
from functools import partial
from pathlib import Path

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.addresses import Addresses, addresses_with
from alysd.config.actor_options import CAPACITIES, RESTARTABLE, ActorCapacity, ActorRestart, with_restarts
from alysd.messages.chain import GetForkchoice
from alysd.node import FATAL, REFUSALS
from alysd.nurseries import Intensity, Priority, State, WrongState
from alysd.testing.bitcoin import FakeBitcoin, FakeBitcoinNode
from alysd.testing.chain import chain_spec, peg_chain_spec
from alysd.testing.federation.network import SimulatedNetwork
from alysd.testing.node import MINING, NO_MINING, open_simulated_node, peer_host_over
from alysd.testing.virtual_time import seeded

ROOT = Path(__file__).parents[1]

CHAIN_CHILDREN = (
    ("engine", "CircuitBreaker"),
    ("chain", "ExponentialBackoff"),
    ("auxpow", "Immediate"),
    ("block import", "Immediate"),
    ("approval", "Immediate"),
    ("evidence", "Aligned"),
    ("clock watch", "Immediate"),
    ("block production", "Immediate"),
    ("finality", "Aligned"),
)


async def test_the_tree_is_the_one_that_is_promised(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    async with open_simulated_node(tmp_path, chain_spec(), mining=NO_MINING) as node:
        root = node.system.snapshot()
        shape = {
            child.name: (child.strategy, tuple((each.name, each.restart) for each in child.children))
            for child in root.walk()
            if child.kind == "supervisor"
        }
    assert root.strategy == "OneForAll"
    assert shape["StorageSupervisor"] == (
        "OneForOne",
        (
            ("storage", "Immediate"),
            ("reader", "ExponentialBackoff"),
            ("metrics", "Never"),
        ),
    )
    assert shape["ChainSupervisor"] == ("OneForOne", CHAIN_CHILDREN)
    assert [child.name for child in root.children] == ["StorageSupervisor", "ChainSupervisor", "ApiSupervisor"]


def test_the_options_of_actors_have_the_names_and_capacities_of_the_node() -> None:
    """An operator would be refused an actor that exists, or could name one that does not."""
    every = attrs.astuple(Addresses(), recurse=False)
    assert {one.name: one.mailbox.capacity for one in every} == CAPACITIES


async def test_a_mailbox_has_the_chosen_room(tmp_path: Path, autojump_clock: MockClock, no_threads: None) -> None:
    to = addresses_with([ActorCapacity("chain", 2048), ActorCapacity("auxpow", 8)])
    async with open_simulated_node(tmp_path, chain_spec(), mining=NO_MINING, to=to) as node:
        found = {
            one.name: one.mailbox.capacity for one in node.system.snapshot().walk() if one.mailbox is not None
        }
        assert (found["chain"], found["auxpow"], found["approval"]) == (2048, 8, 256)
        assert await node.to.chain.ask(GetForkchoice()) is not None, "the node uses this address"


async def test_an_actor_stays_down_or_waits_as_the_operator_says(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    """An actor that fails again and again, because of a defect, would fill the log until the next version."""
    restarts = [ActorRestart("metrics", 60), ActorRestart("evidence", None), ActorRestart("bridge", 60)]
    adapt = partial(with_restarts, restarts=restarts)
    async with open_simulated_node(tmp_path, chain_spec(), mining=NO_MINING, adapt=adapt) as node:
        children = {one.name: one for one in node.system.snapshot().walk()}
        assert children["evidence"].restart == "Aligned", "it still waits for the end of the own slot"
        for name in ("metrics", "evidence"):
            node.system.inject(name, RuntimeError("a defect"))
        await trio.sleep(30)
        children = {one.name: one for one in node.system.snapshot().walk()}
        assert (children["metrics"].state, children["evidence"].state) == (State.BACKOFF, State.FAILED)
        await trio.sleep(31)
        children = {one.name: one for one in node.system.snapshot().walk()}
        assert (children["metrics"].state, children["evidence"].state) == (State.RUNNING, State.FAILED)


async def test_what_an_operator_may_hold_back_is_needed_by_no_block(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    gossip = SimulatedNetwork(seeded(1)).add("node")
    bitcoin = FakeBitcoinNode(FakeBitcoin())
    async with open_simulated_node(
        tmp_path, peg_chain_spec(), mining=NO_MINING, peer_host=peer_host_over(gossip), bitcoin=bitcoin
    ) as node:
        children = {one.name: one for one in node.system.snapshot().walk()}
    found = [children[name].priority for name in RESTARTABLE if name in children]
    assert len(found) >= 6
    assert all(priority in (Priority.NORMAL, Priority.BACKGROUND) for priority in found)


@pytest.mark.parametrize(("budget", "given_up"), [(None, 0), (Intensity(3, 60.0), 1)])
async def test_a_supervisor_gives_up_after_the_chosen_number_of_restarts(
    budget: Intensity | None, given_up: int, tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    async with open_simulated_node(tmp_path, chain_spec(), mining=NO_MINING, budget=budget) as node:
        for _ in range(4):
            node.system.inject("reader", RuntimeError("a defect"))
            await trio.sleep(10)
        children = {one.name: one for one in node.system.snapshot().walk()}
        assert children["StorageSupervisor"].restarts == given_up
        assert children["reader"].state is State.RUNNING


async def test_only_a_development_node_mines_by_itself(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    async with open_simulated_node(tmp_path, chain_spec(), mining=MINING) as node:
        names = [child.name for child in node.system.snapshot().walk()]
    assert "internal miner" in names


async def test_the_architecture_page_draws_every_child(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    bitcoin = FakeBitcoinNode(FakeBitcoin())
    async with open_simulated_node(tmp_path, peg_chain_spec(), mining=MINING, bitcoin=bitcoin) as node:
        missing = [child.name for child in node.system.snapshot().walk() if f"─ {child.name} " not in page]
    assert missing == ["AlysSystem"], "the root stands at the top, without a branch"


async def test_a_chain_with_a_peg_gathers_signatures_without_a_bitcoin_node(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    """A follower passes on the signatures of the members."""
    async with open_simulated_node(tmp_path, peg_chain_spec()) as node:
        (supervised,) = [child for child in node.system.snapshot().walk() if child.name == "BridgeSupervisor"]
        assert [(child.name, child.restart) for child in supervised.children] == [
            ("federation", "ExponentialBackoff"),
            ("peg operations", "ExponentialBackoff"),
        ]
        await node.slots(5)
        assert node.crashed() == set()


async def test_a_dead_bitcoin_node_stops_nothing(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    """Blocks go on without peg contents, and the watch itself does not restart."""
    bitcoin = FakeBitcoinNode(FakeBitcoin(), down="connection refused")
    async with open_simulated_node(tmp_path, peg_chain_spec(), bitcoin=bitcoin) as node:
        (supervised,) = [child for child in node.system.snapshot().walk() if child.name == "BridgeSupervisor"]
        assert [(child.name, child.restart) for child in supervised.children] == [
            ("bitcoin watch", "ExponentialBackoff"),
            ("bridge", "ExponentialBackoff"),
            ("federation", "ExponentialBackoff"),
            ("peg operations", "ExponentialBackoff"),
        ]
        await node.slots(30)
        assert (len(node.missed), node.crashed()) == (0, set())


def test_no_error_is_both_refused_and_fatal() -> None:
    for refusal in REFUSALS:
        assert not issubclass(refusal, FATAL)
        assert not any(issubclass(fatal, refusal) for fatal in FATAL)


async def test_a_node_with_peers_has_a_network_that_cannot_stop_it(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    """A network actor that fails whenever it starts would otherwise restart the whole node after some seconds."""
    network = SimulatedNetwork(seeded(1))
    peers = peer_host_over(network.add("this node"))
    async with open_simulated_node(tmp_path, chain_spec(), peer_host=peers) as node:
        (supervised,) = [child for child in node.system.snapshot().walk() if child.name == "NetworkSupervisor"]
        assert supervised.strategy == "RestForOne"
        assert [(child.name, child.restart) for child in supervised.children] == [
            ("peer host", "CircuitBreaker"),
            ("network", "ExponentialBackoff"),
            ("peer requests", "ExponentialBackoff"),
            ("sync", "ExponentialBackoff"),
        ]
        for _ in range(200):
            for child in ("peer host", "network", "peer requests", "sync"):
                with suppress(WrongState):  # it waits for its restart
                    node.system.inject(child, OSError("broken"))
            await trio.sleep(0.3)
        assert node.missed == []
        assert len(node.produced) >= 29
