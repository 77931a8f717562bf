"""All metrics of the node: counters of its events, and values that are read from a snapshot at each scrape.

To add a metric of an event, add the event to `EVENTS`, and a counter and a case to `EventCounts`. To add a value
of the chain or of the tree, add a line to the function that collects these values.
"""

from collections.abc import Callable, Iterable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from alysd import __version__
from alysd.actors.client_metrics import ClientMetrics
from alysd.actors.federation_metrics import FederationMetrics
from alysd.actors.governance_counts import governance_metrics
from alysd.messages.bridge import PegHealth
from alysd.messages.events import (
    BlockProduced,
    ExecutionClientsSeen,
    HeadMoved,
    OperationsCounted,
    ProductionHalted,
    QuorumChanged,
    ReloadEnded,
    SlotMissed,
    SlotOver,
    WorkflowMoved,
    WorkQueued,
)
from alysd.messages.metrics import FederationCounts, NodeCounts, PortCounts, Scrape
from alysd.messages.network import PeerInfo
from alysd.nurseries import ChildSnapshot, Health, State
from alysd.types.bitcoin_watch import BitcoinStatus
from alysd.types.chain import Forkchoice
from alysd.types.execution import DualPathStatus, ExecutionClientStatus
from alysd.types.peers import ClockDifference
from alysd.types.peg import PegTotals
from alysd.types.peg_operation import PegSummary
from alysd.types.sync import SyncProgress

EVENTS = (
    BlockProduced,
    ExecutionClientsSeen,
    HeadMoved,
    OperationsCounted,
    ProductionHalted,
    QuorumChanged,
    ReloadEnded,
    SlotMissed,
    SlotOver,
    WorkQueued,
    WorkflowMoved,
)
"""The types of event that are counted."""

PRODUCTION_BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Upper bounds, in seconds, of the histogram of block production.

The goal is 20 ms, not counting the execution client's time. A slot usually has 2 s.
"""


class EventCounts:
    """Counters of the node's events.

    Counters with labels are cached by label, because their lookup is expensive.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, labels: Iterable[str] = ()) -> Counter:
            return Counter(f"alysd_{name}", text, tuple(labels), registry=registry)

        self._produced = Histogram(
            "alysd_block_production_seconds",
            "Time from the start of work on a block to the end of its import, for blocks of this node.",
            buckets=PRODUCTION_BUCKETS,
            registry=registry,
        )
        self._transactions = counter("produced_transactions", "Transactions in blocks of this node.")
        self._gas = counter("produced_gas", "Gas used by blocks of this node.")
        self._missed = counter("slots_missed", "Slots of this node that passed without a block of its own.")
        self._halted = counter("slots_halted", "Slots without a block because too many blocks wait for a proof.")
        self._reorganised = counter("reorganised_blocks", "Canonical blocks that reorganisations undid.")
        self._final = counter("final_blocks", "Blocks that became final.")
        self._works = counter("works_queued", "Valid proofs of work that were queued, also those of other nodes.")
        self._workflows = counter("workflow_changes", "States that workflows entered.", ("workflow", "state"))
        self._moves = counter(
            "peg_operation_moves", "States that operations of the peg entered by blocks.", ("kind", "state")
        )
        self._reloads = counter("config_reloads", "Reloads of the configuration, by their outcome.", ("outcome",))
        self._waiting = Gauge(
            "alysd_config_needs_restart",
            "Changed options that need a restart of the node, at the last accepted reload.",
            registry=registry,
        )
        self._workflow_children: dict[tuple[str, str], Counter] = {}
        self._federation = FederationMetrics(registry)
        self._clients = ClientMetrics(registry)
        self._blocks = self._misses = self._reorganisations = 0

    @property
    def totals(self) -> NodeCounts:
        """The counts of the status page."""
        return NodeCounts(self._blocks, self._misses, self._reorganisations)

    @property
    def federation(self) -> FederationCounts:
        """The part of the status page about the federation."""
        return self._federation.counts

    @property
    def clients(self) -> tuple[ExecutionClientStatus, ...]:
        """The two execution clients on the status page; empty for a node with one."""
        return self._clients.seen

    @property
    def dual(self) -> DualPathStatus | None:
        """The comparison of the two execution clients on the status page; None for a node with one."""
        return self._clients.dual

    def add(self, event: object) -> None:
        """Count an event of one of the types in `EVENTS`."""
        match event:
            case BlockProduced(signed, seconds):
                self._produced.observe(seconds)
                self._transactions.inc(len(signed.block.payload.transactions))
                self._gas.inc(signed.block.payload.gas_used)
                self._blocks += 1
            case SlotMissed(_, slots, _):
                self._missed.inc(slots)
                self._misses += slots
            case HeadMoved(old, new, removed):
                self._final.inc(max(0, new.finalized.height - old.finalized.height))
                self._reorganised.inc(removed)
                self._reorganisations += removed > 0
            case ProductionHalted():
                self._halted.inc()
            case ExecutionClientsSeen(clients, dual):
                self._clients.add(clients, dual)
            case SlotOver(record):
                self._federation.slot_over(record)
            case QuorumChanged():
                self._federation.quorum_changed(event)
            case WorkQueued():
                self._works.inc()
            case ReloadEnded(reload):
                self._reloads.labels(reload.outcome).inc()
                if not reload.reason:
                    self._waiting.set(len(reload.waiting))
            case OperationsCounted(counts):
                for kind, state, count in counts:
                    self._moves.labels(kind, state.value).inc(count)
            case WorkflowMoved(workflow, state):
                self._workflow_child(workflow, state).inc()
            case _:
                pass

    def _workflow_child(self, workflow: str, state: str) -> Counter:
        """The counter of a workflow's state. All names are constants in the code, so the counters are few."""
        child = self._workflow_children.get((workflow, state))
        if child is None:
            child = self._workflow_children[workflow, state] = self._workflows.labels(workflow, state)
        return child


