"""Pools: one queue for several workers, the order and the fate of messages, policies that a pool does not have."""

from collections.abc import Callable
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from alysd.nurseries import (
    Actor,
    ActorDown,
    Address,
    Aligned,
    Ask,
    AskCycle,
    AskTimeout,
    CircuitBreaker,
    Deferred,
    Down,
    FixedDelay,
    HandlerCrashed,
    HandlerTooSlow,
    Health,
    Immediate,
    Intensity,
    MailboxFull,
    Never,
    OnCrash,
    Overflow,
    PoolRestart,
    RestartPolicy,
    SpecError,
    State,
    System,
    Tell,
    actor,
    handles,
    pool,
)
from alysd.nurseries.asks import Pending
from alysd.nurseries.serve import HEALTH_CHECK
from alysd.nurseries.spec import ActorSpec
from alysd.testing.echo import CrashAsked, CrashTold, Echo, EchoActor, Note, Say, pause, running


def echo_pool(
    size: int, notes: list[str] | None = None, *, restart: PoolRestart | None = None, **options: Any
) -> tuple[Address[Echo], Any]:
    address: Address[Echo] = Address("echo", **options)
    kept = [] if notes is None else notes
    return address, pool(address, size, lambda: EchoActor(kept), restart=restart or Immediate())


def states(system: System) -> list[State]:
    (child,) = system.snapshot().children
    return [worker.state for worker in child.children]


async def test_a_message_never_waits_beside_an_idle_worker(autojump_clock: MockClock) -> None:
    address, child = echo_pool(3)
    ended: dict[str, float] = {}

    async def ask(name: str, seconds: float) -> None:
        await address.ask(pause(seconds), seconds=60)
        ended[name] = trio.current_time()

    async with running([child]), trio.open_nursery() as nursery:
        for name, seconds in (("long", 10), ("a", 1), ("b", 1), ("c", 1), ("d", 1)):
            nursery.start_soon(ask, name, seconds)
            await wait_all_tasks_blocked()
    assert ended == {"a": 1, "b": 1, "c": 2, "d": 2, "long": 10}


@pytest.mark.parametrize("capacity", [1, 2, 8])
async def test_a_burst_reaches_every_worker_also_over_a_full_mailbox(
    autojump_clock: MockClock, capacity: int
) -> None:
    address, child = echo_pool(4, capacity=capacity)
    async with running([child]):
        await wait_all_tasks_blocked()
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(address.ask, pause(1))
        assert trio.current_time() - began == 2


@pytest.mark.parametrize("worker", ["echo-1", "echo-2"])
@pytest.mark.parametrize("ends", [True, False])
async def test_the_message_for_which_a_worker_was_woken_is_taken_by_another_if_it_cannot(
    autojump_clock: MockClock, worker: str, ends: bool
) -> None:
    notes: list[str] = []
    address, child = echo_pool(2, notes)
    async with running([child]) as system:
        await wait_all_tasks_blocked()
        address.tell(Note("x"))
        if ends:
            system.inject(worker, RuntimeError("now"))
        else:
            system.suspend(worker)
        await wait_all_tasks_blocked()
        assert notes == ["x"]


async def test_the_crash_of_a_worker_concerns_its_message_alone(autojump_clock: MockClock) -> None:
    notes: list[str] = []
    address, child = echo_pool(2, notes, restart=FixedDelay(1.0))
    async with running([child]) as system, trio.open_nursery() as nursery:
        nursery.start_soon(address.ask, pause(2))
        await wait_all_tasks_blocked()
        with pytest.raises(HandlerCrashed, match="echo-1 crashed|echo-2 crashed"):
            await address.ask(CrashAsked())
        for number in range(3):
            address.tell(Note(str(number)))
        await wait_all_tasks_blocked()
        assert (notes, address.depth) == ([], 3)
        assert sorted(state.value for state in states(system)) == ["Backoff", "Running"]
        await trio.sleep(1.5)
        assert notes == ["0", "1", "2"]


