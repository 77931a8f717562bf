"""The node: its whole supervision tree, top-down, on one page. Children start in this order.

The children of the root stop in reverse order. Those of the other supervisors stop side by side, but each only
after all that depend on it (`depends_on`) have stopped.

`open_node` runs the tree. `alysd run` calls it from `running.run_node`, which opens the real resources; tests,
simulations and benchmarks pass other resources to it.
docs/architecture.md explains the shape of the tree. The module of each actor or workflow has the same name as
here.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random

import attrs

from alysd.actors.auxpow import AuxPowActor, MiningMemory
from alysd.actors.auxpow_offers import OfferBook
from alysd.actors.bitcoin_watch import BitcoinWatchActor
from alysd.actors.bridge import BridgeActor
from alysd.actors.bridge_contents import BridgeMemory
from alysd.actors.bridge_reads import BridgeReads
from alysd.actors.chain import ChainActor
from alysd.actors.engine import EngineActor
from alysd.actors.engine_failover import EngineFailover, FailoverMemory, reports_to
from alysd.actors.evidence import EvidenceActor
from alysd.actors.federation_updates import FederationUpdatesActor
from alysd.actors.governance_proposals import ProposalBook
from alysd.actors.governance_signing import SignatureAsks
from alysd.actors.governance_stream import GovernanceMemory, GovernancePeers, GovernanceStreamActor
from alysd.actors.metrics import MetricsActor
from alysd.actors.network import NetworkActor, NetworkMemory
from alysd.actors.node_metrics import none_lost
from alysd.actors.peer_client import PeerClient
from alysd.actors.peer_requests import PeerRequestsActor, RequestLimits
from alysd.actors.peg_signatures import FederationActor, SignatureMemory
from alysd.actors.reader import ReaderActor
from alysd.actors.storage import StorageActor
from alysd.actors.sync import SyncActor
from alysd.addresses import Addresses
from alysd.api.system_handle import SystemHandle
from alysd.config.chain_sections import MiningConfig
from alysd.config.flags import Flags
from alysd.consensus.aura import quiet_wait
from alysd.errors import HANDLING
from alysd.messages.bridge import Bridge
from alysd.messages.federation_update import FederationUpdates
from alysd.nurseries import (
    Address,
    Aligned,
    Bus,
    Change,
    ChildSpec,
    CircuitBreaker,
    Classifier,
    ExponentialBackoff,
    FailureKind,
    HealthMonitor,
    HealthRules,
    Immediate,
    Intensity,
    Never,
    NotAnswered,
    OneForAll,
    OneForOne,
    Priority,
    RestartPolicy,
    RestForOne,
    StuckChild,
    SupervisorSpec,
    System,
    actor,
    open_system,
    supervisor,
    task,
)
from alysd.resources import NodeResources
from alysd.timing import Timing
from alysd.types.hashes import EvmAddress
from alysd.types.latest import Latest
from alysd.workflows.approval import ApprovalWorkflow
from alysd.workflows.approval_peers import ApprovalPeers
from alysd.workflows.block_import import BlockImportWorkflow
from alysd.workflows.block_production import BlockProduction
from alysd.workflows.dual_path import DualPath
from alysd.workflows.finality import follow_finality
from alysd.workflows.internal_miner import InternalMiner
from alysd.workflows.own_key import OwnKey
from alysd.workflows.peg_contents import PegAuthor
from alysd.workflows.peg_operations import PegOperations
from alysd.workflows.signer_feed import SignerFeed
from alysd.workflows.update_checks import update_checks

REFUSALS = (*(error for error, how in HANDLING.items() if how.refusal), NotAnswered)
"""Errors that answer a message and do not crash the actor whose handler raises them.

A `NotAnswered` of a handler crashes no actor even without this entry. As a refusal, it is not logged when it ends
an ask, and a tell that it ends does not become a dead letter."""

FATAL = tuple(error for error, how in HANDLING.items() if how.fatal)
"""Errors that only the operator can fix. They stop the node without restarts."""

CLASSIFIER = Classifier(
    tuple(
        (error, FailureKind(HANDLING[error].kind))
        for error in sorted(HANDLING, key=lambda error: len(error.__mro__), reverse=True)
    )
)
"""Assigns a kind of failure to each of the node's own errors, for the log, the statistics and the patterns.

