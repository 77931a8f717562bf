"""The loop of an actor: special messages, and checkpoints."""

import gc
import weakref
from contextlib import nullcontext
from itertools import pairwise
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from alysd.nurseries import (
    Address,
    Ask,
    FailureKind,
    HandlerCrashed,
    HandlerTooSlow,
    Immediate,
    OnCrash,
    Overflow,
    Refusal,
    TraceContext,
    actor,
    handles,
    traced,
)
from alysd.nurseries.mailbox import TURNS
from alysd.nurseries.serve import BATCH
from alysd.testing.echo import Await, CrashAsked, Echo, EchoActor, Note, RefuseTold, Say, echo, pause, running


async def test_a_refused_tell_is_logged_and_counted_for_nobody_else_would_know(
    caplog: pytest.LogCaptureFixture,
) -> None:
    address, child = echo()
    async with running([child]):
        address.tell(RefuseTold())
        assert await address.ask(Say("alive")) == "alive"
    assert "echo refused RefuseTold: not today either" in caplog.text
    assert address.refused == 1


async def test_a_busy_actor_lets_others_run_after_a_batch() -> None:
    address, child = echo()
    async with running([child]):
        for _ in range(4 * BATCH):
            address.tell(Note("x"))
        seen: list[int] = []
        while address.handled < 4 * BATCH:
            seen.append(address.handled)
            await trio.lowlevel.checkpoint()
        # Between two looks the actor may have had the last turn of one round and the first of the next.
        assert all(later - earlier <= 2 * BATCH for earlier, later in pairwise(seen))
        assert len(seen) > 3


async def test_senders_in_line_are_let_in_while_the_actor_is_busy_and_when_it_is_done() -> None:
    notes: list[str] = []
    address: Address[Echo] = Address("echo", capacity=40)
    child = actor(address, lambda: EchoActor(notes), restart=Immediate())
    async with running([child]), trio.open_nursery() as nursery:
        for number in range(200):
            nursery.start_soon(address.send, Note(str(number)))
    assert sorted(notes, key=int) == [str(number) for number in range(200)]


async def test_the_longest_wait_is_seen_in_samples() -> None:
    address, child = echo()
    async with running([child]):
        for _ in range(100):
            address.tell(Note("x"))
        await address.ask(Say("done"))
    assert 0 < address.longest_wait < 60


async def test_signals_that_change_nothing_are_ignored(autojump_clock: MockClock) -> None:
    """Two operators suspend at once, before the actor has obeyed the first."""
    address, child = echo()
    async with running([child]) as system, trio.open_nursery() as nursery:
        nursery.start_soon(address.ask, pause(1))
        await wait_all_tasks_blocked()
        system.suspend("echo")
        system.suspend("echo")
        await trio.sleep(2)
        system.resume("echo")
        assert await address.ask(Say("on")) == "on"


async def test_a_handler_that_takes_too_long_crashes_its_actor_and_nobody_waits_for_it(
    autojump_clock: MockClock,
) -> None:
    address: Address[Echo] = Address("echo")
    child = actor(address, lambda: EchoActor([]), restart=Immediate(), handle_seconds=2.0)
    async with running([child]) as system:
        assert await address.ask(pause(1.9)) == "waited"
        for attempt, trace in enumerate([nullcontext(), traced(TraceContext("a" * 32, "b" * 16))], start=1):
            began = trio.current_time()
            with trace, pytest.raises(HandlerCrashed) as crashed:
                await address.ask(pause(60), seconds=30)
            assert trio.current_time() - began == pytest.approx(2.0, abs=0.1)
            assert isinstance(crashed.value.error, HandlerTooSlow)
            assert str(crashed.value.error) == "echo took more than 2 s to handle Await"
            assert await address.ask(Say("alive")) == "alive"
            assert system.failures.of("echo").kinds == {FailureKind.TIMEOUT: attempt}