def none_lost() -> int:
    """Return 0, for a log that loses no lines."""
    return 0


class SnapshotCollector(Collector):
    """Metrics of the tree, its failures and the chain, computed from the last `Scrape`.

    The runtime keeps its counts in plain attributes. They become metrics only at a scrape, so that handling a
    message never updates a metric.
    """

    def __init__(self, lost_lines: Callable[[], int] = none_lost) -> None:
        self.scrape: Scrape | None = None
        self._lost_lines = lost_lines

    def collect(self) -> Iterable[Metric]:
        """The metrics of the last scrape. Before the first scrape, only the metric of the log."""
        yield CounterMetricFamily(
            "alysd_log_lines_lost",
            "Lines of the log that were lost: its reader had stopped, or its disk was full.",
            self._lost_lines(),
        )
        if self.scrape is None:
            return
        if self.scrape.head is not None:
            yield from _chain_metrics(self.scrape.head)
            if self.scrape.peg:
                yield from _peg_metrics(self.scrape.head.head.peg)
        if self.scrape.operations is not None:
            yield from _operation_metrics(self.scrape.operations, self.scrape.now)
        if self.scrape.sync is not None:
            yield from _sync_metrics(self.scrape.sync)
        if self.scrape.peers is not None:
            yield from _peer_metrics(self.scrape.peers)
        if self.scrape.bitcoin is not None:
            yield from _bitcoin_metrics(self.scrape.bitcoin)
        if self.scrape.health is not None:
            yield from _halt_metrics(self.scrape.health)
        if self.scrape.governance is not None:
            yield from governance_metrics(self.scrape.governance)
        if self.scrape.evidence is not None:
            yield _evidence_metric(self.scrape.evidence)
        if self.scrape.guard is not None:
            yield GaugeMetricFamily(
                "alysd_key_used_elsewhere",
                "1 while this authority signs nothing, because another node has signed with its key.",
                self.scrape.guard.unknown is not None,
            )
        yield GaugeMetricFamily(
            "alysd_clock_step_seconds",
            "Seconds by which the clock was set while the node ran (back: negative); 0 while it is trusted.",
            self.scrape.clock_step,
        )
        children = tuple(self.scrape.tree.walk())
        yield from _child_metrics(children)
        yield _failure_metric(self.scrape)
        yield from _port_metrics(self.scrape.ports)
        yield from _mailbox_metrics(children)


def new_registry(collector: SnapshotCollector) -> CollectorRegistry:
    """A registry with the node's version, the metrics of the process, and those of `collector`."""
    registry = CollectorRegistry(auto_describe=False)
    Info("alysd_build", "The version of this node.", registry=registry).info({"version": __version__})
    ProcessCollector(registry=registry)
    registry.register(collector)
    return registry


