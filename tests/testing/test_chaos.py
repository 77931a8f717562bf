"""Chaos by a seed: its schedule, its bounds, and what it says of a system that stands it or does not."""

import logging
from functools import partial

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.nurseries import (
    ChildSnapshot,
    FixedDelay,
    Immediate,
    Intensity,
    Never,
    OneForOne,
    Priority,
    RestartPolicy,
    System,
    actor,
    open_system,
    supervisor,
)
from alysd.testing.chaos import (
    Experiment,
    ExperimentFailed,
    ExperimentReport,
    Injection,
    ScheduledInjection,
    SteadyState,
    run_experiment,
    schedule,
)
from alysd.testing.faults import Crash, Flood, Hang, MessageDelay, MessageLoss, Partition, SystemUnderTest
from alysd.testing.interception import HandlerStalls
from alysd.testing.stand_in import StandIn
from alysd.testing.targets import AnyChildren, BlastRadius, ByName, ByPriority, Percentage
from alysd.testing.till import GetBalance, Ledger, Till, TillActor, Withdraw
from alysd.testing.transcript import Transcript
from alysd.testing.transport import Transport, TransportAddress
from alysd.testing.virtual_time import run_virtually
from tests.samples import CHILDREN, child
from tests.thorough import cases

INJECTIONS = [
    Injection(Crash(), AnyChildren(2)),
    Injection(Hang(), ByPriority(Priority.CRITICAL, 1), seconds=3.0),
    Injection(Flood(), AnyChildren()),
    Injection(MessageLoss(share=0.5), Percentage(20), seconds=4.0),
    Injection(MessageDelay(seconds=2.0), AnyChildren(), seconds=4.0),
    Injection(Partition((frozenset({"till 0"}), frozenset({"till 1"}))), AnyChildren(), seconds=2.0),
]


async def always() -> bool:
    await trio.lowlevel.checkpoint()
    return True


STEADY = SteadyState("always", always)


def overlap(one: ScheduledInjection, other: ScheduledInjection) -> bool:
    return one.at <= other.at < one.at + one.injection.seconds


def test_the_same_seed_is_the_same_schedule_and_another_is_another() -> None:
    experiment = Experiment(STEADY, INJECTIONS, count=30)
    assert schedule(experiment, CHILDREN, 1) == schedule(experiment, CHILDREN, 1)
    assert schedule(experiment, CHILDREN, 1) != schedule(experiment, CHILDREN, 2)


@pytest.mark.parametrize("seed", range(cases(6, 20)))
def test_never_more_at_a_time_than_the_radius_and_never_the_protected(seed: int) -> None:
    radius = BlastRadius(share=0.3, protected=frozenset({"a", "n3"}))
    experiment = Experiment(STEADY, INJECTIONS, count=60, seconds=30.0, blast_radius=radius)
    scheduled = schedule(experiment, CHILDREN, seed)
    assert scheduled
    for each in scheduled:
        busy = [
            name for other in scheduled if overlap(other, each) and other.at <= each.at for name in other.targets
        ]
        assert len(set(busy)) <= 3
        assert not {"a", "n3"} & set(each.targets)


def test_who_cannot_be_struck_is_not_in_the_schedule() -> None:
    experiment = Experiment(
        STEADY, [Injection(Crash(), ByName(["a"]))], blast_radius=BlastRadius(protected=frozenset({"a"}))
    )
    assert schedule(experiment, CHILDREN, 1) == ()
    supervisors: list[ChildSnapshot] = [attrs.evolve(child("root"), kind="supervisor")]
    assert schedule(Experiment(STEADY, [Injection(Crash(), AnyChildren())]), supervisors, 1) == ()


