"""Restart policies, group strategies, budgets and the decision that they lead to."""

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.nurseries import (
    Aligned,
    CircuitBreaker,
    CircuitOpen,
    ExponentialBackoff,
    Fatal,
    FixedDelay,
    Immediate,
    Intensity,
    Never,
    OneForAll,
    OneForOne,
    Outcome,
    RestartPolicy,
    RestForOne,
    State,
    Strategy,
)
from alysd.nurseries.restart import Decision, RestartBudget, decide
from alysd.testing.echo import CrashTold, Say, Watcher, echo, running
from alysd.testing.virtual_time import seeded


def delays(policy: RestartPolicy, count: int, seed: int = 0) -> list[float | None]:
    rng = seeded(seed)
    return [policy.delay(failures, rng) for failures in range(1, count + 1)]


def test_simple_policies() -> None:
    assert delays(Immediate(), 3) == [0, 0, 0]
    assert delays(Never(), 2) == [None, None]
    assert delays(FixedDelay(2), 3) == [2, 2, 2]
    assert delays(FixedDelay(1, increment=2, max_seconds=4), 4) == [1, 3, 4, 4]


def test_exponential_backoff_doubles_up_to_its_bound_even_after_very_many_failures() -> None:
    policy = ExponentialBackoff(first_seconds=1, factor=2, max_seconds=10, jitter=0)
    assert delays(policy, 6) == [1, 2, 4, 8, 10, 10]
    assert policy.delay(10**9, seeded(0)) == 10


@pytest.mark.parametrize("seed", range(5))
def test_jitter_stays_within_its_part_and_repeats_with_its_seed(seed: int) -> None:
    policy = ExponentialBackoff(first_seconds=10, factor=1, jitter=0.2)
    waits = delays(policy, 200, seed)
    assert all(wait is not None and 8 <= wait <= 12 for wait in waits)
    assert len(set(waits)) > 100
    assert waits == delays(policy, 200, seed)


@pytest.mark.parametrize(
    "make",
    [
        lambda: FixedDelay(-1),
        lambda: ExponentialBackoff(first_seconds=0),
        lambda: ExponentialBackoff(factor=0.5),
        lambda: ExponentialBackoff(jitter=1.5),
        lambda: CircuitBreaker(failures=0),
        lambda: CircuitBreaker(open_seconds=0),
        lambda: Intensity(-1, 1),
        lambda: Intensity(1, 0),
    ],
)
def test_numbers_that_make_no_sense_are_refused(make: type[RestartPolicy]) -> None:
    with pytest.raises(ValueError, match="must be"):
        make()


def test_a_breaker_is_open_from_its_limit_on_and_proved_by_answers() -> None:
    policy = CircuitBreaker(failures=3, open_seconds=30, delay_seconds=1, successes=2)
    assert delays(policy, 5) == [1, 1, 30, 30, 30]
    assert [policy.proved(1, handled) for handled in (1, 2)] == [False, True]
    assert policy.proved(60, 0)


