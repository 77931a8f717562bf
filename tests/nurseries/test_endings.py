"""What ends a system: fatal errors, which are never lost, and exits of the program. And what ends nothing."""

import gc
import sys
from collections.abc import Awaitable, Callable
from typing import Any
from weakref import ref

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from alysd.nurseries import (
    Actor,
    Address,
    Aligned,
    ChildSpec,
    CircuitBreaker,
    Fatal,
    FixedDelay,
    HandlerCrashed,
    HealthChange,
    HealthMonitor,
    Immediate,
    Intensity,
    Never,
    OneForAll,
    OneForOne,
    RestartPolicy,
    RestForOne,
    StartTooSlow,
    State,
    StuckChild,
    SystemFailed,
    actor,
    handles,
    open_system,
    pool,
    run_system,
    supervisor,
    task,
)
from alysd.nurseries.child import Change
from alysd.testing.echo import Await, CrashTold, Echo, EchoActor, Note, Say, Watcher, echo, pause, running


class Hooks(EchoActor):
    """Calls the function that is given for a hook."""

    def __init__(self, **hooks: Callable[[], Awaitable[None]]) -> None:
        super().__init__([])
        self.hooks = hooks

    async def _call(self, hook: str) -> None:
        if hook in self.hooks:
            await self.hooks[hook]()

    async def pre_start(self) -> None:
        await self._call("pre_start")

    async def post_restart(self) -> None:
        await self._call("post_restart")

    async def pre_restart(self, error: Exception) -> None:
        await self._call("pre_restart")

    async def pre_stop(self) -> None:
        await self._call("pre_stop")

    async def stopped(self) -> None:
        await self._call("stopped")


def hooked(**hooks: Callable[[], Awaitable[None]]) -> tuple[Address[Echo], ChildSpec]:
    address: Address[Echo] = Address("hooked")
    return address, actor(address, lambda: Hooks(**hooks), restart=Immediate())


async def fatal() -> None:
    raise Fatal("disk gone")


async def broken() -> None:
    raise OSError("cannot close")


async def grouped() -> None:
    raise ExceptionGroup("two", [OSError("first"), ExceptionGroup("inner", [Fatal("disk gone")])])


def ends_by_the_fatal_error() -> "pytest.RaisesExc[SystemFailed]":
    return pytest.raises(SystemFailed, check=lambda error: isinstance(error.__cause__, Fatal))


@pytest.mark.parametrize("hook", ["pre_restart", "stopped"])
async def test_a_fatal_error_of_a_hook_after_a_crash_is_not_lost(autojump_clock: MockClock, hook: str) -> None:
    address, child = hooked(**{"pre_restart": broken, "stopped": broken, hook: fatal})
    with ends_by_the_fatal_error():
        async with running([supervisor("Sub", OneForOne(), [child])]):
            address.tell(CrashTold())
            await trio.sleep_forever()


@pytest.mark.parametrize("hook", ["pre_stop", "stopped"])
@pytest.mark.parametrize("operation", ["stop_child", "restart", "remove", "leave"])
async def test_a_fatal_error_while_stopping_is_not_lost(
    autojump_clock: MockClock, hook: str, operation: str
) -> None:
    _, child = hooked(**{hook: fatal})
    with ends_by_the_fatal_error():
        async with running([supervisor("Sub", OneForOne(), [child])]) as system:
            if operation != "leave":
                await getattr(system, operation)("hooked")
                await trio.sleep_forever()


async def test_a_fatal_error_beside_others_is_not_lost(autojump_clock: MockClock) -> None:
    with ends_by_the_fatal_error():
        async with running([supervisor("Sub", OneForOne(), [task("work", grouped)])]):
            await trio.sleep_forever()


async def test_a_fatal_error_during_a_group_restart_is_not_lost(autojump_clock: MockClock) -> None:
    address, child = echo("a")
    _, other = hooked(stopped=fatal)
    with ends_by_the_fatal_error():
        async with running([supervisor("Sub", OneForAll(), [child, other])]):
            address.tell(CrashTold())
            await trio.sleep_forever()


@pytest.mark.parametrize("injected", [False, True])
async def test_a_fatal_error_while_the_supervisor_gives_up_is_not_lost(
    autojump_clock: MockClock, injected: bool
) -> None:
    """Its own supervisor would otherwise restart it."""
    address, child = echo("a")
    _, other = hooked(stopped=fatal)
    with ends_by_the_fatal_error():
        sub = supervisor("Sub", OneForOne(), [other, child], intensity=Intensity(0, 1))
        async with running([sub]) as system:
            if injected:
                system.inject("Sub", OSError("injected"))
            else:
                address.tell(CrashTold())
            await trio.sleep_forever()


