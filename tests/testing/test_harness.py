"""An actor alone on virtual time: its states, its restarts, its end."""

import logging

import pytest
import trio
from trio.testing import MockClock

from alysd.nurseries import (
    Address,
    ChildSpec,
    ExponentialBackoff,
    FixedDelay,
    Intensity,
    OneForAll,
    Refusal,
    State,
    SystemFailed,
    actor,
    supervisor,
)
from alysd.testing.harness import ActorTestHarness
from alysd.testing.stand_in import RecordedAddress, StandIn
from alysd.testing.till import Count, GetBalance, Ledger, Till, TillActor, Trip, Withdraw
from alysd.testing.virtual_time import run_virtually


def till_in(
    harness: ActorTestHarness, name: str = "till", counted: list[int] | None = None
) -> tuple[RecordedAddress[Till], ChildSpec]:
    """A till with a ledger of 5, its address and its child."""
    ledger = StandIn[Ledger]("ledger", harness.transcript)
    ledger.on(GetBalance).answers(5)
    till = RecordedAddress[Till](name, harness.transcript)
    return till, actor(till, lambda: TillActor(ledger, counted), restart=FixedDelay(seconds=2.0))


async def trip_in(
    harness: ActorTestHarness, till: Address[Till], child: ChildSpec, intensity: Intensity | None = None
) -> None:
    """Crash the till, and wait for what becomes of the tree."""
    async with harness.running(child, intensity=intensity):
        till.tell(Trip())
        await trio.sleep_forever()


async def test_an_actor_runs_crashes_and_comes_back_in_virtual_time(autojump_clock: MockClock) -> None:
    harness = ActorTestHarness()
    counted: list[int] = []
    till, child = till_in(harness, counted=counted)
    async with harness.running(child):
        till.tell(Trip())
        till.tell(Count(1))
        await harness.settle()
        assert harness.state("till") is State.BACKOFF
        assert not harness.is_up("till")
        assert await harness.until(lambda: harness.is_up("till")) == pytest.approx(2.0, abs=0.02)
        await harness.settle()
        assert harness.child("till").restarts == 1
    assert counted == [1]
    harness.transcript.expect(Trip(), ("till", State.CRASHED), ("till", State.RUNNING), ("till", State.STOPPED))


async def test_a_subtree_runs_under_the_strategy_it_brings(autojump_clock: MockClock) -> None:
    harness = ActorTestHarness()
    first, first_child = till_in(harness, "first")
    _, second_child = till_in(harness, "second")
    async with harness.running(supervisor("Tills", OneForAll(), [first_child, second_child])):
        first.tell(Trip())
        await harness.until(lambda: harness.child("second").restarts == 1)
        with pytest.raises(KeyError):
            harness.child("third")


async def test_the_budget_given_is_the_budget_kept(autojump_clock: MockClock) -> None:
    harness = ActorTestHarness()
    till, child = till_in(harness)
    with pytest.raises(SystemFailed):
        await trip_in(harness, till, child, intensity=Intensity(restarts=0))


async def test_waiting_in_vain_shows_the_transcript(autojump_clock: MockClock) -> None:
    harness = ActorTestHarness()
    till, child = till_in(harness)
    async with harness.running(child):
        till.tell(Count(7))
        with pytest.raises(AssertionError, match=r"(?s)snow did not become true within 3 s.*Count\(number=7\)"):
            await harness.until(lambda: False, seconds=3, what="snow")


async def test_refusals_and_fatal_errors_are_those_of_the_program(autojump_clock: MockClock) -> None:
    harness = ActorTestHarness(refusals=[ValueError])
    till, child = till_in(harness)
    async with harness.running(child):
        till.tell(Trip())
        await harness.settle()
        assert harness.child("till").restarts == 0
    harness = ActorTestHarness(fatal=[ValueError])
    till, child = till_in(harness)
    with pytest.raises(SystemFailed):
        await trip_in(harness, till, child)


async def test_real_time_is_refused_since_a_test_would_wait_for_it() -> None:
    harness = ActorTestHarness()
    with pytest.raises(RuntimeError, match="time is real here"):
        async with harness.running(till_in(harness)[1]):
            pass
    with pytest.raises(RuntimeError, match="runs nothing"):
        harness.system.snapshot()


def test_the_seed_fixes_the_jitter_of_restarts(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)

    def back_after(seed: int) -> float:
        async def main() -> float:
            harness = ActorTestHarness(seed=seed)
            till = RecordedAddress[Till]("till", harness.transcript)
            ledger = StandIn[Ledger]("ledger", harness.transcript)
            child = actor(
                till, lambda: TillActor(ledger), restart=ExponentialBackoff(first_seconds=10, jitter=1.0)
            )
            async with harness.running(child):
                till.tell(Trip())
                ledger.on(GetBalance).answers(0)
                with pytest.raises(Refusal, match="only"):
                    await till.ask(Withdraw(1), seconds=100)
                return trio.current_time()

        return run_virtually(main, seed=seed)

    assert back_after(3) == back_after(3)
    assert back_after(3) != back_after(4)
