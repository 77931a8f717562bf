"""Supervisors: which children restart together, how often and in which order, and the deadlines of stops."""

from contextlib import suppress

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from alysd.nurseries import (
    Actor,
    ActorDown,
    Address,
    BudgetSpent,
    ChildSpec,
    CircuitBreaker,
    CircuitOpen,
    ExponentialBackoff,
    FixedDelay,
    Health,
    HealthMonitor,
    Immediate,
    Intensity,
    Never,
    OneForAll,
    OneForOne,
    Priority,
    RestForOne,
    State,
    Strategy,
    SystemFailed,
    actor,
    open_system,
    supervisor,
    task,
)
from alysd.nurseries.asks import Wheel
from alysd.nurseries.child import Runtime
from alysd.nurseries.supervision import make_child
from alysd.testing.echo import CrashTold, Note, Say, Watcher, echo, pause, run_and_tell, running
from alysd.testing.virtual_time import seeded


@pytest.mark.parametrize(
    ("strategy", "restarted"),
    [(OneForOne(), ["b"]), (OneForAll(), ["a", "b", "c"]), (RestForOne(), ["b", "c"])],
)
async def test_a_strategy_restarts_its_group_in_start_order_and_nobody_else(
    autojump_clock: MockClock, strategy: Strategy, restarted: list[str]
) -> None:
    watcher = Watcher()
    addresses, children = zip(*(echo(name) for name in "abc"), strict=True)
    async with running(children, strategy=strategy, observer=watcher):
        watcher.changes.clear()
        addresses[1].tell(CrashTold())
        await trio.sleep(1)
        assert [await address.ask(Say(address.name)) for address in addresses] == ["a", "b", "c"]
        assert watcher.order(State.RESTARTING) == restarted
        assert watcher.order(State.STOPPED) == [name for name in reversed(restarted) if name != "b"]


async def test_a_group_restart_keeps_the_messages_of_those_taken_along(autojump_clock: MockClock) -> None:
    notes: list[str] = []
    first, first_child = echo("first", restart=FixedDelay(2.0))
    second, second_child = echo("second", notes=notes)
    async with running([first_child, second_child], strategy=OneForAll()):
        first.tell(CrashTold())
        await trio.sleep(1)
        for text in ("sent", "while", "down"):
            second.tell(Note(text))
        assert notes == []
        await second.ask(Say("done"))
    assert notes == ["sent", "while", "down"]


async def test_two_failures_at_once_make_one_group_that_comes_back_whole(autojump_clock: MockClock) -> None:
    addresses, children = zip(*(echo(name) for name in "abc"), strict=True)
    async with running(children, strategy=OneForAll()) as system:
        for address in addresses:
            address.tell(CrashTold())
        await trio.sleep(1)
        assert [await address.ask(Say("up")) for address in addresses] == ["up"] * 3
        assert all(child.state is State.RUNNING for child in system.snapshot().walk())


async def test_more_restarts_than_the_intensity_allows_fail_the_system_with_the_leaf_as_cause() -> None:
    address, child = echo()
    with pytest.raises(SystemFailed, match="Root failed: Root > echo") as caught:
        await run_and_tell(
            [child], address, CrashTold(), CrashTold(), CrashTold(), intensity=Intensity(2, seconds=10)
        )
    assert isinstance(caught.value.__cause__, ValueError)
    with pytest.raises(ActorDown):
        address.tell(Note("after"))


async def test_restarts_slower_than_the_intensity_go_on_for_ever(autojump_clock: MockClock) -> None:
    address, child = echo(restart=FixedDelay(6.0))
    async with running([child], intensity=Intensity(restarts=2, seconds=10)) as system:
        for _ in range(20):
            address.tell(CrashTold())
        await address.ask(Say("alive"), seconds=1000)
        assert system.snapshot().children[0].restarts == 20


async def test_a_failure_escalates_supervisor_by_supervisor_and_stays_there_when_it_can(
    autojump_clock: MockClock,
) -> None:
    """Two children crash in turn; only the subtree that gave up restarts, and the sibling never notices."""
    watcher = Watcher()
    bad, bad_child = echo("bad")
    _, neighbour = echo("neighbour")
    _, other = echo("other")
    subtree = supervisor("Sub", OneForOne(), [neighbour, bad_child], intensity=Intensity(0, 10))
    async with running([other, subtree], observer=watcher) as system:
        bad.tell(CrashTold())
        await trio.sleep(1)
        assert await bad.ask(Say("back")) == "back"
        failed = system.snapshot().children[1]
        assert failed.last_error == ("BudgetSpent: Sub gave up on bad: more than 0 restarts in 10 s")
        assert watcher.states("Sub")[2:] == [State.CRASHED, State.RESTARTING, State.RUNNING]
        assert watcher.states("other") == [State.STARTING, State.RUNNING]
        assert watcher.states("neighbour")[2:] == [
            State.STOPPING,
            State.STOPPED,
            State.RESTARTING,
            State.RUNNING,
        ]