async def test_an_injected_fatal_error_is_not_lost_in_a_stop(autojump_clock: MockClock) -> None:
    address, child = echo("a")
    with ends_by_the_fatal_error():
        async with running([child]) as system, trio.open_nursery() as nursery:
            nursery.start_soon(address.ask, pause(1))
            await wait_all_tasks_blocked()
            system.inject("a", Fatal("injected"))
            await system.stop_child("a")


@pytest.mark.parametrize("hook", ["pre_start", "post_restart"])
async def test_a_start_has_a_deadline(autojump_clock: MockClock, hook: str) -> None:
    address: Address[Echo] = Address("slow")
    starts = 0

    async def hang_once() -> None:
        nonlocal starts
        starts += 1
        if starts == 1:
            await trio.sleep_forever()

    child = actor(address, lambda: Hooks(**{hook: hang_once}), restart=FixedDelay(1.0), start_seconds=10)
    async with open_system(supervisor("Root", OneForOne(), [child])) as system:
        address.tell(CrashTold())
        assert await address.ask(Say("up"), seconds=100) == "up"
        errors = [record.error for record in system.failures.recent]
    assert "StartTooSlow: slow took more than 10 s to start" in errors
    assert str(StartTooSlow("slow", 10)) == "slow took more than 10 s to start"


@pytest.mark.parametrize("deep", [False, True])
async def test_an_exit_stops_the_system_in_order_and_arrives_unchanged(
    autojump_clock: MockClock, deep: bool
) -> None:
    async def leave() -> None:
        if deep:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                sys.exit(3)
        sys.exit(3)

    watcher, notes = Watcher(), list[str]()
    address, child = echo("a", notes=notes)
    hooked_address, hooked_child = hooked()
    tree = [child, supervisor("Sub", OneForOne(), [hooked_child]), echo("c")[1]]
    with pytest.raises(SystemExit) as caught:  # noqa: PT012  the exit arrives at the end of the system
        async with (
            running(tree, strategy=RestForOne(), observer=watcher) as system,
            trio.open_nursery() as nursery,
        ):
            address.tell(Note("sent before"))
            nursery.start_soon(hooked_address.ask, pause(0))
            system.add("Sub", task("leaves", leave))
            await trio.sleep_forever()
    assert caught.value.code == 3
    assert notes == ["sent before"]
    assert [name for name in watcher.order(State.STOPPED) if name in ("a", "Sub", "c")] == ["c", "Sub", "a"]


async def test_an_exit_in_a_start_does_not_enter_the_block() -> None:
    async def leave() -> None:
        sys.exit(3)

    with pytest.raises(SystemExit):
        async with running([hooked(pre_start=leave)[1]]):
            pytest.fail("the block must not be entered")


