"""The operator's pages, asked as a browser and Prometheus ask.

/metrics is rendered in a thread: its tests run on the real clock, on which nothing here waits.
"""

import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from alysd.actors.metrics import MetricsActor
from alysd.api import operator
from alysd.api.http.site import Site
from alysd.api.operator import OperatorPages
from alysd.api.system_handle import SystemHandle
from alysd.messages.bitcoin_watch import BitcoinWatch, GetBitcoinStatus
from alysd.messages.bridge import Bridge, GetPegHealth, PegHealth
from alysd.messages.metrics import Metrics
from alysd.messages.network import GetOtherChainPeers, GetPeers, Network, OtherChainPeer, PeerInfo
from alysd.messages.reads import ReadEvidence, ReadForkchoice, Reads
from alysd.messages.sync import GetSyncProgress, Sync
from alysd.nurseries import (
    Actor,
    Address,
    Bus,
    HealthMonitor,
    Never,
    OneForOne,
    System,
    actor,
    handles,
    open_system,
    supervisor,
)
from alysd.testing.blocks import GENESIS, context_of
from alysd.testing.site_server import SiteTransport
from alysd.timing import Timing
from alysd.types.bitcoin_watch import BitcoinStatus, Expected
from alysd.types.chain import Forkchoice
from alysd.types.evidence import Evidence
from alysd.types.hashes import BitcoinHash
from alysd.types.health_limits import HealthLimits
from alysd.types.latest import Latest
from alysd.types.peers import PeerStatus
from alysd.types.sync import SyncProgress
from alysd.types.units import Height, Sat, Slot
from alysd.workflows.clock_watch import ClockWatch
from tests.samples import CHAIN, SPEC, tip

TIMING = Timing(2)


class FixedClock:
    """Wall time that stands still, at the newest block."""

    def time(self) -> float:
        """Unix seconds."""
        return float(CHAIN[4].timestamp)

    def boottime(self) -> float:
        """Seconds since the machine started."""
        return 0.0


class FakeReader(Actor[Reads], partial=True):
    """A reader with one head, which can hang."""

    hang = False

    @handles(ReadEvidence)
    async def evidence(self, message: ReadEvidence) -> tuple[Evidence, ...]:
        """No member has broken the rules."""
        return ()

    @handles(ReadForkchoice)
    async def get_head(self, message: ReadForkchoice) -> Forkchoice:
        """The head, or nothing at all."""
        if self.hang:
            await trio.sleep_forever()
        return tip(4, 1)


class FakeNetwork(Actor[Network], partial=True):
    """A network actor with one peer, which has a status."""

    @handles(GetPeers)
    async def peers(self, message: GetPeers) -> tuple[PeerInfo, ...]:
        """The peer."""
        status = PeerStatus(
            *(GENESIS, GENESIS, Height(7), Slot(9)),
            *(GENESIS, Height(6), GENESIS, Height(5), 0.0),
        )
        return (PeerInfo("16Uiu2", "/ip4/192.0.2.7", False, 0.0, status),)

    @handles(GetOtherChainPeers)
    async def others(self, message: GetOtherChainPeers) -> tuple[OtherChainPeer, ...]:
        """A configured peer that is not connected."""
        return (OtherChainPeer("16Uiu3", None),)


class FakeSync(Actor[Sync], partial=True):
    """A sync actor that is behind."""

    @handles(GetSyncProgress)
    async def progress(self, message: GetSyncProgress) -> SyncProgress:
        """The progress."""
        return SyncProgress(Height(4), Height(19), 1.5, 1)


class StuckReader(FakeReader):
    """A reader that never answers."""

    hang = True


class FakeWatch(Actor[BitcoinWatch], partial=True):
    """A Bitcoin watch whose node does not answer."""

    @handles(GetBitcoinStatus)
    async def status(self, message: GetBitcoinStatus) -> BitcoinStatus:
        """The status."""
        return BitcoinStatus(800_000, 799_990, "connection refused")


class FakeBridge(Actor[Bridge], partial=True):
    """A bridge of a halted peg."""

    @handles(GetPegHealth)
    async def health(self, message: GetPegHealth) -> PegHealth:
        """One deposit and 19 payments are lost."""
        payments = (Expected(BitcoinHash(bytes([one]) * 32), None) for one in range(1, 20))
        return PegHealth((Expected(BitcoinHash(bytes(32)), Sat(1)), *payments), None)