The first rule that matches an error applies, so subclasses come before their base classes."""


SIGNER_PAUSE = 5.0
"""Seconds until the feed of a signer in another process begins again after a failure."""


def health_rules(timing: Timing) -> HealthRules:
    """The health monitor's rules for the children of a node."""
    return HealthRules(timeout=timing.health_answer, unhealthy_after=timing.health_checks)


@attrs.frozen
class Node:
    """The parts of a node, both before and while its tree runs. `budget` is that of supervisors that may give up.

    `handle` gives the operator's pages access to the running tree, and holds the health monitor. `lost_lines`
    returns the number of lines that the log has lost.
    """

    mining: MiningConfig
    resources: NodeResources
    to: Addresses = attrs.field(factory=Addresses)
    bus: Bus = attrs.field(factory=Bus)
    handle: SystemHandle = attrs.field(
        default=attrs.Factory(
            lambda node: SystemHandle(HealthMonitor(health_rules(node.resources.timing))), takes_self=True
        )
    )
    lost_lines: Callable[[], int] = attrs.field(default=none_lost, kw_only=True)
    flags: Flags = attrs.field(factory=Flags, kw_only=True)
    budget: Intensity = attrs.field(factory=Intensity, kw_only=True)
    fee_recipient: Latest[EvmAddress | None] = attrs.field(
        init=False, default=attrs.Factory(lambda node: Latest(node.mining.fee_recipient), takes_self=True)
    )

    @property
    def bridge(self) -> Address[Bridge] | None:
        """The bridge's address; None on a node without a Bitcoin node, which has no bridge."""
        return None if self.resources.bitcoin is None else self.to.bridge

    @property
    def updates(self) -> Address[FederationUpdates] | None:
        """The address of the actor of federation updates; None on a chain whose federation never changes."""
        return self.to.updates if self.resources.context.spec.governance_keys else None


@attrs.frozen
class EdgeChildren:
    """The first children to start, such as the stop signals, and the last ones, such as the servers."""

    before: Sequence[ChildSpec] = ()
    after: Sequence[ChildSpec] = ()


NO_EDGES = EdgeChildren()


def tree(node: Node, edges: EdgeChildren) -> SupervisorSpec:
    """The tree as data: the children of each supervisor in start order, and how each of them restarts."""
    resources, to = node.resources, node.to
    return supervisor("AlysSystem", OneForAll(), [
        *edges.before,
        supervisor("StorageSupervisor", OneForOne(), [
            actor(to.storage, lambda: StorageActor(resources.store),
                  restart=Immediate(), priority=Priority.CRITICAL),
            actor(to.reader, lambda: ReaderActor(resources.store),
                  restart=ExponentialBackoff(), priority=Priority.HIGH),
            actor(to.metrics, lambda: MetricsActor(node.bus, node.lost_lines),
                  restart=Never(), priority=Priority.BACKGROUND),
        ], intensity=node.budget),
        _chain(node),
        *_bridge(node),
        *_network(node),
        supervisor("ApiSupervisor", OneForOne(), edges.after, intensity=node.budget),
    ], intensity=node.budget)  # fmt: skip