def _chain_metrics(tip: Forkchoice) -> Iterable[Metric]:
    def gauge(name: str, text: str, value: float) -> Metric:
        return GaugeMetricFamily(f"alysd_{name}", text, value)

    yield gauge("head_height", "Height of the head.", tip.head.height)
    yield gauge("safe_height", "Height of the safe block.", tip.safe.height)
    yield gauge(
        "final_height", "Height of the last block that a proof of work has made final.", tip.finalized.height
    )
    yield gauge("head_timestamp_seconds", "Start of the head's slot, in Unix seconds.", tip.head.timestamp)
    waiting = tip.head.height - tip.finalized.height
    yield gauge("blocks_waiting_for_work", "Blocks above the last final one.", waiting)
    yield gauge(
        "unpaid_fees_btc", "Priority fees that the next proof of work will pay out.", tip.head.unpaid_fees / 1e18
    )


def _sync_metrics(progress: SyncProgress) -> Iterable[Metric]:
    yield GaugeMetricFamily(
        "alysd_sync_missing_blocks",
        "Blocks that this node lacks of the best chain that a peer has proved.",
        progress.target - progress.current,
    )
    yield GaugeMetricFamily(
        "alysd_sync_blocks_per_second", "Rate of a sync in progress, otherwise 0.", progress.blocks_per_second
    )


def _peer_metrics(peers: Sequence[PeerInfo]) -> Iterable[Metric]:
    yield GaugeMetricFamily("alysd_peers", "Connected peers.", len(peers))
    clocks = ClockDifference.of(peer.clock for peer in peers)
    if clocks is not None:
        yield GaugeMetricFamily(
            "alysd_peer_clocks_ahead_seconds",
            "Median of the seconds by which the peers' clocks are ahead of this node's (negative: behind).",
            clocks.ahead,
        )


def _evidence_metric(evidence: Sequence[int]) -> Metric:
    """The stored evidence: a restart does not reset it, and the first piece is an increase from 0."""
    metric = CounterMetricFamily(
        "alysd_evidence", "Pieces of evidence against an authority.", labels=["authority"]
    )
    for authority, count in enumerate(evidence):
        metric.add_metric([str(authority)], count)
    return metric


def _bitcoin_metrics(bitcoin: BitcoinStatus) -> Iterable[Metric]:
    yield GaugeMetricFamily(
        "alysd_bitcoin_usable",
        "1 while this node sees Bitcoin's best chain, so that it makes and approves peg contents.",
        bitcoin.problem is None,
    )
    yield GaugeMetricFamily(
        "alysd_bitcoin_height", "Height up to which this node has read the Bitcoin chain.", bitcoin.read
    )
    if bitcoin.tip is not None:
        yield GaugeMetricFamily(
            "alysd_bitcoin_blocks_behind",
            "Blocks of the Bitcoin node that this node has not read yet.",
            max(0, bitcoin.tip - bitcoin.read),
        )


def _halt_metrics(health: PegHealth) -> Iterable[Metric]:
    yield GaugeMetricFamily(
        "alysd_peg_halted",
        "1 while Bitcoin has lost a minted deposit or a confirmed payment, the federation's bitcoin is stolen, or "
        "governance has halted the peg.",
        health.halted,
    )
    yield GaugeMetricFamily(
        "alysd_peg_stolen_btc",
        "Bitcoin that the ledger holds, and that transactions outside of the protocol have spent.",
        health.stolen_sat / 1e8,
    )
    yield GaugeMetricFamily(
        "alysd_peg_compared",
        "1 once this node has compared the ledger with Bitcoin. Until then it takes no part in the peg.",
        health.doubt is None,
    )


def _operation_metrics(summary: PegSummary, now: float) -> Iterable[Metric]:
    burns = GaugeMetricFamily("alysd_peg_open_burns", "Burns that have not ended, by state.", labels=["state"])
    for state, count in summary.open:
        burns.add_metric([state.value], count)
    yield burns
    yield GaugeMetricFamily(
        "alysd_peg_oldest_burn_seconds",
        "Age of the oldest accepted burn whose payment is not confirmed, 0 without one.",
        0.0 if summary.since is None else max(0.0, now - summary.since),
    )


