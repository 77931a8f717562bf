"""The operator's pages: /metrics for Prometheus, /health for probes, /status for `alysd status`.

The pages about the actor runtime are in `supervision_pages`.
"""

import json
import shutil
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import attrs
import trio

from alysd.api.http.messages import Request, Response, json_response
from alysd.api.http.site import Route
from alysd.api.node_health import NodeReport
from alysd.api.supervision_pages import SupervisionPages
from alysd.api.system_handle import SystemHandle
from alysd.consensus.federation import federation_at
from alysd.errors import Refused
from alysd.messages.bitcoin_watch import BitcoinWatch, GetBitcoinStatus
from alysd.messages.bridge import Bridge, GetPegHealth, PegHealth
from alysd.messages.governance import GetGovernance, GovernanceStream
from alysd.messages.metrics import (
    GetCounts,
    GetDualPath,
    GetExecutionClients,
    GetFederation,
    Metrics,
    PortCounts,
    Scrape,
)
from alysd.messages.network import GetOtherChainPeers, GetPeers, Network
from alysd.messages.reads import ReadEvidence, ReadForkchoice, ReadLedger, Reads
from alysd.messages.sync import GetSyncProgress, Sync
from alysd.nurseries import Address, NotAnswered
from alysd.peg.operations import Operations
from alysd.ports import Clock, Signer
from alysd.timing import Timing
from alysd.types.bitcoin_watch import BitcoinStatus
from alysd.types.chain import Forkchoice
from alysd.types.chain_spec import ChainContext
from alysd.types.evidence import Evidence
from alysd.types.federation import Role
from alysd.types.governance import GovernanceReport
from alysd.types.health_limits import HealthLimits
from alysd.types.latest import Latest
from alysd.types.peg_operation import PegSummary
from alysd.types.signing import SignedSlot
from alysd.workflows.clock_watch import ClockWatch
from alysd.workflows.config_reload import ConfigMemory

Reply = TypeVar("Reply")


