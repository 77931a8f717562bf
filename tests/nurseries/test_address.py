"""Telling and asking: answers, errors and their order; messages that are handled again."""

from contextlib import nullcontext
from decimal import Decimal
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from alysd.nurseries import (
    ActorDown,
    Address,
    AskTimeout,
    Backoff,
    ChildSpec,
    CircuitBreaker,
    CircuitOpen,
    FixedDelay,
    HandlerCrashed,
    Immediate,
    MailboxFull,
    OnCrash,
    Overflow,
    Refusal,
    TraceContext,
    actor,
    handles,
    traced,
)
from alysd.nurseries.asks import MOST_SECONDS
from alysd.testing.echo import (
    Await,
    CrashAsked,
    CrashTold,
    Echo,
    EchoActor,
    Note,
    Refuse,
    Say,
    Unheard,
    echo,
    pause,
    running,
)


async def test_an_ask_is_answered_and_tells_arrive_in_order() -> None:
    notes: list[str] = []
    address, child = echo(notes=notes)
    async with running([child]):
        address.tell(Note("a"))
        await address.send(Note("b"))
        assert await address.ask(Say("hello")) == "hello"
        assert notes == ["a", "b"]
    assert address.handled == 3


async def test_a_refusal_goes_to_the_asker_and_the_actor_lives_on() -> None:
    address, child = echo()
    async with running([child]) as system:
        with pytest.raises(Refusal, match="not today"):
            await address.ask(Refuse())
        with pytest.raises(Refusal, match="actor echo has no handler for Unheard"):
            await address.ask(Unheard())
        assert await address.ask(Say("still here")) == "still here"
        assert system.snapshot().children[0].restarts == 0
    assert address.refused == 2


async def test_a_crash_reaches_the_asker_as_such_and_the_next_instance_answers() -> None:
    address, child = echo()
    async with running([child]) as system:
        with pytest.raises(HandlerCrashed, match="echo crashed: boom") as caught:
            await address.ask(CrashAsked())
        assert isinstance(caught.value.__cause__, ValueError)
        assert await address.ask(Say("again")) == "again"
        assert system.snapshot().children[0].restarts == 1


async def test_an_error_that_wears_a_group_is_taken_for_what_it_is() -> None:
    address, child = echo()
    async with running([child]):
        with pytest.raises(Refusal, match="inside"):
            await address.ask(CrashAsked(ExceptionGroup("nursery", [Refusal("inside")])))


async def test_no_answer_in_time_names_actor_message_and_seconds(autojump_clock: MockClock) -> None:
    address, child = echo()
    async with running([child]):
        with pytest.raises(AskTimeout, match="no answer from echo to Await within 2 s"):
            await address.ask(pause(3), seconds=2)
        assert await address.ask(Say("later")) == "later"


async def test_an_ask_cancelled_before_its_turn_is_never_handled(autojump_clock: MockClock) -> None:
    address, child = echo()
    ran: list[str] = []

    async def witness() -> None:
        ran.append("ran")

    async with running([child]), trio.open_nursery() as nursery:
        nursery.start_soon(address.ask, pause(2))
        await wait_all_tasks_blocked()
        with trio.move_on_after(1):
            await address.ask(Await(witness))
        await address.ask(Say("after"))
        assert address.abandoned == 1
    assert not ran


async def test_an_ask_of_a_full_mailbox_stands_in_line_and_is_answered(autojump_clock: MockClock) -> None:
    address: Address[Echo] = Address("echo", capacity=1)
    async with running([_behind(address)]), trio.open_nursery() as nursery:
        await _occupy(address, nursery)
        answers: list[str] = []

        async def ask(text: str) -> None:
            answers.append(await address.ask(Say(text)))

        for text in ("first", "second"):
            nursery.start_soon(ask, text)
            await wait_all_tasks_blocked()
    assert answers == ["first", "second"]