def _chain(node: Node) -> SupervisorSpec:
    """The actors and workflows that make, check and store the chain."""
    mining, resources, to, bus = node.mining, node.resources, node.to, node.bus
    context, spec, tell = resources.context, resources.context.spec, bus.publish
    memory, timing = MiningMemory(OfferBook(resources.timing)), resources.timing
    production = _production(node)
    return supervisor("ChainSupervisor", OneForOne(), [
        *_engine(node),
        actor(to.chain, lambda: ChainActor(to.storage, to.evidence, tell, timing),
              restart=ExponentialBackoff(), priority=Priority.CRITICAL, depends_on=["storage"]),
        actor(to.auxpow, lambda: AuxPowActor(to.chain, to.network, spec, memory, tell, timing),
              restart=Immediate(), priority=Priority.HIGH, handle_seconds=timing.mining_handler,
              depends_on=["chain"]),
        actor(to.block_import, lambda: BlockImportWorkflow(
            context, resources.clock, resources.bls.verify, to.chain, to.engine, tell, timing,
            OwnKey(context, resources.signer), resources.checkpoint, update_checks(resources.bls),
        ), restart=Immediate(), priority=Priority.CRITICAL, stop_seconds=timing.import_stop,
              depends_on=["chain", "engine"]),
        actor(to.approval, lambda: ApprovalWorkflow(
            context, resources.clock, resources.watch, resources.signer, resources.bls,
            ApprovalPeers(
                to.chain, to.engine, to.block_import, to.storage, to.network, to.sync, to.evidence,
                node.bridge,
            ), tell, timing,
        ), restart=Immediate(), priority=Priority.CRITICAL, stop_seconds=timing.approval_stop,
              depends_on=["chain", "engine", "block import"]),
        actor(to.evidence, lambda: EvidenceActor(
            to.storage, to.chain, context, resources.bls.verify, tell, timing,
        ), restart=_between_blocks(ExponentialBackoff(), production), priority=Priority.BACKGROUND,
              depends_on=["storage", "chain"]),
        *([] if node.updates is None else [
            actor(to.updates, lambda: FederationUpdatesActor(
                context, update_checks(resources.bls), to.chain, to.storage, to.network, timing,
            ), restart=ExponentialBackoff(), priority=Priority.BACKGROUND, depends_on=["storage", "chain"]),
        ]),
        task("clock watch", resources.watch.run, restart=Immediate(), priority=Priority.BACKGROUND),
        *([] if production is None else [
            task("block production", production.run, restart=Immediate(), priority=Priority.CRITICAL,
                 depends_on=["chain", "engine", "auxpow", "approval"]),
        ]),
        task("finality", lambda: follow_finality(
            to.chain, to.storage, to.auxpow, spec, bus, node.fee_recipient if mining.internal else Latest(None),
            timing,
        ), restart=_between_blocks(Immediate(), production), depends_on=["storage", "chain", "auxpow"]),
        *_internal_miner(node, production),
    ], intensity=node.budget)  # fmt: skip


def _engine(node: Node) -> list[ChildSpec]:
    """The engine actor; with a second execution client an actor for each, and the choice between the two.

    The two clients have a supervisor of their own, so that the failures of one never count against the chain's.
    """
    resources, to, timing = node.resources, node.to, node.resources.timing
    second, genesis, tell = resources.second, resources.genesis.block.payload.block_hash, node.bus.publish
    if second is None:
        return [
            actor(to.engine, lambda: EngineActor(
                resources.engine, resources.sync_engine, to.engine, to.storage, genesis, tell, timing,
            ), restart=CircuitBreaker(failures=2, open_seconds=timing.engine_pause),
                  priority=Priority.CRITICAL, stop_seconds=timing.engine_stop,
                  handle_seconds=timing.engine_handler, depends_on=["storage"]),
        ]  # fmt: skip
    flags = node.flags
    dual = DualPath(flags["engine_compare"], flags["engine_prefer_second"], timing.dual_path_floor)
    memory = FailoverMemory.of(to.first_client, to.second_client, dual)
    breaker = CircuitBreaker(failures=2, open_seconds=timing.engine_pause)
    return [
        supervisor("ClientSupervisor", OneForOne(), [
            actor(to.first_client, lambda: EngineActor(
                resources.engine, resources.sync_engine, to.first_client, to.storage, genesis, tell, timing,
                reports_to(to.engine, 0),
            ), restart=breaker, priority=Priority.HIGH, stop_seconds=timing.engine_stop,
                  handle_seconds=timing.engine_handler, depends_on=["storage"]),
            actor(to.second_client, lambda: EngineActor(
                second.engine, second.sync_engine, to.second_client, to.storage, genesis, tell, timing,
                reports_to(to.engine, 1),
            ), restart=breaker, priority=Priority.HIGH, stop_seconds=timing.engine_stop,
                  handle_seconds=timing.engine_handler, depends_on=["storage"]),
        ], intensity=Intensity(restarts=100, seconds=60.0)),
        actor(to.engine, lambda: EngineFailover(memory, tell, timing),
              restart=Immediate(), priority=Priority.CRITICAL, stop_seconds=timing.engine_stop,
              handle_seconds=timing.engine_handler, depends_on=["first client", "second client"]),
    ]  # fmt: skip


