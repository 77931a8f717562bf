"""Each kind of fault has the described effect on its targets only, and ends completely."""

import tracemalloc
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from random import Random

import pytest
import trio
from trio.testing import MockClock

from alysd.nurseries import ActorDown, AskTimeout, FixedDelay, State, actor
from alysd.testing.faults import (
    Byzantine,
    ClockSkew,
    Crash,
    Fault,
    Flood,
    Hang,
    InjectedCrash,
    IoFailure,
    MemoryPressure,
    MessageDelay,
    MessageDuplication,
    MessageLoss,
    Partition,
    SystemUnderTest,
)
from alysd.testing.harness import ActorTestHarness
from alysd.testing.interception import HandlerStalls, PortFailures
from alysd.testing.stand_in import StandIn
from alysd.testing.till import Count, GetBalance, Ledger, Till, TillActor, Withdraw
from alysd.testing.transport import Transport, TransportAddress
from alysd.testing.virtual_time import VirtualClock


class Street:
    """Two tills, `near` and `far`, each behind a transport."""

    def __init__(self) -> None:
        self.harness = ActorTestHarness()
        self.transport, self.stalls = Transport(), HandlerStalls()
        self.counted: dict[str, list[int]] = {"near": [], "far": []}
        ledger = StandIn[Ledger]("ledger", self.harness.transcript)
        ledger.on(GetBalance).answers(5)
        self.tills = {name: TransportAddress[Till](name, self.transport, capacity=8) for name in self.counted}
        self.children = [
            self.stalls.intercept(
                actor(
                    till, lambda name=name: TillActor(ledger, self.counted[name]), restart=FixedDelay(seconds=1.0)
                )
            )
            for name, till in self.tills.items()
        ]

    @asynccontextmanager
    async def subject(self) -> AsyncGenerator[SystemUnderTest]:
        async with self.harness.running(*self.children) as system, trio.open_nursery() as nursery:
            nursery.start_soon(self.transport.run)
            yield SystemUnderTest(system, self.transport, self.stalls)
            nursery.cancel_scope.cancel()

    def count_everywhere(self, number: int) -> None:
        for till in self.tills.values():
            till.tell(Count(number))


async def test_a_crash_fails_its_targets_unless_they_are_down(autojump_clock: MockClock) -> None:
    street = Street()
    async with street.subject() as subject:
        with Crash().inject(subject, ["near"]):
            await street.harness.settle()
            assert (street.harness.state("near"), street.harness.state("far")) == (State.BACKOFF, State.RUNNING)
        with Crash().inject(subject, ["near"]):
            await street.harness.settle()
        await trio.sleep(1.0)
        await street.harness.settle()
        assert street.harness.child("near").restarts == 1
        assert street.harness.child("near").last_error == "InjectedCrash: near"
    assert str(InjectedCrash("near")) == "near"


async def test_a_hang_lasts_as_long_as_its_block(autojump_clock: MockClock) -> None:
    street = Street()
    async with street.subject() as subject:
        with Hang().inject(subject, ["near"]):
            with pytest.raises(AskTimeout):
                await street.tills["near"].ask(Withdraw(1))
            assert await street.tills["far"].ask(Withdraw(1)) == 4
        assert await street.tills["near"].ask(Withdraw(1)) == 4


async def test_a_flood_fills_the_mailbox_and_drains(autojump_clock: MockClock) -> None:
    street = Street()
    async with street.subject() as subject:
        near = street.tills["near"]
        with Flood().inject(subject, ["near"]):
            assert near.depth == 8, "as many as there is room for"
        assert await near.ask(Withdraw(1)) == 4
        assert near.refused == 8
        with Flood(messages=3).inject(subject, ["near"]):
            assert near.depth == 3