async def test_an_ask_that_times_out_in_line_leaves_it(autojump_clock: MockClock) -> None:
    address: Address[Echo] = Address("echo", capacity=1)
    async with running([_behind(address)]), trio.open_nursery() as nursery:
        await _occupy(address, nursery)
        with pytest.raises(AskTimeout):
            await address.ask(Say("in line"), seconds=0.5)
        assert not address.mailbox.line


@pytest.mark.parametrize("policy", [Overflow.FAIL, Overflow.DROP_NEWEST, Backoff(2, 0.01)])
async def test_an_ask_that_finds_no_room_says_so(autojump_clock: MockClock, policy: Overflow | Backoff) -> None:
    address: Address[Echo] = Address("echo", capacity=1, overflow=policy)
    async with running([_behind(address)]), trio.open_nursery() as nursery:
        await _occupy(address, nursery)
        with pytest.raises(MailboxFull):
            await address.ask(Say("no room"))


async def test_an_ask_that_backs_off_is_answered_in_the_end(autojump_clock: MockClock) -> None:
    address: Address[Echo] = Address("echo", capacity=1, overflow=Backoff(9, 0.1))
    async with running([_behind(address)]), trio.open_nursery() as nursery:
        await _occupy(address, nursery)
        assert await address.ask(Say("late")) == "late"


async def test_an_ask_that_makes_room_by_dropping_tells_the_asker_it_dropped(autojump_clock: MockClock) -> None:
    address: Address[Echo] = Address("echo", capacity=1, overflow=Overflow.DROP_OLDEST)
    async with running([_behind(address)]), trio.open_nursery() as nursery:
        nursery.start_soon(address.ask, pause(1))
        await wait_all_tasks_blocked()
        dropped: list[str] = []

        async def unlucky() -> None:
            with pytest.raises(MailboxFull):
                await address.ask(Say("old"))
            dropped.append("old")

        nursery.start_soon(unlucky)
        await wait_all_tasks_blocked()
        assert await address.ask(Say("new")) == "new"
        assert dropped == ["old"]
    assert [(letter.to, letter.message, letter.reason) for letter in address.dead_letters] == [
        ("echo", Say("old"), "mailbox full")
    ]


async def test_the_message_that_crashed_is_a_dead_letter_and_those_behind_it_are_handled() -> None:
    notes: list[str] = []
    address, child = echo(notes=notes)
    async with running([child]):
        for message in (Note("before"), CrashTold(), Note("after")):
            address.tell(message)
        await address.ask(Say("done"))
    assert notes == ["before", "after"]
    assert [letter.reason for letter in address.dead_letters] == ["crashed its actor: ValueError"]


async def test_a_message_to_be_retried_gets_one_more_chance() -> None:
    address: Address[Echo] = Address("echo", on_crash=OnCrash.RETRY)
    async with running([_behind(address)]) as system:
        address.tell(CrashTold())
        await address.ask(Say("done"))
        assert system.snapshot().children[0].restarts == 2
    assert address.mailbox.dropped == 1


class SlowCrash(EchoActor):
    """Takes a second to crash."""

    @handles(CrashTold)
    async def crash(self, message: CrashTold) -> None:
        """Wait, then raise the error."""
        await trio.sleep(1)
        raise message.error


@pytest.mark.parametrize("in_trace", [False, True])
async def test_a_message_to_be_retried_keeps_the_capacity(autojump_clock: MockClock, in_trace: bool) -> None:
    notes: list[str] = []
    address: Address[Echo] = Address("echo", capacity=2, on_crash=OnCrash.RETRY)
    child = actor(address, lambda: SlowCrash(notes), restart=FixedDelay(1))
    message = CrashTold()
    async with running([child]) as system:
        with traced(TraceContext("1" * 32, "2" * 16)) if in_trace else nullcontext():
            address.tell(message)
            await wait_all_tasks_blocked()
            for text in "ab":
                address.tell(Note(text))
        await trio.sleep(1.5)
        mailbox = system.snapshot().children[0].mailbox
        assert mailbox is not None
        assert (mailbox.depth, mailbox.capacity) == (2, 2)
        with pytest.raises(MailboxFull):
            address.tell(Note("c"))
        await trio.sleep(10)
        assert (notes, address.depth, address.mailbox.limit) == (["a", "b"], 0, 2)
        assert [letter.message for letter in address.dead_letters] == [message]
        assert system.snapshot().children[0].restarts == 2


