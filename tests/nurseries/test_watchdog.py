"""The time limit of handlers: one scope for all messages of an instance, and a cancellation for one of them."""

from functools import partial

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from alysd.nurseries import (
    Address,
    ChildSnapshot,
    Down,
    HandlerCrashed,
    HandlerTooSlow,
    Health,
    HealthMonitor,
    HealthRules,
    Immediate,
    Priority,
    State,
    System,
    Tell,
    actor,
    handles,
)
from alysd.nurseries.asks import TICK
from alysd.testing.echo import Await, CrashTold, Echo, EchoActor, Say, echo, pause, running

LIMIT = 2.0


limited = partial(echo, handle_seconds=LIMIT)


async def test_a_handler_is_never_cancelled_early_and_at_most_a_tick_late(autojump_clock: MockClock) -> None:
    """The wheel wakes the watchdog for an earlier handler; the limit counts from the start of the present one."""
    address, child = limited()
    async with running([child]):
        for step in range(-30, 30):
            seconds = LIMIT + step * TICK / 8
            await trio.sleep(step % 7 * TICK / 7)
            began, error = trio.current_time(), None
            try:
                assert await address.ask(pause(seconds), seconds=30) == "waited"
            except HandlerCrashed as crashed:
                error = crashed.error
            if error is None:
                assert seconds <= LIMIT + TICK
            else:
                assert isinstance(error, HandlerTooSlow)
                assert seconds >= LIMIT
                assert LIMIT <= trio.current_time() - began <= LIMIT + 1.001 * TICK


async def test_a_queue_of_handlers_in_time_takes_longer_than_the_limit(autojump_clock: MockClock) -> None:
    address, child = limited()
    async with running([child]) as system, trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(partial(address.ask, pause(0.9 * LIMIT), seconds=60))
    assert system.failures.of("echo").failures == 0


@pytest.mark.parametrize("attempt", range(16))
async def test_a_handler_that_ends_just_before_its_cancellation_answers_and_the_next_message_is_unharmed(
    attempt: int, mock_clock: MockClock
) -> None:
    """Trio runs the handler and the wheel in either order, so several attempts have both."""
    address, child = limited()
    answers: list[str] = []

    async def ask(message: Await) -> None:
        answers.append(await address.ask(message, seconds=60))

    async with running([child]) as system:
        async with trio.open_nursery() as nursery:
            done = trio.Event()
            nursery.start_soon(ask, Await(done.wait))
            await wait_all_tasks_blocked()
            nursery.start_soon(ask, Await(trio.lowlevel.checkpoint))
            await wait_all_tasks_blocked()
            done.set()
            mock_clock.jump(LIMIT + 2 * TICK)
        assert answers == ["waited", "waited"]
        assert system.failures.of("echo").failures == 0
        # The limit still holds: the scope was renewed.
        async with trio.open_nursery() as nursery:
            nursery.start_soon(refused_as_too_slow, address)
            await wait_all_tasks_blocked()
            for _ in range(3):
                mock_clock.jump(LIMIT + 2 * TICK)
                await wait_all_tasks_blocked()


async def refused_as_too_slow(address: Address[Echo]) -> None:
    with pytest.raises(HandlerCrashed, match="took more than 2 s to handle Await"):
        await address.ask(Await(trio.sleep_forever), seconds=60)


async def test_a_handler_that_shields_itself_ends_in_peace_and_its_next_checkpoint_is_too_late(
    autojump_clock: MockClock,
) -> None:
    async def shielded() -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(3 * LIMIT)

    async def shielded_then_more() -> None:
        await shielded()
        await trio.sleep(1)

    address, child = limited()
    async with running([child]):
        assert await address.ask(Await(shielded), seconds=60) == "waited"
        assert await address.ask(Say("alive")) == "alive"
        with pytest.raises(HandlerCrashed, match="took more than 2 s"):
            await address.ask(Await(shielded_then_more), seconds=60)
        assert await address.ask(Say("alive")) == "alive"


async def test_a_handlers_own_deadlines_are_its_own(autojump_clock: MockClock) -> None:
    async def gives_up() -> None:
        with trio.move_on_after(LIMIT / 2):
            await trio.sleep_forever()
        with trio.move_on_after(LIMIT / 4):
            await trio.sleep_forever()

    address, child = limited()
    async with running([child]):
        assert await address.ask(Await(gives_up), seconds=60) == "waited"


async def test_the_error_names_the_message_of_a_watch(autojump_clock: MockClock) -> None:
    """In the queue is a `Signal`, which nobody has sent and no handler takes."""

    @attrs.frozen
    class Ended(Tell[Echo]):
        down: Down

    class Mourner(EchoActor):
        async def started(self) -> None:
            self.watch(watched, Ended)

        @handles(Ended)
        async def mourn(self, message: Ended) -> None:
            await trio.sleep_forever()

    watched, child = echo("watched")
    mourner = actor(Address[Echo]("mourner"), lambda: Mourner([]), restart=Immediate(), handle_seconds=LIMIT)
    async with running([child, mourner]) as system:
        watched.tell(CrashTold())
        await trio.sleep(2 * LIMIT)
        (failure,) = system.failures.of("mourner").recent
    assert failure.error == "HandlerTooSlow: mourner took more than 2 s to handle Down"


def find(system: System) -> ChildSnapshot:
    return next(child for child in system.snapshot().walk() if child.name == "echo")


async def test_neither_idle_nor_suspended_time_nor_that_of_a_health_check_counts(
    autojump_clock: MockClock,
) -> None:
    class Unhurried(EchoActor):
        async def health_check(self) -> Health:
            await trio.sleep(2 * LIMIT)
            return Health.HEALTHY

    address: Address[Echo] = Address("echo")
    child = actor(address, lambda: Unhurried([]), restart=Immediate(), handle_seconds=LIMIT)
    monitor = HealthMonitor(HealthRules(intervals=dict.fromkeys(Priority, 3 * LIMIT), timeout=2.5 * LIMIT))
    async with running([child], monitor=monitor) as system:
        await address.ask(Say("armed"))
        await trio.sleep(20 * LIMIT)
        assert find(system).health is Health.HEALTHY
        await address.ask(Say("armed"), seconds=60)
        system.suspend("echo")
        await trio.sleep(5 * LIMIT)
        assert find(system).state is State.SUSPENDED
        system.resume("echo")
        assert await address.ask(pause(0.9 * LIMIT), seconds=60) == "waited"
    assert system.failures.of("echo").failures == 0
