"""A running tree: how it starts and ends, and what an operator can do to it."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from alysd.nurseries import (
    Actor,
    ActorDown,
    Address,
    ChildSpec,
    FixedDelay,
    HandlerCrashed,
    Intensity,
    OneForAll,
    OneForOne,
    RestForOne,
    SpecError,
    State,
    System,
    SystemFailed,
    UnknownChild,
    WrongState,
    actor,
    open_system,
    run_system,
    supervisor,
    task,
)
from alysd.testing.echo import CrashTold, Echo, EchoActor, Note, Say, Watcher, echo, pause, running


async def test_the_snapshot_shows_the_tree_with_numbers(autojump_clock: MockClock) -> None:
    address, child = echo(tags=["x"])
    tree = [supervisor("Sub", OneForOne(), [child]), task("work", trio.sleep_forever)]
    async with running(tree) as system:
        await address.ask(Say("one"))
        await trio.sleep(5)
        address.tell(CrashTold())
        await trio.sleep(1)
        address.tell(Note("waits"))
        root = system.snapshot()
        assert [(node.name, node.kind, node.state) for node in root.walk()] == [
            ("Root", "supervisor", State.RUNNING),
            ("Sub", "supervisor", State.RUNNING),
            ("echo", "actor", State.RUNNING),
            ("work", "task", State.RUNNING),
        ]
        assert (root.strategy, root.uptime) == ("OneForOne", 6)
        leaf = root.children[0].children[0]
        assert (leaf.restart, leaf.restarts, leaf.uptime) == ("Immediate", 1, 1)
        assert (leaf.last_error, leaf.last_error_at) == (
            "ValueError: boom",
            pytest.approx(trio.current_time() - 1),
        )
        assert leaf.mailbox is not None
        assert (leaf.mailbox.depth, leaf.mailbox.capacity, leaf.mailbox.handled) == (1, 1024, 1)


async def test_a_failure_can_be_injected_into_an_idle_actor_a_busy_one_and_a_task(
    autojump_clock: MockClock,
) -> None:
    address, child = echo()
    runs = 0

    async def work() -> None:
        nonlocal runs
        runs += 1
        await trio.sleep_forever()

    async with running([child, task("work", work)]) as system:
        system.inject("echo", OSError("idle"))
        assert await address.ask(Say("one")) == "one"
        async with trio.open_nursery() as nursery:

            async def ask() -> None:
                with pytest.raises(HandlerCrashed, match="echo crashed: busy"):
                    await address.ask(pause(100), seconds=200)

            nursery.start_soon(ask)
            await wait_all_tasks_blocked()
            system.inject("echo", OSError("busy"))
        system.inject("work", OSError("task"))
        await trio.sleep(1)
        assert runs == 2
        assert [child.last_error for child in system.snapshot().children] == ["OSError: busy", "OSError: task"]


async def test_only_a_running_child_that_exists_can_be_made_to_fail(autojump_clock: MockClock) -> None:
    async def done() -> None:
        await trio.lowlevel.checkpoint()

    async with running([task("done", done, may_end=True)]) as system:
        await trio.sleep(1)
        with pytest.raises(UnknownChild, match="there is no child named nobody"):
            system.inject("nobody", OSError())
        with pytest.raises(WrongState, match="cannot inject a failure into done: it is stopped"):
            system.inject("done", OSError())


async def test_a_suspended_actor_keeps_its_messages_until_it_is_resumed() -> None:
    notes: list[str] = []
    address, child = echo(notes=notes)
    async with running([child]) as system:
        system.suspend("echo")
        await wait_all_tasks_blocked()
        assert system.snapshot().children[0].state is State.SUSPENDED
        address.tell(Note("waits"))
        await wait_all_tasks_blocked()
        assert notes == []
        with pytest.raises(WrongState, match="cannot suspend echo: it is suspended"):
            system.suspend("echo")
        system.resume("echo")
        await address.ask(Say("on"))
        assert notes == ["waits"]
        with pytest.raises(WrongState, match="cannot resume Root: it is not an actor"):
            system.resume("Root")


async def test_an_actor_is_resumed_before_it_was_suspended(autojump_clock: MockClock) -> None:
    """Its handler runs for the whole time, so it looks at where it is wanted only after both calls."""
    watcher = Watcher()
    address, child = echo()
    async with running([child], observer=watcher) as system, trio.open_nursery() as nursery:
        nursery.start_soon(address.ask, pause(1))
        await wait_all_tasks_blocked()
        system.suspend("echo")
        system.resume("echo")
        with pytest.raises(WrongState, match="cannot resume echo: it is running"):
            system.resume("echo")
        await trio.sleep(2)
        assert await address.ask(Say("on")) == "on"
        assert watcher.states("echo") == [State.STARTING, State.RUNNING]


async def test_a_suspension_ends_with_the_instance() -> None:
    address, child = echo()
    async with running([child]) as system:
        system.suspend("echo")
        await wait_all_tasks_blocked()
        system.inject("echo", OSError("injected"))
        assert await address.ask(Say("on")) == "on"
        with pytest.raises(WrongState, match="cannot resume echo: it is running"):
            system.resume("echo")


async def test_a_busy_actor_is_stopping_from_the_moment_it_is_told(autojump_clock: MockClock) -> None:
    address, child = echo()
    async with running([child]) as system, trio.open_nursery() as nursery:
        nursery.start_soon(address.ask, pause(1))
        await wait_all_tasks_blocked()
        nursery.start_soon(system.stop_child, "echo")
        await wait_all_tasks_blocked()
        assert system.snapshot().children[0].state is State.STOPPING
        await trio.sleep(1.5)
        assert system.snapshot().children[0].state is State.STOPPED


async def test_a_suspended_actor_can_be_stopped_and_drains() -> None:
    notes: list[str] = []
    address, child = echo(notes=notes)
    async with running([child]) as system:
        system.suspend("echo")
        await wait_all_tasks_blocked()
        address.tell(Note("kept"))
    assert notes == ["kept"]


async def test_a_stop_does_not_wait_for_a_suspended_actor(autojump_clock: MockClock) -> None:
    """A child that stops waits for the answer to its last question: the stop would take all its `stop_seconds`."""
    address, child = echo()

    async def asks_while_it_stops() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                assert await address.ask(Say("last")) == "last"

    async with running([child, task("asker", asks_while_it_stops)]) as system:
        system.suspend("echo")
        await wait_all_tasks_blocked()
        begun = trio.current_time()
    assert trio.current_time() - begun < 0.5


async def test_a_crash_during_a_stop_makes_no_supervisor_fail() -> None:
    """A node that is asked to stop would end with a failure, and its service manager would start it again."""
    address, child = echo()
    branch = supervisor("branch", OneForOne(), [child], intensity=Intensity(restarts=0, seconds=10))
    async with running([branch]) as system:
        system.suspend("echo")
        await wait_all_tasks_blocked()
        address.tell(CrashTold())
    assert system.snapshot().children[0].children[0].state is State.STOPPED


async def test_a_child_added_at_run_time_is_supervised_like_the_others() -> None:
    address, child = echo("late")
    async with running([echo("early")[1]]) as system:
        system.add("Root", child)
        assert await address.ask(Say("here")) == "here"
        address.tell(CrashTold())
        assert await address.ask(Say("again")) == "again"
        assert [node.name for node in system.snapshot().children] == ["early", "late"]
        with pytest.raises(SpecError, match="two children are named late"):
            system.add("Root", task("late", trio.sleep_forever))
        with pytest.raises(WrongState, match="cannot add a child to late: it is not a supervisor"):
            system.add("late", task("x", trio.sleep_forever))
        system.add("Root", task("later", trio.sleep_forever, depends_on=["late"]))


async def test_nothing_is_left_of_an_added_task_that_ended(autojump_clock: MockClock) -> None:
    ran: list[int] = []

    def operation(number: int) -> ChildSpec:
        async def run() -> None:
            ran.append(number)
            await trio.sleep(number)

        return task(f"operation {number}", run, may_end=True)

    async with running([supervisor("Bridge", OneForOne(), [])]) as system:
        for number in range(1, 4):
            system.add("Bridge", operation(number))
        await trio.sleep(1.5)
        assert [node.name for node in system.snapshot().children[0].children] == ["operation 2", "operation 3"]
        await trio.sleep(5)
        assert len(system.registry) == 2
        system.add("Bridge", operation(1))  # the name is free again
        await trio.sleep(0.5)
    assert sorted(ran) == [1, 1, 2, 3]


async def test_a_child_can_be_stopped_and_brought_back(autojump_clock: MockClock) -> None:
    notes: list[str] = []
    address, child = echo(notes=notes)
    async with running([child]) as system:
        address.tell(Note("before"))
        await system.stop_child("echo")
        assert notes == ["before"]
        with pytest.raises(ActorDown):
            await address.ask(Say("?"))
        await trio.sleep(60)
        assert system.snapshot().children[0].state is State.STOPPED
        await system.restart("echo")
        assert await address.ask(Say("back")) == "back"
        with pytest.raises(WrongState, match="cannot stop Root: it is the root; stop the system instead"):
            await system.stop_child("Root")


@pytest.mark.parametrize("crashed", [False, True])
async def test_a_child_added_at_run_time_can_be_stopped_and_brought_back_too(
    autojump_clock: MockClock, crashed: bool
) -> None:
    """Alive, or waiting with its group: it stays in the tree, stopped, until it is restarted or removed."""
    address, child = echo("late", restart=FixedDelay(20.0))
    root = supervisor("Root", OneForAll(), [echo("early")[1]])
    async with open_system(root) as system:
        system.add("Root", child)
        await address.ask(Say("up"))
        if crashed:
            address.tell(CrashTold())
            await trio.sleep(1)
        await system.stop_child("late")
        assert [node.state for node in system.snapshot().children][1:] == [State.STOPPED]
        await trio.sleep(60)
        await system.restart("late")
        assert await address.ask(Say("back")) == "back"
        await system.remove("late")
        assert len(system.registry) == 2


async def test_an_operation_that_an_operator_stopped_can_be_brought_back(autojump_clock: MockClock) -> None:
    ran: list[float] = []

    async def run() -> None:
        ran.append(trio.current_time())
        await trio.sleep(5)

    async with running([]) as system:
        system.add("Root", task("operation", run, may_end=True))
        await trio.sleep(1)
        await system.stop_child("operation")
        await system.restart("operation")
        await trio.sleep(10)
        assert ran == [0, 1]
        assert len(system.registry) == 1  # it ended by itself, so nothing is left of it


async def test_what_two_operators_remove_is_removed_once(autojump_clock: MockClock) -> None:
    address, child = echo(stop_seconds=10)
    async with running([child]) as system, trio.open_nursery() as nursery:
        nursery.start_soon(address.ask, pause(1))
        await wait_all_tasks_blocked()
        for _ in range(2):
            nursery.start_soon(system.remove, "echo")
        await trio.sleep(2)
        assert len(system.registry) == 1


async def test_a_restart_keeps_the_messages_and_is_no_failure() -> None:
    notes: list[str] = []
    address, child = echo(notes=notes)
    async with running([child]) as system:
        for number in range(10):
            address.tell(Note(str(number)))
        await system.restart("echo")
        await address.ask(Say("done"))
        assert notes == [str(number) for number in range(10)]
        assert system.failures.recent == ()
        assert system.snapshot().children[0].restarts == 1


async def test_who_waits_for_an_end_leaves_the_successor_alone(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Two operators restart a child at once: the second must not take the first one's instance for the old one."""
    address, child = echo(stop_seconds=2)
    async with running([child]) as system:
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(system.restart, "echo")
        await trio.sleep(10)
        assert await address.ask(Say("still here")) == "still here"
        (echoer,) = [each for each in system.snapshot().walk() if each.name == "echo"]
        assert echoer.uptime >= 9, "nobody cancelled the new instance"
    assert "did not stop" not in caplog.text


