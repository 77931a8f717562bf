"""A time budget ends in time, also before a precompiled contract that cannot be interrupted."""

import pytest

from alysd.embedded.engine.time_budget import OutOfTime, TimeBudget


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_instructions_go_on_until_the_time_is_over(clock: Clock) -> None:
    budget = TimeBudget(2.0, clock=clock)
    clock.now += 1.9
    budget.check()
    clock.now += 0.2
    with pytest.raises(OutOfTime):
        budget.check()
    assert budget.left() < 0


def test_without_seconds_only_an_interrupt_ends_it(clock: Clock) -> None:
    class Cancelled(BaseException):
        pass

    asked: list[bool] = []

    def interrupt() -> None:
        asked.append(True)
        if len(asked) == 3:
            raise Cancelled

    budget = TimeBudget(interrupt=interrupt, clock=clock)
    clock.now += 10**9
    budget.check()
    budget.check()
    with pytest.raises(Cancelled):
        budget.check()
    with pytest.raises(OutOfTime):
        TimeBudget(-1, clock=clock).check()


def test_what_would_outlast_the_budget_is_not_begun(clock: Clock) -> None:
    budget = TimeBudget(2.0, clock=clock)
    budget.need(1.9)
    with pytest.raises(OutOfTime):
        budget.need(2.1)
    clock.now += 3
    with pytest.raises(OutOfTime):
        budget.need(0.0)