async def test_escalation_to_the_root_names_the_whole_way(autojump_clock: MockClock) -> None:
    bad, bad_child = echo("bad")
    subtree = supervisor("Sub", OneForOne(), [bad_child], intensity=Intensity(0, 10))
    with pytest.raises(SystemFailed) as caught:
        await run_and_tell([subtree], bad, CrashTold(KeyError("leaf")), intensity=Intensity(0, 10))
    assert caught.value.path == ("Root", "Sub", "bad")
    assert isinstance(caught.value.__cause__, KeyError)


async def test_a_fatal_error_goes_up_through_every_supervisor_without_a_restart() -> None:
    bad, bad_child = echo("bad")
    subtree = supervisor("Sub", OneForOne(), [bad_child])
    watcher = Watcher()
    error = PermissionError("key file")
    with pytest.raises(SystemFailed) as caught:
        await run_and_tell([subtree], bad, CrashTold(error), observer=watcher, fatal=[PermissionError])
    assert isinstance(caught.value.__cause__, PermissionError)
    assert watcher.order(State.RESTARTING) == []


async def test_a_child_that_is_never_restarted_stays_failed_and_the_rest_goes_on() -> None:
    bad, bad_child = echo("bad", restart=Never())
    good, good_child = echo("good")
    async with running([bad_child, good_child]) as system:
        bad.tell(CrashTold())
        bad.tell(Note("behind the crash"))
        await good.ask(Say("fine"))
        assert system.snapshot().children[0].state is State.FAILED
        assert bad.mailbox.dropped == 2
        with pytest.raises(ActorDown):
            await bad.ask(Say("anyone?"))


async def test_a_new_instance_of_a_supervisor_brings_back_a_child_that_had_failed_for_good(
    autojump_clock: MockClock,
) -> None:
    never, never_child = echo("never", restart=Never())
    bad, bad_child = echo("bad")
    subtree = supervisor("Sub", OneForOne(), [never_child, bad_child], intensity=Intensity(0, 10))
    async with running([subtree]):
        never.tell(CrashTold())
        await wait_all_tasks_blocked()
        bad.tell(CrashTold())
        await trio.sleep(1)
        assert await never.ask(Say("again")) == "again"


async def test_each_child_starts_after_the_one_before_is_up_and_stops_in_reverse(
    autojump_clock: MockClock,
) -> None:
    order: list[str] = []

    def slow(name: str) -> ChildSpec:
        class Slow(Actor[object], partial=True):
            async def pre_start(self) -> None:
                order.append(f"{name} starts")
                await trio.sleep(1)
                order.append(f"{name} is up")

            async def stopped(self) -> None:
                order.append(f"{name} stopped")

        return actor(Address(name), Slow)

    async with running([slow("a"), slow("b")], strategy=RestForOne()):
        pass
    assert order == ["a starts", "a is up", "b starts", "b is up", "b stopped", "a stopped"]


async def test_a_start_that_fails_is_tried_again_before_the_next_child_starts(autojump_clock: MockClock) -> None:
    watcher = Watcher()
    tries = 0

    async def run() -> None:
        nonlocal tries
        tries += 1
        await trio.sleep_forever()

    class Flaky(Actor[object], partial=True):
        failures = 2

        async def pre_start(self) -> None:
            if Flaky.failures:
                Flaky.failures -= 1
                raise OSError("not yet")

    flaky = actor(Address("flaky"), Flaky, restart=ExponentialBackoff())
    async with running([flaky, task("later", run)], observer=watcher):
        assert watcher.states("flaky") == [
            State.STARTING,
            State.START_FAILED,
            State.BACKOFF,
            State.RESTARTING,
            State.START_FAILED,
            State.BACKOFF,
            State.RESTARTING,
            State.RUNNING,
        ]
    assert watcher.changes.index(next(c for c in watcher.changes if c.name == "later")) > 7
    assert tries == 1


async def test_a_start_that_never_succeeds_ends_the_system_before_its_block(autojump_clock: MockClock) -> None:
    class Broken(Actor[object], partial=True):
        async def pre_start(self) -> None:
            raise OSError("never")

    with pytest.raises(SystemFailed, match="Root > broken") as caught:
        async with running([actor(Address("broken"), Broken, restart=Immediate())]):
            pytest.fail("the block must not be entered")
    assert isinstance(caught.value.__cause__, OSError)