class Depending(EchoActor):
    """Needs another actor, which does not answer, for each note."""

    @handles(Note)
    async def note(self, message: Note) -> None:
        """Fail as an ask does."""
        self.notes.append(message.text)
        await trio.sleep(1)
        raise ActorDown("the other", "not there")


async def test_a_message_that_is_not_answered_keeps_the_capacity_and_is_handled_twice(
    autojump_clock: MockClock,
) -> None:
    notes: list[str] = []
    address: Address[Echo] = Address("echo", capacity=1, on_crash=OnCrash.RETRY)
    async with running([actor(address, lambda: Depending(notes))]):
        address.tell(Note("a"))
        await wait_all_tasks_blocked()
        address.tell(Note("b"))
        await trio.sleep(10)
        assert notes == ["a", "a", "b", "b"]
        assert (address.mailbox.limit, address.mailbox.dropped) == (1, 2)


async def test_what_was_told_before_the_system_runs_is_handled_then_and_after_it_refused() -> None:
    notes: list[str] = []
    address, child = echo(notes=notes)
    address.tell(Note("early"))
    with pytest.raises(ActorDown, match="echo is down: not part of a running system"):
        await address.ask(Say("too early"))
    async with running([child]):
        await address.ask(Say("now"))
    assert notes == ["early"]
    with pytest.raises(ActorDown):
        address.tell(Note("late"))
    with pytest.raises(ActorDown):
        await address.ask(Say("late"))


async def test_asks_fail_at_once_while_the_circuit_is_open(autojump_clock: MockClock) -> None:
    address, child = echo(restart=CircuitBreaker(failures=2, open_seconds=8.0))
    async with running([child]):
        for _ in range(2):
            with pytest.raises(HandlerCrashed):
                await address.ask(CrashAsked())
        await wait_all_tasks_blocked()
        await trio.sleep(2)
        with pytest.raises(CircuitOpen, match="its circuit breaker is open, next attempt in 6 s"):
            await address.ask(Say("?"))
        await trio.sleep(7)
        assert await address.ask(Say("half-open")) == "half-open"


async def test_an_address_says_how_full_it_is() -> None:
    address, child = echo("numbered")
    async with running([child]):
        await address.ask(Say("one"))
        address.tell(Note("two"))
        assert repr(address) == "<Address numbered: 1/1024>"


def _behind(address: Address[Echo]) -> ChildSpec:
    return actor(address, lambda: EchoActor([]), restart=Immediate())


async def _occupy(address: Address[Echo], nursery: trio.Nursery) -> None:
    """One message that is handled for a second, and one that fills the mailbox."""
    nursery.start_soon(address.ask, pause(1))
    await wait_all_tasks_blocked()
    address.tell(Note("fills"))


async def test_a_child_stopped_behind_its_open_breaker_promises_no_next_attempt(autojump_clock: MockClock) -> None:
    address, child = echo(restart=CircuitBreaker(failures=1, open_seconds=10.0))
    async with running([child]) as system:
        address.tell(CrashTold())
        await trio.sleep(1)
        await system.stop_child("echo")
        with pytest.raises(ActorDown, match="echo is down: its mailbox is closed") as caught:
            await address.ask(Say("?"))
        assert not isinstance(caught.value, CircuitOpen)


