"""Operators that act at the same time, are cancelled, or are actors that stop themselves."""

from collections.abc import Awaitable, Callable
from functools import partial

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from alysd.nurseries import (
    Actor,
    ActorDown,
    Address,
    Ask,
    AskCycle,
    ChildSpec,
    FixedDelay,
    HealthMonitor,
    HealthRules,
    Immediate,
    OneForAll,
    OneForOne,
    Priority,
    RestForOne,
    StartFailed,
    State,
    System,
    Tell,
    WrongState,
    actor,
    handles,
    supervisor,
    task,
)
from alysd.nurseries.task_child import TaskChild
from alysd.testing.echo import Await, CrashTold, Echo, EchoActor, Say, Watcher, echo, pause, running


class Work:
    """The protocol of `Worker`."""


@attrs.frozen
class Job(Tell[Work]):
    """Takes a tenth of a second."""

    number: int


@attrs.frozen
class Do(Ask[Work, str]):
    """The handler awaits `operation()` and answers with the time that this took."""

    operation: Callable[[], Awaitable[None]]


class Worker(Actor[Work]):
    """Takes a tenth of a second for each job, for its start and for its end."""

    def __init__(self, done: list[int], stops: list[float]) -> None:
        self.done = done
        self.stops = stops

    async def pre_start(self) -> None:
        await trio.sleep(0.1)

    async def pre_stop(self) -> None:
        self.stops.append(trio.current_time())

    async def stopped(self) -> None:
        await trio.sleep(0.1)

    @handles(Job)
    async def job(self, message: Job) -> None:
        """Do the job."""
        await trio.sleep(0.1)
        self.done.append(message.number)

    @handles(Do)
    async def do(self, message: Do) -> str:
        """Await the operation."""
        began = trio.current_time()
        await message.operation()
        return f"{trio.current_time() - began:g} s"


def worker(
    name: str = "worker", *, done: list[int] | None = None, stops: list[float] | None = None
) -> tuple[Address[Work], ChildSpec]:
    address: Address[Work] = Address(name)
    shared = ([] if done is None else done, [] if stops is None else stops)
    return address, actor(address, lambda: Worker(*shared), restart=Immediate())


OPERATIONS: dict[str, Callable[[System], Awaitable[None]]] = {
    "stop": lambda system: system.stop_child("worker"),
    "restart": lambda system: system.restart("worker"),
    "remove": lambda system: system.remove("worker"),
    "stop all": lambda system: system.stop("test"),
    "stop above": lambda system: system.stop_child("Sub"),
    "restart above": lambda system: system.restart("Sub"),
}


async def accepted(operation: Awaitable[None]) -> None:
    try:
        await operation
    except WrongState as refusal:
        if refusal.operation != "restart":  # only a restart can be refused because of another operation
            raise


@pytest.mark.parametrize("group", [OneForOne(), OneForAll()])
@pytest.mark.parametrize("between", [0.0, 0.07, 0.12, 0.25])
@pytest.mark.parametrize("first", OPERATIONS)
@pytest.mark.parametrize("second", OPERATIONS)
async def test_two_operators_at_once_lose_no_message_that_waits(
    autojump_clock: MockClock, first: str, second: str, between: float, group: OneForOne | OneForAll
) -> None:
    """A stop handles what waits, also if it overtakes a restart whose old instance no longer handles messages."""
    done: list[int] = []
    address, child = worker(done=done)
    sub = supervisor("Sub", group, [child, echo("other")[1]])
    async with running([sub]) as system:
        for number in range(10):
            address.tell(Job(number))
        await trio.sleep(0.05)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(accepted, OPERATIONS[first](system))
            await trio.sleep(between)
            if "worker" in system.registry:
                nursery.start_soon(accepted, OPERATIONS[second](system))
        if "remove" not in (first, second) and system.snapshot().state is State.RUNNING:
            assert await trio.lowlevel.checkpoint() is None
            await trio.sleep(2)
    assert done == list(range(10))
    assert address.mailbox.dropped == 0


