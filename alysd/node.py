"""The node: its whole supervision tree, top-down, on one page. Read downwards it starts; upwards it stops.

`run_node` opens the parts outside the tree, runs the tree until somebody asks it to stop, and closes the parts.
docs/architecture.md explains the shape; each actor and workflow has one module, named as here.
"""

import signal
import time
from collections.abc import Sequence

import attrs
import trio

from alysd.actors.auxpow import AuxPowActor, MiningMemory
from alysd.actors.chain import ChainActor
from alysd.actors.engine import EngineActor
from alysd.actors.metrics import MetricsActor
from alysd.actors.storage import StorageActor
from alysd.api.alys_rpc import AlysRpc
from alysd.api.banner import node_starting
from alysd.api.event_logger import EventLogger
from alysd.api.operator import OperatorPages
from alysd.api.readiness import Readiness
from alysd.api.servers import server_tasks
from alysd.api.system_handle import Stop, SystemHandle
from alysd.config.model import AlysConfig, MiningConfig
from alysd.consensus.aura import quiet_wait
from alysd.errors import (
    ComponentError,
    Corrupt,
    EngineBehind,
    InvalidBlock,
    InvalidWork,
    Refused,
    StoreError,
    Unavailable,
    UserError,
)
from alysd.integrations.bls import verify_aggregate
from alysd.integrations.systemd import Notifier
from alysd.messages.auxpow import MergedMining
from alysd.messages.block_import import BlockImport
from alysd.messages.chain import Chain
from alysd.messages.engine import Engine
from alysd.messages.log.base import log
from alysd.messages.log.process import NodeReady, NodeStopped
from alysd.messages.metrics import Metrics
from alysd.messages.storage import Storage
from alysd.nurseries import (
    Address,
    Aligned,
    Bus,
    ChildSpec,
    CircuitBreaker,
    Classifier,
    ExponentialBackoff,
    FailureKind,
    HealthMonitor,
    HealthRules,
    Immediate,
    Never,
    NotAnswered,
    OneForAll,
    OneForOne,
    Priority,
    RestartPolicy,
    SupervisorSpec,
    actor,
    open_system,
    supervisor,
    task,
)
from alysd.resources import NodeResources, open_resources
from alysd.types.chain_spec import ChainSpec
from alysd.workflows.block_import import BlockImportWorkflow
from alysd.workflows.block_production import BlockProduction
from alysd.workflows.finality import follow_finality
from alysd.workflows.internal_miner import InternalMiner

REFUSALS = (Refused, NotAnswered)
"""Errors that go back to whoever asked: its own fault, or somebody's further on. No actor falls over them."""

FATAL = (UserError, Corrupt)
"""Errors that no restart mends: a person has to."""


CLASSIFIER = Classifier((
    (UserError, FailureKind.CONFIGURATION),
    (Unavailable, FailureKind.DEPENDENCY),
    (ComponentError, FailureKind.DEPENDENCY),
    (EngineBehind, FailureKind.DEPENDENCY),
    (StoreError, FailureKind.RESOURCE_EXHAUSTION),
    (Corrupt, FailureKind.RESOURCE_EXHAUSTION),
    (InvalidBlock, FailureKind.CONSENSUS),
    (InvalidWork, FailureKind.CONSENSUS),
))  # fmt: skip
"""What kind of failure each of the node's own errors is, for the log, the statistics and the patterns."""


HEALTH_RULES = HealthRules(patience=5.0, unhealthy_after=4)
"""Who is silent for 20 s is stuck. With a patience as long as the shortest interval, the checks of a critical
actor leave no gap: four in a row fail only if one message holds it all that time, however many wait behind. None
may: what the engine actor does for one takes at most 15 s (`actors.engine.HANDLER_SECONDS`), the import of a block
12 s for its execution and 2 s each for the write and the new head (`workflows.block_import`)."""

MINING_SECONDS = 4.0
"""For one message to the merged-mining actor: twice what its two questions to the chain actor may take. Checked
every 10 s only, it would keep miners for a minute; the critical actors' long work has bounds of its own."""


@attrs.frozen
class Addresses:
    """Where everybody is found. Addresses outlive restarts, so they are given out once, before anybody starts."""

    storage: Address[Storage] = attrs.field(factory=lambda: Address("storage", capacity=1024))
    metrics: Address[Metrics] = attrs.field(factory=lambda: Address("metrics", capacity=1024))
    engine: Address[Engine] = attrs.field(factory=lambda: Address("engine", capacity=64))
    chain: Address[Chain] = attrs.field(factory=lambda: Address("chain", capacity=1024))
    auxpow: Address[MergedMining] = attrs.field(factory=lambda: Address("auxpow", capacity=256))
    block_import: Address[BlockImport] = attrs.field(factory=lambda: Address("block import", capacity=64))


@attrs.frozen
class EdgeChildren:
    """Children that look out of the node: before the rest starts, and after it."""

    before: Sequence[ChildSpec] = ()
    after: Sequence[ChildSpec] = ()


