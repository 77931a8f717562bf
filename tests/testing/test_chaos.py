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
from alysd.testing.air import Air, FaultyAddress
from alysd.testing.chaos import Attack, ChaosFailed, ChaosPlan, ChaosReport, SteadyState, Strike, schedule, unleash
from alysd.testing.faults import Flood, Hang, MessageDelay, MessageLoss, Panic, Partition, Stage
from alysd.testing.interposed import Stalls
from alysd.testing.probe import StandIn
from alysd.testing.replay import run_virtually
from alysd.testing.targets import AtRandom, BlastRadius, Named, Percentage, TheCritical
from alysd.testing.transcript import Transcript
from tests.testing.kit import GetBalance, Ledger, Till, TillActor, Withdraw
from tests.testing.test_targets import CHILDREN, child

ATTACKS = [
    Attack(Panic(), AtRandom(2)),
    Attack(Hang(), TheCritical(), seconds=3.0),
    Attack(Flood(), AtRandom()),
    Attack(MessageLoss(share=0.5), Percentage(20), seconds=4.0),
    Attack(MessageDelay(seconds=2.0), AtRandom(), seconds=4.0),
    Attack(Partition((frozenset({"till 0"}), frozenset({"till 1"}))), AtRandom(), seconds=2.0),
]


def overlap(one: Strike, other: Strike) -> bool:
    return one.at <= other.at < one.at + one.attack.seconds


def test_the_same_seed_is_the_same_schedule_and_another_is_another() -> None:
    plan = ChaosPlan(ATTACKS, strikes=30)
    assert schedule(plan, CHILDREN, 1) == schedule(plan, CHILDREN, 1)
    assert schedule(plan, CHILDREN, 1) != schedule(plan, CHILDREN, 2)


@pytest.mark.parametrize("seed", range(20))
def test_never_more_at_a_time_than_the_radius_and_never_the_protected(seed: int) -> None:
    radius = BlastRadius(share=0.3, protected=frozenset({"a", "n3"}))
    plan = ChaosPlan(ATTACKS, strikes=60, seconds=30.0, radius=radius)
    strikes = schedule(plan, CHILDREN, seed)
    assert strikes
    for strike in strikes:
        busy = [
            name for other in strikes if overlap(other, strike) and other.at <= strike.at for name in other.names
        ]
        assert len(set(busy)) <= 3
        assert not {"a", "n3"} & set(strike.names)


def test_who_cannot_be_struck_is_not_in_the_schedule() -> None:
    plan = ChaosPlan([Attack(Panic(), Named(["a"]))], radius=BlastRadius(protected=frozenset({"a"})))
    assert schedule(plan, CHILDREN, 1) == ()
    supervisors: list[ChildSnapshot] = [attrs.evolve(child("root"), kind="supervisor")]
    assert schedule(ChaosPlan([Attack(Panic(), AtRandom())]), supervisors, 1) == ()


class Market:
    """Six tills under one supervisor, the first two of them critical."""

    def __init__(self, restart: RestartPolicy | None = None) -> None:
        ledger = StandIn[Ledger]("ledger", Transcript())
        ledger.on(GetBalance).answers(5)
        self.air, self.stalls = Air(seed=1), Stalls()
        self.tills = [FaultyAddress[Till](f"till {number}", self.air, capacity=64) for number in range(6)]
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
        self.tree = self.stalls.interpose(tree)
        self.all_answer = SteadyState("every till answers", self.answer)

    async def answer(self) -> bool:
        return all([await till.ask(Withdraw(1), seconds=2) == 4 for till in self.tills])

    def stage(self, system: System) -> Stage:
        return Stage(system, self.air, self.stalls)

    async def run(self, plan: ChaosPlan, seed: int = 0, steady: SteadyState | None = None) -> ChaosReport:
        async with open_system(self.tree) as system:
            return await unleash(self.stage(system), plan, steady or self.all_answer, seed=seed)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Crashes are what this is about."""
    caplog.set_level(logging.CRITICAL + 1, logger="alysd.nurseries")


@pytest.mark.parametrize("seed", range(5))
def test_a_supervised_market_stands_every_kind_of_fault(seed: int) -> None:
    report = run_virtually(partial(Market().run, ChaosPlan(ATTACKS, strikes=25, seconds=40.0), seed), seed=seed)
    assert len(report.results) > 10
    assert report.steady_after is not None
    assert report.slowest_recovery <= 1.0, "the restart's delay, and a look"
    assert f"seed {seed}, steady state back after" in str(report)


def test_the_same_seed_is_the_same_story() -> None:
    def story(seed: int) -> str:
        return str(run_virtually(partial(Market().run, ChaosPlan(ATTACKS, strikes=15), seed), seed=seed))

    assert story(3) == story(3)
    assert story(3) != story(4)


async def test_a_child_that_does_not_come_back_fails_the_run(autojump_clock: MockClock) -> None:
    plan = ChaosPlan([Attack(Panic(), Named(["till 3"]))], strikes=1, recovery_seconds=5.0)
    with pytest.raises(ChaosFailed, match="not up again within 5 s: till 3") as caught:
        await Market(Never()).run(plan)
    assert "Panic() for 1 s on till 3: not recovered" in str(caught.value)


async def test_a_steady_state_that_does_not_return_fails_the_run(autojump_clock: MockClock) -> None:
    market = Market()
    began = trio.current_time()

    async def only_at_first() -> bool:
        await trio.lowlevel.checkpoint()
        return trio.current_time() == began

    plan = ChaosPlan([Attack(Panic(), AtRandom())], strikes=1, recovery_seconds=5.0)
    with pytest.raises(ChaosFailed, match="not steady again within 5 s: good old days"):
        await market.run(plan, steady=SteadyState("good old days", only_at_first))


async def test_chaos_is_not_made_where_it_reigns(autojump_clock: MockClock) -> None:
    market = Market()
    async with open_system(market.tree) as system:
        with market.stalls.holding(["till 1"]), pytest.raises(ChaosFailed, match="not steady before anything"):
            await unleash(market.stage(system), ChaosPlan(ATTACKS), market.all_answer, seed=0)
        assert all(snapshot.restarts == 0 for snapshot in system.snapshot().walk())


async def test_who_is_still_down_counts_towards_the_radius(autojump_clock: MockClock) -> None:
    plan = ChaosPlan(
        [Attack(Panic(), AtRandom(), seconds=0.0)], strikes=6, seconds=1.0, radius=BlastRadius(share=0.17)
    )
    report = await Market(FixedDelay(seconds=20.0)).run(plan, seed=2)
    withheld = [result for result in report.results if result.withheld is not None]
    assert len(withheld) == len(report.results) - 1
    assert "withheld, still down: till" in str(report)


async def test_a_market_without_restarts_would_not_stand_it(autojump_clock: MockClock) -> None:
    """The engine finds what is wrong: the same plan that the supervised market stands."""
    with pytest.raises(ChaosFailed):
        await Market(Never()).run(ChaosPlan([Attack(Panic(), AtRandom())], strikes=3, recovery_seconds=5.0))
    report = await Market(Immediate()).run(
        ChaosPlan([Attack(Panic(), AtRandom())], strikes=3, recovery_seconds=5.0)
    )
    assert report.slowest_recovery <= 0.01