@pytest.mark.parametrize(
    "seconds", [float("inf"), float("nan"), 1e300, -1, -0.001, None, "1", 1j, Decimal(1)], ids=repr
)
async def test_an_ask_with_seconds_that_are_no_timeout_is_refused_before_it_is_queued(
    autojump_clock: MockClock, seconds: Any
) -> None:
    """It was queued, and its answer woke a task that waited for something else by then."""
    address, child = echo()
    async with running([child]):
        with pytest.raises((ValueError, TypeError)):
            await address.ask(Say("x"), seconds=seconds)
        assert address.depth == 0
        began = trio.current_time()
        await trio.sleep(3)
        assert (trio.current_time() - began, address.handled) == (3, 0)


async def test_an_ask_may_have_no_time_or_all_of_it(autojump_clock: MockClock) -> None:
    address, child = echo()
    async with running([child]):
        assert await address.ask(Say("x"), seconds=0) == "x", "the actor answered before the first tick"
        assert await address.ask(Say("x"), seconds=MOST_SECONDS) == "x"


def test_an_address_with_a_wrong_option_is_refused() -> None:
    wrong: Any = "retry"
    with pytest.raises(TypeError, match="address a: on_crash must be an OnCrash, not 'retry'"):
        Address("a", on_crash=wrong)
    with pytest.raises(TypeError, match="mailbox a: overflow must be an Overflow or a Backoff, not 'retry'"):
        Address("a", overflow=wrong)
    for capacity in (1.5, float("nan"), None, "8", -1):
        number: Any = capacity
        with pytest.raises(ValueError, match="mailbox a: capacity must be a whole number of at least 1"):
            Address("a", capacity=number)


@pytest.mark.parametrize(
    "policy",
    [*Overflow, Backoff(retries=50, first_seconds=0.03, factor=1.0), Backoff(retries=2, first_seconds=60.0)],
)
async def test_an_ask_ends_in_time_whatever_the_overflow_policy(
    autojump_clock: MockClock, policy: Overflow | Backoff
) -> None:
    """The waits of a `Backoff` came on top of the timeout."""
    address: Address[Echo] = Address("a", capacity=1, overflow=policy)
    async with running([_behind(address)]), trio.open_nursery() as nursery:
        await _occupy(address, nursery)
        began = trio.current_time()
        with pytest.raises((AskTimeout, MailboxFull)):
            await address.ask(Say("x"), seconds=0.1)
        assert trio.current_time() - began <= 0.11
        nursery.cancel_scope.cancel()


async def test_an_ask_that_gave_up_makes_room_for_another_message(autojump_clock: MockClock) -> None:
    """A mailbox that was full of such asks accepted nothing, although nobody waited for them."""
    notes: list[str] = []
    address: Address[Echo] = Address("a", capacity=4, overflow=Overflow.FAIL)
    async with running([actor(address, lambda: EchoActor(notes))]) as system:
        system.suspend("a")
        for _ in range(50):
            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(_expect_timeout, address)
            assert address.depth == 0
        assert len(address.mailbox.queue) < 2 * 4, "abandoned asks take a bounded memory"
        for text in "abcd":
            address.tell(Note(text))
        assert address.depth == 4
        with pytest.raises(MailboxFull):
            address.tell(Note("one too many"))
        system.resume("a")
        await wait_all_tasks_blocked()
        assert (notes, address.abandoned, address.depth) == (list("abcd"), 150, 0)
        system.suspend("a")
        for text in "efgh":
            address.tell(Note(text))
        with pytest.raises(MailboxFull):
            address.tell(Note("the room is what it was"))
        system.resume("a")


async def _expect_timeout(address: Address[Echo]) -> None:
    with pytest.raises(AskTimeout):
        await address.ask(Say("x"), seconds=0.1)