def _peg_metrics(peg: PegTotals) -> Iterable[Metric]:
    for name, text, sat in (
        ("held", "Bitcoin that the federation holds, as of the head.", peg.held),
        ("owed", "Bitcoin that is owed for accepted requests whose payment is not confirmed.", peg.owed),
        ("minted", "Bitcoin that deposits have minted since the genesis block.", peg.minted),
        ("refunds_due", "Bitcoin that is owed back for refused requests.", peg.refunds_due),
        ("reserve", "Bitcoin in the reserve, which pays for the federation's own moves.", peg.reserve),
    ):
        yield GaugeMetricFamily(f"alysd_peg_{name}_btc", text, sat / 1e8)
    yield GaugeMetricFamily("alysd_peg_payments_in_flight", "Payments that are not confirmed.", peg.payments)
    waiting = peg.next_request - peg.first_request
    yield GaugeMetricFamily("alysd_peg_requests_waiting", "Requests without a proposed payment.", waiting)
    refunds = peg.next_refund - peg.first_refund
    yield GaugeMetricFamily("alysd_peg_refunds_waiting", "Refused requests that wait for their refund.", refunds)
    yield GaugeMetricFamily("alysd_peg_operations", "Credited deposits and burns, as of the head.", peg.operations)


PORT_METRICS = (
    ("connections", "Connections that were opened.", "opened"),
    ("connections_gave_way", "Waiting connections that were closed for new ones.", "gave_way"),
    ("connections_slow", "Connections of clients that did not receive what was sent to them.", "slow"),
    ("requests", "Requests that ran.", "requests"),
    ("requests_refused", "Requests that were refused as invalid.", "refused"),
    ("requests_busy", "Requests that were refused because too many ran.", "busy"),
    ("requests_failed", "Requests that an error in this program ended.", "failed"),
)
"""Each metric of a port: its name, its description, and the field of `PortCounts` that it shows."""


def _port_metrics(ports: Sequence[PortCounts]) -> Iterable[Metric]:
    for name, text, field in PORT_METRICS:
        family = CounterMetricFamily(f"alysd_port_{name}", text, labels=("port",))
        for counts in ports:
            family.add_metric((counts.port,), getattr(counts, field))
        yield family


def _child_metrics(children: Sequence[ChildSnapshot]) -> Iterable[Metric]:
    labels = ("child",)
    up = GaugeMetricFamily("alysd_child_up", "1 while the child runs.", labels=labels)
    uptime = GaugeMetricFamily(
        "alysd_child_uptime_seconds", "Time since the child's instance came up.", labels=labels
    )
    restarts = CounterMetricFamily("alysd_child_restarts", "Restarts of the child.", labels=labels)
    healths = GaugeMetricFamily(
        "alysd_child_health", "1 for the child's health in the last check.", labels=("child", "health")
    )
    for child in children:
        up.add_metric((child.name,), child.state is State.RUNNING)
        uptime.add_metric((child.name,), child.uptime)
        restarts.add_metric((child.name,), child.restarts)
        for health in Health:
            healths.add_metric((child.name, health.value), health is child.health)
    return up, uptime, restarts, healths


def _failure_metric(scrape: Scrape) -> Metric:
    family = CounterMetricFamily("alysd_child_failures", "Failures of the child.", labels=("child", "kind"))
    for child, kinds in scrape.failures.items():
        for kind, count in kinds.items():
            family.add_metric((child, kind.value), count)
    return family


_GAUGES = (
    ("mailbox_messages", "Messages that wait in an actor's mailbox.", "depth"),
    ("mailbox_capacity", "Messages that fit into an actor's mailbox.", "capacity"),
    ("mailbox_longest_wait_seconds", "Longest wait of a message, sampled.", "longest_wait"),
)
_COUNTERS = (
    ("messages_handled", "Messages that an actor has handled completely.", "handled"),
    ("messages_refused", "Messages that an actor has answered with a refusal.", "refused"),
    ("messages_dropped", "Dead letters: messages lost to a full mailbox, a crash or a stop.", "dropped"),
    (
        "messages_abandoned",
        "Asks that were not handled since the asker had gone or its time was over.",
        "abandoned",
    ),
)


def _mailbox_metrics(children: Sequence[ChildSnapshot]) -> Iterable[Metric]:
    for kind, families in ((GaugeMetricFamily, _GAUGES), (CounterMetricFamily, _COUNTERS)):
        for name, text, attribute in families:
            family = kind(f"alysd_{name}", text, labels=("child",))
            for child in children:
                if child.mailbox is not None:
                    family.add_metric((child.name,), getattr(child.mailbox, attribute))
            yield family