@asynccontextmanager
async def pages(
    reader: type[FakeReader] | None = FakeReader,
    *,
    ready: bool = True,
    network: bool = False,
    peg: bool = False,
    folder: Path | None = None,
    limits: HealthLimits | None = None,
) -> AsyncGenerator[tuple[httpx.AsyncClient, System]]:
    """A client of the pages of a small system, with this reader or none."""
    to_reader, to_metrics, bus = Address[Reads]("reader"), Address[Metrics]("metrics"), Bus()
    children = [actor(to_metrics, lambda: MetricsActor(bus), restart=Never())]
    to_network = Address[Network]("network") if network else None
    to_sync = Address[Sync]("sync") if network else None
    if to_network is not None and to_sync is not None:
        children += [actor(to_network, FakeNetwork), actor(to_sync, FakeSync)]
    if reader is not None:
        children.append(actor(to_reader, reader))
    to_watch = Address[BitcoinWatch]("bitcoin watch") if peg else None
    to_bridge = Address[Bridge]("bridge") if peg else None
    if to_watch is not None and to_bridge is not None:
        children += [actor(to_watch, FakeWatch), actor(to_bridge, FakeBridge)]
    async with open_system(supervisor("Root", OneForOne(), children)) as system:
        running = SystemHandle(HealthMonitor())
        running.system, running.ready = system, ready
        clock = FixedClock()
        shown = OperatorPages(
            context_of(SPEC), clock, ClockWatch(clock, 2), to_reader, to_metrics, running, TIMING, "authority",
            to_network, to_sync, to_watch, to_bridge, limits=Latest(limits or HealthLimits()), folder=folder,
        )  # fmt: skip
        counts = shown.port("alys")
        counts.opened, counts.busy = 3, 1
        transport = SiteTransport(Site(shown.routes()))
        async with httpx.AsyncClient(transport=transport, base_url="http://node") as client:
            yield client, system


async def test_the_health_knows_the_free_space_of_the_disk(tmp_path: Path) -> None:
    most = HealthLimits(least_free_mib=2**60)
    async with pages(folder=tmp_path, limits=most) as (client, _):
        (reason,) = (await client.get("/health/status")).json()["reasons"]
        assert "MiB are free on the disk of the data folder, less than monitoring.least_free_mib" in reason
    async with pages(folder=tmp_path / "gone", limits=most) as (client, _):
        assert (await client.get("/health/status")).json()["reasons"] == []
    async with pages(folder=tmp_path) as (client, _):
        assert (await client.get("/health/status")).json()["status"] == "healthy"