def tree(
    mining: MiningConfig, parts: NodeResources, to: Addresses, bus: Bus, outside: EdgeChildren
) -> SupervisorSpec:
    """The tree as data: who is supervised by whom, how each restarts, in the order of starting."""
    context, spec, genesis, tell = parts.context, parts.context.spec, parts.genesis, bus.publish
    memory = MiningMemory()
    production = BlockProduction(
        context, parts.clock, parts.signer, to.chain, to.engine, to.auxpow, to.block_import,
        tell, parts.tracing,
    )  # fmt: skip
    return supervisor("AlysSystem", OneForAll(), [
        *outside.before,
        supervisor("StorageSupervisor", OneForOne(), [
            actor(to.storage, lambda: StorageActor(parts.store), restart=Immediate(), priority=Priority.CRITICAL),
            actor(to.metrics, lambda: MetricsActor(bus), restart=Never(), priority=Priority.BACKGROUND),
        ]),
        supervisor("ChainSupervisor", OneForOne(), [
            actor(to.engine, lambda: EngineActor(
                parts.engine, parts.sync_engine, to.engine, to.storage, genesis.block.payload.block_hash, tell,
            ), restart=CircuitBreaker(failures=2, open_seconds=4.0), priority=Priority.CRITICAL, stop_seconds=1.0),
            actor(to.chain, lambda: ChainActor(to.storage, tell),
                  restart=ExponentialBackoff(), priority=Priority.CRITICAL),
            actor(to.auxpow, lambda: AuxPowActor(to.chain, spec, memory, tell),
                  restart=Immediate(), priority=Priority.HIGH, handle_seconds=MINING_SECONDS),
            actor(to.block_import, lambda: BlockImportWorkflow(
                context, parts.clock, verify_aggregate, to.chain, to.engine, tell,
            ), restart=Immediate(), priority=Priority.CRITICAL, stop_seconds=2.0),
            task("block production", production.run, restart=Immediate(), priority=Priority.CRITICAL),
            task("finality", lambda: follow_finality(
                to.chain, to.storage, to.auxpow, spec, bus, mining.fee_recipient if mining.internal else None,
            ), restart=_between_blocks(Immediate(), production)),
            *_internal_miner(mining, parts, to, bus, production),
        ]),
        supervisor("ApiSupervisor", OneForOne(), outside.after),
    ])  # fmt: skip


def _internal_miner(
    mining: MiningConfig, parts: NodeResources, to: Addresses, bus: Bus, production: BlockProduction
) -> list[ChildSpec]:
    if not mining.internal or mining.fee_recipient is None:
        return []
    miner = InternalMiner(to.chain, to.auxpow, parts.context.spec, mining.fee_recipient, parts.clock, bus)
    restart = _between_blocks(ExponentialBackoff(), production)
    return [task("internal miner", miner.run, restart=restart, priority=Priority.BACKGROUND)]


def _between_blocks(policy: RestartPolicy, production: BlockProduction) -> Aligned:
    """`policy`, but never while this node makes its block: for children that no slot needs.

    Those that a slot needs are not held back: in the middle of one, their return is all that may still save it.
    """

    def next_allowed(seconds: float) -> float:
        now, slot_seconds = production.clock.time(), production.context.spec.slot_seconds
        return quiet_wait(now, seconds, slot_seconds, production.federation, production.authority)

    return Aligned(policy, next_allowed)


async def run_node(config: AlysConfig, spec: ChainSpec, begun: float) -> None:
    """Run the node until SIGTERM or SIGINT; `begun` is when the command began, on `time.perf_counter`.

    Raises `UserError` for what a person can mend before the tree stands, and `SystemFailed` afterwards.
    """
    stop = Stop(Notifier())
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals, stop.scope:
        async with open_resources(config, spec) as parts:
            log(node_starting(config, parts.context))
            bus, to, running = Bus(), Addresses(), SystemHandle(HealthMonitor(HEALTH_RULES))
            journal = EventLogger(bus)
            readiness = Readiness(
                spec, parts.clock, to.chain, to.engine, bus, stop.manager,
                lambda first_slot_in: log(NodeReady(time.perf_counter() - begun, first_slot_in)),
            )  # fmt: skip
            rpc = AlysRpc(to.chain, to.storage, to.auxpow, parts.context, config.mining.fee_recipient)
            pages = OperatorPages(parts.context, parts.clock, to.chain, to.metrics, running)
            root = tree(config.mining, parts, to, bus, EdgeChildren(
                before=[task("stop signals", lambda: stop.on(signals), restart=Immediate())],
                after=[
                    task("journal", journal.run, priority=Priority.BACKGROUND),
                    task("readiness", readiness.run),
                    *server_tasks(config.api, rpc, pages, parts.embedded and parts.embedded.serve),
                ],
            ))  # fmt: skip
            async with open_system(
                root,
                observer=journal.child_changed,
                refusals=REFUSALS,
                fatal=FATAL,
                classifier=CLASSIFIER,
                monitor=running.monitor,
                tracer=parts.tracing,
            ) as running.system:
                await running.system.ended()
    log(NodeStopped(trio.current_time() - stop.asked_at))