async def test_the_room_of_an_ask_that_gave_up_goes_to_the_first_in_line(autojump_clock: MockClock) -> None:
    notes: list[str] = []
    address: Address[Echo] = Address("a", capacity=2)
    async with running([actor(address, lambda: EchoActor(notes))]) as system, trio.open_nursery() as nursery:
        system.suspend("a")
        await wait_all_tasks_blocked()
        nursery.start_soon(_expect_timeout, address)
        await wait_all_tasks_blocked()
        address.tell(Note("first"))
        nursery.start_soon(address.ask, Say("in line"))
        await wait_all_tasks_blocked()
        nursery.start_soon(address.send, Note("behind"))
        await wait_all_tasks_blocked()
        assert (address.depth, len(address.mailbox.line or ())) == (2, 2)
        await trio.sleep(0.2)
        assert (address.depth, len(address.mailbox.line or ())) == (2, 1)
        system.resume("a")
    assert notes == ["first", "behind"]


async def test_an_ask_that_gave_up_is_not_what_a_full_mailbox_drops(autojump_clock: MockClock) -> None:
    notes: list[str] = []
    address: Address[Echo] = Address("a", capacity=2, overflow=Overflow.DROP_OLDEST)
    async with running([actor(address, lambda: EchoActor(notes))]) as system:
        system.suspend("a")
        await _expect_timeout(address)
        for text in "abc":
            address.tell(Note(text))
        assert address.depth == 2
        system.resume("a")
    assert notes == ["b", "c"]


async def test_asks_that_gave_up_before_their_actor_stops_leave_no_trace(
    autojump_clock: MockClock,
) -> None:
    address: Address[Echo] = Address("a", capacity=2, overflow=Overflow.FAIL)
    async with running([actor(address, lambda: EchoActor([]), restart=FixedDelay(10.0))]) as system:
        address.tell(CrashTold())
        await wait_all_tasks_blocked()
        await _expect_timeout(address)
        await system.stop_child("a")
        await _expect_down(address)
        await system.restart("a")
        await wait_all_tasks_blocked()
        assert await address.ask(Say("on")) == "on"
        assert (address.depth, address.mailbox.limit) == (0, 2)


async def _expect_down(address: Address[Echo]) -> None:
    with pytest.raises(ActorDown):
        await address.ask(Say("x"))


async def test_an_opening_breaker_answers_waiting_asks_and_keeps_tells(
    autojump_clock: MockClock,
) -> None:
    """They waited for the next instance, or for their timeout, behind a circuit that refused new asks at once."""
    notes: list[str] = []
    address: Address[Echo] = Address("a", capacity=3)
    breaker = CircuitBreaker(failures=1, open_seconds=60.0)
    opened: list[float] = []

    async def expect_open() -> None:
        with pytest.raises(CircuitOpen, match="its circuit breaker is open, next attempt in 60 s"):
            await address.ask(Say("x"), seconds=30)
        opened.append(trio.current_time())

    async with running([actor(address, lambda: EchoActor(notes), restart=breaker)]) as system:
        system.suspend("a")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(expect_open)
            await wait_all_tasks_blocked()
            address.tell(Note("kept"))
            nursery.start_soon(_expect_timeout, address)
            await trio.sleep(0.2)
            address.tell(Note("kept too"))
            nursery.start_soon(expect_open)  # in line
            await wait_all_tasks_blocked()
            nursery.start_soon(address.send, Note("in line"))
            await wait_all_tasks_blocked()
            began = trio.current_time()
            system.inject("a", OSError("broken"))
        assert opened == [began, began]
        assert address.depth == 3
        await trio.sleep(61)
        assert await address.ask(Say("on")) == "on"
    assert notes == ["kept", "kept too", "in line"]
    assert [letter.message for letter in address.dead_letters] == [Say("x"), Say("x")]


async def test_an_ask_that_gives_up_while_its_actor_stops_is_skipped(autojump_clock: MockClock) -> None:
    address: Address[Echo] = Address("a", capacity=2)
    async with running([_behind(address)]) as system, trio.open_nursery() as nursery:
        nursery.start_soon(address.ask, pause(1))
        await wait_all_tasks_blocked()
        nursery.start_soon(_expect_timeout, address)
        await wait_all_tasks_blocked()
        await system.stop_child("a")
        await _expect_down(address)
        assert (address.abandoned, address.mailbox.dropped, address.mailbox.limit) == (1, 0, 0)
