"""Pools at run time: workers that stop, are removed, suspended and restarted; the stop of the whole pool."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from alysd.nurseries import (
    ActorDown,
    Address,
    FixedDelay,
    HealthMonitor,
    Immediate,
    OneForOne,
    PoolSpec,
    State,
    WrongState,
    actor,
    dynamic_supervisor,
    open_system,
    pool,
    supervisor,
)
from alysd.testing.echo import CrashTold, Echo, EchoActor, Note, Say, echo, pause, running


class StoppingActor(EchoActor):
    """Stops itself on a note with the text `stop`, after a second."""

    async def note(self, message: Note) -> None:
        """Append the text, and stop if it is `stop`."""
        await trio.sleep(1)
        self.notes.append(message.text)
        if message.text == "stop":
            self.stop()


StoppingActor.handlers = {**EchoActor.handlers, Note: StoppingActor.note}


def slow_pool(size: int, notes: list[str]) -> tuple[Address[Echo], PoolSpec]:
    address: Address[Echo] = Address("echo")
    return address, pool(address, size, lambda: StoppingActor(notes), restart=Immediate())


async def test_all_workers_handle_the_rest_side_by_side_when_the_pool_stops(autojump_clock: MockClock) -> None:
    notes: list[str] = []
    address, child = slow_pool(4, notes)
    async with running([child]) as system:
        for number in range(8):
            address.tell(Note(str(number)))
        await system.stop_child("echo")
        assert (sorted(notes), trio.current_time()) == (list("01234567"), 2)
        with pytest.raises(ActorDown):
            address.tell(Note("late"))
        await system.restart("echo")
        await trio.sleep(1)
        assert await address.ask(Say("again")) == "again"


async def test_a_worker_that_stops_leaves_what_waits_to_the_others(autojump_clock: MockClock) -> None:
    notes: list[str] = []
    address, child = slow_pool(2, notes)
    async with running([child]) as system:
        for text in ("stop", "a", "b", "stop"):
            address.tell(Note(text))
        await trio.sleep(2.5)
        assert sorted(worker.state.value for worker in system.snapshot().children[0].children) == [
            "Running",
            "Stopped",
        ]
        await trio.sleep(1)
        assert sorted(notes) == ["a", "b", "stop", "stop"]
        assert (address.gone, address.depth) == ("stopped", 0)


async def test_the_last_worker_handles_what_waits_before_it_stops(autojump_clock: MockClock) -> None:
    notes: list[str] = []
    address, child = slow_pool(2, notes)
    async with running([child]) as system:
        for text in "abcd":
            address.tell(Note(text))
        await wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(system.stop_child, "echo-1")
            nursery.start_soon(system.remove, "echo-2")
        assert (sorted(notes), trio.current_time()) == (list("abcd"), 2)
        await system.remove("echo-1")
        assert system.snapshot().children[0].children == ()
        for stopped in (False, True):
            if stopped:
                await system.stop_child("echo")
            with pytest.raises(WrongState, match="cannot restart echo: all its workers were removed"):
                await system.restart("echo")
            with pytest.raises(ActorDown):
                address.tell(Note("late"))


async def test_a_pool_whose_workers_were_all_stopped_accepts_nothing_until_one_is_restarted(
    autojump_clock: MockClock,
) -> None:
    address, child = slow_pool(2, [])
    async with running([child]) as system:
        for name in ("echo", "echo-1", "echo-2"):
            await system.stop_child(name)
        await system.restart("echo")
        await wait_all_tasks_blocked()
        with pytest.raises(ActorDown, match="closed"):
            address.tell(Note("nobody would handle it"))
        await system.restart("echo-2")
        assert await address.ask(Say("open")) == "open"


async def test_what_waits_between_two_instances_of_the_pool_is_handled(autojump_clock: MockClock) -> None:
    notes: list[str] = []
    address, child = slow_pool(2, notes)
    async with running([child]) as system:
        for text in "abcd":
            address.tell(Note(text))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(system.restart, "echo")
            await wait_all_tasks_blocked()
            nursery.start_soon(system.stop_child, "echo")
        assert sorted(notes) == list("abcd")
        assert system.snapshot().children[0].state is State.STOPPED


async def test_a_suspended_worker_leaves_messages_to_the_others(autojump_clock: MockClock) -> None:
    notes: list[str] = []
    address, child = slow_pool(2, notes)
    async with running([child]) as system:
        system.suspend("echo-2")
        for text in "ab":
            address.tell(Note(text))
        await trio.sleep(2.1)
        assert notes == ["a", "b"]
        system.suspend("echo")
        address.tell(Note("c"))
        await trio.sleep(2)
        assert (notes, address.depth) == (["a", "b"], 1)
        with pytest.raises(WrongState, match="cannot suspend echo"):
            system.suspend("echo")
        system.resume("echo")
        await trio.sleep(1.1)
        assert notes == ["a", "b", "c"]
        with pytest.raises(WrongState, match="cannot resume echo"):
            system.resume("echo")


async def test_a_suspended_worker_can_be_cancelled_and_stopped(autojump_clock: MockClock) -> None:
    address, child = slow_pool(2, [])
    async with running([child]) as system:
        system.suspend("echo-1")
        await wait_all_tasks_blocked()
        system.inject("echo-1", RuntimeError("gone"))
        await wait_all_tasks_blocked()
        assert await address.ask(Say("yes")) == "yes"
        system.suspend("echo")
        await wait_all_tasks_blocked()
        await system.stop_child("echo-1")
        assert address.gone is None


async def test_the_monitor_restarts_the_worker_that_does_not_answer(autojump_clock: MockClock) -> None:
    address, child = slow_pool(2, [])
    root = supervisor("Root", OneForOne(), [child])
    async with open_system(root, monitor=HealthMonitor()) as system, trio.open_nursery() as nursery:
        nursery.start_soon(address.send, Note("x"))
        with pytest.raises(Exception, match="crashed"):
            await address.ask(pause(1000), seconds=1000)
        (snapshot,) = system.snapshot().children
        assert sorted(worker.restarts for worker in snapshot.children) == [0, 1]
        assert snapshot.restarts == 0


class TimedActor(EchoActor):
    """Sets a timer, which a worker cannot."""

    async def pre_start(self) -> None:
        """Set a timer."""
        self.timers.after(1.0, Note("tick"))


async def test_a_worker_has_no_timers(autojump_clock: MockClock) -> None:
    address: Address[Echo] = Address("echo")
    child = pool(address, 2, lambda: TimedActor([]), restart=FixedDelay(3600))
    async with running([dynamic_supervisor("Pools")]) as system:
        system.add("Pools", child)
        await trio.sleep(1)
        error = system.snapshot().children[0].children[0].children[0].last_error
        assert error is not None
        assert "echo-1 is a worker of a pool and cannot use timers or watches" in error


async def test_a_pool_can_be_added_and_its_address_used_again(autojump_clock: MockClock) -> None:
    address, child = slow_pool(2, [])
    async with running([dynamic_supervisor("Pools")]) as system:
        assert await system.start_child("Pools", child) is address
        with pytest.raises(WrongState, match="cannot add a child to echo: it is a pool, and other is not one of"):
            system.add("echo", echo("other")[1])
        await system.remove("echo")
        with pytest.raises(ActorDown, match="not part of a running system"):
            await address.ask(Say("x"))
        assert len(system.registry) == 2
        system.add("Pools", actor(address, lambda: EchoActor([])))
        assert await address.ask(Say("alone")) == "alone"
        await system.remove("echo")
        system.add("Pools", slow_pool_of(address))
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(address.ask, pause(1))
        assert trio.current_time() == 2


def slow_pool_of(address: Address[Echo]) -> PoolSpec:
    return pool(address, 2, lambda: EchoActor([]))


async def test_messages_of_a_pool_whose_workers_all_wait_for_a_restart_are_dropped_at_the_end(
    autojump_clock: MockClock,
) -> None:
    address: Address[Echo] = Address("echo")
    child = pool(address, 2, lambda: EchoActor([]), restart=FixedDelay(60))
    async with running([child]):
        for message in (CrashTold(), CrashTold(), Note("waits")):
            address.tell(message)
        await wait_all_tasks_blocked()
        assert address.depth == 1
    assert [letter.reason for letter in address.dead_letters][-1] == "stopped"


async def test_a_worker_stopped_while_it_is_the_last_and_between_instances_handles_what_waits(
    autojump_clock: MockClock,
) -> None:
    notes: list[str] = []
    address, child = slow_pool(2, notes)
    async with running([child]) as system:
        await system.stop_child("echo-1")
        for text in "ab":
            address.tell(Note(text))
        await wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(system.restart, "echo-2")
            await wait_all_tasks_blocked()
            nursery.start_soon(system.stop_child, "echo-2")
        assert notes == ["a", "b"]