async def test_a_handler_in_time_raises_its_own_errors(autojump_clock: MockClock) -> None:
    address: Address[Echo] = Address("echo")
    child = actor(address, lambda: EchoActor([]), restart=Immediate(), handle_seconds=2.0)
    async with running([child]) as system:
        with pytest.raises(HandlerCrashed, match="boom"):
            await address.ask(CrashAsked())
        assert system.failures.of("echo").kinds == {FailureKind.PANIC: 1}


def test_no_time_at_all_is_no_bound() -> None:
    with pytest.raises(ValueError, match="handle_seconds"):
        actor(Address[Echo]("echo"), lambda: EchoActor([]), handle_seconds=0.0)


async def test_a_bug_beside_a_refusal_is_a_crash() -> None:
    address, child = echo()
    group = ExceptionGroup("of a nursery", [Refusal("no"), ExceptionGroup("inner", [KeyError("bug")])])
    async with running([child]) as system:
        with pytest.raises(HandlerCrashed) as caught:
            await address.ask(CrashAsked(group))
        assert isinstance(caught.value.error, KeyError)
        assert await address.ask(Say("next")) == "next"
        assert system.snapshot().children[0].restarts == 1


async def test_a_group_of_refusals_is_a_refusal() -> None:
    address, child = echo()
    async with running([child]) as system:
        with pytest.raises(Refusal, match="first"):
            await address.ask(CrashAsked(ExceptionGroup("of a nursery", [Refusal("first"), Refusal("second")])))
        assert system.snapshot().children[0].restarts == 0


async def test_one_crash_in_a_chain_of_asks_restarts_one_actor(caplog: pytest.LogCaptureFixture) -> None:
    """All four restarted, because each `HandlerCrashed` crashed the handler that had asked."""
    caplog.set_level("INFO")
    (a, a_child), (b, b_child), (c, c_child), (d, d_child) = (echo(name) for name in "abcd")

    async def to_d() -> None:
        await d.ask(CrashAsked())

    async def to_c() -> None:
        await c.ask(Await(to_d))

    async def to_b() -> None:
        await b.ask(Await(to_c))

    async with running([a_child, b_child, c_child, d_child]) as system:
        with pytest.raises(HandlerCrashed) as caught:
            await a.ask(Await(to_b))
        assert (caught.value.name, str(caught.value)) == ("d", "d crashed: boom")
        assert [await address.ask(Say("up")) for address in (a, b, c, d)] == ["up"] * 4
        assert [child.restarts for child in system.snapshot().children] == [0, 0, 0, 1]
    assert [address.refused for address in (a, b, c, d)] == [1, 1, 1, 0]
    assert "c gave up Await: d crashed: boom" in caplog.text


@pytest.mark.parametrize(("on_crash", "handled"), [(OnCrash.DROP, 1), (OnCrash.RETRY, 2)])
async def test_a_tell_whose_handler_got_no_answer_is_retried_or_a_dead_letter(
    on_crash: OnCrash, handled: int, caplog: pytest.LogCaptureFixture
) -> None:
    address: Address[Echo] = Address("echo", on_crash=on_crash)
    other, other_child = echo("other")
    calls: list[None] = []

    async def fail() -> None:
        calls.append(None)
        await other.ask(CrashAsked())

    message: Any = Await(fail)
    async with running([other_child, actor(address, lambda: EchoActor([]))]) as system:
        address.tell(message)
        assert await address.ask(Say("alive")) == "alive"
        assert system.snapshot().children[1].restarts == 0
    assert len(calls) == handled
    assert [letter.reason for letter in address.dead_letters] == ["not answered: HandlerCrashed"]
    assert "echo gave up Await: other crashed: boom" in caplog.text


async def test_an_actor_can_crash_when_it_gets_no_answer() -> None:
    address, child = echo(crash_on_not_answered=True)
    other, other_child = echo("other")

    async def ask() -> None:
        await other.ask(CrashAsked())

    async with running([other_child, child]) as system:
        with pytest.raises(HandlerCrashed, match="other crashed: boom"):
            await address.ask(Await(ask))
        assert await address.ask(Say("alive")) == "alive"
        assert [child.restarts for child in system.snapshot().children] == [1, 1]