def _bridge(node: Node) -> list[SupervisorSpec]:
    """The actors of the peg; none on a chain without a peg. Without a Bitcoin node, none follows Bitcoin.

    The node is ready without them, and no failure of Bitcoin may stop the blocks: their supervisor never gives up.
    """
    resources, to, context = node.resources, node.to, node.resources.context
    bitcoin, rules, timing = resources.bitcoin, context.peg, resources.timing
    if rules is None:
        return []
    memory, signatures = BridgeMemory(), SignatureMemory()
    return [
        supervisor("BridgeSupervisor", OneForOne(), [
            *([] if bitcoin is None else [
                actor(to.bitcoin_watch, lambda: BitcoinWatchActor(
                    bitcoin.node, bitcoin.records, bitcoin.watched, context.spec.bitcoin_start_height,
                    context.spec.peg_in_confirmations,
                ), restart=ExponentialBackoff()),
                actor(to.bridge, lambda: BridgeActor(
                    BridgeReads(context, to.bitcoin_watch, to.chain, to.federation, timing), rules, memory,
                    resources.clock,
                ), restart=ExponentialBackoff()),
            ]),
            actor(to.federation, lambda: FederationActor(
                to.chain, to.storage, to.network, None if bitcoin is None else to.bitcoin_watch,
                None if bitcoin is None else to.bridge, resources.payment_signer, context, signatures, timing,
            ), restart=ExponentialBackoff()),
            task("peg operations", PegOperations(
                to.reader, node.bus, resources.clock, context, rules, timing,
            ).run, restart=ExponentialBackoff(), priority=Priority.BACKGROUND),
            *([] if resources.following_signer is None else [
                task("signer feed", SignerFeed(resources.following_signer, to.reader, timing).run,
                     restart=CircuitBreaker(failures=1, open_seconds=SIGNER_PAUSE), priority=Priority.BACKGROUND),
            ]),
        ], intensity=Intensity(restarts=100, seconds=60.0), awaited=False),
    ]  # fmt: skip


def _network(node: Node) -> list[SupervisorSpec]:
    """The actors of the peer-to-peer network and of the governance stream; none for a node without both.

    The node is ready without them, and their failures must not stop the rest of the node. So their supervisor
    never gives up: with their backoffs, the six children restart at most 80 times in a minute.
    """
    children = [*_peers(node), *_governance(node)]
    if not children:
        return []
    return [
        supervisor("NetworkSupervisor", RestForOne(), children, intensity=Intensity(restarts=150, seconds=60.0),
                   awaited=False),
    ]  # fmt: skip


def _peers(node: Node) -> list[ChildSpec]:
    """The actors of the peer-to-peer network; none for a node without peers."""
    resources, to = node.resources, node.to
    if resources.peer_host is None:
        return []
    context, clock, timing = resources.context, resources.clock, resources.timing
    memory, limits = NetworkMemory.of(timing), RequestLimits()
    client = PeerClient(to.peer_host, to.network)
    return [
        resources.peer_host(to.peer_host, to.network, to.peer_requests),
        actor(to.network, lambda: NetworkActor(
            context, clock, resources.bls, memory, client, to.reader, to.approval, to.sync, to.auxpow,
            to.federation, timing, resources.configured, node.updates,
        ), restart=ExponentialBackoff(), priority=Priority.HIGH),
        actor(to.peer_requests, lambda: PeerRequestsActor(
            context.genesis, resources.store, clock, to.approval, limits, timing, resources.configured,
        ), restart=ExponentialBackoff()),
        actor(to.sync, lambda: SyncActor(
            context, resources.bls, client, to.chain, to.block_import, to.approval, timing,
            resources.configured, resources.checkpoint,
        ), restart=ExponentialBackoff()),
    ]  # fmt: skip


