"""Deadlines of asks: not early, at most a tick late, none left behind."""

import pytest
import trio
from trio.lowlevel import current_task, wait_task_rescheduled
from trio.testing import MockClock, wait_all_tasks_blocked

from alysd.nurseries.wheel import TICK, Pending, Wheel


async def expire_after(wheel: Wheel, seconds: float) -> float:
    """Seconds until an ask with this deadline expired."""
    began = trio.current_time()
    pending = Pending(current_task())
    wheel.add(pending, seconds)
    await wait_task_rescheduled(pending.abort)
    assert not pending.answered
    assert pending.error is None
    return trio.current_time() - began


@pytest.mark.parametrize("seconds", [0.001, 0.01, 0.5, 5.0, 3600.0])
async def test_an_ask_expires_within_a_tick_of_its_deadline(autojump_clock: MockClock, seconds: float) -> None:
    wheel = Wheel()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wheel.run)
        waited = await expire_after(wheel, seconds)
        nursery.cancel_scope.cancel()
    assert seconds <= waited <= seconds + TICK * 1.001


async def test_a_shorter_deadline_set_later_expires_first(autojump_clock: MockClock) -> None:
    wheel = Wheel()
    waits: list[float] = []

    async def ask(seconds: float) -> None:
        waits.append(round(await expire_after(wheel, seconds)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wheel.run)
        await wait_all_tasks_blocked()
        async with trio.open_nursery() as asks:
            for seconds in (30.0, 20.0, 10.0, 20.0):
                asks.start_soon(ask, seconds)
        nursery.cancel_scope.cancel()
    assert waits == [10, 20, 20, 30]


async def test_the_first_outcome_counts_and_later_ones_do_nothing(autojump_clock: MockClock) -> None:
    wheel = Wheel()
    pending = Pending(current_task())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wheel.run)
        wheel.add(pending, 1.0)

        async def answer() -> None:
            pending.reply("first")
            pending.reply("second")
            pending.fail(ValueError("late"))

        nursery.start_soon(answer)
        await wait_task_rescheduled(pending.abort)
        assert pending.answered
        assert pending.value == "first"
        await trio.sleep(2)  # its deadline passes without harm
        nursery.cancel_scope.cancel()


async def test_an_aborted_ask_is_not_woken_by_anything(autojump_clock: MockClock) -> None:
    wheel = Wheel()
    for deadline in (True, False):
        pending = Pending(current_task())
        if deadline:
            wheel.add(pending, 5.0)
        with trio.move_on_after(1):
            await wait_task_rescheduled(pending.abort)
        pending.reply("late")
        pending.fail(None)
        assert not pending.answered


async def test_an_ask_without_a_deadline_can_be_answered_or_failed() -> None:
    async with trio.open_nursery() as nursery:
        for outcome in ("reply", "fail"):
            pending = Pending(current_task())

            async def decide(pending: Pending = pending, outcome: str = outcome) -> None:
                if outcome == "reply":
                    pending.reply(1)
                else:
                    pending.fail(ValueError("no"))

            nursery.start_soon(decide)
            await wait_task_rescheduled(pending.abort)
            assert pending.answered is (outcome == "reply")
