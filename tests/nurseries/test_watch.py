"""Death watch: which `Down`s a watcher gets, when, and in which order with other messages."""

from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from alysd.nurseries import (
    Actor,
    Address,
    Ask,
    ChildSpec,
    Down,
    FixedDelay,
    Immediate,
    Intensity,
    Never,
    OnCrash,
    OneForAll,
    OneForOne,
    Overflow,
    RestartPolicy,
    Tell,
    Watch,
    actor,
    handles,
    supervisor,
)
from alysd.testing.echo import CrashTold, Say, echo, pause, running


class Guarding:
    """The protocol of `Guard`."""


@attrs.frozen
class Begin(Ask[Guarding, Watch]):
    """Watch an address."""

    address: Address[Any]


@attrs.frozen
class Saw(Tell[Guarding]):
    """A watched address has something to tell."""

    down: Down


@attrs.frozen
class Heard(Tell[Guarding]):
    """A message of a watched actor, or of the test."""

    text: str


@attrs.frozen
class Wait(Tell[Guarding]):
    """Wait in the handler."""

    seconds: float


@attrs.frozen
class Crash(Tell[Guarding]):
    """Crash the guard."""


class Guard(Actor[Guarding]):
    """Writes down what it sees and hears. With `crash_on_down`, a `Down` crashes it afterwards."""

    def __init__(self, seen: list[Any], watches: tuple[Address[Any], ...], crash_on_down: bool) -> None:
        self.seen = seen
        self.watches = watches
        self.crash_on_down = crash_on_down

    async def pre_start(self) -> None:
        for address in self.watches:
            self.watch(address, Saw)

    @handles(Begin)
    async def begin(self, message: Begin) -> Watch:
        return self.watch(message.address, Saw)

    @handles(Saw)
    async def saw(self, message: Saw) -> None:
        down = message.down
        self.seen.append((down.name, down.error and str(down.error), down.gone, down.instances))
        if self.crash_on_down:
            raise ValueError("saw it")

    @handles(Heard)
    async def heard(self, message: Heard) -> None:
        self.seen.append(message.text)

    @handles(Wait)
    async def wait(self, message: Wait) -> None:
        await trio.sleep(message.seconds)

    @handles(Crash)
    async def crash(self, message: Crash) -> None:
        raise ValueError("the guard crashes")


def guard(
    *watches: Address[Any],
    name: str = "guard",
    crash_on_down: bool = False,
    restart: RestartPolicy | None = None,
    **mailbox: Any,
) -> tuple[Address[Guarding], ChildSpec, list[Any]]:
    """A guard that watches these addresses from its start, and what it sees."""
    address: Address[Guarding] = Address(name, **mailbox)
    seen: list[Any] = []
    child = actor(address, lambda: Guard(seen, watches, crash_on_down), restart=restart or Immediate())
    return address, child, seen


async def test_each_ended_instance_and_the_end_for_good_are_told_once(autojump_clock: MockClock) -> None:
    address, child = echo(restart=FixedDelay(1.0))
    _, watcher, seen = guard(address)
    async with running([child, watcher]) as system:
        address.tell(CrashTold())
        await trio.sleep(0.5)
        assert seen == [("echo", "boom", None, 1)]
        await trio.sleep(1)
        await system.restart("echo")
        assert await address.ask(Say("up")) == "up"
        await system.stop_child("echo")
        await system.restart("echo")  # the watch was over
        await system.remove("echo")
        await trio.sleep(1)
        assert seen == [
            ("echo", "boom", None, 1),
            ("echo", None, None, 1),
            ("echo", None, "stopped", 1),
        ]
        assert address.watches is None


async def test_an_actor_that_failed_for_good_is_told_in_one_down(autojump_clock: MockClock) -> None:
    address, child = echo(restart=Never())
    _, watcher, seen = guard(address)
    async with running([child, watcher]):
        address.tell(CrashTold())
        await trio.sleep(1)
        assert seen == [("echo", "boom", "it failed", 1)]


async def test_an_actor_that_is_already_gone_is_told_at_once(autojump_clock: MockClock) -> None:
    address, child = echo()
    stranger: Address[Any] = Address("stranger")
    _, watcher, seen = guard(stranger)
    guarding, second, later = guard(name="second")
    async with running([child, watcher, second]) as system:
        await system.stop_child("echo")
        await guarding.ask(Begin(address))
        await trio.sleep(1)
        assert seen == [("stranger", None, "not part of a running system", 0)]
        assert later == [("echo", None, "stopped", 0)]
        await system.remove("echo")
        await guarding.ask(Begin(address))
        await trio.sleep(1)
        assert later[1:] == [("echo", None, "not part of a running system", 0)]


async def test_failed_starts_are_no_ended_instances(autojump_clock: MockClock) -> None:
    address: Address[Any] = Address("bad")
    starts = 0

    class Bad(Actor[Any], partial=True):
        async def pre_start(self) -> None:
            nonlocal starts
            starts += 1
            if starts in (2, 3):
                raise OSError("no start")

    guarding, watcher, seen = guard()
    async with running([actor(address, Bad, restart=FixedDelay(1.0)), watcher]) as system:
        await guarding.ask(Begin(address))
        system.inject("bad", ValueError("first"))
        await trio.sleep(10)
        assert starts == 4
        assert seen == [("bad", "first", None, 1)]
        await system.stop_child("bad")
        await trio.sleep(1)
        assert seen[1:] == [("bad", None, "stopped", 1)]