def _governance(node: Node) -> list[ChildSpec]:
    """The stream to the governance; none for a node without one."""
    resources, to = node.resources, node.to
    governance, clock = resources.governance, resources.clock
    if governance is None:
        return []
    peers = GovernancePeers(
        to.reader,
        None if resources.peer_host is None else to.network,
        None if resources.peer_host is None else to.sync,
    )
    memory = GovernanceMemory()
    asks = None if resources.context.peg is None else SignatureAsks(to.federation)
    return [
        governance.host(to.governance_host, to.governance),
        actor(to.governance, lambda: GovernanceStreamActor(
            resources.context, to.governance_host, peers,
            ProposalBook(governance.proposals, governance.signer, clock.time), node.bus, clock, memory,
            node.updates, asks,
        ), restart=Immediate()),
    ]  # fmt: skip


def _production(node: Node) -> BlockProduction | None:
    """The workflow that makes blocks; None for a follower."""
    resources, to = node.resources, node.to
    if resources.signer is None:
        return None
    return BlockProduction(
        resources.context, resources.clock, resources.watch, resources.signer, to.chain, to.engine, to.auxpow,
        to.approval, to.sync, node.bus.publish, resources.tracing, resources.timing,
        PegAuthor(resources.context, to.chain, node.bridge, resources.timing), node.updates,
    )  # fmt: skip


def _internal_miner(node: Node, production: BlockProduction | None) -> list[ChildSpec]:
    mining, to, spec = node.mining, node.to, node.resources.context.spec
    if not mining.internal or mining.fee_recipient is None:
        return []
    clock, timing = node.resources.clock, node.resources.timing
    miner = InternalMiner(to.chain, to.auxpow, spec, node.fee_recipient, clock, node.bus, timing)
    restart = _between_blocks(ExponentialBackoff(), production)
    return [
        task("internal miner", miner.run, restart=restart, priority=Priority.BACKGROUND,
             depends_on=["chain", "auxpow"]),
    ]  # fmt: skip


def _between_blocks(policy: RestartPolicy, production: BlockProduction | None) -> RestartPolicy:
    """`policy`, but with no restarts while this node makes a block. Use it for children on which no block depends.

    The other children restart without this delay, because the block of the current slot may depend on them. For a
    follower, which makes no blocks, the result is `policy` itself.
    """
    if production is None:
        return policy

    def next_allowed(seconds: float) -> float:
        now, slot_seconds = production.clock.time(), production.context.spec.slot_seconds
        return quiet_wait(now, seconds, slot_seconds, production.federation, production.authority)

    return Aligned(policy, next_allowed)


@asynccontextmanager
async def open_node(
    node: Node,
    edges: EdgeChildren = NO_EDGES,
    *,
    observer: Callable[[Change], None] | None = None,
    adapt: Callable[[SupervisorSpec], SupervisorSpec] = lambda root: root,
    rng: Random | None = None,
    on_stuck: Callable[[StuckChild], None] | None = None,
) -> AsyncGenerator[System]:
    """Run the node's tree while the `with` block runs. Raises `SystemFailed` when the tree gives up.

    `observer` is called with every change of a child's state. `adapt` can change the tree before it starts; tests
    use it to intercept the messages of actors. `rng` is the source of restart jitter; a simulation passes its own.
    `on_stuck` is called with a child that cannot be ended.
    """
    async with open_system(
        adapt(tree(node, edges)),
        observer=observer,
        rng=rng,
        refusals=REFUSALS,
        fatal=FATAL,
        classifier=CLASSIFIER,
        monitor=node.handle.monitor,
        tracer=node.resources.tracing,
        on_stuck=on_stuck,
    ) as system:
        node.handle.system = system
        yield system