async def test_a_disk_that_hangs_delays_one_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the health would leave one more thread behind."""
    over, calls = threading.Event(), list[object]()

    def hang(folder: object) -> None:
        calls.append(folder)
        over.wait(60)

    monkeypatch.setattr(operator.shutil, "disk_usage", hang)
    try:
        async with pages(folder=tmp_path) as (client, _):
            for _ in range(3):
                assert (await client.get("/health/status")).json()["status"] == "healthy"
    finally:
        over.set()
    assert len(calls) == 1


async def test_prometheus_gets_its_text() -> None:
    """Nothing of the node would be on any dashboard."""
    async with pages() as (client, _):
        answer = await client.get("/metrics")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert f"alysd_head_height {float(CHAIN[4].height)}" in answer.text


async def test_prometheus_sees_failures_by_kind() -> None:
    """An alert could not tell a bug from a full disk."""
    async with pages() as (client, system):
        system.inject("reader", TimeoutError("late"))
        await wait_all_tasks_blocked()
        text = (await client.get("/metrics")).text
        assert 'alysd_child_failures_total{child="reader",kind="timeout"} 1.0' in text


async def test_metrics_do_not_need_the_database() -> None:
    """A reader that is down would take the numbers of all others with it."""
    async with pages(None) as (client, _):
        answer = await client.get("/metrics")
        assert answer.status_code == 200
        assert "alysd_child_up" in answer.text
        assert "alysd_head_height" not in answer.text


async def test_the_metrics_have_the_progress_of_a_sync() -> None:
    async with pages(network=True) as (client, _):
        assert "alysd_sync_missing_blocks 15.0" in (await client.get("/metrics")).text
    async with pages() as (client, _):
        assert "alysd_sync_missing_blocks" not in (await client.get("/metrics")).text


async def test_a_halted_peg_is_on_all_pages() -> None:
    """An operator at night would see a healthy node, while nothing is paid."""
    async with pages(peg=True) as (client, _):
        status = (await client.get("/status")).json()
        assert status["bitcoin"] == {"tip": 800_000, "read": 799_990, "problem": "connection refused"}
        assert (status["peg"]["halted"], len(status["peg"]["lost"]), status["peg"]["doubt"]) == (True, 10, None)
        health = await client.get("/health/status")
        reasons = health.json()["reasons"]
        lost = f"the minted deposit {'00' * 32} is not on Bitcoin any more, nor 19 more"
        assert f"the peg is halted: {lost}" in reasons
        assert "this node takes no part in the peg: connection refused" in reasons
        metrics = (await client.get("/metrics")).text
        assert "alysd_peg_halted 1.0" in metrics
        assert "alysd_bitcoin_blocks_behind 10.0" in metrics
    async with pages() as (client, _):
        status = (await client.get("/status")).json()
        assert (status["bitcoin"], status["peg"]) == (None, None)


async def test_the_status_has_the_peers_of_a_node_with_a_network(autojump_clock: MockClock) -> None:
    """An operator could not see whether the other members are connected."""
    async with pages(network=True) as (client, _):
        (peer,) = (await client.get("/status")).json()["peers"]
        assert (peer["peer"], peer["head"], peer["final"]) == ("16Uiu2", 7, 5)
        reasons = (await client.get("/status")).json()["health"]["reasons"]
        assert any("the configured peer 16Uiu3 does not know" in reason for reason in reasons)
        assert (await client.get("/status")).json()["sync"] == {
            "synced": False,
            "current": 4,
            "target": 19,
            "blocks_per_second": 1.5,
            "seconds_left": 10.0,
            "peers": 1,
            "checkpoint_missing": False,
            "checkpoint_problem": None,
        }
    async with pages() as (client, _):
        status = (await client.get("/status")).json()
        assert (status["peers"], status["sync"]) == (None, None)


async def test_a_load_balancer_sees_health_in_the_status_code(autojump_clock: MockClock) -> None:
    """A node that cannot serve would keep its visitors."""
    async with pages() as (client, _):
        answer = await client.get("/health/status")
        assert (answer.status_code, answer.json()) == (
            200,
            {"status": "healthy", "role": "authority", "reasons": []},
        )
    async with pages(StuckReader) as (client, _):
        answer = await client.get("/health/status")
        assert answer.status_code == 503
        assert answer.json()["reasons"] == ["the database does not answer"]


async def test_probes_tell_a_node_that_starts_from_one_that_is_stuck(autojump_clock: MockClock) -> None:
    """Kubernetes would kill a node that only waits for its execution client."""
    async with pages() as (client, _):
        assert (await client.get("/health/live")).status_code == 200
        answer = await client.get("/health/ready")
        assert (answer.status_code, answer.json()["ready"]) == (200, True)
    async with pages(ready=False) as (client, _):
        assert (await client.get("/health/live")).status_code == 200
        answer = await client.get("/health/ready")
        assert answer.status_code == 503
        assert answer.json()["reasons"] == ["the execution client does not follow the head yet"]
    async with pages(StuckReader) as (client, _):
        assert (await client.get("/health/live")).status_code == 200
        assert (await client.get("/health/ready")).status_code == 503


async def test_prometheus_sees_the_ports() -> None:
    async with pages() as (client, _):
        text = (await client.get("/metrics")).text
        assert 'alysd_port_connections_total{port="alys"} 3.0' in text
        assert 'alysd_port_requests_busy_total{port="alys"} 1.0' in text


async def test_a_stuck_actor_is_told_within_seconds(autojump_clock: MockClock) -> None:
    """The page that should say who is stuck would hang with them."""
    async with pages(StuckReader) as (client, _):
        begun = trio.current_time()
        assert (await client.get("/status")).json()["health"]["status"] == "unhealthy"
        assert trio.current_time() - begun < 5


async def test_the_pages_outlive_the_metrics_actor(autojump_clock: MockClock) -> None:
    """One failed part would take the whole view of the node with it."""
    async with pages() as (client, system):
        system.inject("metrics", ValueError("broken"))
        await trio.sleep(1)
        assert (await client.get("/metrics")).status_code == 503
        said = (await client.get("/status")).json()
        assert said["counts"] is None
        assert said["health"]["status"] == "degraded"
        assert "metrics has failed for good: ValueError: broken" in said["health"]["reasons"][0]


@pytest.mark.parametrize("path", ["/metrics", "/health/status", "/status", "/supervision/stats", "/health/trends"])
async def test_the_pages_are_only_for_reading(autojump_clock: MockClock, path: str) -> None:
    """No method other than GET may reach the pages, because anyone may reach the port."""
    async with pages() as (client, _):
        assert (await client.post(path)).status_code == 405