class Market:
    """Six tills under one supervisor, the first two of them critical."""

    def __init__(self, restart: RestartPolicy | None = None) -> None:
        ledger = StandIn[Ledger]("ledger", Transcript())
        ledger.on(GetBalance).answers(5)
        self.transport, self.stalls = Transport(seed=1), HandlerStalls()
        self.tills = [TransportAddress[Till](f"till {number}", self.transport, capacity=64) for number in range(6)]
        children = [
            actor(
                till,
                lambda: TillActor(ledger),
                restart=restart or FixedDelay(seconds=0.5),
                priority=Priority.CRITICAL if number < 2 else Priority.NORMAL,
            )
            for number, till in enumerate(self.tills)
        ]
        tree = supervisor("Market", OneForOne(), children, intensity=Intensity(restarts=100))
        self.tree = self.stalls.intercept(tree)
        self.all_answer = SteadyState("every till answers", self.answer)

    async def answer(self) -> bool:
        return all([await till.ask(Withdraw(1), seconds=2) == 4 for till in self.tills])

    def subject(self, system: System) -> SystemUnderTest:
        return SystemUnderTest(system, self.transport, self.stalls)

    async def run(self, experiment: Experiment, seed: int = 0) -> ExperimentReport:
        async with open_system(self.tree) as system:
            return await run_experiment(self.subject(system), experiment, seed=seed)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Crashes are what this is about."""
    caplog.set_level(logging.CRITICAL + 1, logger="alysd.nurseries")


@pytest.mark.parametrize("seed", range(5))
def test_a_supervised_market_stands_every_kind_of_fault(seed: int) -> None:
    market = Market()
    experiment = Experiment(market.all_answer, INJECTIONS, count=25, seconds=40.0)
    report = run_virtually(partial(market.run, experiment, seed), seed=seed)
    assert len(report.results) > 10
    assert report.steady_after is not None
    assert report.slowest_recovery <= 1.0, "the restart's delay, and a look"
    assert f"seed {seed}, steady state back after" in str(report)


def test_the_same_seed_is_the_same_story() -> None:
    def story(seed: int) -> str:
        market = Market()
        experiment = Experiment(market.all_answer, INJECTIONS, count=15)
        return str(run_virtually(partial(market.run, experiment, seed), seed=seed))

    assert story(3) == story(3)
    assert story(3) != story(4)


async def test_a_child_that_does_not_come_back_fails_the_run(autojump_clock: MockClock) -> None:
    experiment = Experiment(STEADY, [Injection(Crash(), ByName(["till 3"]))], count=1, recovery_seconds=5.0)
    with pytest.raises(ExperimentFailed, match="till 3 did not come up again within 5 s") as caught:
        await Market(Never()).run(experiment)
    assert "Crash() for 1 s on till 3: not recovered" in str(caught.value)


async def test_a_steady_state_that_does_not_return_fails_the_run(autojump_clock: MockClock) -> None:
    market = Market()
    began = trio.current_time()

    async def only_at_first() -> bool:
        await trio.lowlevel.checkpoint()
        return trio.current_time() == began

    steady = SteadyState("good old days", only_at_first)
    experiment = Experiment(steady, [Injection(Crash(), AnyChildren())], count=1, recovery_seconds=5.0)
    with pytest.raises(ExperimentFailed, match="the steady state did not return within 5 s: good old days"):
        await market.run(experiment)


async def test_chaos_is_not_made_where_it_reigns(autojump_clock: MockClock) -> None:
    market = Market()
    async with open_system(market.tree) as system:
        experiment = Experiment(market.all_answer, INJECTIONS)
        with market.stalls.stalling(["till 1"]), pytest.raises(ExperimentFailed, match="steady state before"):
            await run_experiment(market.subject(system), experiment, seed=0)
        assert all(snapshot.restarts == 0 for snapshot in system.snapshot().walk())


async def test_children_that_are_still_down_count_towards_the_radius(autojump_clock: MockClock) -> None:
    experiment = Experiment(
        STEADY,
        [Injection(Crash(), AnyChildren(), seconds=0.0)],
        count=6,
        seconds=1.0,
        blast_radius=BlastRadius(share=0.17),
    )
    report = await Market(FixedDelay(seconds=20.0)).run(experiment, seed=2)
    skipped = [result for result in report.results if result.skipped is not None]
    assert len(skipped) == len(report.results) - 1
    assert "skipped, still down: till" in str(report)


async def test_a_market_without_restarts_would_not_stand_it(autojump_clock: MockClock) -> None:
    """The experiment finds what is wrong: it is the same one that the supervised market passes."""
    experiment = Experiment(STEADY, [Injection(Crash(), AnyChildren())], count=3, recovery_seconds=5.0)
    with pytest.raises(ExperimentFailed):
        await Market(Never()).run(experiment)
    report = await Market(Immediate()).run(experiment)
    assert report.slowest_recovery <= 0.01