async def test_a_stopped_child_stays_so_when_its_supervisor_restarts(autojump_clock: MockClock) -> None:
    _, stopped = echo("stopped")
    bad, bad_child = echo("bad")
    tree = supervisor("Sub", OneForOne(), [stopped, bad_child], intensity=Intensity(0, 1))
    async with running([tree]) as system:
        await system.stop_child("stopped")
        bad.tell(CrashTold())
        assert await bad.ask(Say("back")) == "back"
        states = {node.name: node.state for node in system.snapshot().walk()}
        assert (states["stopped"], states["bad"]) == (State.STOPPED, State.RUNNING)


async def test_a_removed_subtree_frees_its_names_and_addresses() -> None:
    address, child = echo("inner")
    async with running([supervisor("Sub", OneForOne(), [child])]) as system:
        await system.remove("Sub")
        assert len(system.registry) == 1
        with pytest.raises(ActorDown):
            await address.ask(Say("?"))
        system.add("Root", child)
        assert await address.ask(Say("moved")) == "moved"


async def test_nothing_is_added_to_or_restarted_in_a_system_that_stops(autojump_clock: MockClock) -> None:
    slow, slow_child = echo("slow", stop_seconds=10)
    async with running([slow_child, echo("other")[1]]) as system, trio.open_nursery() as nursery:
        slow.tell(Note("x"))
        nursery.start_soon(_ignore_down, slow)
        await wait_all_tasks_blocked()
        system.request_stop("test")
        await wait_all_tasks_blocked()
        with pytest.raises(WrongState, match="cannot add a child to Root: it is stopping"):
            system.add("Root", task("late", trio.sleep_forever))
        with pytest.raises(WrongState, match="cannot restart other: Root is stopping"):
            await system.restart("other")


