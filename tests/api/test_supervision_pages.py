"""The pages about the runtime, requested while actors fail, hang and are flooded."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import httpx
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from alysd.api.http.site import Route
from alysd.api.http.site import Site as HttpSite
from alysd.api.supervision_pages import ADVICE, ERROR_LENGTH, SupervisionPages, mailbox_json
from alysd.api.system_handle import SystemHandle
from alysd.errors import NotNow
from alysd.nurseries import (
    Actor,
    Address,
    Ask,
    FixedDelay,
    HealthMonitor,
    HealthRules,
    Never,
    OneForOne,
    Overflow,
    PatternKind,
    Priority,
    System,
    Tell,
    TraceContext,
    actor,
    handles,
    open_system,
    supervisor,
    traced,
)
from alysd.testing.site_server import SiteTransport
from alysd.testing.virtual_time import VirtualClock


class Work:
    """The protocol of the worker."""


@attrs.frozen
class Do(Tell[Work]):
    """Work a second."""


@attrs.frozen
class Hang(Ask[Work, None]):
    """Never answer."""


class Worker(Actor[Work]):
    """Works, or hangs."""

    @handles(Do)
    async def do(self, message: Do) -> None:
        """Work."""
        await trio.sleep(1)

    @handles(Hang)
    async def hang(self, message: Hang) -> None:
        """Do not return."""
        await trio.sleep_forever()


class Site:
    """A small running system, its worker's address, and a browser on its pages."""

    def __init__(self, client: httpx.AsyncClient, system: System, worker: Address[Work]) -> None:
        self.client = client
        self.system = system
        self.worker = worker

    async def get(self, path: str) -> dict[str, Any]:
        """The JSON of a page."""
        answer = await self.client.get(path)
        assert answer.status_code == 200
        return answer.json()


def transport_of(pages: SupervisionPages) -> SiteTransport:
    return SiteTransport(HttpSite({path: Route("GET", page) for path, page in pages.pages().items()}))


@asynccontextmanager
async def site() -> AsyncGenerator[Site]:
    """A worker that restarts after a second, and a fragile one that does not."""
    worker, fragile = Address[Work]("worker", capacity=8, overflow=Overflow.DROP_OLDEST), Address[Work]("fragile")
    running = SystemHandle(HealthMonitor(HealthRules()))
    root = supervisor("Root", OneForOne(), [
        actor(worker, Worker, restart=FixedDelay(1.0), priority=Priority.CRITICAL),
        actor(fragile, Worker, restart=Never()),
    ])  # fmt: skip
    async with open_system(root, monitor=running.monitor) as running.system:
        transport = transport_of(SupervisionPages(VirtualClock(), running))
        async with httpx.AsyncClient(transport=transport, base_url="http://node") as client:
            yield Site(client, running.system, worker)


async def test_the_history_says_what_failed_when_and_what_helps(autojump_clock: MockClock) -> None:
    """An operator would have to search the log for what the node knows."""
    async with site() as here:
        await trio.sleep(10)
        here.system.inject("worker", ConnectionError("the peer left"))
        await trio.sleep(5)
        said = await here.get("/supervision/stats")
        children = {child["name"]: child for child in said["children"]}
        assert list(children) == ["Root", "worker", "fragile"]
        worker = children["worker"]
        assert (worker["state"], worker["restart"], worker["restarts"]) == ("Running", "FixedDelay", 1)
        assert (worker["failures"], worker["failures_by_kind"]) == (1, {"network": 1})
        assert worker["failures_by_outcome"] == {"restarted": 1}
        assert worker["mean_uptime_until_failure"] == pytest.approx(10, abs=0.5)
        assert worker["uptime"] == pytest.approx(4, abs=0.5)
        (failure,) = worker["recent"]
        assert said["time"] - failure["at"] == pytest.approx(5, abs=0.5)
        assert failure["error"] == "ConnectionError: the peer left"
        assert (failure["restarted_after"], failure["outcome"]) == (1.0, "restarted")
        assert failure["recommended"] == "restart it, with growing delays"
        assert children["fragile"]["recent"] == []


