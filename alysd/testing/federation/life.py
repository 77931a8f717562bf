"""One process of a member's node: the real tree of `alysd.node` over a simulated machine."""

from collections.abc import Callable, Container, Mapping

import attrs
import trio

from alysd.actors.peer_host import PeerHostActor
from alysd.addresses import Addresses
from alysd.config.chain_sections import MiningConfig
from alysd.consensus.aura import slot_start
from alysd.integrations.bls import public_key
from alysd.node import Node
from alysd.nurseries import Bus, ExponentialBackoff, System, actor
from alysd.ports import Bls, Gossip
from alysd.resources import NodeResources
from alysd.testing.chain import ChainHand
from alysd.testing.engine import FakeEngine
from alysd.testing.federation.machine import SimulatedMachine
from alysd.testing.federation.memory_store import MemoryStore
from alysd.testing.federation.peg.world import MemberPeg
from alysd.testing.federation.signer import Signed, SimulatedSigner
from alysd.testing.virtual_time import VirtualClock
from alysd.types.block import ExecutionPayload
from alysd.types.hashes import PayloadHash
from alysd.workflows.clock_watch import ClockWatch


class WatchedBus(Bus):
    """A bus that also passes every event to `watch`."""

    def __init__(self, watch: Callable[[object], None]) -> None:
        super().__init__()
        self._watch = watch

    def publish(self, event: object, *, sender: str = "") -> None:
        """Pass the event on, and publish it."""
        self._watch(event)
        super().publish(event, sender=sender)


@attrs.define(eq=False)
class Life:
    """A node from its start to its end. `system` is set once the tree is up, and `ended` at the end."""

    machine: SimulatedMachine
    node: Node
    engine: FakeEngine
    store: MemoryStore
    system: System | None = None
    ended: trio.Event = attrs.field(factory=trio.Event)

    @property
    def to(self) -> Addresses:
        """The addresses of the node's actors."""
        return self.node.to


def begin_life(
    machine: SimulatedMachine,
    hand: ChainHand,
    secret: bytes | None,
    scheme: Bls,
    clock: VirtualClock,
    executed: Mapping[PayloadHash, ExecutionPayload],
    mining: MiningConfig,
    signed: Signed,
    watch: Callable[[object], None],
    gossip: Callable[[MemoryStore, FakeEngine], Gossip],
    configured: Container[str],
    peg: MemberPeg | None,
) -> Life:
    """Make the node of the member with this `secret`, from the data on the machine's disk. It does not run yet.

    Without `secret` the node is a follower. `executed` are the blocks that the execution client has. `signed` is
    called with every signature that leaves the machine, and `watch` with every event of the node. `gossip` makes
    the node's endpoint of the network. `configured` has the peers that the configuration of the node names. `peg`
    has the resources of the peg, None on a chain without a peg.
    """
    store = MemoryStore(hand.genesis, hand.genesis_state, machine.session)
    engine = attrs.evolve(hand.engine, blocks={**hand.engine.blocks, **executed})
    newest, slot_seconds, signer = store.newest_slot(), hand.spec.slot_seconds, None
    if secret is not None:
        careless = peg is not None and peg.lies
        signer = SimulatedSigner.open(
            machine, public_key(secret), secret, scheme, hand.context.genesis, signed, careless=careless
        )
        newest = max(newest, signer.last_slot)
    endpoint = gossip(store, engine)
    resources = NodeResources(
        context=hand.context,
        genesis=hand.genesis,
        clock=clock,
        store=store,
        engine=engine,
        sync_engine=engine,
        embedded=None,
        signer=signer,
        watch=ClockWatch(clock, slot_seconds, newest=float(slot_start(newest, slot_seconds)) if newest else None),
        bls=scheme,
        peer_host=lambda host, network, requests: actor(
            host, lambda: PeerHostActor(endpoint, network, requests), restart=ExponentialBackoff()
        ),
        configured=configured,
        bitcoin=None if peg is None else peg.bitcoin,
        payment_signer=None if peg is None else peg.signer,
    )
    return Life(machine, Node(mining, resources, bus=WatchedBus(watch)), engine, store)
