"""Runs a node as a process: opens its resources, its tree and its servers, until a stop signal arrives."""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import attrs
import trio

from alysd.addresses import addresses_with
from alysd.api import control
from alysd.api.alys_rpc import AlysRpc
from alysd.api.banner import accounts_open, node_starting, options_exposed
from alysd.api.bitcoin_rpc import BitcoinWatchRpc
from alysd.api.console_log import ProcessLog
from alysd.api.event_logger import EventLogger
from alysd.api.governance_rpc import GovernanceRpc
from alysd.api.http.site import HostNames
from alysd.api.live_parts import (
    LiveAddress,
    LiveFlags,
    LiveHealth,
    LiveHosts,
    LiveLimit,
    LiveLimits,
    LiveLog,
    LiveMiner,
    LivePeers,
)
from alysd.api.node_view import RunningNode
from alysd.api.operator import OperatorPages
from alysd.api.peg_rpc import PegRpc
from alysd.api.peg_transaction_rpc import PegTransactionRpc
from alysd.api.readiness import Readiness
from alysd.api.reloading import Reloading, signal_reload
from alysd.api.servers import ServerAddresses, server_tasks
from alysd.api.stop_signals import StopSignals
from alysd.api.stuck_exit import StuckExit
from alysd.api.sync_bar import sync_bar_tasks
from alysd.api.system_handle import Stop
from alysd.config.actor_options import with_restarts
from alysd.config.config_source import ConfigSource, FileState, FileWatch
from alysd.config.flags import Flags
from alysd.config.model import AlysConfig
from alysd.integrations.payment_signing import RecordedSigner
from alysd.integrations.reload_history import HISTORY_FILE, ReloadFile
from alysd.integrations.systemd import Notifier
from alysd.messages.log.base import log
from alysd.messages.log.process import NodeReady, NodeStopped
from alysd.node import EdgeChildren, Node, open_node
from alysd.nurseries import (
    ChildSpec,
    Immediate,
    Intensity,
    Priority,
    task,
)
from alysd.resources import open_resources
from alysd.types.health_limits import HealthLimits
from alysd.types.latest import Latest
from alysd.validation import ValidNode
from alysd.workflows.config_reload import ConfigMemory, LivePart


async def run_node(
    valid: ValidNode,
    begun: float,
    process_log: ProcessLog,
    early: StopSignals,
    source: ConfigSource,
    read: FileState | None,
) -> None:
    """Run the node until a stop signal arrives. If `early` has recorded a signal before this call, stop at once.

    `begun` is the `time.perf_counter()` at the start of the command. `source` reads and validates the
    configuration again, for a reload; it raises the same errors as at the start. `read` is the state of its file
    before the start has read it.

    Raises `UserError` if a mistake of the operator prevents the start, and `SystemFailed` if the running tree
    fails.
    """
    config, output, to = valid.config, process_log.output, addresses_with(valid.config.actors.capacity)
    stop = Stop(Notifier(), partial(signal_reload, to.configuration))
    with trio.open_signal_receiver(*early.numbers) as signals, stop.scope:
        if early.first is not None:
            stop.take(early.first)
        async with open_resources(valid) as resources:
            log(node_starting(config, resources.context, valid.account))
            for event in (*accounts_open(config), *options_exposed(config)):
                log(event)
            budget = Intensity(config.system.restarts, float(config.system.restart_seconds))
            node = Node(
                config.mining, resources, to, lost_lines=lambda: output.lost, flags=Flags(config), budget=budget
            )
            memory = ConfigMemory(config, watched=FileWatch(read))
            limits = Latest(config.monitoring.limits)
            pages = _pages(node, memory, limits, config.storage.path)
            names, addresses = HostNames(config.api.allowed_hosts), ServerAddresses.of(config.api)
            parts = live_parts(node, process_log, names, addresses, limits)
            reloading = Reloading(
                memory, source, parts, RunningNode(pages), ReloadFile(config.storage.path / HISTORY_FILE),
                resources.clock, resources.timing,
            )  # fmt: skip
            event_logger = EventLogger(node.bus)

            def ready(first_slot_in: float | None) -> None:
                node.handle.ready = True
                log(NodeReady(time.perf_counter() - begun, first_slot_in))

            readiness = Readiness(
                resources.context.spec, resources.clock, node.to.chain, node.to.engine, stop.manager, ready,
                resources.timing, resources.role,
            )  # fmt: skip
            after = [
                reloading.child(to.configuration, node.bus.publish, stop.manager, node.handle),
                *_servers(node, config, pages, names, addresses),
                task("readiness", readiness.run),  # last, so that READY is sent only if no port is in use
                *([] if resources.peer_host is None else sync_bar_tasks(to.sync, output, resources.timing)),
            ]
            stopping = task("stop signals", lambda: stop.on(signals), restart=Immediate())
            edges = EdgeChildren(before=[stopping], after=_logged(event_logger, after))
            observer, on_stuck = event_logger.child_changed, StuckExit(output)
            adapt = partial(with_restarts, restarts=config.actors.restart)
            async with open_node(node, edges, observer=observer, on_stuck=on_stuck, adapt=adapt) as system:
                await system.ended()
    log(NodeStopped(trio.current_time() - stop.asked_at))