async def test_a_group_that_restarts_while_the_system_stops_loses_no_message(autojump_clock: MockClock) -> None:
    done: list[int] = []
    address, child = worker(done=done)
    failing, failing_child = echo("failing", restart=FixedDelay(20.0))
    async with running([failing_child, child], strategy=OneForAll()):
        for number in range(10):
            address.tell(Job(number))
        failing.tell(CrashTold())
        await trio.sleep(5)
        assert len(done) < 10
    assert done == list(range(10))


async def test_what_waits_for_an_actor_that_starts_is_handled_before_it_stops(autojump_clock: MockClock) -> None:
    done: list[int] = []
    address, child = worker(done=done)
    async with running([]) as system:
        system.add("Root", child)
        address.tell(Job(1))
        await system.stop_child("worker")
    assert done == [1]


async def test_nothing_is_suspended_once_its_supervisor_stops(autojump_clock: MockClock) -> None:
    """It would hold up the siblings that ask it something before they stop."""
    address, child = echo("a")

    async def asks_while_it_stops() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(1)
                assert await address.ask(Say("last")) == "last"

    last = task("asker", asks_while_it_stops, depends_on=["a"])
    sub = supervisor("Sub", OneForOne(), [child, last])
    async with running([sub]) as system, trio.open_nursery() as nursery:
        system.suspend("a")
        await wait_all_tasks_blocked()
        nursery.start_soon(system.stop_child, "Sub")
        await trio.sleep(0.5)
        with pytest.raises(WrongState, match="cannot suspend a: Sub is stopping"):
            system.suspend("a")
        await trio.sleep(1)
        assert system.snapshot().children[0].state is State.STOPPED


async def test_pre_stop_runs_once_however_often_the_actor_looks_up(autojump_clock: MockClock) -> None:
    stops: list[float] = []
    address, child = worker(stops=stops)
    rules = HealthRules(intervals=dict.fromkeys(Priority, 0.2), timeout=0.1, unhealthy_after=100)
    async with running([child], monitor=HealthMonitor(rules)) as system:
        for number in range(10):
            address.tell(Job(number))
        await system.stop_child("worker")
    assert len(stops) == 1


@pytest.mark.parametrize("operation", ["stop", "restart", "remove"])
async def test_an_operation_goes_on_when_its_operator_is_cancelled(
    autojump_clock: MockClock, operation: str
) -> None:
    """Otherwise a child would stay down, or in the tables, after a client of the operator's page hung up."""
    done: list[int] = []
    address, child = worker(done=done)
    async with running([child]) as system:
        for number in range(10):
            address.tell(Job(number))
        await trio.sleep(0.05)
        with trio.move_on_after(0.12) as scope:
            await OPERATIONS[operation](system)
        assert scope.cancelled_caught
        await trio.sleep(3)
        assert done == list(range(10))
        if operation == "restart":
            assert system.snapshot().children[0].state is State.RUNNING
            assert await address.ask(Do(trio.lowlevel.checkpoint)) == "0 s"
        elif operation == "remove":
            assert "worker" not in system.registry
            system.add("Root", child)
        else:
            assert system.snapshot().children[0].state is State.STOPPED
            await system.restart("worker")


@pytest.mark.parametrize("name", ["worker", "Sub"])
@pytest.mark.parametrize("operation", [System.stop_child, System.restart, System.remove])
async def test_an_actor_can_stop_restart_and_remove_itself_and_its_supervisor(
    autojump_clock: MockClock, operation: Callable[[System, str], Awaitable[None]], name: str
) -> None:
    """The request is accepted at once, and carried out after the handler has returned."""
    done: list[int] = []
    address, child = worker(done=done)
    async with running([supervisor("Sub", OneForOne(), [child])]) as system:

        async def on_itself() -> None:
            await operation(system, name)
            await trio.sleep(0.5)
            assert system.snapshot().children[0].state is (State.STOPPING if name == "Sub" else State.RUNNING)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(expect, address.ask(Do(on_itself)), "0.5 s")
            await trio.sleep(0.2)
            address.tell(Job(1)) if operation is System.restart else None
        await trio.sleep(1)
        states = {node.name: node.state for node in system.snapshot().walk()}
        if operation is System.remove:
            assert name not in states
        else:
            assert states[name] is (State.RUNNING if operation is System.restart else State.STOPPED)
    assert done == [1] * (operation is System.restart)


