"""The view of the running node by which the trial of a new configuration is judged."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import attrs
import trio
from trio.testing import wait_all_tasks_blocked

from alysd.actors.metrics import MetricsActor
from alysd.api.node_view import RunningNode
from alysd.api.operator import OperatorPages
from alysd.api.system_handle import SystemHandle
from alysd.messages.metrics import Metrics
from alysd.messages.reads import ReadEvidence, ReadForkchoice, Reads
from alysd.nurseries import (
    Actor,
    Address,
    Bus,
    FixedDelay,
    HealthMonitor,
    Immediate,
    Never,
    OneForOne,
    State,
    actor,
    handles,
    open_system,
    supervisor,
    task,
)
from alysd.testing.blocks import context_of
from alysd.timing import Timing
from alysd.types.chain import Forkchoice
from alysd.types.evidence import Evidence
from alysd.workflows.clock_watch import ClockWatch
from tests.samples import CHAIN, SPEC, tip

TIMING = Timing(2)


class FixedClock:
    """Wall time that stands still, at the newest block."""

    def time(self) -> float:
        return float(CHAIN[4].timestamp)

    def boottime(self) -> float:
        return 0.0


class FakeReader(Actor[Reads], partial=True):
    """A reader with one head."""

    @handles(ReadEvidence)
    async def evidence(self, message: ReadEvidence) -> tuple[Evidence, ...]:
        return ()

    @handles(ReadForkchoice)
    async def get_head(self, message: ReadForkchoice) -> Forkchoice:
        return tip(4, 1)


class StuckReader(FakeReader, partial=True):
    """A reader that never answers."""

    @handles(ReadForkchoice)
    async def get_head(self, message: ReadForkchoice) -> Forkchoice:
        return await trio.sleep_forever()


class LateClock(FixedClock):
    """No block has come for an hour."""

    def time(self) -> float:
        return CHAIN[4].timestamp + 3600.0


@asynccontextmanager
async def running(
    reader: type[FakeReader] = FakeReader, clock: FixedClock | None = None
) -> AsyncGenerator[tuple[RunningNode, SystemHandle]]:
    """A node with a quick and a slow child."""
    to_reader, to_metrics, clock = Address[Reads]("reader"), Address[Metrics]("metrics"), clock or FixedClock()
    handle = SystemHandle(HealthMonitor())
    pages = OperatorPages(
        context_of(SPEC), clock, ClockWatch(clock, 2), to_reader, to_metrics, handle, TIMING, "authority"
    )
    children = [
        actor(to_reader, reader),
        actor(to_metrics, lambda: MetricsActor(Bus()), restart=Never()),
        task("quick", trio.sleep_forever, restart=Immediate()),
        task("slow", trio.sleep_forever, restart=FixedDelay(60.0)),
    ]
    async with open_system(supervisor("Root", OneForOne(), children)) as handle.system:
        yield RunningNode(pages), handle


async def test_only_a_later_failure_of_a_named_child_counts() -> None:
    async with running() as (node, handle):
        system = handle.up()
        assert node.failure(frozenset({"quick", "slow"}), 0.0) == ""
        system.inject("quick", OSError("gone"))
        await wait_all_tasks_blocked()
        now = trio.current_time()
        assert node.failure(frozenset({"quick"}), now) == "", "it failed before"
        assert node.failure(frozenset({"slow"}), 0.0) == ""
        assert node.failure(frozenset({"quick"}), 0.0) == "quick failed: OSError: gone"
        system.inject("slow", OSError("gone"))
        await wait_all_tasks_blocked()
        later = trio.current_time()
        assert node.failure(frozenset({"slow"}), later) == "", "it waits for its restart because it failed before"


async def test_a_child_that_is_starting_has_not_failed() -> None:
    """A peer host starts for seconds: each change of its options in this time was rolled back."""
    up = trio.Event()

    class Starting(Actor[Metrics], partial=True):
        async def pre_start(self) -> None:
            await up.wait()

    child = actor(Address[Metrics]("starting"), Starting)
    root = supervisor("Root", OneForOne(), [attrs.evolve(child, awaited=False)])
    async with running() as (node, handle), open_system(root) as handle.system:
        await wait_all_tasks_blocked()
        assert handle.system.snapshot().children[0].state is State.STARTING
        assert node.failure(frozenset({"starting"}), 0.0) == ""
        up.set()


async def test_the_health_of_the_node_is_told_with_its_first_reason() -> None:
    async with running() as (node, _):
        assert await node.unhealthy_reason() == ""
    async with running(clock=LateClock()) as (node, handle):
        assert await node.unhealthy_reason() == "the node is unhealthy: no block for 1800 slots"
        handle.system = None
        assert await node.unhealthy_reason() == "the node is starting"


async def test_the_height_is_that_of_the_head_if_the_reader_answers() -> None:
    async with running() as (node, _):
        assert await node.head() == CHAIN[4].height


async def test_a_reader_that_hangs_delays_no_look(autojump_clock: object) -> None:
    async with running(StuckReader) as (node, _):
        assert await node.head() is None
