"""The messages to the metrics actor, which counts the node's events."""

from collections.abc import Mapping

import attrs

from alysd.messages.bridge import PegHealth
from alysd.messages.events import QuorumChanged
from alysd.messages.network import PeerInfo
from alysd.nurseries import Ask, ChildSnapshot, FailureKind
from alysd.types.bitcoin_watch import BitcoinStatus
from alysd.types.chain import Forkchoice
from alysd.types.execution import DualPathStatus, ExecutionClientStatus
from alysd.types.federation import SlotRecord
from alysd.types.governance import GovernanceReport
from alysd.types.peg_operation import PegSummary
from alysd.types.signing import SignedSlot
from alysd.types.sync import SyncProgress


class Metrics:
    """Protocol of the metrics actor."""


@attrs.frozen
class NodeCounts:
    """Counts of events since the start of the node."""

    blocks_produced: int
    slots_missed: int
    reorganisations: int


@attrs.define
class PortCounts:
    """The numbers of connections and requests of one `port` since the node's start.

    `opened` counts all connections. `gave_way` counts connections that were closed to make room for new ones, and
    `slow` connections that were closed because their clients received too slowly. `requests` counts the requests
    that ran, `refused` the invalid ones, `busy` those that the port had no place for, and `failed` those that
    ended with an error in this program.
    """

    port: str
    opened: int = 0
    gave_way: int = 0
    slow: int = 0
    requests: int = 0
    refused: int = 0
    busy: int = 0
    failed: int = 0


@attrs.frozen
class FederationCounts:
    """The part of the status page about the federation.

    `slots` are the records of the last slots, oldest first. `lost` is the last loss of the quorum, None while a
    quorum approves blocks.
    """

    slots: tuple[SlotRecord, ...]
    lost: QuorumChanged | None


@attrs.frozen
class GetFederation(Ask[Metrics, FederationCounts]):
    """Get the part of the status page about the federation."""


@attrs.frozen
class GetCounts(Ask[Metrics, NodeCounts]):
    """Get the counts that the status page shows."""


@attrs.frozen
class GetExecutionClients(Ask[Metrics, tuple[ExecutionClientStatus, ...]]):
    """Get the state of the node's two execution clients; empty for a node with one."""


@attrs.frozen
class GetDualPath(Ask[Metrics, DualPathStatus | None]):
    """Get the state of the comparison of the two execution clients; None for a node with one."""


@attrs.frozen
class Scrape(Ask[Metrics, bytes]):
    """Get all metrics in Prometheus's text format. The caller supplies the state of the tree and the chain.

    `head` is None while the chain actor does not answer; the chain's metrics are then left out. `failures` has the
    number of failures per child and kind of failure, `ports` the counts of the servers' ports. `clock_step` is the
    step of the machine's clock in seconds, 0 while the clock is trusted. `sync` is None for a node without peers,
    and while the sync actor does not answer. `bitcoin` is None on a node that follows no Bitcoin node. `peg` says
    whether the chain has a peg, `health` whether it is halted; None while the bridge does not answer. `peers` are
    the connected peers, None for a node without peers, and while the network actor does not answer. `operations`
    has the open operations of the peg, None without a peg, and while the reader does not answer; `now` is the Unix
    time in seconds. `evidence` has the number of stored pieces of evidence against each authority, None while the
    reader does not answer. `guard` is the signing guard of an authority. `governance` is the state of the stream
    to the governance, None without one.
    """

    tree: ChildSnapshot
    head: Forkchoice | None
    failures: Mapping[str, Mapping[FailureKind, int]]
    ports: tuple[PortCounts, ...] = ()
    clock_step: float = 0.0
    sync: SyncProgress | None = None
    bitcoin: BitcoinStatus | None = None
    peg: bool = False
    health: PegHealth | None = None
    peers: tuple[PeerInfo, ...] | None = None
    operations: PegSummary | None = None
    now: float = 0.0
    evidence: tuple[int, ...] | None = None
    guard: SignedSlot | None = None
    governance: GovernanceReport | None = None