async def test_an_interrupt_of_a_child_arrives_as_it_is(autojump_clock: MockClock) -> None:
    async def interrupted() -> None:
        await trio.sleep(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await run_system(supervisor("Root", OneForOne(), [task("work", interrupted)]))


async def test_an_interrupt_during_the_stop_arrives_as_it_is(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = Watcher()
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012  the interrupt arrives at the end of the system
        async with running([echo("a")[1]], observer=watcher) as system:

            async def interrupted(_: str) -> None:
                system.request_stop("test")
                raise KeyboardInterrupt

            monkeypatch.setattr(system, "stop", interrupted)
    assert watcher.order(State.STOPPED) == ["a", "Root"]


async def test_a_fatal_error_in_the_stop_after_an_exit_is_not_lost(autojump_clock: MockClock) -> None:
    async def leave() -> None:
        sys.exit(3)

    with ends_by_the_fatal_error():
        async with running([hooked(stopped=fatal)[1]]) as system:
            system.add("Root", task("leaves", leave))
            await trio.sleep_forever()


async def test_an_observer_that_raises_is_reported_once_per_type_and_ends_nothing(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(change: Change | HealthChange) -> None:
        raise RuntimeError("cannot draw")

    address, child = echo()
    root = supervisor("Root", OneForOne(), [child])
    async with open_system(root, observer=fails, monitor=HealthMonitor(observer=fails)):
        await trio.sleep(100)
        assert await address.ask(Say("fine")) == "fine"
    reports = [record for record in caplog.records if "the observer failed" in record.getMessage()]
    assert len(reports) == 2


async def test_an_observer_that_exits_stops_the_system_in_order(autojump_clock: MockClock) -> None:
    def leaves(change: Change) -> None:
        if change.new is State.CRASHED:
            sys.exit(4)

    notes: list[str] = []
    address, child = echo()
    other, other_child = echo("other", notes=notes)
    with pytest.raises(SystemExit):  # noqa: PT012  the exit arrives at the end of the system
        async with open_system(supervisor("Root", OneForOne(), [child, other_child]), observer=leaves):
            address.tell(CrashTold())
            other.tell(Note("waits"))
            await trio.sleep_forever()
    assert notes == ["waits"]


@pytest.mark.parametrize("restart", [Immediate(), FixedDelay(100.0)])
async def test_the_last_error_does_not_keep_the_failed_instance(
    autojump_clock: MockClock, restart: FixedDelay | Immediate
) -> None:
    instances: list[ref[Hooks]] = []

    def make() -> Hooks:
        made = Hooks()
        instances.append(ref(made))
        return made

    address: Address[Echo] = Address("a")
    async with running([actor(address, make, restart=restart)]) as system:
        await _crash(address)
        await trio.sleep(1)
        gc.collect()
        assert instances[0]() is None
        assert system.snapshot().children[0].last_error == "ConnectionError: reset"


async def _crash(address: Address[Echo]) -> None:
    async def reset() -> None:
        raise ConnectionError("reset")

    with pytest.raises(HandlerCrashed):
        await address.ask(Await(reset))


async def test_an_aligned_child_keeps_its_wait_when_an_elder_sibling_fails(autojump_clock: MockClock) -> None:
    """A restart is allowed at full minutes only."""
    watcher = Watcher()

    def next_minute(seconds: float) -> float:
        return -(trio.current_time() + seconds) % 60 + seconds

    elder, elder_child = echo("elder")
    younger, younger_child = echo("younger", restart=Aligned(Immediate(), next_minute))
    tree = [elder_child, younger_child]
    async with running(tree, strategy=RestForOne(), observer=watcher) as system:
        await trio.sleep(10)
        younger.tell(CrashTold())
        await trio.sleep(10)
        elder.tell(CrashTold())
        assert await elder.ask(Say("at once")) == "at once"
        await trio.sleep(39)
        assert system.snapshot().children[1].state is not State.RUNNING
        await trio.sleep(2)
        assert await younger.ask(Say("on time")) == "on time"
    ups = [change.at for change in watcher.changes if (change.name, change.new) == ("younger", State.RUNNING)]
    assert ups == [0, 60]


class Counter(Actor[Echo], partial=True):
    """Ends after the message that says so."""

    def __init__(self, notes: list[str]) -> None:
        self.notes = notes

    @handles(Note)
    async def note(self, message: Note) -> None:
        self.notes.append(message.text)
        if message.text == "last":
            self.stop()


@pytest.mark.parametrize("added", [False, True])
async def test_an_actor_ends_itself_after_what_waits(autojump_clock: MockClock, added: bool) -> None:
    notes: list[str] = []
    address: Address[Echo] = Address("counter")
    child = actor(address, lambda: Counter(notes))
    async with running([] if added else [child]) as system:
        if added:
            system.add("Root", child)
        for text in ("first", "last", "waits"):
            address.tell(Note(text))
        await trio.sleep(1)
        assert notes == ["first", "last", "waits"]
        assert [node.state for node in system.snapshot().children] == ([] if added else [State.STOPPED])
    with pytest.raises(RuntimeError, match="is not an instance that runs"):
        Counter([]).stop()


class Crashing(EchoActor):
    """Takes half a second for each note, then crashes if its text says so; `pre_stop` and `pre_start` may fail."""

    def __init__(self, notes: list[str], broken: str = "") -> None:
        super().__init__(notes)
        self._broken = broken

    async def pre_start(self) -> None:
        if self._broken == "pre_start" and self.notes:
            raise OSError("cannot start")

    async def pre_stop(self) -> None:
        if self._broken == "pre_stop":
            raise OSError("cannot stop")

    async def crash_or_note(self, message: Note) -> None:
        await trio.sleep(0.5)
        self.notes.append(message.text)
        if message.text.startswith("crash"):
            raise ValueError(message.text)


Crashing.handlers = {**EchoActor.handlers, Note: Crashing.crash_or_note}

SIX = ("a", "crash 1", "b", "c", "crash 2", "d")


@pytest.mark.parametrize("operation", ["stop_child", "remove", "leave"])
@pytest.mark.parametrize("restart", [Immediate(), FixedDelay(100.0), CircuitBreaker()])
async def test_a_crash_in_a_stop_loses_its_message_alone(
    autojump_clock: MockClock, restart: RestartPolicy, operation: str
) -> None:
    """It lost all messages that waited."""
    notes: list[str] = []
    address: Address[Echo] = Address("echo")
    async with running([actor(address, lambda: Crashing(notes), restart=restart)]) as system:
        for text in SIX:
            address.tell(Note(text))
        if operation != "leave":
            await getattr(system, operation)("echo")
    assert (tuple(notes), address.handled, trio.current_time()) == (SIX, 4, 3)
    assert [letter.reason for letter in address.dead_letters] == ["crashed its actor: ValueError"] * 2


@pytest.mark.parametrize(
    ("restart", "options", "expected"),
    [
        (Never(), {}, SIX[:2]),
        (CircuitBreaker(failures=1), {}, SIX[:2]),
        (Aligned(Immediate(), lambda _: 60.0), {}, SIX[:2]),
        (Immediate(), {"stop_seconds": 1.2}, SIX[:2]),
        (Immediate(), {"broken": "pre_start"}, SIX[:2]),
        (Immediate(), {"broken": "pre_stop"}, SIX[:1]),
    ],
)
async def test_what_waits_after_a_crash_in_a_stop_is_dropped_if_no_instance_can_handle_it(
    autojump_clock: MockClock, restart: RestartPolicy, options: dict[str, Any], expected: tuple[str, ...]
) -> None:
    notes: list[str] = []
    address: Address[Echo] = Address("echo")
    broken = options.pop("broken", "")
    child = actor(address, lambda: Crashing(notes, broken), restart=restart, **options)
    async with running([child]):
        for text in SIX:
            address.tell(Note(text))
        await trio.sleep(0.1)
    assert tuple(notes) == expected
    assert address.handled + address.mailbox.dropped == len(SIX)


async def test_crashes_in_a_stop_do_not_give_it_more_time(autojump_clock: MockClock) -> None:
    address: Address[Echo] = Address("echo")
    child = actor(address, lambda: Crashing([]), restart=Immediate(), stop_seconds=2.2)
    async with running([child]):
        for _ in range(20):
            address.tell(Note("crash"))
    assert (trio.current_time(), address.mailbox.dropped) == (2.2, 20)


async def test_a_child_that_crashes_before_its_turn_to_stop_handles_what_waits(autojump_clock: MockClock) -> None:
    """Its messages were dropped, because the system stops."""
    notes: list[str] = []
    address: Address[Echo] = Address("echo")
    later, slow = echo("later")
    async with (
        running(
            [actor(address, lambda: Crashing(notes), restart=Immediate()), slow], strategy=RestForOne()
        ) as system,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(later.ask, pause(3))
        for text in SIX:
            address.tell(Note(text))
        await wait_all_tasks_blocked()
        system.request_stop("test")
    assert tuple(notes) == SIX


@pytest.mark.parametrize("size", [1, 2])
async def test_a_worker_that_crashes_in_a_stop_loses_its_message_alone(
    autojump_clock: MockClock, size: int
) -> None:
    notes: list[str] = []
    address: Address[Echo] = Address("echo")
    child = pool(address, size, lambda: Crashing(notes), restart=FixedDelay(100.0))
    async with running([child]):
        for text in SIX:
            address.tell(Note(text))
    assert sorted(notes) == sorted(SIX)


async def test_an_instance_that_only_handles_what_waits_is_reported_if_it_does_not_end(
    autojump_clock: MockClock,
) -> None:
    async def shielded() -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(100)

    stuck: list[tuple[str, float]] = []
    address: Address[Echo] = Address("echo")
    child = actor(address, lambda: Crashing([]), restart=Immediate(), stop_seconds=2.0)

    def on_stuck(report: StuckChild) -> None:
        stuck.append((report.name, trio.current_time()))

    async def ask() -> None:
        assert await address.ask(Await(shielded), seconds=1000) == "waited"

    async with trio.open_nursery() as nursery, running([child], on_stuck=on_stuck):
        address.tell(Note("crash"))
        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
    assert stuck == [("echo", pytest.approx(9.5, abs=0.02))]