async def test_a_restart_that_is_refused_stops_nobody(autojump_clock: MockClock) -> None:
    """While its supervisor is on its way up again a child cannot be restarted, and must not stay down for it."""
    address, child = echo("good")
    bad, bad_child = echo("bad")
    starts = 0

    class Slow(Actor[Echo], partial=True):
        async def pre_start(self) -> None:
            nonlocal starts
            starts += 1
            await trio.sleep(10 if starts > 1 else 0)

    tree = supervisor(
        "Sub", OneForOne(), [child, bad_child, actor(Address("slow"), Slow)], intensity=Intensity(0, 1)
    )
    async with running([tree]) as system:
        bad.tell(CrashTold())
        await trio.sleep(1)
        with pytest.raises(WrongState, match="cannot restart good: Sub is restarting"):
            await system.restart("good")
        assert await address.ask(Say("still here"), seconds=1) == "still here"


async def test_a_restart_overtaken_by_the_end_of_its_supervisor_is_refused(autojump_clock: MockClock) -> None:
    slow, slow_child = echo("slow", stop_seconds=10)
    async with running([slow_child]) as system, trio.open_nursery() as nursery:
        nursery.start_soon(_ignore_down, slow)
        await wait_all_tasks_blocked()
        nursery.start_soon(_refused_restart, system, "slow")
        await wait_all_tasks_blocked()
        system.request_stop("test")


