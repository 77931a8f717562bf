"""The node's health, which is derived from its tree and head, and the JSON of `alysd status`."""

from typing import Any, Literal

import attrs
import trio

from alysd import __version__
from alysd.consensus.federation import federation_at
from alysd.errors import approvals_needed, named_silent
from alysd.messages.bridge import PegHealth
from alysd.messages.metrics import FederationCounts, NodeCounts
from alysd.messages.network import OtherChainPeer, PeerInfo
from alysd.nurseries import ChildSnapshot, Health, Priority, State
from alysd.types.bitcoin_watch import BitcoinStatus
from alysd.types.chain import ChainState, Forkchoice
from alysd.types.chain_spec import ChainContext
from alysd.types.configuration import Reload, ScheduledReload
from alysd.types.evidence import Evidence
from alysd.types.execution import DualPathStatus, ExecutionClientStatus
from alysd.types.federation import Role
from alysd.types.governance import GovernanceReport
from alysd.types.hashes import displayed
from alysd.types.health_limits import HealthLimits
from alysd.types.peers import ClockDifference
from alysd.types.signing import SignedSlot
from alysd.types.sync import SyncProgress

NOT_HEALTHY = (Health.DEGRADED, Health.UNHEALTHY)
"""The health of a running child that does not answer the monitor, or reports that it is unhealthy.

The monitor restarts such a child. The node counts as degraded, not unhealthy, because blocks may continue."""

RESTART_SECONDS = 60.0
"""Seconds after which the error of a restarted child no longer explains the health of the node."""

MAX_RESTARTS_SHOWN = 3
"""The maximum number of restarted children among the reasons."""

MAX_LOST_SHOWN = 10
"""The maximum number of txids in the status of a halted peg."""

MANY_WAITING = 256
"""The number of unacknowledged requests to the governance that is a reason: a quarter of what the outbox holds."""

Status = Literal["healthy", "degraded", "unhealthy"]


@attrs.frozen
class NodeHealth:
    """The health of a node, with its reasons: sentences, the most serious first. A healthy node has none."""

    status: Status
    reasons: tuple[str, ...]

    @property
    def http_status(self) -> int:
        """The HTTP status of the health page. 503 makes a load balancer avoid an unhealthy node."""
        return 503 if self.status == "unhealthy" else 200