async def test_an_actor_stopped_while_it_backs_off_has_no_further_instance_to_tell(
    autojump_clock: MockClock,
) -> None:
    address, child = echo(restart=FixedDelay(100.0))
    _, watcher, seen = guard(address)
    async with running([child, watcher]) as system:
        address.tell(CrashTold())
        await trio.sleep(1)
        await system.stop_child("echo")
        await trio.sleep(1)
        assert seen == [("echo", "boom", None, 1), ("echo", None, "stopped", 0)]


async def test_a_crash_in_the_rest_of_the_mailbox_is_told_with_the_end(autojump_clock: MockClock) -> None:
    address, child = echo()
    _, watcher, seen = guard(address)
    async with running([child, watcher]) as system:
        address.tell(CrashTold())
        await system.stop_child("echo")
        await trio.sleep(1)
        assert seen == [("echo", "boom", "stopped", 1)]


async def test_a_group_that_restarts_is_told_of_each_member(autojump_clock: MockClock) -> None:
    one, first = echo("one")
    two, second = echo("two")
    _, watcher, seen = guard(one, two)
    async with running([supervisor("Group", OneForAll(), [first, second]), watcher]):
        one.tell(CrashTold())
        await trio.sleep(1)
        assert seen == [("one", "boom", None, 1), ("two", None, None, 1)]


async def test_a_supervisor_that_gives_up_is_gone_only_when_it_does_not_come_back(
    autojump_clock: MockClock,
) -> None:
    address, child = echo()
    _, watcher, seen = guard(address)
    tree = supervisor("Sub", OneForOne(), [child], intensity=Intensity(0), restart=Immediate())
    async with running([tree, watcher]) as system:
        address.tell(CrashTold())
        await trio.sleep(1)
        assert await address.ask(Say("again")) == "again"
        await system.stop_child("Sub")
        await trio.sleep(1)
        assert seen == [("echo", "boom", None, 1), ("echo", None, "stopped", 1)]


async def test_a_stop_that_an_operator_undoes_is_an_ended_instance(autojump_clock: MockClock) -> None:
    """The actor takes 1 s to stop. A restart meanwhile keeps its address open in the end."""
    address, child = echo()
    _, watcher, seen = guard(address)
    async with running([child, watcher]) as system, trio.open_nursery() as nursery:
        nursery.start_soon(address.ask, pause(1))
        await wait_all_tasks_blocked()
        nursery.start_soon(system.stop_child, "echo")
        await wait_all_tasks_blocked()
        nursery.start_soon(system.restart, "echo")
        await trio.sleep(2)
        assert seen == [("echo", None, None, 1)]
        assert await address.ask(Say("open")) == "open"


async def test_a_down_comes_after_the_messages_of_the_ended_instance(autojump_clock: MockClock) -> None:
    """Also when the watcher is slow and several instances end: what each had sent comes before its `Down`."""
    guarding, watcher, seen = guard()

    class Talker(Actor[Any], partial=True):
        async def started(self) -> None:
            guarding.tell(Heard("hello"))

    address: Address[Any] = Address("talker")
    async with running([watcher, actor(address, Talker, restart=Immediate())]) as system:
        await guarding.ask(Begin(address))
        guarding.tell(Wait(1))
        for number in range(3):
            system.inject("talker", OSError(str(number)))
            await wait_all_tasks_blocked()
        assert len(guarding.mailbox.queue) == 4, "one Down, however many instances ended"
        await trio.sleep(2)
        assert seen == ["hello", ("talker", "0", None, 1), "hello", "hello", "hello", ("talker", "2", None, 2)]


async def test_the_end_for_good_follows_a_down_that_waits(autojump_clock: MockClock) -> None:
    address, child = echo()
    guarding, watcher, seen = guard(address)
    async with running([child, watcher]) as system:
        guarding.tell(Wait(1))
        address.tell(CrashTold())
        await wait_all_tasks_blocked()
        await system.stop_child("echo")
        await system.restart("echo")
        await wait_all_tasks_blocked()
        system.inject("echo", OSError("later than the watch"))
        await trio.sleep(2)
        assert seen == [("echo", "boom", None, 1), ("echo", None, "stopped", 1)]


async def test_a_cancelled_watch_tells_nothing_not_even_what_waits(autojump_clock: MockClock) -> None:
    address, child = echo()
    guarding, watcher, seen = guard()
    async with running([child, watcher]) as system:
        first, second = [await guarding.ask(Begin(address)) for _ in range(2)]
        guarding.tell(Wait(1))
        address.tell(CrashTold())
        await wait_all_tasks_blocked()
        first.cancel()
        await trio.sleep(2)
        assert seen == [("echo", "boom", None, 1)], "only the second watch tells"
        handled = guarding.handled
        second.cancel()
        second.cancel()
        assert address.watches is None
        address.tell(CrashTold())
        await trio.sleep(1)
        await system.stop_child("echo")
        await trio.sleep(1)
        assert (len(seen), guarding.handled) == (1, handled)