async def _refused_restart(system: System, name: str) -> None:
    with pytest.raises(WrongState, match="cannot restart slow: Root is stop"):
        await system.restart(name)


async def _ignore_down(address: Address[Echo]) -> None:
    with pytest.raises(ActorDown):
        await address.ask(pause(60), seconds=100)


async def test_leaving_the_block_handles_what_was_sent_and_closes_the_addresses() -> None:
    notes: list[str] = []
    address, child = echo(notes=notes)
    async with running([child]):
        for number in range(500):
            address.tell(Note(str(number)))
    assert notes == [str(number) for number in range(500)]
    assert address.mailbox.closed


async def test_an_error_of_the_block_comes_out_as_it_is_after_the_tree_stopped() -> None:
    watcher = Watcher()
    _, child = echo()
    with pytest.raises(ZeroDivisionError):
        async with running([child], observer=watcher):
            raise ZeroDivisionError
    assert watcher.states("echo")[-1] is State.STOPPED


async def test_a_cancelled_block_stops_the_tree_in_order() -> None:
    watcher = Watcher()
    with trio.CancelScope() as scope:
        async with running([echo("a")[1], echo("b")[1]], strategy=RestForOne(), observer=watcher):
            scope.cancel()
            await trio.sleep_forever()
    assert watcher.order(State.STOPPED) == ["b", "a", "Root"]