@attrs.frozen
class NodeReport:
    """The node at one moment. While the reader or the metrics actor does not answer, `tip` or `counts` is None.

    `peers` is None for a node without peers, and while the network actor does not answer. `bitcoin` and `peg` are
    None for a node without a Bitcoin node, and while the Bitcoin watch or the bridge does not answer. `guard` is
    the signing guard of an authority. `clients` is empty for a node with one execution client. `free_mib` is the
    free space on the disk of the data, None if it is not known.
    """

    context: ChainContext
    time: float
    clock_doubt: str
    tree: ChildSnapshot
    tip: Forkchoice | None
    counts: NodeCounts | None
    role: Role
    evidence: tuple[Evidence, ...] = ()
    peers: tuple[PeerInfo, ...] | None = None
    federation: FederationCounts | None = None
    sync: SyncProgress | None = None
    bitcoin: BitcoinStatus | None = None
    peg: PegHealth | None = None
    other_chain_peers: tuple[OtherChainPeer, ...] = ()
    guard: SignedSlot | None = None
    clients: tuple[ExecutionClientStatus, ...] = ()
    reload: Reload | None = None
    trial_left: float | None = None
    scheduled: ScheduledReload | None = None
    governance: GovernanceReport | None = None
    dual: DualPathStatus | None = None
    limits: HealthLimits = attrs.field(factory=HealthLimits)
    free_mib: int | None = None

    def health(self) -> NodeHealth:
        """The node's health. Unhealthy means that it makes no blocks, degraded that something else is wrong."""
        grave, light = self._child_reasons()
        if self.guard is not None and self.guard.unknown is not None:
            unknown = self.guard.unknown
            grave.append(
                f"this node signs nothing: its key has approved block {displayed(unknown.block)} of slot "
                f"{unknown.slot} elsewhere; stop the other node for good, then run `alysd recover`"
            )
        if self.clock_doubt:
            grave.append(self.clock_doubt)
        light += self._peg_reasons() + self._governance_reasons() + self._resource_reasons()
        light += [
            f"the {one.name} execution client is in use: {one.reason}"
            for one in self.clients
            if one.active and one.reason
        ]
        if self.dual is not None and self.dual.state == "rolled_back":
            light.append(f"the second execution client was rolled back: {self.dual.reason}")
        clocks = ClockDifference.of(peer.clock for peer in self.peers or ())
        if clocks is not None and clocks.exceeds(self.context.spec.slot_seconds):
            light.append(str(clocks))
        if self.sync is not None and self.sync.checkpoint_problem is not None:
            grave.append(self.sync.checkpoint_problem)
        light += [_other_chain(one, self.context) for one in self.other_chain_peers]
        if self.federation is not None and self.federation.lost is not None:
            lost = self.federation.lost
            words = f"since slot {lost.slot} only {approvals_needed(lost.found, lost.quorum, lost.of)}"
            grave.append(f"{words}; no approval from {named_silent(lost.silent)}")
        late, old = self._head_reasons()
        grave += late
        light += old
        status: Status = "unhealthy" if grave else "degraded" if light else "healthy"
        causes = self._restarts() if grave or light else []
        return NodeHealth(status, (*grave, *light, *causes))

    def _child_reasons(self) -> tuple[list[str], list[str]]:
        """The reasons for unhealthy, and for degraded health because of children."""
        grave: list[str] = []
        light: list[str] = []
        for child in self.tree.walk():
            if child.state is State.SUSPENDED:
                light.append(f"{child.name} is suspended: `alysd actors resume` resumes it")
            elif child.state not in (State.RUNNING, State.STOPPED):
                words = f"{child.name} {child.state.predicate}" + (
                    f": {child.last_error}" if child.last_error else ""
                )
                (grave if child.priority is Priority.CRITICAL else light).append(words)
            elif child.state is State.RUNNING and child.health in NOT_HEALTHY:
                health = child.health.value.lower()
                light.append(f"{child.name} runs, but is {health}: it has been busy for long, or is stuck")
        return grave, light

    def _head_reasons(self) -> tuple[list[str], list[str]]:
        """The reasons for unhealthy, and for degraded health because of the head's age."""
        if self.tip is None:
            return ["the database does not answer"], []
        grave: list[str] = []
        light: list[str] = []
        age = self.time - self.tip.head.timestamp
        slots = age / self.context.spec.slot_seconds
        if slots < -1:
            grave.append(
                f"the newest block is {-age:.0f} s ahead of the clock of this machine: the clock is "
                "behind, or was ahead when the block was made; no block can follow before that time"
            )
        if slots > self.limits.degraded_slots:
            late = grave if slots > self.limits.unhealthy_slots else light
            late.append(f"no block for {slots:.0f} slots" if self.tip.head.height else "no block yet")
        return grave, light

    def _restarts(self) -> list[str]:
        """The last errors of children that run again. One of them, such as a full disk, may be the cause.

        Alone they are no reason, because a restart is how the tree recovers.
        """
        found = [
            child
            for child in self.tree.walk()
            if child.state is State.RUNNING and child.last_error and child.uptime < RESTART_SECONDS
        ]
        found.sort(key=lambda child: child.uptime)
        return [
            f"{child.name} was restarted {child.uptime:.0f} s ago: {child.last_error}"
            for child in found[:MAX_RESTARTS_SHOWN]
        ]

    def _peg_reasons(self) -> list[str]:
        """The reasons for degraded health because of the peg. Blocks go on, so the node is not unhealthy."""
        reasons: list[str] = []
        if self.peg is not None and self.peg.halted:
            reasons.append(f"the peg is halted: {self.peg.reason}")
        if self.bitcoin is not None and self.bitcoin.problem is not None:
            reasons.append(f"this node takes no part in the peg: {self.bitcoin.problem}")
        elif self.peg is not None and self.peg.doubt is not None:
            reasons.append(f"this node takes no part in the peg: {self.peg.doubt}")
        return reasons

    def _resource_reasons(self) -> list[str]:
        """The reasons for degraded health because something that the node needs runs short."""
        limits, reasons = self.limits, list[str]()
        if self.free_mib is not None and self.free_mib < limits.least_free_mib:
            reasons.append(
                f"only {self.free_mib} MiB are free on the disk of the data folder, less than "
                f"monitoring.least_free_mib = {limits.least_free_mib}"
            )
        if self.peers is not None and len(self.peers) < limits.least_peers:
            reasons.append(
                f"the number of connected peers is {len(self.peers)}, less than monitoring.least_peers = "
                f"{limits.least_peers}"
            )
        return reasons

    def _governance_reasons(self) -> list[str]:
        """The reasons for degraded health because of the governance, on which no block depends."""
        found = self.governance
        if found is None:
            return []
        reasons: list[str] = []
        if not found.link.connected:
            reasons.append(f"no connection to the governance: {found.link.reason}")
        if found.link.waiting >= MANY_WAITING:
            reasons.append(f"the governance has not acknowledged {found.link.waiting} requests")
        return reasons

    def _accused(self) -> list[int]:
        """The indices of the authorities at the head against which there is evidence."""
        if self.tip is None:
            return []
        keys = {key for one in self.evidence for _, key in one.offenders}
        authorities = federation_at(self.tip.head, self.context).authorities
        return [index for index, key in enumerate(authorities) if key in keys]

    def as_json(self) -> dict[str, Any]:
        """The report in the JSON form of docs/operating.md. Must be called inside trio, whose clock it reads."""
        health = self.health()
        return {
            "version": __version__,
            "chain": self.context.spec.name,
            "chain_id": self.context.spec.chain_id,
            "genesis": displayed(self.context.genesis),
            "slot_seconds": self.context.spec.slot_seconds,
            "role": self.role,
            "time": self.time,
            "health": {"status": health.status, "reasons": list(health.reasons)},
            **({} if self.tip is None else _tip_json(self.tip)),
            "peers": None if self.peers is None else [_peer_json(peer) for peer in self.peers],
            "sync": None if self.sync is None else _sync_json(self.sync),
            "bitcoin": None if self.bitcoin is None else attrs.asdict(self.bitcoin),
            "peg": None if self.peg is None else _peg_json(self.peg),
            "execution": [attrs.asdict(one) for one in self.clients] or None,
            "dual_path": None if self.dual is None else attrs.asdict(self.dual),
            "evidence_against": self._accused(),
            "federation": None if self.federation is None else _federation_json(self.federation),
            "governance": None if self.governance is None else _governance_json(self.governance),
            "reload": None if self.reload is None else _reload_json(self.reload, self.trial_left),
            "scheduled_reload": None if self.scheduled is None else _scheduled_json(self.scheduled),
            "counts": None if self.counts is None else attrs.asdict(self.counts),
            "tree": tree_json(self.tree, self.time - trio.current_time()),
        }