def _logged(event_logger: EventLogger, children: Sequence[ChildSpec]) -> list[ChildSpec]:
    """The event logger and these children. The events are logged until all of them have stopped."""
    logger = task("event logger", event_logger.run, priority=Priority.BACKGROUND)
    return [logger, *(attrs.evolve(child, depends_on=(logger.name,)) for child in children)]


def live_parts(
    node: Node,
    process_log: ProcessLog,
    names: HostNames,
    addresses: ServerAddresses,
    limits: Latest[HealthLimits],
) -> list[LivePart]:
    """The parts of the node whose options can change while it runs."""
    signer = node.resources.payment_signer
    return [
        LiveLog(process_log),
        LiveHosts(names),
        LiveLimits(addresses.limits),
        LiveFlags(node.flags),
        LiveHealth(limits),
        LiveMiner(node.fee_recipient),
        LiveLimit(signer if isinstance(signer, RecordedSigner) else None),
        LivePeers(node.resources.peers, node.to.peer_host, node.handle),
        LiveAddress("api.address", "alys server", addresses.alys, node.handle),
        LiveAddress("api.ethereum_address", "ethereum server", addresses.ethereum, node.handle),
    ]


def _pages(node: Node, memory: ConfigMemory, limits: Latest[HealthLimits], folder: Path) -> OperatorPages:
    resources, to = node.resources, node.to
    return OperatorPages(
        resources.context, resources.clock, resources.watch, to.reader, to.metrics, node.handle,
        resources.timing, resources.role,
        None if resources.peer_host is None else to.network,
        None if resources.peer_host is None else to.sync,
        None if resources.bitcoin is None else to.bitcoin_watch,
        node.bridge,
        resources.signer,
        memory,
        None if resources.governance is None else to.governance,
        limits,
        folder,
    )  # fmt: skip


def _servers(
    node: Node, config: AlysConfig, pages: OperatorPages, names: HostNames, addresses: ServerAddresses
) -> list[ChildSpec]:
    """The control socket, and the HTTP servers of the RPC methods and of the operator's pages."""
    resources, to = node.resources, node.to
    context, watch, timing = resources.context, resources.watch, resources.timing
    bitcoin_watch = None if resources.bitcoin is None else to.bitcoin_watch
    bridge = node.bridge
    rpc = AlysRpc(to.reader, lambda: resources.store.commits, to.auxpow, context, node.fee_recipient, timing)
    governance = None if resources.governance is None else to.governance
    methods = {
        **rpc.methods(),
        **BitcoinWatchRpc(bitcoin_watch, timing).methods(),
        **PegRpc(to.reader, bitcoin_watch, bridge, context, timing).methods(),
        **PegTransactionRpc(to.reader, bitcoin_watch, to.federation, context, timing).methods(),
        **GovernanceRpc(governance, timing).methods(),
    }
    control_socket = control.ControlSocket(
        config.storage.control_socket,
        node.handle,
        watch,
        to.configuration,
        timing,
        node.updates,
        status=pages.status_data,
    )
    return [
        task(control.CHILD, control_socket.run),
        *server_tasks(
            config.api,
            methods,
            pages,
            resources.embedded and resources.embedded.serve,
            timing,
            names,
            addresses,
        ),
    ]