@attrs.frozen
class OperatorPages:
    """The pages of one node; `running` gives its tree and the failures in it.

    `network` is None for a node without peers, `bitcoin` and `bridge` for one without a Bitcoin node,
    `signer` for a follower, `governance` for a node without one. `folder` is the data folder.
    """

    context: ChainContext
    clock: Clock
    watch: ClockWatch
    reader: Address[Reads]
    metrics: Address[Metrics]
    running: SystemHandle
    timing: Timing
    role: Role
    network: Address[Network] | None = None
    sync: Address[Sync] | None = None
    bitcoin: Address[BitcoinWatch] | None = None
    bridge: Address[Bridge] | None = None
    signer: Signer | None = None
    configuration: ConfigMemory | None = None
    governance: Address[GovernanceStream] | None = None
    limits: Latest[HealthLimits] = attrs.field(factory=lambda: Latest(HealthLimits()))
    folder: Path | None = None
    _looking: trio.CapacityLimiter = attrs.field(init=False, factory=lambda: trio.CapacityLimiter(1))
    ports: dict[str, PortCounts] = attrs.field(factory=dict[str, PortCounts])

    def port(self, name: str) -> PortCounts:
        """Return the counts of a port, and show them in /metrics. A restart of the server does not reset them."""
        return self.ports.setdefault(name, PortCounts(name))

    def routes(self) -> dict[str, Route]:
        """The routes of all pages, by path."""
        pages = {
            "/metrics": self.metrics_page,
            "/health/live": self.live_page,
            "/health/ready": self.ready_page,
            "/health/status": self.health_page,
            "/status": self.status_page,
            **SupervisionPages(self.clock, self.running).pages(),
        }
        return {path: Route("GET", page, operator=True) for path, page in pages.items()}

    async def metrics_page(self, _request: Request) -> Response:
        """The metrics in Prometheus's text format; 503 while the metrics actor is down."""
        tip = await _answer(self.reader.ask(ReadForkchoice(), seconds=self.timing.page_ask))
        progress = peers = None
        if self.network is not None and self.sync is not None:
            progress = await _answer(self.sync.ask(GetSyncProgress(), seconds=self.timing.page_ask))
            peers = await _answer(self.network.ask(GetPeers(), seconds=self.timing.page_ask))
        bitcoin, health = await self._peg()
        tree = self.running.snapshot()
        failures = self.running.up().failures
        # Copies, because a thread renders the metrics while the runtime continues to count.
        by_kind = {child.name: dict(failures.of(child.name).kinds) for child in tree.walk()}
        ports = tuple(map(attrs.evolve, self.ports.values()))
        step, peg = self.watch.look().step, self.context.peg is not None
        # A reader that does not answer would delay the page once more.
        operations, now = None if tip is None else await self._operations(), self.clock.time()
        evidence = None if tip is None else await _answer(self._pieces())
        scrape = Scrape(
            tree, tip, by_kind, ports, step, progress, bitcoin, peg, health, peers, operations, now,
            None if tip is None or evidence is None else self._counted(evidence, tip), self._guard,
            await self._governance(),
        )  # fmt: skip
        text = await _answer(self.metrics.ask(scrape, seconds=self.timing.page_ask))
        if text is None:
            return Response.text("the metrics actor does not answer", 503)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def health_page(self, _request: Request) -> Response:
        """Answer 200 for a healthy or degraded node, 503 for an unhealthy one; the body has the reasons."""
        health = (await self.report()).health()
        return json_response(
            {"status": health.status, "role": self.role, "reasons": health.reasons}, health.http_status
        )

    async def live_page(self, _request: Request) -> Response:
        """Answer 200, which shows that the event loop runs.

        A node whose execution client is down is also alive.
        """
        return Response.text("live")

    async def ready_page(self, _request: Request) -> Response:
        """Answer 200 while the node makes or follows blocks, and otherwise 503 with reasons."""
        health = (await self.report()).health()
        starting = () if self.running.ready else ("the execution client does not follow the head yet",)
        ready = not starting and health.status != "unhealthy"
        return json_response({"ready": ready, "reasons": [*starting, *health.reasons]}, 200 if ready else 503)

    async def status_page(self, _request: Request) -> Response:
        """The data of `alysd status`; always 200, since the body has the health."""
        return Response(json.dumps(await self.status_data(), indent=1).encode())

    async def status_data(self) -> dict[str, Any]:
        """The data of `alysd status`. Raises `NotNow` while the node starts."""
        return (await self.report()).as_json()

    async def report(self) -> NodeReport:
        """Gather the report of the node, for which each actor is asked. Raises `NotNow` while the node starts."""
        tip = await _answer(self.reader.ask(ReadForkchoice(), seconds=self.timing.page_ask))
        counts = await _answer(self.metrics.ask(GetCounts(), seconds=self.timing.page_ask))
        evidence = await _answer(self._pieces())
        peers = others = federation = progress = clients = dual = None
        if self.network is not None:
            peers = await _answer(self.network.ask(GetPeers(), seconds=self.timing.page_ask))
            if peers is not None:
                others = await _answer(self.network.ask(GetOtherChainPeers(), seconds=self.timing.page_ask))
        if counts is not None:  # else the actor is stuck, and would delay the page once more
            federation = await _answer(self.metrics.ask(GetFederation(), seconds=self.timing.page_ask))
            clients = await _answer(self.metrics.ask(GetExecutionClients(), seconds=self.timing.page_ask))
            dual = await _answer(self.metrics.ask(GetDualPath(), seconds=self.timing.page_ask))
        if self.sync is not None and peers is not None:  # for the same reason
            progress = await _answer(self.sync.ask(GetSyncProgress(), seconds=self.timing.page_ask))
        bitcoin, peg = await self._peg()
        now, doubt, tree = self.clock.time(), self.watch.doubt(), self.running.snapshot()
        return NodeReport(
            self.context,
            now,
            doubt,
            tree,
            tip,
            counts,
            self.role,
            evidence or (),
            peers,
            federation,
            progress,
            bitcoin,
            peg,
            others or (),
            self._guard,
            clients or (),
            None if self.configuration is None else self.configuration.last,
            None if self.configuration is None else self.configuration.trial_left,
            None if self.configuration is None else self.configuration.scheduled,
            await self._governance(),
            dual,
            self.limits.value,
            await self._free_mib(),
        )

    async def _free_mib(self) -> int | None:
        """The free space on the disk of the data folder; None while the disk does not answer."""
        if self.folder is None or not self._looking.available_tokens:  # a thread waits for the disk already
            return None
        with trio.move_on_after(self.timing.page_ask):
            try:
                usage = await trio.to_thread.run_sync(
                    shutil.disk_usage, self.folder, abandon_on_cancel=True, limiter=self._looking
                )
            except OSError:
                return None
            return usage.free >> 20
        return None

    @property
    def _guard(self) -> SignedSlot | None:
        return None if self.signer is None else self.signer.last

    async def _governance(self) -> GovernanceReport | None:
        """The state of the governance stream; None without one, and while its actor does not answer."""
        if self.governance is None:
            return None
        return await _answer(self.governance.ask(GetGovernance(), seconds=self.timing.page_ask))

    async def _pieces(self) -> tuple[Evidence, ...]:
        return await self.reader.ask(ReadEvidence(), seconds=self.timing.page_ask)

    def _counted(self, evidence: Sequence[Evidence], tip: Forkchoice) -> tuple[int, ...]:
        """The number of pieces of evidence against each authority of the head, also against those without any."""
        against = [key for one in evidence for _, key in one.offenders]
        return tuple(against.count(key) for key in federation_at(tip.head, self.context).authorities)

    async def _operations(self) -> PegSummary | None:
        """The open operations of the peg; None without a peg, and while the reader does not answer."""
        rules = self.context.peg
        if rules is None:
            return None
        read = ReadLedger(lambda view: Operations(view, rules, ()).summary())
        return await _answer(self.reader.ask(read, seconds=self.timing.page_ask))

    async def _peg(self) -> tuple[BitcoinStatus | None, PegHealth | None]:
        """The status of the Bitcoin watch and the health of the peg; None for an actor that does not answer."""
        if self.bitcoin is None or self.bridge is None:
            return None, None
        bitcoin = await _answer(self.bitcoin.ask(GetBitcoinStatus(), seconds=self.timing.page_ask))
        return bitcoin, await _answer(self.bridge.ask(GetPegHealth(), seconds=self.timing.page_ask))


async def _answer(asked: Awaitable[Reply]) -> Reply | None:
    """Return the actor's answer. Returns None if the actor refuses, or does not answer in time."""
    try:
        return await asked
    except (NotAnswered, Refused):
        return None
