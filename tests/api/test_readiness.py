"""READY means that the next block can be made or followed; kept slots or a follower's chain feed the watchdog."""

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.api.readiness import Readiness
from alysd.errors import NotNow
from alysd.messages.chain import Chain, GetForkchoice
from alysd.messages.engine import Engine, SetForkchoice
from alysd.messages.events import BlockProduced, ProductionHalted, SlotMissed
from alysd.messages.log.base import LogEvent
from alysd.messages.log.process import NotReady
from alysd.nurseries import ActorDown, Bus, ChildSpec, Immediate, task
from alysd.testing.harness import ActorTestHarness
from alysd.testing.stand_in import StandIn
from alysd.timing import Timing
from alysd.types.federation import Role
from alysd.types.units import Slot
from tests.samples import BLOCK, SPEC, tip

MADE = BlockProduced(BLOCK, 0.1)
TIP = tip(3, 1)


@attrs.define
class Systemd:
    """Records what it is told."""

    told: list[str] = attrs.Factory(list[str])

    def ready(self) -> None:
        self.told.append("ready")

    def watchdog(self) -> None:
        self.told.append("watchdog")


class World(ActorTestHarness):
    """A readiness task with stand-ins for the chain and the engine, which answer."""

    def __init__(self, role: Role = "authority") -> None:
        super().__init__()
        self.chain = StandIn[Chain]("chain", self.transcript)
        self.engine = StandIn[Engine]("engine", self.transcript)
        self.chain.on(GetForkchoice).answers(TIP)
        self.engine.on(SetForkchoice).answers(None)
        self.bus, self.systemd, self.firsts = Bus(), Systemd(), list[float | None]()
        self.timing = Timing(SPEC.slot_seconds)
        self._readiness = Readiness(
            SPEC,
            self.clock,
            self.chain,
            self.engine,
            self.bus,
            self.systemd,
            self.firsts.append,
            self.timing,
            role,
        )

    def readiness(self) -> ChildSpec:
        return task("readiness", self._readiness.run, restart=Immediate())

    async def publish(self, *events: object) -> None:
        """Publish events, and let each be handled."""
        for event in events:
            self.bus.publish(event)
            await self.settle()


async def test_ready_comes_once_and_the_watchdog_with_every_slot_that_is_kept(autojump_clock: MockClock) -> None:
    """Without the watchdog systemd restarts the node, also one whose halted chain a restart cannot help."""
    world = World()
    async with world.running(world.readiness()):
        await world.settle()
        await world.publish(MADE, MADE, ProductionHalted(Slot(9), 3), SlotMissed(Slot(10), 1, "late"))
    assert world.systemd.told == ["ready", "watchdog", "watchdog", "watchdog"]
    assert world.engine.received == [SetForkchoice(TIP)]
    (first,) = world.firsts
    assert first is not None
    assert 0 < first <= SPEC.slot_seconds


async def test_missed_slots_do_not_feed_the_watchdog(autojump_clock: MockClock) -> None:
    world = World()
    async with world.running(world.readiness()):
        await world.settle()
        await world.publish(*(SlotMissed(Slot(slot), 1, "the client is down") for slot in range(5)))
        await trio.sleep(60)
    assert world.systemd.told == ["ready"]


@pytest.mark.parametrize("error", [NotNow("it is behind"), ActorDown("engine", "it is paused")])
async def test_it_is_not_ready_before_the_execution_client_follows(
    error: Exception, autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    """The reason is logged once, not every second."""
    world = World()
    world.engine.on(SetForkchoice).fails(error)
    async with world.running(world.readiness()):
        await trio.sleep(10 * world.timing.readiness_retry)
        await world.publish(MADE)
        assert world.systemd.told == []
        world.engine.on(SetForkchoice).answers(None)
        await trio.sleep(2 * world.timing.readiness_retry)
        assert world.systemd.told[0] == "ready"
    assert [event.reason for event in logged if isinstance(event, NotReady)] == [str(error)]


async def test_a_follower_feeds_the_watchdog_while_its_chain_actor_answers(autojump_clock: MockClock) -> None:
    """Without new blocks a follower would be restarted for ever; with a stuck chain actor it would never be."""
    world = World("follower")
    async with world.running(world.readiness()):
        await trio.sleep(3.5 * SPEC.slot_seconds)
        assert world.systemd.told == ["ready", *["watchdog"] * 3]
        assert world.firsts == [None]
        world.chain.on(GetForkchoice).keeps_silent()
        await trio.sleep(20 * SPEC.slot_seconds)
        assert world.systemd.told == ["ready", *["watchdog"] * 3]


async def test_a_restarted_task_reports_to_the_operator_once(autojump_clock: MockClock) -> None:
    world = World()
    async with world.running(world.readiness()) as system:
        await world.settle()
        await system.restart("readiness")
        await world.settle()
    assert world.systemd.told == ["ready", "ready"]
    assert len(world.firsts) == 1