@pytest.mark.parametrize(("on_crash", "restarts"), [(OnCrash.DROP, 1), (OnCrash.RETRY, 2)])
async def test_a_tell_that_crashes_a_worker_is_handled_as_its_address_says(
    autojump_clock: MockClock, on_crash: OnCrash, restarts: int
) -> None:
    address, child = echo_pool(3, on_crash=on_crash)
    async with running([child]) as system:
        address.tell(CrashTold())
        await trio.sleep(1)
        (snapshot,) = system.snapshot().children
        assert sum(worker.restarts for worker in snapshot.children) == restarts
        assert [letter.reason for letter in address.dead_letters] == ["crashed its actor: ValueError"]


async def test_the_figures_are_those_of_the_pool(autojump_clock: MockClock) -> None:
    address, child = echo_pool(3, capacity=2, overflow=Overflow.DROP_OLDEST)
    async with running([child]) as system, trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(address.ask, pause(1))
            await wait_all_tasks_blocked()
        for number in range(5):
            address.tell(Note(str(number)))
        (before,) = system.snapshot().children
        await trio.sleep(2)
        await system.remove("echo-2")
        (after,) = system.snapshot().children
        assert (before.kind, after.kind) == ("pool", "pool")
        assert [worker.mailbox for worker in before.children] == [None, None, None]
        for snapshot, expected in ((before, (2, 2, 0, 3)), (after, (0, 2, 5, 3))):
            box = snapshot.mailbox
            assert box is not None
            assert (box.depth, box.capacity, box.handled, box.dropped) == expected
        assert system.registry.address("echo") is address
        assert [child.name for child in system.registry.find("echo*")] == ["echo", "echo-1", "echo-3"]
        nursery.cancel_scope.cancel()


async def test_deadlines_count_for_each_worker(autojump_clock: MockClock) -> None:
    address: Address[Echo] = Address("echo")
    child = pool(address, 2, lambda: EchoActor([]), handle_seconds=1.0, restart=Immediate())
    async with running([child]) as system:
        with pytest.raises(AskTimeout, match="no answer from echo to Await within 0.5 s"):
            await address.ask(pause(0.8), seconds=0.5)
        with pytest.raises(HandlerCrashed) as crashed:
            await address.ask(pause(3))
        assert isinstance(crashed.value.error, HandlerTooSlow)
        assert await address.ask(Say("next")) == "next"
        assert system.snapshot().children[0].restarts == 0


async def test_overflow_policies_count_the_shared_queue(autojump_clock: MockClock) -> None:
    address, child = echo_pool(2, capacity=2, overflow=Overflow.FAIL)
    async with running([child]), trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(address.ask, pause(1))
            await wait_all_tasks_blocked()
        address.tell(Note("a"))
        address.tell(Note("b"))
        with pytest.raises(MailboxFull, match=r"mailbox echo is full \(2 messages\)"):
            address.tell(Note("c"))


class Relaying:
    """The protocol of actors that ask each other."""


@attrs.frozen
class Relay(Ask[Relaying, str]):
    """The actor asks these addresses, the first with the others as the next message, and answers `end`."""

    to: tuple[Address["Relaying"], ...] = ()


class RelayActor(Actor[Relaying]):
    """Asks on."""

    @handles(Relay)
    async def relay(self, message: Relay) -> str:
        """Ask the next address."""
        return await message.to[0].ask(Relay(message.to[1:]), seconds=9) if message.to else "end"


async def test_a_worker_may_ask_its_own_pool_while_another_one_is_free(autojump_clock: MockClock) -> None:
    one, two, three = (Address[Relaying](name) for name in ("one", "two", "three"))
    children = [pool(one, 1, RelayActor), pool(two, 2, RelayActor), actor(three, RelayActor)]
    async with running(children):
        assert await two.ask(Relay((two,))) == "end"
        assert await two.ask(Relay((three, two))) == "end"
        began = trio.current_time()
        for address, to in ((two, (two, two)), (one, (one,)), (two, (three, two, three)), (one, (three, one))):
            with pytest.raises(AskCycle, match=r"wait for each other for ever: .* -> (one|two|three)"):
                await address.ask(Relay(to), seconds=9)
        assert trio.current_time() == began