async def test_a_child_that_is_left_failed_says_so(autojump_clock: MockClock) -> None:
    """Otherwise the page would suggest that the child will be restarted."""
    async with site() as here:
        here.system.inject("fragile", ValueError("x" * 1000))
        await trio.sleep(1)
        fragile = (await here.get("/supervision/stats"))["children"][2]
        assert (fragile["state"], fragile["failures_by_outcome"]) == ("Failed", {"left failed": 1})
        assert len(fragile["recent"][0]["error"]) == ERROR_LENGTH


async def test_patterns_are_told_with_where_to_look(autojump_clock: MockClock) -> None:
    """Five failures in a minute would be five lines in a log."""
    async with site() as here:
        assert (await here.get("/supervision/patterns"))["patterns"] == []
        for _ in range(5):
            await trio.sleep(4)
            here.system.inject("worker", ValueError("again"))
        await trio.sleep(2)
        said = await here.get("/supervision/patterns")
        assert {pattern["kind"] for pattern in said["patterns"]} == {"burst", "rhythm"}
        burst = next(pattern for pattern in said["patterns"] if pattern["kind"] == "burst")
        assert (burst["children"], burst["failures"]) == (["worker"], 5)
        assert said["time"] - burst["last"] == pytest.approx(2, abs=0.5)
        assert burst["look"] == ADVICE[PatternKind.BURST]


def test_every_kind_of_pattern_has_its_advice() -> None:
    """A pattern of another kind would make the page fail."""
    assert ADVICE.keys() == set(PatternKind)


async def test_a_stuck_actor_is_seen_with_what_it_holds(autojump_clock: MockClock) -> None:
    """The page must name the message that an actor hangs in, and the messages that wait behind it."""
    async with site() as here, trio.open_nursery() as nursery:
        nursery.start_soon(_ask_and_give_up, here.worker)
        await trio.sleep(0.1)
        for _ in range(10):
            here.worker.tell(Do())
        said = await here.get("/supervision/memory")
        worker, fragile = said["mailboxes"]
        assert (worker["name"], worker["capacity"], worker["waiting"]) == ("worker", 8, 8)
        assert worker["waiting_by_type"] == {"Do": 8}
        assert worker["current"]["type"] == "Hang"
        assert worker["dropped"] == 2
        assert [letter["reason"] for letter in worker["dead_letters"]] == ["mailbox full"] * 2
        assert worker["waiting_for_seconds"] >= 0
        assert (fragile["waiting"], fragile["current"], fragile["in_line_for_room"]) == (0, None, 0)
        assert said["resident_bytes"] > 10 * 2**20


async def _ask_and_give_up(worker: Address[Work]) -> None:
    with trio.move_on_after(1):
        await worker.ask(Hang(), seconds=5)


async def test_who_waits_for_room_is_counted_and_traced_messages_are_named() -> None:
    """A flood would hide behind a mailbox that is only full."""
    address = Address[Work]("narrow", capacity=1)
    with traced(TraceContext("1" * 32, "2" * 16)):
        address.tell(Do())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(address.send, Do())
        nursery.start_soon(address.send, Do())
        await wait_all_tasks_blocked()
        said = mailbox_json(address)
        assert (said["waiting_by_type"], said["in_line_for_room"]) == ({"Do": 1}, 2)
        nursery.cancel_scope.cancel()


async def test_the_trend_shows_health_over_time(autojump_clock: MockClock) -> None:
    """A node that ails at night would look well in the morning."""
    async with site() as here, trio.open_nursery() as nursery:
        assert (await here.get("/health/trends"))["rounds"] == []
        await trio.sleep(6)
        nursery.start_soon(_ask_and_give_up, here.worker)
        await trio.sleep(30)
        said = await here.get("/health/trends")
        rounds = said["rounds"]
        assert len(rounds) >= 6
        assert rounds[0]["Healthy"] == 3
        assert any(now.get("Degraded") == 1 for now in rounds[1:])
        assert 0 <= said["time"] - rounds[-1]["at"] <= 5


async def test_a_node_that_starts_says_so(autojump_clock: MockClock) -> None:
    """A page opened too early would be a stack trace; the server makes a 503 of this."""
    pages = SupervisionPages(VirtualClock(), SystemHandle(HealthMonitor()))
    transport = transport_of(pages)
    async with httpx.AsyncClient(transport=transport, base_url="http://node") as client:
        with pytest.raises(NotNow, match="starting"):
            await client.get("/supervision/stats")
