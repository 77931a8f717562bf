"""A whole node on virtual time: the tree of `alysd.node` over a real database, with a fake execution client.

    async with open_simulated_node(tmp_path, chain_spec(), mining=MINING) as node:
        await node.slots(30)
        assert (await node.forkchoice()).head.height == 30

Requires a `MockClock` and `threads_inline`. Without `threads_inline`, the MockClock would not wait for the
database, which works in threads.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import trio

from alysd.actors.peer_host import PeerHostActor
from alysd.addresses import Addresses
from alysd.api.system_handle import SystemHandle
from alysd.bitcoin_ports import BitcoinNode
from alysd.bitcoin_resources import BitcoinResources, watched_of
from alysd.config.chain_sections import MiningConfig
from alysd.integrations.clock_step import STEP_FILE, StepFile
from alysd.integrations.lmdb_bitcoin import LmdbBitcoinRecords
from alysd.integrations.lmdb_errors import BITCOIN_FOLDER
from alysd.integrations.lmdb_store import LmdbStore
from alysd.integrations.node_data import OpenData
from alysd.integrations.signing import GuardedSigner
from alysd.integrations.tracing import NoTracing
from alysd.messages.chain import GetForkchoice
from alysd.messages.events import BlockProduced, HeadMoved, SlotMissed
from alysd.messages.network import Network, PeerRequests
from alysd.messages.peer_host import PeerHost
from alysd.node import NO_EDGES, EdgeChildren, Node, health_rules, open_node
from alysd.nurseries import (
    Address,
    Bus,
    Change,
    ChildSpec,
    CircuitBreaker,
    FailureKind,
    HealthChange,
    HealthMonitor,
    Intensity,
    SupervisorSpec,
    System,
    actor,
)
from alysd.ports import Gossip, Tracing
from alysd.resources import NodeResources, PeerHostFactory, SecondClient, clock_watch
from alysd.testing.chain import ChainHand, authority_secret
from alysd.testing.engine import FakeEngine
from alysd.testing.virtual_time import VirtualClock
from alysd.types.chain import Forkchoice
from alysd.types.chain_spec import ChainSpec
from alysd.types.checkpoint import Checkpoint
from alysd.types.hashes import EvmAddress

MINING = MiningConfig(internal=True, fee_recipient=EvmAddress(b"\xaa" * 20))
"""A configuration in which the internal miner makes the node's blocks final."""

NO_MINING = MiningConfig()
"""A configuration without a miner: no block becomes final unless the test submits a proof of work."""

LOOKS_PER_SLOT = 8
"""The number of times per slot that `SimulatedNode.until` checks its condition."""


class RecordingBus(Bus):
    """A bus that also keeps every event about blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.produced: list[BlockProduced] = []
        self.missed: list[SlotMissed] = []
        self.moved: list[HeadMoved] = []

    def publish(self, event: object, *, sender: str = "") -> None:
        """Publish the event, and keep it if it is about blocks."""
        match event:
            case BlockProduced():
                self.produced.append(event)
            case SlotMissed():
                self.missed.append(event)
            case HeadMoved():
                self.moved.append(event)
            case _:
                pass
        super().publish(event, sender=sender)


def peer_host_over(gossip: Gossip) -> PeerHostFactory:
    """A peer host that runs beside the other actors, over `gossip`."""

    def child(host: Address[PeerHost], network: Address[Network], requests: Address[PeerRequests]) -> ChildSpec:
        return actor(host, lambda: PeerHostActor(gossip, network, requests), restart=CircuitBreaker())

    return child


@attrs.define
class SimulatedNode:
    """A running node, with its events about blocks and all changes of its children's states."""

    system: System
    to: Addresses
    resources: NodeResources
    engine: FakeEngine
    clock: VirtualClock
    bus: RecordingBus
    changes: list[Change]
    health: list[HealthChange]

    @property
    def produced(self) -> list[BlockProduced]:
        """The blocks that the node made, oldest first."""
        return self.bus.produced

    @property
    def missed(self) -> list[SlotMissed]:
        """The slots in which the node made no block."""
        return self.bus.missed

    @property
    def moved(self) -> list[HeadMoved]:
        """The changes of the node's head."""
        return self.bus.moved

    async def forkchoice(self) -> Forkchoice:
        """The chain actor's head, safe and finalized block."""
        return await self.to.chain.ask(GetForkchoice())

    async def slots(self, count: float) -> None:
        """Wait for `count` slots."""
        await trio.sleep(count * self.resources.context.spec.slot_seconds)

    async def until(self, condition: Callable[[], bool], slots: int = 50) -> None:
        """Wait until the condition holds. Raises `AssertionError` after `slots`."""
        for _ in range(LOOKS_PER_SLOT * slots):
            if condition():
                return
            await self.slots(1 / LOOKS_PER_SLOT)
        raise AssertionError(f"the condition did not become true within {slots} slots")

    def crashed(self) -> set[str]:
        """The names of the children that crashed, or failed to start, at any time."""
        return {change.name for change in self.changes if change.new.value in ("Crashed", "StartFailed")}

    def found_stuck(self) -> set[str]:
        """The names of the children that failed a health check, or exceeded the time limit of a handler."""
        return {
            failure.child
            for failure in self.system.failures.recent
            if failure.kind is FailureKind.HEALTH_CHECK or "HandlerTooSlow" in failure.error
        }


