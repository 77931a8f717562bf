"""Blocks go on during reloads: a node on virtual time, whose options change again and again."""

import random
from pathlib import Path

import attrs
import trio
from trio.testing import MockClock

from alysd.api.live_parts import LiveHealth, LiveMiner, LivePeers
from alysd.api.node_view import RunningNode
from alysd.api.operator import OperatorPages
from alysd.api.reloading import Reloading
from alysd.api.system_handle import SystemHandle
from alysd.config.addresses import ListenAddress
from alysd.config.chain_sections import ChainConfig, MiningConfig
from alysd.config.config_source import ConfigSource
from alysd.config.connection_sections import ApiConfig, NetworkConfig
from alysd.config.model import AlysConfig
from alysd.config.operation_sections import LoggingConfig, ReloadingConfig
from alysd.config.peer_choice import PeerChoice
from alysd.config.problems import InvalidConfig
from alysd.config.runtime_sections import MonitoringConfig
from alysd.errors import ConfigRefused, NotNow
from alysd.integrations.key_kinds import public_text
from alysd.messages.configuration import ReloadConfig
from alysd.nurseries import HealthMonitor, State
from alysd.testing.chain import chain_spec
from alysd.testing.federation.network import SimulatedNetwork
from alysd.testing.node import MINING, SimulatedNode, open_simulated_node, peer_host_over
from alysd.testing.virtual_time import seeded
from alysd.types.configuration import Reload
from alysd.types.hashes import EvmAddress
from alysd.types.health_limits import HealthLimits
from alysd.types.latest import Latest
from alysd.types.peers import PeerAddress, PeerHostConfig
from alysd.workflows.config_reload import ConfigMemory, LivePart
from tests.thorough import cases

PEERS = tuple(PeerAddress("192.0.2.1", 9333, public_text("network", bytes([number] * 32))) for number in (1, 2, 3))

NETWORK = NetworkConfig(address=ListenAddress("127.0.0.1", 9333))

START = AlysConfig(chain=ChainConfig(Path("chain.toml")), reload=ReloadingConfig(trial_seconds=3), network=NETWORK)


@attrs.define
class MoodyPart:
    """A part that accepts, refuses, or hangs, as chance decides. `children` are those of which some fail."""

    rng: random.Random
    uses: AlysConfig = START
    keys: frozenset[str] = frozenset({"logging.level", "api.allowed_hosts"})
    children: frozenset[str] = frozenset({"metrics", "reader"})

    async def apply(self, config: AlysConfig) -> None:
        """Use the options, or do not."""
        mood = self.rng.random()
        await trio.sleep(3.0 if mood > 0.93 else self.rng.random() / 2)
        if mood < 0.1:
            raise NotNow("not in this mood")
        self.uses = config


class History:
    """Keeps the reloads."""

    def __init__(self) -> None:
        self.ends: list[Reload] = []

    def add(self, reload: Reload) -> None:
        """Keep it."""
        self.ends.append(reload)


class Manager:
    """A service manager that is told."""

    def reloading(self) -> None:
        """A reload begins."""

    def ready(self) -> None:
        """It has ended."""


def random_config(rng: random.Random) -> AlysConfig:
    """A valid configuration with some other values of live options."""
    return attrs.evolve(
        START,
        logging=LoggingConfig(rng.choice(["info", "debug", "error"])),
        mining=MiningConfig(fee_recipient=EvmAddress(bytes([rng.randrange(3)]) * 20)),
        monitoring=MonitoringConfig(degraded_slots=rng.randint(2, 9)),
        network=attrs.evolve(
            NETWORK, peers=tuple(rng.sample(PEERS, rng.randrange(4))), max_inbound=rng.randrange(65)
        ),
        api=ApiConfig(allowed_hosts=rng.choice([(), ("a.example",), ("b.example",)])),  # pyright: ignore[reportArgumentType]
    )


def pages_of(node: SimulatedNode, limits: Latest[HealthLimits]) -> OperatorPages:
    """The operator's pages, which tell how the node is."""
    resources, to = node.resources, node.to
    running = SystemHandle(HealthMonitor())
    running.system, running.ready = node.system, True
    return OperatorPages(
        resources.context,
        node.clock,
        resources.watch,
        to.reader,
        to.metrics,
        running,
        resources.timing,
        "authority",
        limits=limits,
    )


async def test_no_slot_is_missed_during_random_reloads(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    """Valid and invalid files, refusals, silences, and failures in trials, at random moments of the slots.

    The configuration in force is always the start's or one that was accepted as a whole.
    """
    rng = random.Random(7)  # noqa: S311  repeatable, no secret
    memory, moody, history = ConfigMemory(START), MoodyPart(rng), History()
    recipient: Latest[EvmAddress | None] = Latest(None)
    gossip, limits = SimulatedNetwork(seeded(7)).add("node"), Latest(START.monitoring.limits)
    choice = PeerChoice.of(PeerHostConfig("127.0.0.1", 9333, (), bytes(32), "6d3425cf", 32), "own")
    files, accepted = START, [START]

    def load() -> AlysConfig:
        if rng.random() < 0.2:
            raise InvalidConfig(["a mistake"])
        return files

    async with open_simulated_node(
        tmp_path, chain_spec(), mining=MINING, peer_host=peer_host_over(gossip)
    ) as node:
        pages, to = pages_of(node, limits), node.to.configuration
        peers = LivePeers(choice, node.to.peer_host, pages.running)
        parts: list[LivePart] = [LiveMiner(recipient), LiveHealth(limits), moody, peers]
        reloading = Reloading(
            memory, ConfigSource(load), parts, RunningNode(pages), history, node.clock, node.resources.timing
        )
        node.system.add("ApiSupervisor", reloading.child(to, node.bus.publish, Manager(), pages.running))
        await node.slots(3)
        for _ in range(cases(60, 300)):
            files = random_config(rng)
            try:
                done = await to.ask(ReloadConfig("test"), seconds=node.resources.timing.config_reload)
            except ConfigRefused:
                done = None
            if done is not None and done.outcome == "applied":
                accepted.append(files)
            if rng.random() < 0.2 and any(node.system.registry.find("reader", state=State.RUNNING)):
                node.system.inject("reader", OSError("a failure at a bad moment"))
            await trio.sleep(rng.random() * 5)
            assert memory.in_force in accepted
            if not memory.unsettled:
                in_force = memory.in_force
                assert moody.uses.logging == in_force.logging
                assert limits.value == in_force.monitoring.limits
                used = choice.host.value
                assert (used.peers, used.max_inbound) == (in_force.network.peers, in_force.network.max_inbound)
                assert all((peer.peer in choice.configured) == (peer in used.peers) for peer in PEERS)
                assert recipient.value in (memory.in_force.mining.fee_recipient, None)
        await node.slots(3)
        assert node.missed == []
        assert len(node.produced) >= (await node.forkchoice()).head.height > 60
    outcomes = {(one.outcome, "failed" in one.reason) for one in history.ends}
    assert outcomes >= {("applied", False), ("refused", False), ("rolled_back", False), ("rolled_back", True)}
