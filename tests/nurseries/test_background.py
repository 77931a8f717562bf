"""The background of an actor: a task beside the handlers, whose life and failures are those of the instance."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from alysd.nurseries import (
    Address,
    AskCycle,
    ChildSpec,
    HandlerCrashed,
    HandlerTooSlow,
    Immediate,
    OnCrash,
    State,
    SystemFailed,
    actor,
    handles,
)
from alysd.testing.echo import (
    Await,
    CrashAsked,
    Echo,
    EchoActor,
    Note,
    Say,
    echo,
    pause,
    run_and_tell,
    running,
)

Work = Callable[["Busy"], Awaitable[None]]


class Busy(EchoActor):
    """An `EchoActor` whose background is `work`. It notes its hooks."""

    def __init__(self, notes: list[str], work: Work) -> None:
        super().__init__(notes)
        self._work = work

    async def pre_start(self) -> None:
        self.notes.append("pre_start")

    async def post_restart(self) -> None:
        self.notes.append("post_restart")

    async def started(self) -> None:
        self.notes.append("started")

    async def background(self) -> None:
        self.notes.append("background")
        try:
            await self._work(self)
        finally:
            self.notes.append("background ended")

    async def pre_restart(self, error: Exception) -> None:
        self.notes.append(f"pre_restart {error}")

    async def stopped(self) -> None:
        self.notes.append("stopped")


async def forever(_: Busy) -> None:
    await trio.sleep_forever()


def busy(work: Work = forever, **options: Any) -> tuple[Address[Echo], list[str], ChildSpec]:
    notes: list[str] = []
    address: Address[Echo] = Address("busy")
    options.setdefault("restart", Immediate())
    return address, notes, actor(address, lambda: Busy(notes, work), **options)


async def test_it_runs_from_the_start_until_the_last_message_is_handled(autojump_clock: MockClock) -> None:
    address, notes, child = busy()
    async with running([child]):
        await wait_all_tasks_blocked()
        address.tell(Note("message"))
        address.tell(Note("last"))
    assert notes == [
        "pre_start", "started", "background", "message", "last", "background ended", "stopped",
    ]  # fmt: skip


async def test_it_shares_the_state_with_the_handlers(autojump_clock: MockClock) -> None:
    async def work(busy: Busy) -> None:
        while True:
            await trio.sleep(1)
            busy.notes.append(f"tick {trio.current_time():g}")

    address, notes, child = busy(work)
    async with running([child]):
        assert await address.ask(pause(2.5)) == "waited"
        assert notes[-2:] == ["tick 1", "tick 2"]


async def test_its_failure_is_the_actors(autojump_clock: MockClock) -> None:
    async def work(_: Busy) -> None:
        await trio.sleep(1)
        raise OSError("connection lost")

    address, notes, child = busy(work)
    async with running([child]) as system:
        with pytest.raises(HandlerCrashed) as caught:
            await address.ask(pause(2))
        assert isinstance(caught.value.error, OSError)
        assert await address.ask(Say("next")) == "next"
        (found,) = system.snapshot().children
        assert (found.restarts, found.last_error) == (1, "OSError: connection lost")
    assert notes[3:8] == [
        "background ended",
        "pre_restart connection lost",
        "stopped",
        "pre_start",
        "post_restart",
    ]


async def test_the_message_beside_which_it_fails_goes_by_the_policy_of_the_address(
    autojump_clock: MockClock,
) -> None:
    fails = iter([True])

    async def work(_: Busy) -> None:
        if next(fails, False):
            await trio.sleep(1)
            raise OSError("connection lost")
        await trio.sleep_forever()

    class Slow(Busy):
        @handles(Note)
        async def note(self, message: Note) -> None:
            await trio.sleep(2)
            self.notes.append(message.text)

    notes: list[str] = []
    address: Address[Echo] = Address("busy", on_crash=OnCrash.RETRY)
    async with running([actor(address, lambda: Slow(notes, work), restart=Immediate())]):
        address.tell(Note("retried"))
        await trio.sleep(5)
    assert notes.count("retried") == 1
    assert notes.count("background") == 2


async def test_a_return_is_a_failure_unless_the_actor_stops(autojump_clock: MockClock) -> None:
    async def work(busy: Busy) -> None:
        await trio.sleep(1)
        busy.stop()

    _, notes, child = busy(work)
    async with running([child]) as system:
        await trio.sleep(2)
        (found,) = system.snapshot().children
        assert (found.state, found.last_error, found.restarts) == (State.STOPPED, None, 0)
    assert notes[-2:] == ["background ended", "stopped"]

    async def too_short(_: Busy) -> None:
        await trio.sleep(1)

    _, _, child = busy(too_short)
    async with running([child]) as system:
        await trio.sleep(1.5)
        (found,) = system.snapshot().children
        assert found.restarts == 1
        assert found.last_error == "ChildEnded: the background of busy ended without being asked to stop"


async def test_a_crash_of_a_handler_and_a_cancellation_end_it_before_stopped(autojump_clock: MockClock) -> None:
    address, notes, child = busy()
    async with running([child]) as system:
        with pytest.raises(HandlerCrashed):
            await address.ask(CrashAsked())
        system.inject("busy", OSError("injected"))
        await wait_all_tasks_blocked()
        assert notes.count("background") == 3
    instance = ["background ended", "pre_restart boom", "stopped", "pre_start", "post_restart", "started"]
    begin = notes.index("background ended")
    assert notes[begin : begin + 6] == instance
    assert notes[-2:] == ["background ended", "stopped"]


async def test_it_may_clean_up_within_the_time_to_stop(autojump_clock: MockClock) -> None:
    async def work(busy: Busy) -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.move_on_after(1, shield=True):
                await trio.sleep(0.5)
                busy.notes.append("said goodbye")

    _, notes, child = busy(work)
    async with running([child]):
        pass
    assert trio.current_time() == 0.5
    assert notes[-3:] == ["said goodbye", "background ended", "stopped"]


async def test_a_failure_while_it_stops_is_a_failure_while_stopping(autojump_clock: MockClock) -> None:
    async def work(_: Busy) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise OSError("cannot say goodbye")

    _, _, child = busy(work)
    async with running([child]) as system:
        await system.stop_child("busy")
        (found,) = system.snapshot().children
        assert found.last_error == "OSError: cannot say goodbye"
        assert found.restarts == 0


async def test_it_goes_on_while_the_actor_is_suspended(autojump_clock: MockClock) -> None:
    async def work(busy: Busy) -> None:
        while True:
            await trio.sleep(1)
            busy.notes.append("tick")

    address, notes, child = busy(work)
    async with running([child]) as system:
        system.suspend("busy")
        address.tell(Note("late"))
        await trio.sleep(2.5)
        assert notes[3:] == ["tick", "tick"]
        system.resume("busy")
        await trio.sleep(0.1)
        assert notes[5:] == ["late"]


async def test_a_handler_that_is_too_slow_ends_it(autojump_clock: MockClock) -> None:
    address, notes, child = busy(handle_seconds=1.0)
    async with running([child]):
        with pytest.raises(HandlerCrashed) as caught:
            await address.ask(pause(3))
        assert isinstance(caught.value.error, HandlerTooSlow)
        assert "background ended" in notes


async def test_its_asks_are_not_waits_of_a_handler(autojump_clock: MockClock) -> None:
    """The other actor asks back, which would be a cycle if a handler waited."""
    answers: list[str] = []
    address: Address[Echo] = Address("busy")
    other, second = echo("other")

    async def ask_back() -> None:
        answers.append(await address.ask(Say("back")))

    async def work(_: Busy) -> None:
        answers.append(await other.ask(Await(ask_back)))
        answers.append(await address.ask(Say("itself")))
        await trio.sleep_forever()

    async with running([actor(address, lambda: Busy([], work)), second]):
        await trio.sleep(1)
    assert answers == ["back", "waited", "itself"]


async def test_a_cycle_of_asks_of_its_handlers_is_found(autojump_clock: MockClock) -> None:
    address, _, child = busy()
    other, second = echo("other")
    found: list[tuple[str, ...]] = []

    async def ask_back() -> None:
        try:
            await address.ask(Say("back"))
        except AskCycle as cycle:
            found.append(cycle.names)

    async def in_a_task() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(other.ask, Await(ask_back))

    async with running([child, second]):
        await address.ask(Await(in_a_task))
    assert found == [("other", "busy", "other")]


async def test_an_exit_and_a_fatal_error_in_it_end_the_system(autojump_clock: MockClock) -> None:
    async def leave(_: Busy) -> None:
        raise SystemExit(3)

    async def give_up(_: Busy) -> None:
        raise OSError("wrong key")

    address, _, child = busy(leave)
    with pytest.RaisesGroup(SystemExit, flatten_subgroups=True, allow_unwrapped=True):
        await run_and_tell([child], address)
    address, _, child = busy(give_up)
    with pytest.raises(SystemFailed):
        await run_and_tell([child], address, fatal=[OSError])


async def test_it_is_not_run_when_the_start_failed(autojump_clock: MockClock) -> None:
    class Broken(Busy):
        async def started(self) -> None:
            raise OSError("broken")

    notes: list[str] = []
    address: Address[Echo] = Address("busy")
    async with running([actor(address, lambda: Broken(notes, forever))]) as system:
        await trio.sleep(1)
        await system.stop_child("busy")
    assert "background" not in notes


async def test_an_actor_without_one_opens_no_nursery(autojump_clock: MockClock) -> None:
    address, child = echo()
    nurseries: list[int] = []

    async def count() -> None:
        nurseries.append(len(trio.lowlevel.current_task().child_nurseries))

    busy_address, _, busy_child = busy()
    async with running([child, busy_child]):
        for each in (address, busy_address):
            await each.ask(Await(count))
    assert nurseries == [0, 1]