def test_an_aligned_policy_waits_for_the_next_allowed_moment_and_never_less() -> None:
    to_even_seconds = Aligned(FixedDelay(3), lambda seconds: 2 * (seconds // 2 + 1))
    assert delays(to_even_seconds, 1) == [4]
    assert delays(Aligned(FixedDelay(3), lambda _: 0.0), 1) == [3]
    assert delays(Aligned(Never(), lambda seconds: seconds), 1) == [None]
    assert Aligned(CircuitBreaker(), lambda seconds: seconds).proved(0, 1)


async def test_an_aligned_breaker_still_tells_at_once_that_it_is_open(autojump_clock: MockClock) -> None:
    aligned = Aligned(CircuitBreaker(failures=1, open_seconds=4), lambda seconds: seconds + 1)
    address, child = echo(restart=aligned)
    async with running([child]):
        address.tell(CrashTold())
        await trio.sleep(1)
        with pytest.raises(CircuitOpen) as refused:
            await address.ask(Say("hello"))
        assert refused.value.retry_in == pytest.approx(4)
        await trio.sleep(5)
        assert await address.ask(Say("back")) == "back"


async def test_an_aligned_restart_happens_at_the_boundary(autojump_clock: MockClock) -> None:
    def next_boundary(seconds: float) -> float:
        moment = trio.current_time() + seconds
        return -(-moment // 2) * 2 - trio.current_time()

    watcher = Watcher()
    address, child = echo(restart=Aligned(FixedDelay(0.5), next_boundary))
    async with running([child], observer=watcher):
        await trio.sleep(2.9)
        address.tell(CrashTold())
        assert await address.ask(Say("back")) == "back"
    (restart,) = [change for change in watcher.changes if change.new is State.RESTARTING]
    assert restart.at == pytest.approx(4.0)


async def test_failures_in_a_row_are_forgotten_after_a_stable_life(autojump_clock: MockClock) -> None:
    watcher = Watcher()
    address, child = echo(restart=FixedDelay(1, increment=10, stable_seconds=60))
    async with running([child], observer=watcher) as system:
        for pause in (0, 0, 100):
            await trio.sleep(pause)
            address.tell(CrashTold())
            await address.ask(Say("back"), seconds=60)
        assert [record.delay for record in system.failures.recent] == [1, 11, 1]


@pytest.mark.parametrize(
    ("strategy", "affected"), [(OneForOne(), "b"), (OneForAll(), "abc"), (RestForOne(), "bc")]
)
def test_the_affected_children_in_start_order(strategy: Strategy, affected: str) -> None:
    assert list(strategy.affected("abc", "b")) == list(affected)


@attrs.define
class FailedChild:
    """The attributes of a child that `decide` reads."""

    policy: RestartPolicy = attrs.field(factory=Immediate)
    failures: int = 1
    failed_at: float = 0.0


def decision(child: FailedChild, error: Exception, strategy: Strategy, budget: RestartBudget) -> Decision:
    siblings = [child, FailedChild(failures=2)]
    return decide(child, error, siblings=siblings, strategy=strategy, budget=budget, fatal=(Fatal,), rng=seeded(0))


@pytest.mark.parametrize(
    ("child", "error", "strategy", "expected"),
    [
        (FailedChild(), OSError(), OneForOne(), Decision(Outcome.RESTARTED, 0.0)),
        (FailedChild(FixedDelay(3.0)), OSError(), OneForAll(), Decision(Outcome.GROUP_RESTARTED, 3.0)),
        (FailedChild(Never()), OSError(), OneForAll(), Decision(Outcome.LEFT)),
        (FailedChild(Never()), Fatal(), OneForOne(), Decision(Outcome.ESCALATED, 0.0, "the error is fatal")),
    ],
)
def test_a_failure_leads_to_one_decision(
    child: FailedChild, error: Exception, strategy: Strategy, expected: Decision
) -> None:
    assert decision(child, error, strategy, RestartBudget(Intensity())) == expected


def test_a_spent_budget_escalates_until_its_time_has_passed() -> None:
    budget = RestartBudget(Intensity(restarts=2, seconds=10.0))
    outcomes = [
        decision(FailedChild(failed_at=at), OSError(), OneForOne(), budget).outcome for at in (0.0, 1.0, 2.0, 11.5)
    ]
    assert outcomes == [Outcome.RESTARTED, Outcome.RESTARTED, Outcome.ESCALATED, Outcome.RESTARTED]
    budget.clear()
    assert budget.spend(12.0) is budget.spend(12.0) is None
    assert budget.spend(12.0) == "more than 2 restarts in 10 s"


def test_no_row_of_failures_makes_a_wait_that_no_float_can_hold() -> None:
    policy = ExponentialBackoff(first_seconds=1.0, factor=1000.0, max_seconds=5.0, jitter=0.0)
    assert policy.delay(10**6, seeded(0)) == 5.0
    with pytest.raises(ValueError, match="factor"):
        ExponentialBackoff(factor=1e10)
