"""Deadlines of asks, and cycles of actors that wait for each other."""

import tracemalloc
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import NoReturn

import attrs
import pytest
import trio
from trio.abc import Instrument
from trio.lowlevel import Task, current_task, wait_task_rescheduled
from trio.testing import MockClock, wait_all_tasks_blocked

from alysd.nurseries import Address, AskCycle, Immediate, OneForOne, actor, handles, supervisor, task
from alysd.nurseries.asks import TICK, Pending, Waiter, Wheel, begin_wait, end_wait
from alysd.testing.echo import Await, Echo, EchoActor, Note, Say, echo, running


class Steps(Instrument):
    """Counts the wheel's turns in the scheduler."""

    def __init__(self) -> None:
        self.steps = 0

    def before_task_step(self, task: Task) -> None:
        self.steps += task.name == "the wheel"


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


async def test_asks_that_ended_leave_no_memory_behind(mock_clock: MockClock) -> None:
    """Each kept a bucket until its deadline: gigabytes per day with deadlines of a day."""
    wheel = Wheel()

    def ask_and_give_up(times: int) -> int:
        for _ in range(times):
            pending = Pending(current_task())
            wheel.add(pending, 86_400.0)
            pending.abort(_ignored)
            mock_clock.jump(TICK)
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    before = ask_and_give_up(1_000)
    after = ask_and_give_up(100_000)
    tracemalloc.stop()
    assert after - before < 100_000, "bytes"


def _ignored() -> NoReturn:
    raise AssertionError("the ask was not cancelled")


async def test_asks_that_wait_outlive_the_ended_ones(autojump_clock: MockClock) -> None:
    """Buckets are removed while others, before and after them, are in use."""
    wheel, waits = Wheel(), list[float]()

    async def wait(seconds: float) -> None:
        waits.append(await expire_after(wheel, seconds))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wheel.run)
        async with trio.open_nursery() as asks:
            for seconds in range(1, 301):
                asks.start_soon(wait, float(seconds))
                for _ in range(3):
                    ended = Pending(current_task())
                    wheel.add(ended, seconds / 7)
                    ended.abort(_ignored)
        nursery.cancel_scope.cancel()
    assert [round(each) for each in waits] == list(range(1, 301))


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


async def test_answered_asks_do_not_wake_the_wheel_one_by_one(autojump_clock: MockClock) -> None:
    """Each wake-up of an idle node costs as much as ten asks."""
    wheel = Wheel()
    async with trio.open_nursery() as nursery:
        counter = Steps()
        nursery.start_soon(wheel.run, name="the wheel")
        trio.lowlevel.add_instrument(counter)
        for _ in range(200):
            pending = Pending(current_task())
            wheel.add(pending, 1.0)
            pending.task = None  # it was answered
            assert pending.bucket is not None
            pending.bucket.discard(pending)
            await trio.sleep(0.05)
        assert await expire_after(wheel, 0.5) <= 0.5 + TICK
        trio.lowlevel.remove_instrument(counter)
        nursery.cancel_scope.cancel()
    assert counter.steps <= 20, "one per second, for asks with a timeout of a second in ten seconds"


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


def asks(address: Address[Echo], then: Callable[[], Awaitable[None]] | None = None) -> Await:
    """A message whose handler asks `address` to handle `then` (or to answer at once)."""

    async def ask() -> None:
        await address.ask(Say("x") if then is None else Await(then), seconds=3600)

    return Await(ask)


async def test_an_actor_that_asks_itself_is_told_so_at_once() -> None:
    a, child = echo("a")
    async with running([child]):
        with pytest.raises(AskCycle, match="for ever: a -> a"):
            await a.ask(asks(a))
        assert await a.ask(Say("alive")) == "alive"


async def test_a_circle_over_three_is_found_by_whoever_closes_it() -> None:
    (a, a_child), (b, b_child), (c, c_child) = echo("a"), echo("b"), echo("c")
    async with running([a_child, b_child, c_child]):
        with pytest.raises(AskCycle, match="for ever: c -> a -> b -> c"):
            await a.ask(asks(b, asks(c, asks(a).wait).wait))
        assert [await address.ask(Say("up")) for address in (a, b, c)] == ["up"] * 3


async def test_two_actors_with_full_mailboxes_that_send_to_each_other_do_not_hang() -> None:
    a: Address[Echo] = Address("a", capacity=1)
    b: Address[Echo] = Address("b", capacity=1)
    found: list[tuple[str, ...]] = []

    def floods(other: Address[Echo], go: trio.Event) -> Await:
        async def flood() -> None:
            await go.wait()
            try:
                await other.send(Note("more"))
            except AskCycle as error:
                found.append(error.names)

        return Await(flood)

    go = trio.Event()
    children = [actor(address, lambda: EchoActor([]), restart=Immediate()) for address in (a, b)]
    async with running(children), trio.open_nursery() as nursery:
        nursery.start_soon(a.ask, floods(b, go))
        nursery.start_soon(b.ask, floods(a, go))
        await wait_all_tasks_blocked()
        a.tell(Note("fills"))
        b.tell(Note("fills"))
        go.set()
    assert found in ([("b", "a", "b")], [("a", "b", "a")])


