"""The life of an actor's instance: the order of its hooks, for each way in which it can end."""

from contextlib import suppress
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from alysd.nurseries import (
    Actor,
    Address,
    ChildSpec,
    FixedDelay,
    HandlerCrashed,
    Immediate,
    InstanceReused,
    State,
    SystemFailed,
    actor,
    handles,
    pool,
    task,
)
from alysd.testing.echo import (
    CrashAsked,
    CrashTold,
    Echo,
    EchoActor,
    Note,
    Say,
    Watcher,
    run_and_tell,
    running,
    unstarted_child,
)


class Hooked(Actor[Echo], partial=True):
    """Writes down every hook; `broken` names hooks that fail, `slow` those that hang."""

    def __init__(self, log: list[str], broken: tuple[str, ...], slow: tuple[str, ...]) -> None:
        self.log = log
        self.broken = broken
        self.slow = slow

    async def _hook(self, name: str) -> None:
        self.log.append(name)
        if name in self.broken:
            raise OSError(f"{name} is broken")
        if name in self.slow:
            await trio.sleep_forever()

    async def pre_start(self) -> None:
        await self._hook("pre_start")

    async def post_restart(self) -> None:
        await self._hook("post_restart")

    async def started(self) -> None:
        await self._hook("started")

    async def pre_restart(self, error: Exception) -> None:
        await self._hook(f"pre_restart {error}")

    async def pre_stop(self) -> None:
        await self._hook("pre_stop")

    async def stopped(self) -> None:
        await self._hook("stopped")

    @handles(Note)
    async def note(self, message: Note) -> None:
        self.log.append(message.text)

    @handles(Say)
    async def say(self, message: Say) -> str:
        return message.text

    @handles(CrashTold)
    async def crash(self, message: CrashTold) -> None:
        raise message.error

    @handles(CrashAsked)
    async def crash_asked(self, message: CrashAsked) -> str:
        raise message.error


def hooked(
    log: list[str], *, broken: tuple[str, ...] = (), slow: tuple[str, ...] = (), stop_seconds: float = 5.0
) -> tuple[Address[Echo], ChildSpec]:
    address: Address[Echo] = Address("hooked")
    return address, actor(
        address, lambda: Hooked(log, broken, slow), restart=Immediate(), stop_seconds=stop_seconds
    )


async def test_hooks_run_in_order_over_a_crash_and_a_stop() -> None:
    log: list[str] = []
    address, child = hooked(log)
    async with running([child]):
        for message in (Note("one"), CrashTold(), Note("two")):
            address.tell(message)
        await address.ask(Say("done"))
        for _ in range(1000):  # more than an actor handles before it looks up
            address.tell(Note("drained"))
    assert [line for line in log if line != "drained"] == [
        *("pre_start", "started", "one", "pre_restart boom", "stopped"),
        *("pre_start", "post_restart", "started", "two", "pre_stop", "stopped"),
    ]
    assert log.count("drained") == 1000
    assert log.index("pre_stop") < len(log) - 2


async def test_who_asks_what_crashes_the_actor_over_its_last_messages_is_told_of_the_crash() -> None:
    """ActorDown would say that nobody handled it, although it was what broke the actor."""
    log: list[str] = []
    address, child = hooked(log)
    crashed: list[str] = []

    async def ask() -> None:
        with pytest.raises(HandlerCrashed, match="hooked crashed: boom") as caught:
            await address.ask(CrashAsked())
        crashed.append(str(caught.value.__cause__))

    async with trio.open_nursery() as nursery, running([child]) as system:
        system.suspend("hooked")
        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        await system.stop_child("hooked")
    assert crashed == ["boom"]
    assert log == ["pre_start", "started", "pre_stop", "stopped"]  # no restart follows, so none is announced


async def test_a_hook_that_fails_after_a_crash_is_logged_and_hides_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    address, child = hooked([], broken=("pre_restart boom",))
    async with running([child]) as system:
        with pytest.raises(HandlerCrashed, match="boom"):
            await address.ask(CrashAsked())
        assert system.failures.recent[0].error == "ValueError: boom"
    assert "hooked: a hook failed after a crash: OSError('pre_restart boom is broken')" in caplog.text


async def test_a_stop_whose_hook_fails_is_still_a_stop(caplog: pytest.LogCaptureFixture) -> None:
    watcher = Watcher()
    _, child = hooked([], broken=("stopped",))
    async with running([child], observer=watcher):
        pass
    assert watcher.states("hooked")[-2:] == [State.CRASHED, State.STOPPED]
    assert "stopped is broken" in caplog.text


@pytest.mark.parametrize("hook", ["pre_start", "post_restart", "started", "pre_stop"])
async def test_an_instance_whose_hook_fails_still_closes_what_it_opened(
    autojump_clock: MockClock, hook: str
) -> None:
    log: list[str] = []
    address, child = hooked(log, broken=(hook,))
    with trio.move_on_after(1), suppress(SystemFailed):
        await run_and_tell([child], address, CrashTold())
    assert log.count("stopped") == log.count("pre_start") > 0