async def test_a_group_can_be_stopped_while_it_waits_to_come_back(autojump_clock: MockClock) -> None:
    address, child = echo("a", restart=FixedDelay(3600.0))
    _, other = echo("b")
    async with running([child, other], strategy=OneForAll()) as system:
        address.tell(CrashTold())
        await trio.sleep(1)
        assert system.snapshot().children[0].state is State.BACKOFF
        began = trio.current_time()
    assert trio.current_time() - began < 1


@pytest.mark.parametrize("strategy", [OneForAll(), RestForOne()])
async def test_a_breaker_that_holds_its_group_down_tells_who_asks(
    autojump_clock: MockClock, strategy: Strategy
) -> None:
    address, child = echo("a", restart=CircuitBreaker(failures=2, open_seconds=8.0))
    other, other_child = echo("b")
    async with running([child, other_child], strategy=strategy):
        address.tell(CrashTold())
        assert await other.ask(Say("closed yet")) == "closed yet"
        address.tell(CrashTold())
        await trio.sleep(2)
        with pytest.raises(CircuitOpen, match="its circuit breaker is open, next attempt in 6 s"):
            await address.ask(Say("?"))
        assert await other.ask(Say("waits"), seconds=7) == "waits"  # it is down with the group, not by a breaker
        assert await address.ask(Say("half-open")) == "half-open"


async def test_who_waits_out_the_delay_of_a_group_is_stopped_when_told_to(autojump_clock: MockClock) -> None:
    watcher = Watcher()
    address, child = echo("a", restart=FixedDelay(20.0))
    other, other_child = echo("b")
    async with running([child, other_child], strategy=OneForAll(), observer=watcher) as system:
        address.tell(CrashTold())
        await trio.sleep(1)
        await system.stop_child("a")
        assert system.snapshot().children[0].state is State.STOPPED
        assert await other.ask(Say("the rest"), seconds=30) == "the rest"
        await system.restart("a")
        assert await address.ask(Say("back")) == "back"
    assert watcher.states("a")[2:5] == [State.CRASHED, State.BACKOFF, State.STOPPED]


async def test_nobody_waits_for_a_restart_in_a_system_that_has_ended(autojump_clock: MockClock) -> None:
    inner, inner_child = echo("inner", restart=FixedDelay(20.0))
    bad, bad_child = echo("bad")
    group = supervisor("Group", OneForAll(), [inner_child, echo("b")[1]])
    async with running([group]) as system:
        inner.tell(CrashTold())
        await trio.sleep(1)
    assert {node.state for node in system.snapshot().walk()} == {State.STOPPED}
    with suppress(SystemFailed):
        async with running([group, bad_child], intensity=Intensity(0, 1)) as system:
            inner.tell(CrashTold())
            await trio.sleep(1)
            bad.tell(CrashTold())
            await trio.sleep_forever()
    states = {node.name: node.state for node in system.snapshot().walk()}
    assert (states["inner"], states["bad"]) == (State.STOPPED, State.FAILED)


