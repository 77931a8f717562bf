"""Handlers that can be stalled and ports that can fail, without the actor or the port knowing."""

import pytest
import trio
from trio.testing import MockClock

from alysd.nurseries import (
    AskTimeout,
    Health,
    HealthMonitor,
    HealthRules,
    Immediate,
    OneForOne,
    State,
    actor,
    open_system,
    supervisor,
    task,
)
from alysd.testing.harness import ActorTestHarness
from alysd.testing.interception import HandlerStalls, PortFailures
from alysd.testing.stand_in import RecordedAddress, StandIn
from alysd.testing.till import Count, GetBalance, Ledger, Till, TillActor, Withdraw


async def test_a_stalled_actor_takes_messages_and_proceeds_when_released(autojump_clock: MockClock) -> None:
    harness, stalls = ActorTestHarness(), HandlerStalls()
    ledger = StandIn[Ledger]("ledger", harness.transcript)
    ledger.on(GetBalance).answers(5)
    till = RecordedAddress[Till]("till", harness.transcript)
    tree = supervisor(
        "Tills", OneForOne(), [actor(till, lambda: TillActor(ledger)), task("work", trio.sleep_forever)]
    )
    async with harness.running(stalls.intercept(tree)):
        assert await till.ask(Withdraw(1)) == 4
        with stalls.stalling(["till"]), stalls.stalling(["till"]):
            with pytest.raises(AskTimeout):
                await till.ask(Withdraw(1))
            assert harness.state("till") is State.RUNNING
        assert await till.ask(Withdraw(2)) == 3
        assert harness.state("work") is State.RUNNING


async def test_only_the_instances_of_an_intercepted_tree_are_stalled(autojump_clock: MockClock) -> None:
    """The table of handlers that the class has is everybody's."""
    harness, stalls = ActorTestHarness(), HandlerStalls()
    counted: list[int] = []
    ledger = StandIn[Ledger]("ledger", harness.transcript)
    till = RecordedAddress[Till]("till", harness.transcript)
    stalls.intercept(actor(till, lambda: TillActor(ledger)))
    async with harness.running(actor(till, lambda: TillActor(ledger, counted))):
        with stalls.stalling(["till"]):
            till.tell(Count(1))
            await harness.settle()
            assert counted == [1]


async def test_a_health_monitor_finds_and_restarts_a_stalled_actor(autojump_clock: MockClock) -> None:
    harness, stalls = ActorTestHarness(), HandlerStalls()
    ledger = StandIn[Ledger]("ledger", harness.transcript)
    till = RecordedAddress[Till]("till", harness.transcript)
    child = stalls.intercept(actor(till, lambda: TillActor(ledger), restart=Immediate()))
    monitor = HealthMonitor(HealthRules(timeout=1.0, unhealthy_after=2))
    async with open_system(supervisor("Root", OneForOne(), [child]), monitor=monitor) as system:
        with stalls.stalling(["till"]):
            till.tell(Count(1))
            await trio.sleep(200)
        (snapshot,) = system.snapshot().children
        assert snapshot.restarts >= 1
        await trio.sleep(200)
        (snapshot,) = system.snapshot().children
        assert (snapshot.state, snapshot.health) == (State.RUNNING, Health.HEALTHY)


class Disk:
    """A port with a call that waits, one that does not, and a plain value."""

    size = 3

    def __init__(self) -> None:
        self.kept: list[str] = []

    def write(self, text: str, *, twice: bool = False) -> int:
        self.kept += [text] * (2 if twice else 1)
        return len(self.kept)

    async def sync(self) -> str:
        await trio.lowlevel.checkpoint()
        return "synced"


async def test_a_wrapped_port_is_the_port_until_it_fails() -> None:
    failures, disk = PortFailures(), Disk()
    port = failures.wrap(disk)
    assert port.write("a", twice=True) == 2
    assert await port.sync() == "synced"
    assert port.size == 3
    with failures.failing(OSError("no space left")):
        with pytest.raises(OSError, match="no space left"):
            port.write("b")
        with failures.failing(PermissionError("read only")), pytest.raises(PermissionError):
            await port.sync()
        with pytest.raises(OSError, match="no space left"):
            await port.sync()
    assert port.write("c") == 3
    assert (disk.kept, failures.failed) == (["a", "a", "c"], 3)
