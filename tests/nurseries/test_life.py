"""The task of a child: what follows an instance that crashes while the child stops."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from alysd.nurseries import (
    Address,
    Aligned,
    CircuitBreaker,
    FixedDelay,
    Immediate,
    Intensity,
    Never,
    OneForOne,
    RestartPolicy,
    RestForOne,
    State,
    StuckChild,
    actor,
    pool,
    supervisor,
)
from alysd.testing.echo import Await, CrashTold, Echo, EchoActor, Note, Watcher, echo, pause, running


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


async def test_a_supervisor_that_gives_up_while_it_stops_lets_its_children_handle_what_waits(
    autojump_clock: MockClock,
) -> None:
    """The messages that the children had kept for the next instance of the supervisor were dropped."""
    notes: list[str] = []
    failing, failing_child = echo("failing")
    address, child = echo("keeping", notes)
    sub = supervisor("Sub", OneForOne(), [child, failing_child], intensity=Intensity(restarts=0))
    watcher = Watcher()
    async with trio.open_nursery() as nursery, running([sub], observer=watcher) as system:
        nursery.start_soon(address.ask, pause(2))
        await wait_all_tasks_blocked()
        failing.tell(CrashTold())
        await trio.sleep(1)
        address.tell(Note("kept"))
        system.request_stop("test")
        await system.ended()
    assert notes == ["kept"]
    failed = [State.STOPPING, State.CRASHED]
    assert watcher.states("Sub")[2:] == [*failed, State.RESTARTING, State.STOPPING, State.STOPPED]