async def test_hooks_that_hang_are_cut_off_after_the_stop_deadline(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    log: list[str] = []
    _, child = hooked(log, slow=("stopped",), stop_seconds=3.0)
    async with running([child]):
        began = trio.current_time()
    assert 3 <= trio.current_time() - began <= 6
    assert "hooked: the hooks took longer than 3 s" in caplog.text


async def test_a_start_that_hangs_can_be_stopped(autojump_clock: MockClock) -> None:
    watcher = Watcher()
    log: list[str] = []
    _, child = hooked(log, slow=("pre_start",))
    with trio.move_on_after(2):
        async with running([child], observer=watcher):
            pytest.fail("it never starts")
    assert watcher.states("hooked") == [State.STARTING, State.STOPPING, State.STOPPED]
    assert log == ["pre_start", "stopped"]


async def test_a_child_whose_start_failed_and_waits_is_stopped_at_once(autojump_clock: MockClock) -> None:
    address: Address[Echo] = Address("hooked")
    child = actor(address, lambda: Hooked([], ("pre_start",), ()))
    watcher = Watcher()
    with trio.move_on_after(5):
        async with running([child], observer=watcher):
            pytest.fail("it never starts")
    assert watcher.states("hooked")[-2:] == [State.BACKOFF, State.STOPPED]


async def test_a_task_that_returns_is_a_failure_that_names_it_unless_it_may_end(autojump_clock: MockClock) -> None:
    async def done() -> None:
        await trio.sleep(1)

    async with running([task("may", done, may_end=True), task("must not", done)]) as system:
        await trio.sleep(1.05)
        (record,) = system.failures.recent
        assert record.error == "ChildEnded: must not ended without being asked to stop"
        may, must_not = system.snapshot().children
        assert (may.state, must_not.state) == (State.STOPPED, State.BACKOFF)


async def test_a_task_is_stopped_by_cancelling_it_and_may_finish_what_it_shields(
    autojump_clock: MockClock,
) -> None:
    log: list[str] = []

    async def work() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(1)
            log.append("finished")

    async with running([task("work", work)]):
        pass
    assert log == ["finished"]


async def test_a_task_in_backoff_is_stopped_at_once(autojump_clock: MockClock) -> None:
    async def broken() -> None:
        raise OSError("broken")

    async with running([task("broken", broken)]) as system:
        await trio.sleep(0.01)
        assert system.snapshot().children[0].state is State.BACKOFF
        began = trio.current_time()
    assert trio.current_time() == began


async def test_a_child_stopped_in_the_moment_it_is_added_never_starts() -> None:
    log: list[str] = []
    _, child = hooked(log)

    async def run() -> None:
        log.append("ran")

    async with running([]) as system:
        system.add("Root", child)
        await system.stop_child("hooked")
        system.add("Root", task("work", run))
        await system.stop_child("work")
    assert log == []


async def test_a_failure_injected_where_no_instance_is_does_nothing() -> None:
    child = unstarted_child()
    child.inject(OSError("nobody there"))
    assert child.state is State.UNINITIALIZED


async def test_a_factory_that_returns_no_actor_is_a_failed_start_that_says_so() -> None:
    wrong: Any = lambda: 5  # noqa: E731
    address: Address[Echo] = Address("echo")
    with pytest.raises(SystemFailed) as caught:
        async with running([actor(address, wrong, restart=Immediate())]):
            raise AssertionError("it must not start")
    assert "the factory of echo must return an Actor, not 5" in str(caught.value.__cause__)


async def test_an_instance_runs_once(autojump_clock: MockClock) -> None:
    """It ran again with the state of its crash, and in a pool side by side with itself."""
    address: Address[Echo] = Address("echo")
    instance = EchoActor([])
    async with running([actor(address, lambda: instance, restart=FixedDelay(60.0))]) as system:
        address.tell(CrashTold())
        await trio.sleep(61)
        assert system.snapshot().children[0].last_error == (
            "InstanceReused: the factory of echo returned the same EchoActor twice; "
            "it must make a new one for each start"
        )


async def test_the_workers_of_a_pool_are_different_instances(autojump_clock: MockClock) -> None:
    address: Address[Echo] = Address("echo")
    instance = EchoActor([])
    with pytest.raises(SystemFailed) as failed:
        async with running([pool(address, 2, lambda: instance, restart=Immediate())]):
            raise AssertionError("the pool must not come up")
    assert isinstance(failed.value.__cause__, InstanceReused)


async def test_only_the_hook_that_an_actor_has_is_called(autojump_clock: MockClock) -> None:
    log: list[str] = []

    class Returning(EchoActor):
        async def post_restart(self) -> None:
            log.append("post_restart")

    address: Address[Echo] = Address("echo")
    async with running([actor(address, lambda: Returning([]), restart=Immediate())]):
        assert log == []
        address.tell(CrashTold())
        assert await address.ask(Say("again")) == "again"
    assert log == ["post_restart"]