async def test_when_system_and_block_fail_together_the_systems_failure_is_raised(
    caplog: pytest.LogCaptureFixture,
) -> None:
    address, child = echo()

    async def fail_in_block() -> None:
        async with running([child], fatal=[ValueError]):
            address.tell(CrashTold())
            try:
                await trio.sleep_forever()
            finally:
                raise KeyError("in the block")

    with pytest.raises(SystemFailed):
        await fail_in_block()
    assert "besides the failure of the system, its block raised KeyError('in the block')" in caplog.text


async def test_a_daemon_runs_until_it_is_asked_to_stop() -> None:
    _, child = echo()
    async with trio.open_nursery() as nursery:
        system: System = await nursery.start(run_system, supervisor("Root", OneForOne(), [child]))
        assert system.snapshot().state is State.RUNNING
        assert system.stop_reason is None
        system.request_stop("SIGTERM")
        system.request_stop("again")
    assert system.stop_reason == "SIGTERM"
    assert system.failure is None


async def test_a_tree_that_does_not_stop_in_time_is_cancelled(autojump_clock: MockClock) -> None:
    """The root's own bound holds even if the sum of its children's does not."""
    address, child = echo(stop_seconds=1000.0)
    root = supervisor("Root", OneForOne(), [child], stop_seconds=2.0)
    async with open_system(root) as system, trio.open_nursery() as nursery:

        async def ask() -> None:
            with pytest.raises(trio.BrokenResourceError):
                await address.ask(pause(500), seconds=1000)

        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        began = trio.current_time()
        await system.stop("test")
    assert trio.current_time() - began == pytest.approx(2)


async def test_an_address_serves_one_actor_at_a_time_and_another_afterwards() -> None:
    address: Address[Echo] = Address("echo")
    child = actor(address, lambda: EchoActor([]))
    async with running([child]):
        with pytest.raises(SpecError, match="the address echo already has an actor in a running system"):
            async with running([child]):
                pytest.fail("never entered")
    async with running([child]):
        assert await address.ask(Say("second life")) == "second life"


async def test_only_types_of_exceptions_are_refusals_or_fatal() -> None:
    _, child = echo()
    wrong: Any = [ValueError("an instance")]
    for options in ({"refusals": wrong}, {"fatal": wrong}):
        with pytest.raises(TypeError, match="must be types of exceptions, not ValueError\\('an instance'\\)"):
            async with running([child], **options):
                raise AssertionError("it must not start")


async def test_only_an_exception_can_be_injected() -> None:
    address, child = echo()
    wrong: Any = KeyboardInterrupt()
    async with running([child]) as system:
        with pytest.raises(TypeError, match="cannot inject KeyboardInterrupt.. into echo: it is not an Exception"):
            system.inject("echo", wrong)
        assert await address.ask(Say("alive")) == "alive"
