"""Scenarios: what holds passes, and what does not is told with step, seed and transcript."""

import pytest
import trio
from trio.testing import MockClock

from alysd.nurseries import FixedDelay, State, actor
from alysd.testing.harness import ActorTestHarness
from alysd.testing.scenario import Condition, Scenario, Step, in_state, received, restarted, running
from alysd.testing.stand_in import RecordedAddress, StandIn
from alysd.testing.till import Book, GetBalance, Ledger, Till, TillActor, Trip, Withdraw


class Desk:
    """A harness with a till in it, and what steps do with it."""

    def __init__(self) -> None:
        self.harness = ActorTestHarness(seed=77)
        self.ledger = StandIn[Ledger]("ledger", self.harness.transcript)
        self.ledger.on(GetBalance).answers(5)
        self.till = RecordedAddress[Till]("till", self.harness.transcript)
        self.child = actor(self.till, lambda: TillActor(self.ledger), restart=FixedDelay(seconds=2.0))

    async def withdraw(self, _: ActorTestHarness) -> None:
        assert await self.till.ask(Withdraw(3)) == 2

    async def crash(self, _: ActorTestHarness) -> None:
        await self.till.send(Trip())

    async def play(self, scenario: Scenario) -> float:
        async with self.harness.running(self.child):
            return await scenario.run(self.harness)


async def test_a_scenario_that_holds_says_how_long_it_took(autojump_clock: MockClock) -> None:
    desk = Desk()
    scenario = Scenario(
        "a crash costs nobody his money",
        given=[running("till"), restarted("till", times=0)],
        steps=[
            Step("withdraw", desk.withdraw, then=[received(desk.ledger, Book)]),
            Step("crash", desk.crash, then=[in_state("till", State.BACKOFF), running("till", within=3.0)]),
            Step("withdraw again", desk.withdraw),
        ],
        then=[received(desk.ledger, Book, times=2), restarted("till", times=1)],
    )
    assert await desk.play(scenario) == pytest.approx(2.0, abs=0.02)


async def test_a_condition_that_does_not_hold_tells_the_story(autojump_clock: MockClock) -> None:
    desk = Desk()
    scenario = Scenario(
        "two bookings", [Step("withdraw", desk.withdraw)], then=[received(desk.ledger, Book, times=2)]
    )
    with pytest.raises(AssertionError, match="ledger received 2 Book") as caught:
        await desk.play(scenario)
    (note,) = caught.value.__notes__
    assert "scenario 'two bookings', at the end (seed 77)" in note
    assert "test -> till: Withdraw(amount=3)" in note
    assert "till: Starting -> Running" in note


async def test_what_must_hold_before_is_checked_before(autojump_clock: MockClock) -> None:
    desk = Desk()
    scenario = Scenario("needs a crash", [Step("withdraw", desk.withdraw)], given=[restarted("till", times=1)])
    with pytest.raises(AssertionError) as caught:
        await desk.play(scenario)
    assert "before the first step" in caught.value.__notes__[0]
    assert desk.harness.transcript.sent("till") == []


async def test_a_step_that_takes_too_long_is_named(autojump_clock: MockClock) -> None:
    desk = Desk()

    async def dawdle(_: ActorTestHarness) -> None:
        await trio.sleep(10)

    with pytest.raises(trio.TooSlowError) as caught:
        await desk.play(Scenario("slow", [Step("dawdle", dawdle, seconds=4.0)]))
    assert "in step 1, dawdle" in caught.value.__notes__[0]
    with pytest.raises(trio.TooSlowError) as caught:
        await desk.play(Scenario("slow in all", [Step("dawdle", dawdle, seconds=12.0)], seconds=6.0))
    assert "as a whole" in caught.value.__notes__[0]


async def test_an_error_of_a_step_comes_out_as_it_is_with_the_story(autojump_clock: MockClock) -> None:
    desk = Desk()

    async def stumble(_: ActorTestHarness) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        await desk.play(Scenario("stumbles", [Step("withdraw", desk.withdraw), Step("stumble", stumble)]))
    (note,) = caught.value.__notes__
    assert "in step 2, stumble" in note


async def test_a_condition_of_ones_own_is_waited_for(autojump_clock: MockClock) -> None:
    desk = Desk()
    later = Condition("a second has passed", lambda _: trio.current_time() >= 1.0, within=2.0)
    never = Condition("an hour has passed", lambda _: trio.current_time() >= 3600.0, within=2.0)
    await desk.play(Scenario("waits", [], then=[later]))
    with pytest.raises(AssertionError, match="an hour has passed did not become true within 2 s"):
        await desk.play(Scenario("waits in vain", [], then=[never]))