async def expect(ask: Awaitable[str], answer: str) -> None:
    assert await ask == answer


async def test_a_task_of_the_tree_can_end_the_system_that_it_runs_in(autojump_clock: MockClock) -> None:
    watcher = Watcher()

    async def ends() -> None:
        await trio.sleep(1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(system.stop, "done")
        await trio.sleep_forever()

    async with running([task("ends", ends)], observer=watcher) as system:
        await system.ended()
    assert trio.current_time() == 1
    assert watcher.order(State.STOPPED) == ["ends", "Root"]


async def test_the_later_of_two_requests_holds(autojump_clock: MockClock) -> None:
    done: list[int] = []
    address, child = worker(done=done)
    async with running([child]) as system, trio.open_nursery() as nursery:
        for number in range(10):
            address.tell(Job(number))
        nursery.start_soon(system.stop_child, "worker")
        await trio.sleep(0.05)
        nursery.start_soon(system.restart, "worker")
        await trio.sleep(3)
        assert (len(done), system.snapshot().children[0].state) == (10, State.RUNNING)
        nursery.start_soon(address.ask, Do(partial(trio.sleep, 1)))
        await trio.sleep(0.05)
        for operation in (system.restart, system.stop_child, system.remove):
            nursery.start_soon(operation, "worker")
            await wait_all_tasks_blocked()
        with pytest.raises(WrongState, match="cannot restart worker: it is being removed"):
            await system.restart("worker")
        nursery.start_soon(system.stop_child, "worker")
        await trio.sleep(3)
        assert len(system.registry) == 1


async def test_a_restart_goes_on_although_the_old_instance_fails_at_its_end(autojump_clock: MockClock) -> None:
    address, child = echo()

    async def crashes_when_stopped() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise OSError("cannot close")

    async with running([child, task("work", crashes_when_stopped)]) as system:
        await system.restart("work")
        assert system.snapshot().children[1].state is State.RUNNING
        assert await address.ask(Say("still here")) == "still here"


async def test_a_child_restarted_before_its_task_has_run_starts(autojump_clock: MockClock) -> None:
    address, child = echo("late")
    async with running([]) as system:
        system.add("Root", child)
        await system.restart("late")
        assert await address.ask(Say("here")) == "here"


async def test_a_restart_of_a_group_member_waits_for_the_group(autojump_clock: MockClock) -> None:
    """A member that started before its group would hold on to siblings that are about to be replaced."""
    watcher = Watcher()
    (a, a_child), (b, b_child) = echo("a"), echo("b")
    async with (
        running([a_child, b_child], strategy=OneForAll(), observer=watcher) as system,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(b.ask, pause(1))
        await wait_all_tasks_blocked()
        watcher.changes.clear()
        a.tell(CrashTold())
        await trio.sleep(0.5)
        nursery.start_soon(system.restart, "b")
        nursery.start_soon(system.restart, "a")
        system.add("Root", echo("c")[1])
        await trio.sleep(0.1)
        assert system.snapshot().children[1].state is State.STOPPING
        await trio.sleep(1)
        assert watcher.order(State.RUNNING) == ["a", "b", "c"]
        assert [await each.ask(Say("up")) for each in (a, b)] == ["up", "up"]


async def test_a_restart_is_refused_when_the_supervisor_ends_first(autojump_clock: MockClock) -> None:
    address, child = echo("a")
    refused: list[str] = []

    async def restart(system: System) -> None:
        with pytest.raises(WrongState) as caught:
            await system.restart("a")
        refused.append(str(caught.value))

    async with running([supervisor("Sub", OneForOne(), [child])]) as system, trio.open_nursery() as nursery:
        nursery.start_soon(address.ask, pause(1))
        await wait_all_tasks_blocked()
        nursery.start_soon(restart, system)
        await wait_all_tasks_blocked()
        nursery.start_soon(system.stop_child, "Sub")
    assert refused == ["cannot restart a: Sub is stopping"]


async def test_a_restart_that_waits_for_its_group_is_refused_when_the_supervisor_fails(
    autojump_clock: MockClock,
) -> None:
    (a, a_child), (b, b_child) = echo("a"), echo("b")
    sub = supervisor("Sub", OneForAll(), [a_child, b_child], restart=FixedDelay(60.0))
    async with running([sub]) as system, trio.open_nursery() as nursery:
        nursery.start_soon(refused, b.ask(pause(1)), ActorDown)
        await wait_all_tasks_blocked()
        a.tell(CrashTold())
        await trio.sleep(0.5)
        nursery.start_soon(refused, system.restart("a"), WrongState)
        await wait_all_tasks_blocked()
        system.inject("Sub", OSError("injected"))
        await trio.sleep(0.1)
        nursery.cancel_scope.deadline = trio.current_time() + 1
        assert system.snapshot().children[0].state is State.BACKOFF


async def refused(operation: Awaitable[object], error: type[Exception]) -> None:
    with pytest.raises(error):
        await operation


async def test_nothing_is_started_by_a_supervisor_that_is_about_to_end(autojump_clock: MockClock) -> None:
    """Its nursery accepts no tasks any more, while its state is still that of a running supervisor."""

    async def slow_to_stop() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(1)

    sub = supervisor("Sub", OneForOne(), [task("slow", slow_to_stop), echo("other")[1]])
    async with running([sub]) as system:
        system.inject("Sub", OSError("injected"))
        await trio.sleep(0.5)
        with pytest.raises(WrongState, match="cannot add a child to Sub: it is about to end"):
            system.add("Sub", echo("late")[1])
        with pytest.raises(WrongState, match="cannot restart other: Sub is about to end"):
            await system.restart("other")
        await trio.sleep(1)
        assert all(node.state is State.RUNNING for node in system.snapshot().walk())


async def test_children_that_end_before_their_turn_do_not_hold_up_the_stop_of_their_group(
    autojump_clock: MockClock,
) -> None:
    watcher = Watcher()
    addresses, children = zip(*(echo(name) for name in "abcd"), strict=True)
    a, b, c, d = addresses
    async with (
        running(children, strategy=RestForOne(), observer=watcher) as system,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(d.ask, pause(1))
        await wait_all_tasks_blocked()
        watcher.changes.clear()
        b.tell(CrashTold())
        await trio.sleep(0.5)
        c.tell(CrashTold())
        await system.stop_child("a")
        await trio.sleep(1)
        assert [await each.ask(Say("up")) for each in (b, c, d)] == ["up"] * 3
        assert system.snapshot().children[0].state is State.STOPPED
        await system.restart("a")
        assert await a.ask(Say("up")) == "up"


async def test_a_member_of_a_waiting_group_handles_what_it_kept_before_it_is_stopped(
    autojump_clock: MockClock,
) -> None:
    done: list[int] = []
    address, child = worker(done=done)
    failing, failing_child = echo("failing", restart=FixedDelay(20.0))
    async with running([failing_child, child], strategy=OneForAll()) as system:
        for number in range(10):
            address.tell(Job(number))
        failing.tell(CrashTold())
        await trio.sleep(5)
        await system.stop_child("worker")
        assert done == list(range(10))
        assert system.snapshot().children[1].state is State.STOPPED


async def test_removing_one_of_many_children_takes_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 100,000 operations of a bridge, each of which is removed when it ends, no removal may search a list."""
    count, compared = 1_000, 0

    def equals(child: TaskChild, other: object) -> bool:
        nonlocal compared
        compared += 1
        return child is other

    monkeypatch.setattr(TaskChild, "__eq__", equals)
    async with running([task(f"{number}", trio.sleep_forever) for number in range(count)]) as system:
        await system.remove(f"{count - 1}")
        assert len(system.registry) == count
        assert compared < 10


THAT_WAIT = ("stop_child", "remove", "restart")


@pytest.mark.parametrize("operation", THAT_WAIT)
async def test_an_operation_on_a_child_that_waits_for_the_handler_is_refused(
    autojump_clock: MockClock, operation: str
) -> None:
    (a, a_child), (b, b_child) = echo("a"), echo("b")
    ended: list[tuple[str, float]] = []

    async def operate() -> None:
        await trio.sleep(1)
        with pytest.raises(AskCycle, match="wait for each other for ever: a -> b -> a"):
            await getattr(system, operation)("b")
        ended.append(("a", trio.current_time()))

    async def ask_back() -> None:
        assert await a.ask(Say("x"), seconds=60) == "x"
        ended.append(("b", trio.current_time()))

    async with running([a_child, supervisor("Below", OneForOne(), [b_child])]) as system:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(a.ask, Await(operate))
            await wait_all_tasks_blocked()
            nursery.start_soon(b.ask, Await(ask_back))
        assert ended == [("a", 1), ("b", 1)]
        assert system.snapshot().children[1].children[0].restarts == 0


@pytest.mark.parametrize("operation", THAT_WAIT)
async def test_an_ask_of_the_handler_that_waits_for_the_end_of_the_asker_is_refused(
    autojump_clock: MockClock, operation: str
) -> None:
    (a, a_child), (b, b_child) = echo("a"), echo("b", stop_seconds=100)
    ended: list[tuple[str, float]] = []

    async def operate() -> None:
        await getattr(system, operation)("b")
        ended.append(("a", trio.current_time()))

    async def ask_back() -> None:
        await trio.sleep(2)
        with pytest.raises(AskCycle, match="b -> a -> b"):
            await a.ask(Say("x"), seconds=60)
        ended.append(("b", trio.current_time()))

    async with running([a_child, b_child]) as system:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(b.ask, Await(ask_back))
            await wait_all_tasks_blocked()
            nursery.start_soon(a.ask, Await(operate))
        assert ended == [("b", 2), ("a", 2)]
        assert await a.ask(Say("goes on")) == "goes on"


class AskingFirst(EchoActor):
    """Asks an address before it is up."""

    def __init__(self, address: Address[Echo]) -> None:
        super().__init__([])
        self._address = address

    async def pre_start(self) -> None:
        """Ask."""
        await self._address.ask(Say("x"), seconds=60)


async def test_a_child_that_needs_the_handler_that_starts_it_is_told_so(autojump_clock: MockClock) -> None:
    a, a_child = echo("a")
    b: Address[Echo] = Address("b")

    async def start() -> None:
        with pytest.raises(StartFailed, match="b did not start: actors would wait for each other .*: b -> a -> b"):
            await system.start_child("Root", actor(b, lambda: AskingFirst(a)), seconds=60)

    async with running([a_child]) as system:
        assert await a.ask(Await(start)) == "waited"
        assert trio.current_time() == 0
        await system.start_child("Root", actor(b, lambda: AskingFirst(a)))


async def test_a_task_that_no_handler_waits_for_may_stop_who_asks_it(autojump_clock: MockClock) -> None:
    a, a_child = echo("a")

    async def operate() -> None:
        async def stop() -> None:
            await system.stop_child("a")

        system.add("Root", task("operator", stop, may_end=True))

    async with running([a_child]) as system:
        assert await a.ask(Await(operate)) == "waited"
        await trio.sleep(1)
        assert a.gone == "stopped"