async def test_a_watch_ends_with_the_instance_that_watches(autojump_clock: MockClock) -> None:
    address, child = echo()
    guarding, watcher, seen = guard()
    async with running([child, watcher]):
        await guarding.ask(Begin(address))
        guarding.tell(Wait(1))
        guarding.tell(Crash())
        address.tell(CrashTold())
        await trio.sleep(2)
        assert seen == [], "the Down waited behind the crash"
        assert address.watches is None
        address.tell(CrashTold())
        await trio.sleep(1)
        assert (seen, guarding.depth, guarding.mailbox.dropped) == ([], 0, 1)


@pytest.mark.parametrize("overflow", list(Overflow))
async def test_a_down_is_told_although_the_mailbox_is_full(autojump_clock: MockClock, overflow: Overflow) -> None:
    address, child = echo()
    guarding, watcher, seen = guard(address, capacity=1, overflow=overflow)
    async with running([child, watcher]), trio.open_nursery() as nursery:
        guarding.tell(Wait(1))
        await wait_all_tasks_blocked()
        guarding.tell(Heard("one"))
        address.tell(CrashTold())
        await wait_all_tasks_blocked()
        assert await address.ask(Say("it restarts meanwhile")) == "it restarts meanwhile"
        if overflow is Overflow.DROP_OLDEST:
            guarding.tell(Heard("two"))
            guarding.tell(Heard("three"))
        elif overflow is Overflow.BLOCK:
            nursery.start_soon(guarding.send, Heard("two"))
        await trio.sleep(2)
        down = ("echo", "boom", None, 1)
        expected: dict[Overflow, list[Any]] = {
            Overflow.BLOCK: ["one", down, "two"],
            Overflow.DROP_OLDEST: [down, "three"],
        }
        assert seen == expected.get(overflow, ["one", down])


async def test_a_queue_of_downs_only_still_takes_a_message(autojump_clock: MockClock) -> None:
    one, first = echo("one")
    two, second = echo("two")
    guarding, watcher, seen = guard(one, two, capacity=1, overflow=Overflow.DROP_OLDEST)
    async with running([first, second, watcher]):
        guarding.tell(Wait(1))
        await wait_all_tasks_blocked()
        one.tell(CrashTold())
        two.tell(CrashTold())
        await wait_all_tasks_blocked()
        guarding.tell(Heard("x"))
        await trio.sleep(2)
        assert sorted(map(str, seen)) == sorted(
            map(str, [("one", "boom", None, 1), ("two", "boom", None, 1), "x"])
        )


async def test_a_down_that_crashes_its_watcher_is_a_dead_letter(autojump_clock: MockClock) -> None:
    address, child = echo()
    guarding, watcher, seen = guard(address, crash_on_down=True, on_crash=OnCrash.RETRY)
    async with running([child, watcher]):
        address.tell(CrashTold())
        await trio.sleep(1)
        assert seen == [("echo", "boom", None, 1)], "the next instance does not handle it"
        letters = guarding.mailbox.dead_letters
        assert letters is not None
        assert [str(letter.message) for letter in letters] == [str(Down("echo", ValueError("boom"), None, 1))]


async def test_a_down_for_an_instance_that_failed_for_good_is_no_dead_letter(autojump_clock: MockClock) -> None:
    address, child = echo()
    guarding, watcher, seen = guard(address, restart=Never())
    async with running([child, watcher]):
        guarding.tell(Wait(1))
        guarding.tell(Crash())
        address.tell(CrashTold())
        await trio.sleep(2)
        assert (seen, guarding.depth, guarding.mailbox.dropped) == ([], 0, 1), "only the crash is dropped"


async def test_a_stopped_watcher_is_told_nothing_more(autojump_clock: MockClock) -> None:
    address, child = echo()
    guarding, watcher, seen = guard(address)
    async with running([child, watcher]) as system, trio.open_nursery() as nursery:
        guarding.tell(Wait(1))
        await wait_all_tasks_blocked()
        nursery.start_soon(system.stop_child, "guard")
        await wait_all_tasks_blocked()
        address.tell(CrashTold())
        await trio.sleep(2)
        assert (seen, address.watches) == ([], None)


async def test_only_a_running_instance_can_watch() -> None:
    outside = Guard([], (), crash_on_down=False)
    with pytest.raises(RuntimeError, match="this Guard is not an instance that runs in a system"):
        outside.watch(Address[Guarding]("x"), Saw)


async def test_a_watcher_without_a_handler_refuses_the_down(autojump_clock: MockClock) -> None:
    address, child = echo()

    class Deaf(Actor[Guarding], partial=True):
        async def pre_start(self) -> None:
            self.watch(address, Saw)

    deaf: Address[Guarding] = Address("deaf")
    async with running([child, actor(deaf, Deaf)]):
        address.tell(CrashTold())
        await trio.sleep(1)
        assert deaf.refused == 1