async def test_a_task_added_by_a_handler_is_not_taken_for_it(autojump_clock: MockClock) -> None:
    """It asks the very actor whose handler added it, which does not wait for it."""
    a, a_child = echo("a")
    answers: list[str] = []

    async def work() -> None:
        answers.append(await a.ask(Say("hello")))

    async with running([a_child]) as system:

        async def add() -> None:
            system.add("Root", task("work", work, may_end=True))
            subtree = supervisor("Sub", OneForOne(), [task("more work", work, may_end=True)])
            system.add("Root", subtree)

        await a.ask(Await(add))
        await trio.sleep(1)
    assert answers == ["hello", "hello"]


async def test_a_task_in_a_nursery_outside_of_the_handler_is_not_taken_for_it(autojump_clock: MockClock) -> None:
    """The handler does not wait for the task, which asks the very actor that started it."""
    a, a_child = echo("a")
    answers: list[str] = []

    async def work() -> None:
        answers.append(await a.ask(Say("hello")))
        await a.send(Note("sent in line"))

    async with running([a_child]), trio.open_nursery() as outer:

        async def start() -> None:
            outer.start_soon(work)
            await trio.sleep(1)  # the ask waits until the handler is done

        assert await a.ask(Await(start)) == "waited"
    assert answers == ["hello"]
    assert a.mailbox.waits_for is None


async def test_a_task_that_an_actor_keeps_between_its_handlers_is_not_taken_for_one() -> None:
    address: Address[Echo] = Address("keeper")
    answers: list[str] = []

    class Keeper(EchoActor):
        async def pre_start(self) -> None:
            self.stack = AsyncExitStack()
            self.nursery = await self.stack.enter_async_context(trio.open_nursery())

        @handles(Note)
        async def note(self, message: Note) -> None:
            self.nursery.start_soon(self.work)

        async def work(self) -> None:
            answers.append(await address.ask(Say("hello")))

        async def stopped(self) -> None:
            await self.stack.aclose()

    async with running([actor(address, lambda: Keeper([]))]):
        address.tell(Note("start"))
        await wait_all_tasks_blocked()
    assert answers == ["hello"]


async def test_a_task_in_a_nursery_of_the_handler_is_part_of_it() -> None:
    (a, a_child), (b, b_child) = echo("a"), echo("b")

    async def nested() -> None:
        async with trio.open_nursery() as outer, trio.open_nursery() as inner:
            inner.start_soon(deeper)
            outer.start_soon(trio.lowlevel.checkpoint)

    async def deeper() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(asks(b, asks(a).wait).wait)

    async with running([a_child, b_child]):
        with pytest.raises(AskCycle, match="for ever: b -> a -> b"):
            await a.ask(Await(nested))


async def test_asking_one_actor_several_times_at_once_is_no_circle(autojump_clock: MockClock) -> None:
    (a, a_child), (b, b_child) = echo("a"), echo("b")

    async def many() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(b.ask, Await(trio.lowlevel.checkpoint))

    async with running([a_child, b_child]):
        assert await a.ask(Await(many)) == "waited"
        assert await b.ask(asks(a)) == "waited"  # nothing is left of the waits that ended
        assert a.mailbox.waits_for == []


async def test_a_diamond_is_no_circle() -> None:
    """a waits for b and c, both wait for d: everyone is answered."""
    (a, a_child), (b, b_child), (c, c_child), (d, d_child) = echo("a"), echo("b"), echo("c"), echo("d")

    async def both() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(b.ask, asks(d))
            nursery.start_soon(c.ask, asks(d))

    async with running([a_child, b_child, c_child, d_child]):
        assert await a.ask(Await(both)) == "waited"
        assert await d.ask(asks(b)) == "waited"


@attrs.define(eq=False)
class Somebody:
    name: str
    waits_for: list[Waiter] | None = None
    waits_for_any: bool = False


def test_the_way_back_is_found_through_branches_and_dead_ends() -> None:
    a, b, c, d, e = (Somebody(name) for name in "abcde")
    begin_wait(a, b)
    begin_wait(a, c)
    begin_wait(b, d)
    begin_wait(c, d)
    begin_wait(e, a)  # e waits for a, over which there is no way back to e
    with pytest.raises(AskCycle) as caught:
        begin_wait(d, a)
    assert caught.value.names in (("d", "a", "b", "d"), ("d", "a", "c", "d"))
    end_wait(a, b)
    end_wait(c, d)
    begin_wait(d, a)  # both ways back are gone
    with pytest.raises(ValueError, match="not in list"):
        end_wait(b, a)


def test_a_pool_is_part_of_a_circle_only_if_all_its_workers_are() -> None:
    a, one, two = (Somebody(name) for name in ("a", "one", "two"))
    pool = Somebody("pool", [one, two], waits_for_any=True)
    begin_wait(one, a)
    begin_wait(a, pool)  # two is free
    end_wait(a, pool)
    begin_wait(two, one)
    with pytest.raises(AskCycle, match="a -> pool -> (one|two -> one) -> a"):
        begin_wait(a, pool)
    with pytest.raises(AskCycle, match="a -> two -> one -> a"):
        begin_wait(a, two)