async def test_a_pool_that_all_workers_wait_for_through_another_pool_is_found(autojump_clock: MockClock) -> None:
    one, two = (Address[Relaying](name) for name in ("one", "two"))
    async with running([pool(one, 2, RelayActor), pool(two, 2, RelayActor)]), trio.open_nursery() as nursery:
        answers: list[str] = []

        async def ask() -> None:
            try:
                answers.append(await one.ask(Relay((two, one, two, one)), seconds=9))
            except AskCycle:
                answers.append("cycle")

        for _ in range(4):
            nursery.start_soon(ask)
        await trio.sleep(1)
        assert (answers, trio.current_time()) == (["cycle"] * 4, 1)


@attrs.frozen
class Defer(Ask[Relaying, str]):
    """The actor answers on the next `Answer`, or when its instance ends."""


class DeferringActor(RelayActor):
    """Keeps the tokens of all instances."""

    def __init__(self, tokens: list[Deferred[str]]) -> None:
        self._tokens = tokens

    @handles(Defer)
    async def defer(self, message: Defer) -> Deferred[str]:
        """Leave the ask open."""
        self._tokens.append(Deferred())
        return self._tokens[-1]


async def test_a_deferred_reply_belongs_to_the_worker_that_took_the_ask(autojump_clock: MockClock) -> None:
    tokens: list[Deferred[str]] = []
    address: Address[Relaying] = Address("relay")
    ends: list[str] = []

    async def ask() -> None:
        try:
            ends.append(await address.ask(Defer()))
        except HandlerCrashed as crash:
            ends.append(crash.name)

    async with running([pool(address, 2, lambda: DeferringActor(tokens), restart=Immediate())]) as system:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await wait_all_tasks_blocked()
            for worker in ("relay-1", "relay-2"):
                system.inject(worker, RuntimeError("gone"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await wait_all_tasks_blocked()
            tokens[-1].reply("later")
    assert ends[0] in ("relay-1", "relay-2")
    assert ends[1:] == ["later"]


class Watching:
    """The protocol of an actor that watches a pool."""


@attrs.frozen
class EchoDown(Tell[Watching]):
    """The pool has something to tell."""

    down: Down


class WatchingActor(Actor[Watching]):
    """Keeps what it is told."""

    def __init__(self, address: Address[Echo], told: list[Down]) -> None:
        self._address = address
        self._told = told

    async def pre_start(self) -> None:
        """Watch the pool."""
        self.watch(self._address, EchoDown)

    @handles(EchoDown)
    async def echo_down(self, message: EchoDown) -> None:
        """Keep it."""
        self._told.append(message.down)


async def test_watchers_are_told_of_each_worker_and_of_the_end_of_the_last(autojump_clock: MockClock) -> None:
    told: list[Down] = []
    address, child = echo_pool(2)
    watching: Address[Watching] = Address("watching")
    async with running([child, actor(watching, lambda: WatchingActor(address, told))]) as system:
        system.inject("echo-1", RuntimeError("gone"))
        await trio.sleep(1)
        for worker in ("echo-1", "echo-2"):
            await system.stop_child(worker)
            await trio.sleep(1)
        assert [(str(down.error), down.gone, down.instances) for down in told] == [
            ("gone", None, 1),
            ("None", None, 1),
            ("None", "stopped", 1),
        ]
        with pytest.raises(ActorDown, match="echo is down: its mailbox is closed"):
            address.tell(Note("x"))
        await system.restart("echo-2")
        assert await address.ask(Say("again")) == "again"


@pytest.mark.parametrize("policy", [Never(), CircuitBreaker(), Aligned(Immediate(), abs), OnCrash.RETRY])
def test_a_policy_that_a_pool_does_not_have_is_refused(policy: RestartPolicy | OnCrash) -> None:
    wrong: Any = policy
    with pytest.raises(SpecError, match="restart of pool echo must be Immediate, FixedDelay or Exponential"):
        pool(Address[Echo]("echo"), 2, lambda: EchoActor([]), restart=wrong)


@pytest.mark.parametrize("size", [0, -1, 1.5, None])
def test_a_pool_without_workers_is_refused(size: Any) -> None:
    with pytest.raises(SpecError, match="the size of the pool echo must be a whole number of at least 1, not"):
        pool(Address[Echo]("echo"), size, lambda: EchoActor([]))


async def test_a_pool_needs_an_address_and_names_of_its_own() -> None:
    address, child = echo_pool(2)
    make: list[Callable[[], Any]] = [
        lambda: [child, actor(address, lambda: EchoActor([]))],
        lambda: [child, actor(Address[Echo]("echo-2"), lambda: EchoActor([]))],
    ]
    for children in make:
        with pytest.raises(SpecError, match="two children are named"):
            async with running(children()):
                raise AssertionError
    other = pool(address, 1, lambda: EchoActor([]))
    with pytest.raises(SpecError, match="the address echo of other already has an actor in this tree"):
        async with running([child, attrs.evolve(other, name="other", children=())]):
            raise AssertionError


async def test_a_pool_gives_up_after_too_many_restarts_and_keeps_its_messages(autojump_clock: MockClock) -> None:
    notes: list[str] = []
    address: Address[Echo] = Address("echo")
    child = pool(address, 2, lambda: EchoActor(notes), restart=Immediate(), intensity=Intensity(restarts=1))
    async with running([child]) as system:
        for message in (CrashTold(), CrashTold(), Note("kept")):
            address.tell(message)
        await trio.sleep(1)
        assert notes == ["kept"]
        assert system.snapshot().children[0].restarts == 1


class Poisonous(EchoActor):
    """Takes a while over each note, then crashes."""

    async def note(self, message: Note) -> None:
        """Append the text, wait, and crash."""
        self.notes.append(message.text)
        await trio.sleep(0.1 * len(self.notes))
        raise ValueError(message.text)


Poisonous.handlers = {**EchoActor.handlers, Note: Poisonous.note}


async def test_each_of_several_poison_messages_is_retried_once_by_the_pool(autojump_clock: MockClock) -> None:
    """Each worker kept the mark of the last message only, and of none that another worker had retried."""
    notes: list[str] = []
    address: Address[Echo] = Address("echo", on_crash=OnCrash.RETRY)
    child = pool(address, 3, lambda: Poisonous(notes), restart=FixedDelay(0.3), intensity=Intensity(restarts=1000))
    async with running([child]):
        for text in "abcd":
            address.tell(Note(text))
        await trio.sleep(100)
    assert sorted(notes) == list("aabbccdd")
    assert len(address.dead_letters) == 4


class SlowHooks(EchoActor):
    """Takes four seconds for each hook."""

    async def pre_stop(self) -> None:
        """Wait."""
        await trio.sleep(4)

    async def pre_restart(self, error: Exception) -> None:
        """Wait."""
        await trio.sleep(4)

    async def health_check(self) -> Health:
        """Wait."""
        await trio.sleep(4)
        return Health.HEALTHY


@pytest.mark.parametrize("urgent", ["stop", "crash", "health check"])
@pytest.mark.parametrize("worker", ["echo-1", "echo-2"])
async def test_a_message_does_not_wait_for_the_hook_of_the_worker_that_was_woken_for_it(
    autojump_clock: MockClock, worker: str, urgent: str
) -> None:
    notes: list[str] = []
    address: Address[Echo] = Address("echo")
    made: list[SlowHooks] = []

    def make() -> SlowHooks:
        made.append(SlowHooks(notes))
        return made[-1]

    child = pool(address, 2, make, stop_seconds=10)
    async with running([child]) as system:
        await wait_all_tasks_blocked()
        number = int(worker[-1]) - 1
        address.tell(Note("x"))
        if urgent == "stop":
            made[number].stop()
        elif urgent == "crash":
            system.inject(worker, RuntimeError("now"))
        else:
            spec = child.children[number]
            assert isinstance(spec, ActorSpec)
            spec.address.receiver.send_urgent((HEALTH_CHECK, 0.0, Pending(None)))
        await wait_all_tasks_blocked()
        assert notes == ["x"]