async def test_a_failed_child_that_was_stopped_meanwhile_does_not_wait_with_its_group(
    autojump_clock: MockClock,
) -> None:
    """The group takes a second to stop; stopped within it, the child that failed must stay so."""
    watcher = Watcher()
    (a, a_child), (b, b_child) = echo("a", restart=FixedDelay(5.0)), echo("b")
    async with (
        running([a_child, b_child], strategy=OneForAll(), observer=watcher) as system,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(b.ask, pause(1))
        await wait_all_tasks_blocked()
        a.tell(CrashTold())
        await trio.sleep(0.5)
        await system.stop_child("a")
        assert await b.ask(Say("up"), seconds=10) == "up"
        assert watcher.states("a")[2:] == [State.CRASHED, State.STOPPED]


async def test_a_child_that_ignores_its_stop_is_cancelled_at_its_deadline(autojump_clock: MockClock) -> None:
    address, child = echo(stop_seconds=3.0)
    down: list[str] = []

    async def ask() -> None:
        with pytest.raises(ActorDown) as caught:
            await address.ask(pause(1000), seconds=2000)
        down.append(caught.value.reason)

    async with trio.open_nursery() as nursery:
        async with running([child]):
            nursery.start_soon(ask)
            await wait_all_tasks_blocked()
            began = trio.current_time()
        assert trio.current_time() - began == pytest.approx(3)
    assert down == ["stopped"]


async def test_a_crash_while_stopping_is_not_restarted_if_nothing_waits(autojump_clock: MockClock) -> None:
    watcher = Watcher()
    address, child = echo()
    async with running([child], observer=watcher):
        address.tell(Note("one"))
        address.tell(CrashTold())
    assert watcher.states("echo")[-2:] == [State.CRASHED, State.STOPPED]
    assert watcher.order(State.RESTARTING) == []
    assert address.mailbox.dropped == 1


async def test_an_injected_failure_of_a_supervisor_takes_its_subtree_and_nothing_else(
    autojump_clock: MockClock,
) -> None:
    watcher = Watcher()
    inner, inner_child = echo("inner")
    _, outer_child = echo("outer")
    async with running([outer_child, supervisor("Sub", OneForOne(), [inner_child])], observer=watcher) as system:
        watcher.changes.clear()
        system.inject("Sub", OSError("injected"))
        await trio.sleep(1)
        assert await inner.ask(Say("back")) == "back"
        assert watcher.order(State.RESTARTING) == ["Sub", "inner"]


async def test_budget_errors_keep_the_words_of_what_happened() -> None:
    assert str(BudgetSpent("S", "c", "why")) == "S gave up on c: why"


async def test_a_supervisor_that_waits_to_be_restarted_is_stopped_at_once(autojump_clock: MockClock) -> None:
    bad, bad_child = echo("bad")
    tree = supervisor("Sub", OneForOne(), [bad_child], intensity=Intensity(0, 1), restart=FixedDelay(3600.0))
    async with running([tree], monitor=HealthMonitor()) as system:
        bad.tell(CrashTold())
        await trio.sleep(100)
        sub = system.snapshot().children[0]
        assert (sub.state, sub.health) == (State.BACKOFF, Health.RECOVERING)
        began = trio.current_time()
    assert trio.current_time() - began < 1


async def test_a_health_check_does_not_shorten_the_wait_of_a_group(autojump_clock: MockClock) -> None:
    watcher = Watcher()
    address, child = echo("a", restart=FixedDelay(100.0))
    tree = supervisor("Group", OneForAll(), [child, echo("b")[1]], priority=Priority.CRITICAL)
    async with running([tree], observer=watcher, monitor=HealthMonitor()):
        address.tell(CrashTold())
        assert await address.ask(Say("back"), seconds=200) == "back"
        assert trio.current_time() == pytest.approx(100)
    assert watcher.order(State.RESTARTING) == ["a", "b"]


async def test_a_failed_child_that_was_removed_meanwhile_takes_nobody_along(autojump_clock: MockClock) -> None:
    watcher = Watcher()
    (a, a_child), (b, b_child), (c, c_child) = echo("a"), echo("b"), echo("c")
    children = [a_child, b_child, c_child]
    async with (
        running(children, strategy=OneForAll(), observer=watcher) as system,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(c.ask, pause(1))  # so that the group takes a second to stop
        await wait_all_tasks_blocked()
        a.tell(CrashTold())
        b.tell(CrashTold())
        await trio.sleep(0.5)
        first, second = watcher.order(State.CRASHED)  # which of them is first is trio's choice
        await system.remove(second)
        await trio.sleep(1)
        assert [await address.ask(Say("up")) for address in ({"a": a, "b": b}[first], c)] == ["up", "up"]
        assert sorted(watcher.order(State.RESTARTING)) == [first, "c"]


def test_what_is_no_kind_of_child_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="not a kind of child: ChildSpec"):
        make_child(
            ChildSpec(name="x", restart=Never()),
            None,  # pyright: ignore[reportArgumentType]  never reached
            Runtime(Wheel(), None, seeded(0)),
        )


class SlowToStart(Actor[Note]):
    """Comes up when `allowed` is set."""

    def __init__(self, allowed: trio.Event) -> None:
        self._allowed = allowed

    async def pre_start(self) -> None:
        await self._allowed.wait()


async def test_the_children_after_one_that_is_not_awaited_start_at_once(autojump_clock: MockClock) -> None:
    """A program could not start without a network whose process takes seconds, or never comes up."""
    allowed, started = trio.Event(), trio.Event()
    slow: Address[Note] = Address("slow")
    network = supervisor(
        "Network", OneForOne(), [actor(slow, lambda: SlowToStart(allowed), start_seconds=100.0)], awaited=False
    )

    async def api() -> None:
        started.set()
        await trio.sleep_forever()

    async with open_system(supervisor("Root", OneForOne(), [network, task("api", api)])) as system:
        with trio.fail_after(1):
            await started.wait()
        (before, _) = system.snapshot().children
        assert before.children[0].state is State.STARTING
        allowed.set()
        await wait_all_tasks_blocked()
        (after, _) = system.snapshot().children
        assert after.state is after.children[0].state is State.RUNNING
