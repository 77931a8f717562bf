"""The ends of a system: fatal errors, which are never lost, and exits of the program; nothing else ends it."""

import gc
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from weakref import ref

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from alysd.nurseries import (
    Actor,
    Address,
    Aligned,
    ChildSpec,
    Fatal,
    FixedDelay,
    HandlerCrashed,
    HealthChange,
    HealthMonitor,
    Immediate,
    Intensity,
    OneForAll,
    OneForOne,
    RestForOne,
    StartTooSlow,
    State,
    SystemFailed,
    actor,
    handles,
    open_system,
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


async def test_the_first_of_two_exits_is_raised(autojump_clock: MockClock) -> None:
    async def leave(code: int) -> None:
        try:
            await trio.sleep(code)
        finally:
            sys.exit(code)

    with pytest.raises(SystemExit) as caught:
        async with running([task(str(code), partial(leave, code)) for code in (5, 3)]):
            await trio.sleep_forever()
    assert caught.value.code == 3


async def test_an_aligned_child_that_waits_with_its_group_can_be_stopped(autojump_clock: MockClock) -> None:
    """The children after it started only when it would have been allowed to."""
    elder, elder_child = echo("elder")
    late = Aligned(Immediate(), lambda seconds: max(seconds, 60 - trio.current_time()))
    tree = [elder_child, echo("younger", restart=late)[1], echo("last")[1]]
    async with running(tree, strategy=RestForOne()) as system:
        elder.tell(CrashTold())
        await trio.sleep(10)
        assert system.snapshot().children[2].state is State.STOPPED
        await system.stop_child("younger")
        await wait_all_tasks_blocked()
        assert system.snapshot().children[2].state is State.RUNNING