@pytest.mark.parametrize(
    ("fault", "near", "far"),
    [
        (MessageLoss(), [], [1]),
        (MessageDuplication(seconds=2.0), [1, 1], [1]),
        (MessageDelay(seconds=2.0), [1], [1]),
    ],
)
async def test_message_faults_affect_their_targets(
    fault: Fault, near: list[int], far: list[int], autojump_clock: MockClock
) -> None:
    street = Street()
    async with street.subject() as subject:
        with fault.inject(subject, ["near"]):
            street.count_everywhere(1)
            await street.harness.settle()
            assert street.counted["far"] == far
        await trio.sleep(2.1)
        await street.harness.settle()
        assert street.counted == {"near": near, "far": far}


async def test_a_share_is_a_share_and_no_target_means_all(autojump_clock: MockClock) -> None:
    street = Street()
    async with street.subject() as subject:
        with MessageLoss(share=0.5).inject(subject, []):
            for number in range(200):
                street.count_everywhere(number)
                await street.harness.settle()
        assert all(60 < len(counted) < 140 for counted in street.counted.values())
        assert street.transport.sent == 400


async def test_delays_let_messages_pass_each_other(autojump_clock: MockClock) -> None:
    street = Street()
    async with street.subject() as subject:
        with MessageDelay(seconds=5.0).inject(subject, []):
            for number in range(8):
                street.tills["near"].tell(Count(number))
        await trio.sleep(5.1)
        await street.harness.settle()
        counted = street.counted["near"]
        assert sorted(counted) == list(range(8))
        assert counted != sorted(counted)


async def test_a_byzantine_child_sends_something_else(autojump_clock: MockClock) -> None:
    harness, transport = ActorTestHarness(), Transport()
    changed: list[object] = []

    def richer(message: object, rng: Random) -> object:
        changed.append(message)
        return message

    ledger = TransportAddress[Ledger]("ledger", transport)
    till = TransportAddress[Till]("till", transport)
    async with harness.running(actor(till, lambda: TillActor(ledger))) as system:
        with (
            Byzantine(alter=richer).inject(SystemUnderTest(system, transport), ["till"]),
            pytest.raises(ActorDown),
        ):
            await till.ask(Withdraw(1))
    assert changed == [GetBalance()], "what others send to it stays as it is"


async def test_a_partition_parts_groups_and_spares_who_is_in_none(autojump_clock: MockClock) -> None:
    transport = Transport()
    partition = Partition((frozenset({"a", "b"}), frozenset({"c"})))

    def passes(sender: str, to: str) -> bool:
        return transport.passes(sender, "event", to)

    async with ActorTestHarness().running() as system:
        with partition.inject(SystemUnderTest(system, transport), []):
            assert [passes("a", "b"), passes("a", "c"), passes("c", "b")] == [True, False, False]
            assert passes("test", "c")
            assert passes("c", "test")
    assert passes("a", "c")
    with pytest.raises(ValueError, match="groups"):
        Partition((frozenset({"a"}),))


async def test_clocks_and_ports_are_as_before_afterwards(autojump_clock: MockClock) -> None:
    clock, ports = VirtualClock(), PortFailures()
    async with ActorTestHarness().running() as system:
        subject = SystemUnderTest(system, clock=clock, ports=ports)
        faults: Sequence[Fault] = [ClockSkew(-30.0), ClockSkew(5.0), IoFailure(OSError("gone"))]
        before = clock.time()
        with faults[0].inject(subject, []), faults[1].inject(subject, []), faults[2].inject(subject, []):
            assert clock.time() - before == pytest.approx(-25.0)
            with pytest.raises(OSError, match="gone"):
                ports.check()
        assert clock.time() == before
        ports.check()


async def test_memory_is_held_and_given_back(autojump_clock: MockClock) -> None:
    async with ActorTestHarness().running() as system:
        tracemalloc.start()
        try:
            with MemoryPressure(megabytes=8).inject(SystemUnderTest(system), []):
                held, _ = tracemalloc.get_traced_memory()
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert held > 8 * 2**20
    assert after < 2**20
    with pytest.raises(ValueError, match="megabytes"):
        MemoryPressure(megabytes=100_000)
