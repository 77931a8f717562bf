"""Runs `alysd run --dev-clock`: a chain of this process alone, in memory, whose blocks are made on demand."""

import time

import attrs
import trio

from alysd.api.banner import accounts_open, node_starting
from alysd.api.console_log import ProcessLog
from alysd.api.event_logger import EventLogger
from alysd.api.http.messages import Request, Response, json_response
from alysd.api.http.server import listen, serve
from alysd.api.http.site import HostNames, Route, Site
from alysd.api.stop_signals import StopSignals
from alysd.api.stuck_exit import StuckExit
from alysd.api.system_handle import Stop
from alysd.config.connection_sections import ApiConfig
from alysd.consensus.federation import federation_at
from alysd.embedded import DemandExecution
from alysd.errors import DevClockForbidden
from alysd.integrations.clock import SystemClock
from alysd.integrations.systemd import Notifier
from alysd.messages.log.base import log
from alysd.messages.log.process import NodeReady, NodeStopped
from alysd.messages.metrics import PortCounts
from alysd.node import CLASSIFIER, FATAL, REFUSALS
from alysd.nurseries import Bus, ChildSpec, Immediate, OneForAll, open_system, supervisor, task
from alysd.timing import Timing
from alysd.types.development_accounts import DEVELOPMENT_KEYS
from alysd.validation import Genesis, ValidNode, genesis_of

MODE = "dev-clock"
"""The name of the mode in the answers of the health pages."""


async def run_on_demand(valid: ValidNode, begun: float, process_log: ProcessLog, early: StopSignals) -> None:
    """Run the chain until a stop signal arrives. The arguments are those of `running.run_node`.

    Raises `DevClockForbidden` for a configuration with which there may be other nodes, and `SystemFailed`.
    """
    check_alone(valid)
    config, clock = valid.config, SystemClock()
    genesis = genesis_at(valid, int(clock.time()))
    timing = Timing(valid.genesis.context.spec.slot_seconds)
    stop = Stop(Notifier(), lambda: None)
    with trio.open_signal_receiver(*early.numbers) as signals, stop.scope:
        if early.first is not None:
            stop.take(early.first)
        log(attrs.evolve(node_starting(config, genesis.context, valid.account), data="in memory", dev_clock=True))
        for event in accounts_open(config):
            log(event)
        keys = DEVELOPMENT_KEYS if config.accounts_open else {}
        async with DemandExecution.open(
            genesis.context, genesis.state, clock, timing.embedded_build, keys
        ) as execution:
            event_logger, bound = EventLogger(Bus()), [trio.Event(), trio.Event()]
            root = supervisor("DevClock", OneForAll(), [
                task("stop signals", lambda: stop.on(signals), restart=Immediate()),
                *_servers(config.api, execution, bound, timing),
                task("interval mining", execution.chain.run),
            ])  # fmt: skip
            async with open_system(
                root, observer=event_logger.child_changed, refusals=REFUSALS, fatal=FATAL, classifier=CLASSIFIER,
                on_stuck=StuckExit(process_log.output),
            ) as system:  # fmt: skip
                for port in bound:
                    await port.wait()
                log(NodeReady(time.perf_counter() - begun, None))
                await system.ended()
    log(NodeStopped(trio.current_time() - stop.asked_at))


def _servers(
    api: ApiConfig, execution: DemandExecution, bound: list[trio.Event], timing: Timing
) -> list[ChildSpec]:
    """The servers of Ethereum's JSON-RPC and of the health pages. Each sets its event once its port is open."""
    names, pages = HostNames(api.allowed_hosts), HealthPages(execution)

    async def serve_ethereum() -> None:
        listeners = await listen(api.ethereum_address.host, api.ethereum_address.port)
        bound[0].set()
        await execution.serve(listeners, names, PortCounts("ethereum"))

    async def serve_pages() -> None:
        address = api.operator_address or api.address
        listeners = await listen(address.host, address.port)
        bound[1].set()
        await serve(Site(pages.routes(), names=names), listeners, counts=PortCounts("alys"))

    return [
        task("ethereum server", serve_ethereum, stop_seconds=timing.server_stop),
        task("alys server", serve_pages, stop_seconds=timing.server_stop),
    ]


def check_alone(valid: ValidNode) -> None:
    """Raise `DevClockForbidden` unless this node is the only one of a development chain."""
    config, reasons = valid.config, list[str]()
    members = len(federation_at(valid.genesis.state, valid.genesis.context).authorities)
    if members != 1:
        reasons.append(f"the chain has {members} authorities (chain.spec)")
    if not config.development.keys_known_to_all:
        reasons.append("the chain is not one whose keys everybody knows (development.keys_known_to_all)")
    if valid.authority_secret is None:
        reasons.append("the node is a follower (chain.authority_key_file is not set)")
    if config.engine.mode != "embedded":
        reasons.append(f'the execution client is not the embedded one (engine.mode = "{config.engine.mode}")')
    if config.network.address is not None:
        reasons.append(f"the node has peers (network.address = {config.network.address})")
    if config.bitcoin.url is not None:
        reasons.append("the node has a Bitcoin node (bitcoin.url)")
    if reasons:
        raise DevClockForbidden(tuple(reasons))


def genesis_at(valid: ValidNode, now: int) -> Genesis:
    """The genesis of the configured chain with slots of one second, which begins at `now`, in Unix seconds."""
    spec = valid.genesis.context.spec
    execution_genesis = {**spec.execution_genesis, "timestamp": hex(now)}
    return genesis_of(attrs.evolve(spec, slot_seconds=1, execution_genesis=execution_genesis))


@attrs.frozen
class HealthPages:
    """The pages /health/live, /health/ready and /health/status, which name the mode."""

    execution: DemandExecution

    def routes(self) -> dict[str, Route]:
        """The routes by path."""
        return {
            "/health/live": Route("GET", self.live, operator=True),
            "/health/ready": Route("GET", self.ready, operator=True),
            "/health/status": Route("GET", self.status, operator=True),
        }

    async def live(self, _request: Request) -> Response:
        """Answer 200, which shows that the event loop runs."""
        return Response.text("live")

    async def ready(self, _request: Request) -> Response:
        """Answer 200: the page exists only while the chain runs."""
        return json_response({"ready": True, "reasons": []}, 200)

    async def status(self, _request: Request) -> Response:
        """The mode, and the number and time of the newest block."""
        head = self.execution.chain.head
        body = {"status": "healthy", "role": "authority", "mode": MODE, "reasons": ()}
        return json_response({**body, "height": head.height, "time": head.timestamp}, 200)