@asynccontextmanager
async def open_simulated_node(
    folder: Path,
    spec: ChainSpec,
    *,
    engine: FakeEngine | None = None,
    second: FakeEngine | None = None,
    mining: MiningConfig = NO_MINING,
    authority: int | None = 0,
    clock: VirtualClock | None = None,
    boot: str = "the same start of the machine",
    to: Addresses | None = None,
    edges: EdgeChildren = NO_EDGES,
    tracing: Tracing | None = None,
    peer_host: PeerHostFactory | None = None,
    bitcoin: BitcoinNode | None = None,
    checkpoint: Checkpoint | None = None,
    adapt: Callable[[SupervisorSpec], SupervisorSpec] = lambda root: root,
    budget: Intensity | None = None,
) -> AsyncGenerator[SimulatedNode]:
    """Run a node on the database in `folder`. Leaving the `with` block stops the node and closes the database.

    `authority` is the index of the authority whose key the node has; None makes a follower. `boot` is the kernel's
    id of this start of the machine. `second` is a second execution client. Without `peer_host` the node has no
    peers, without `bitcoin` no Bitcoin node.
    `adapt` can change the tree before it starts. `budget` is that of the supervisors that may give up.
    """
    hand = ChainHand.of(spec)
    clock = clock or VirtualClock()
    engine = engine or FakeEngine.of(spec.execution_genesis)
    resources = attrs.evolve(
        _resources(folder, hand, clock, boot, engine, authority),
        tracing=tracing or NoTracing(),
        peer_host=peer_host,
        bitcoin=None if bitcoin is None else _bitcoin(folder, bitcoin, hand),
        checkpoint=checkpoint,
        second=None if second is None else SecondClient(second, second),
    )
    changes: list[Change] = []
    health: list[HealthChange] = []
    handle = SystemHandle(HealthMonitor(health_rules(resources.timing), health.append))
    bus, to = RecordingBus(), to or Addresses()
    try:
        node = Node(mining, resources, to, bus, handle, budget=budget or Intensity())
        async with open_node(node, edges, observer=changes.append, adapt=adapt) as system:
            yield SimulatedNode(system, to, resources, engine, clock, bus, changes, health)
    finally:
        resources.store.close()
        if resources.bitcoin is not None:
            resources.bitcoin.records.close()


def _resources(
    folder: Path, hand: ChainHand, clock: VirtualClock, boot: str, engine: FakeEngine, authority: int | None
) -> NodeResources:
    """The resources of a node without peers, Bitcoin node and second client."""
    store = LmdbStore.open(folder / "chain", hand.genesis, hand.genesis_state)
    signer = None
    if authority is not None:
        guard = folder / "signing-guard"
        signer = GuardedSigner.open(authority_secret(authority), hand.context.genesis, guard)
    slot_seconds = hand.spec.slot_seconds
    return NodeResources(
        context=hand.context,
        genesis=hand.genesis,
        clock=clock,
        store=store,
        engine=engine,
        sync_engine=engine,
        embedded=None,
        signer=signer,
        watch=clock_watch(clock, slot_seconds, StepFile(folder / STEP_FILE, boot), OpenData(store, signer)),
    )


def _bitcoin(folder: Path, node: BitcoinNode, hand: ChainHand) -> BitcoinResources:
    records = LmdbBitcoinRecords.open(folder / BITCOIN_FOLDER, hand.context.genesis.hex())
    return BitcoinResources(node, records, watched_of(hand.context, hand.genesis_state))