async def test_an_idle_actor_does_not_keep_its_last_message_or_answer_alive() -> None:
    """A message can be a block of megabytes, and an actor can be idle for hours."""

    @attrs.frozen(slots=False)
    class Big(Ask[Echo, "Big"]):
        text: str

    class Giver(EchoActor):
        @handles(Big)
        async def give(self, message: Big) -> Big:
            return attrs.evolve(message)

    address: Address[Echo] = Address("echo")
    async with running([actor(address, lambda: Giver([]))]):
        question = Big("x")
        answer = await address.ask(question)
        kept = weakref.ref(question), weakref.ref(answer)
        del question, answer
        await wait_all_tasks_blocked()
        gc.collect()
        assert [ref() for ref in kept] == [None, None]


@pytest.mark.parametrize("overflow", [Overflow.BLOCK, Overflow.DROP_NEWEST])
async def test_a_busy_sender_lets_others_run(overflow: Overflow) -> None:
    """Whether its messages find room in the mailbox or not."""
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    capacity = 8 * TURNS if overflow is Overflow.BLOCK else 1
    address: Address[Echo] = Address("echo", capacity=capacity, overflow=overflow)
    async with running([actor(address, lambda: EchoActor([]))]), trio.open_nursery() as nursery:
        nursery.start_soon(other)
        for _ in range(6 * TURNS):
            await address.send(Note("x"))
        assert turns >= 5
        nursery.cancel_scope.cancel()


class Shielding(EchoActor):
    """Takes three seconds for each note, whatever cancels it."""

    async def note(self, message: Note) -> None:
        """Append the text, then wait."""
        self.notes.append(message.text)
        with trio.CancelScope(shield=True):
            await trio.sleep(3)


Shielding.handlers = {**EchoActor.handlers, Note: Shielding.note}


@pytest.mark.parametrize(("stop_seconds", "begun"), [(1.0, 1), (4.0, 2), (100.0, 20)])
async def test_no_message_begins_after_the_deadline_of_a_stop(
    autojump_clock: MockClock, stop_seconds: float, begun: int
) -> None:
    """Only every sixteenth message was followed by a checkpoint, so up to 15 more began."""
    notes: list[str] = []
    address: Address[Echo] = Address("echo")
    async with running([actor(address, lambda: Shielding(notes), stop_seconds=stop_seconds)]):
        for number in range(20):
            address.tell(Note(str(number)))
        await trio.lowlevel.checkpoint()
    assert (len(notes), trio.current_time()) == (begun, 3 * begun)
    assert len(address.dead_letters) == min(20 - begun, 32)


async def test_no_message_begins_after_a_pre_stop_that_takes_too_long(autojump_clock: MockClock) -> None:
    class Slow(EchoActor):
        async def pre_stop(self) -> None:
            with trio.CancelScope(shield=True):
                await trio.sleep(3)

    notes: list[str] = []
    address: Address[Echo] = Address("echo")
    async with trio.open_nursery() as nursery, running([actor(address, lambda: Slow(notes), stop_seconds=1.0)]):
        nursery.start_soon(address.ask, pause(0.5))
        await wait_all_tasks_blocked()
        address.tell(Note("late"))
    assert (notes, trio.current_time()) == ([], 3.5)


async def test_no_message_begins_after_an_injected_failure(autojump_clock: MockClock) -> None:
    notes: list[str] = []
    address: Address[Echo] = Address("echo")
    async with running([actor(address, lambda: Shielding(notes), restart=Immediate())]) as system:
        for number in range(3):
            address.tell(Note(str(number)))
        await trio.sleep(1)
        system.inject("echo", RuntimeError("now"))
        await trio.sleep(3)
        assert (notes, system.snapshot().children[0].restarts) == (["0", "1"], 1)
