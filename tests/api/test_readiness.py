"""READY means that the next block can be made or followed; the watchdog, that the event loop turns."""

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.api.readiness import STATUS_SECONDS, Readiness, status_text
from alysd.errors import NotNow
from alysd.messages.chain import Chain, GetForkchoice
from alysd.messages.engine import Engine, SetForkchoice
from alysd.messages.log.base import LogEvent
from alysd.messages.log.process import NotReady
from alysd.nurseries import ActorDown, ChildSpec, Immediate, task
from alysd.testing.harness import ActorTestHarness
from alysd.testing.stand_in import StandIn
from alysd.timing import Timing
from alysd.types.federation import Role
from alysd.types.units import Height
from tests.samples import SPEC, tip

TIP = tip(3, 1)


@attrs.define
class Systemd:
    """Records what it is told."""

    watchdog_seconds: float | None = 60.0
    told: list[str] = attrs.Factory(list[str])
    lines: list[str] = attrs.Factory(list[str])

    def ready(self) -> None:
        self.told.append("ready")

    def watchdog(self) -> None:
        self.told.append("watchdog")

    def status(self, text: str) -> None:
        self.lines.append(text)


class World(ActorTestHarness):
    """A readiness task with stand-ins for the chain and the engine, which answer."""

    def __init__(self, role: Role = "authority") -> None:
        super().__init__()
        self.chain = StandIn[Chain]("chain", self.transcript)
        self.engine = StandIn[Engine]("engine", self.transcript)
        self.chain.on(GetForkchoice).answers(TIP)
        self.engine.on(SetForkchoice).answers(None)
        self.systemd, self.firsts = Systemd(), list[float | None]()
        self.timing = Timing(SPEC.slot_seconds)
        self._readiness = Readiness(
            SPEC,
            self.clock,
            self.chain,
            self.engine,
            self.systemd,
            self.firsts.append,
            self.timing,
            role,
        )

    def readiness(self) -> ChildSpec:
        return task("readiness", self._readiness.run, restart=Immediate())


async def test_ready_comes_once_and_the_watchdog_is_fed_three_times_in_its_interval(
    autojump_clock: MockClock,
) -> None:
    """systemd would kill a node that is well."""
    world = World()
    async with world.running(world.readiness()):
        await trio.sleep(65)
    assert world.systemd.told == ["watchdog", "ready", *["watchdog"] * 3]
    assert world.engine.received == [SetForkchoice(TIP)]
    (first,) = world.firsts
    assert first is not None
    assert 0 < first <= SPEC.slot_seconds


async def test_an_execution_client_that_is_away_does_not_starve_the_watchdog(autojump_clock: MockClock) -> None:
    """systemd would kill the node after minutes, and its restart brings no client back; nor resumes an actor."""
    world = World()
    world.engine.on(SetForkchoice).keeps_silent()
    world.chain.on(GetForkchoice).keeps_silent()
    async with world.running(world.readiness()):
        await trio.sleep(605)
    assert world.systemd.told == ["watchdog"] * 31
    assert all(line.startswith("not ready: ") for line in world.systemd.lines)


async def test_without_a_watchdog_none_is_fed(autojump_clock: MockClock) -> None:
    world = World()
    world.systemd.watchdog_seconds = None
    async with world.running(world.readiness()):
        await trio.sleep(100)
    assert world.systemd.told == ["ready"]


async def test_the_status_line_says_what_the_node_does(autojump_clock: MockClock) -> None:
    """`systemctl status` would show nothing but that the process runs."""
    world = World()
    async with world.running(world.readiness()):
        await world.settle()
        world.chain.on(GetForkchoice).keeps_silent()
        await trio.sleep(STATUS_SECONDS + world.timing.readiness_ask + 1)
    first, second = world.systemd.lines
    assert first.endswith("head 4, final 2")
    assert second.startswith("no answer from the chain: ")


@pytest.mark.parametrize(
    ("role", "slots", "said"),
    [
        ("authority", 1, "makes blocks: head 4, final 2"),
        ("follower", 3, "follows the chain: head 4, final 2"),
        ("authority", 4, "no block for 4 slots; head 4, final 2"),
        ("authority", -1800, "the head is 1800 slots in the future: check the clock; head 4, final 2"),
    ],
)
def test_the_status_line_names_a_late_head(role: Role, slots: int, said: str) -> None:
    assert status_text(TIP, role, TIP.head.timestamp + slots * 2.0, 2) == said


def test_a_new_chain_has_no_block_yet() -> None:
    genesis = attrs.evolve(TIP, head=attrs.evolve(TIP.head, height=Height(0)))
    assert status_text(genesis, "authority", TIP.head.timestamp + 10_000.0, 2) == "no block yet"


@pytest.mark.parametrize("error", [NotNow("it is behind"), ActorDown("engine", "it is paused")])
async def test_it_is_not_ready_before_the_execution_client_follows(
    error: Exception, autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    """The reason is logged once, not every second."""
    world = World()
    world.engine.on(SetForkchoice).fails(error)
    async with world.running(world.readiness()):
        await trio.sleep(10 * world.timing.readiness_retry)
        assert "ready" not in world.systemd.told
        assert world.systemd.lines[-1] == f"not ready: {error}"
        world.engine.on(SetForkchoice).answers(None)
        await trio.sleep(2 * world.timing.readiness_retry)
        assert "ready" in world.systemd.told
    assert [event.reason for event in logged if isinstance(event, NotReady)] == [str(error)]


async def test_a_follower_is_ready_without_a_slot_of_its_own(autojump_clock: MockClock) -> None:
    world = World("follower")
    async with world.running(world.readiness()):
        await world.settle()
    assert world.firsts == [None]


async def test_a_restarted_task_reports_to_the_operator_once(autojump_clock: MockClock) -> None:
    world = World()
    async with world.running(world.readiness()) as system:
        await world.settle()
        await system.restart("readiness")
        await world.settle()
    assert world.systemd.told == ["watchdog", "ready"] * 2
    assert len(world.firsts) == 1