def _other_chain(found: OtherChainPeer, context: ChainContext) -> str:
    """Say that a configured peer has another chain than this node, or none."""
    if found.genesis is None:
        return (
            f"the configured peer {found.peer} does not know the requests of an Alys node of this version: it "
            "runs another program, or another version"
        )
    return (
        f"the configured peer {found.peer} is of another chain, with the genesis {displayed(found.genesis)}; this "
        f"node has {displayed(context.genesis)}: compare the two files of the chain on both nodes"
    )


def _peer_json(peer: PeerInfo) -> dict[str, Any]:
    status = peer.status
    return {
        "peer": peer.peer,
        "address": peer.address,
        "inbound": peer.inbound,
        "score": peer.score,
        "head": None if status is None else status.head_height,
        "final": None if status is None else status.finalized_height,
        "clock_ahead": peer.clock_ahead,
        "configured": peer.configured,
    }


def _sync_json(progress: SyncProgress) -> dict[str, Any]:
    return {"synced": progress.synced, **attrs.asdict(progress), "seconds_left": progress.seconds_left}


def _peg_json(health: PegHealth) -> dict[str, Any]:
    lost = [displayed(one.txid) for one in health.lost[:MAX_LOST_SHOWN]]
    stolen = [displayed(one.txid) for one in health.stolen[:MAX_LOST_SHOWN]]
    return {
        "halted": health.halted,
        "reason": health.reason,
        "lost": lost,
        "stolen": stolen,
        "stolen_sat": health.stolen_sat,
        "doubt": health.doubt,
    }


def _scheduled_json(scheduled: ScheduledReload) -> dict[str, Any]:
    return {
        "time": scheduled.when.at,
        "height": scheduled.when.height,
        "origin": scheduled.origin,
        "options": [one.key for one in scheduled.changes if one.live],
    }


def _reload_json(reload: Reload, trial_left: float | None) -> dict[str, Any]:
    return {
        "outcome": reload.outcome,
        "time": reload.at,
        "origin": reload.origin,
        "applied": [one.key for one in reload.applied],
        "needs_restart": [one.key for one in reload.waiting],
        "reason": reload.reason or None,
        "trial_seconds_left": trial_left,
    }


def _governance_json(found: GovernanceReport) -> dict[str, Any]:
    link = found.link
    return {
        "connected": link.connected,
        "endpoint": link.endpoint,
        "reason": link.reason or None,
        "since": found.since,
        "waiting": link.waiting,
        "proposals": found.proposals,
    }


def _federation_json(counts: FederationCounts) -> dict[str, Any]:
    return {
        "below_quorum_since": None if counts.lost is None else counts.lost.slot,
        "slots": [attrs.asdict(record) for record in counts.slots],
    }


def _tip_json(tip: Forkchoice) -> dict[str, Any]:
    return {
        name: _block_json(state)
        for name, state in (("head", tip.head), ("safe", tip.safe), ("final", tip.finalized))
    }


def _block_json(state: ChainState) -> dict[str, Any]:
    return {
        "height": state.height,
        "hash": displayed(state.hash),
        "slot": state.slot,
        "timestamp": state.timestamp,
        "payload_hash": "0x" + state.payload_hash.hex(),
    }


def tree_json(child: ChildSnapshot, wall_minus_trio: float) -> dict[str, Any]:
    """A child and all children below it. `wall_minus_trio` converts trio's times to Unix times."""
    failed_at = child.last_error_at
    return {
        "name": child.name,
        "kind": child.kind,
        "state": child.state.value,
        "health": child.health.value,
        "priority": child.priority.name.lower(),
        "strategy": child.strategy,
        "restart": child.restart,
        "restarts": child.restarts,
        "last_error": child.last_error,
        "last_error_at": None if failed_at is None else failed_at + wall_minus_trio,
        "uptime": child.uptime,
        "mailbox": None if child.mailbox is None else attrs.asdict(child.mailbox),
        "children": [tree_json(below, wall_minus_trio) for below in child.children],
    }
