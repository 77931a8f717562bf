"""Messages from other threads, and what the methods of the run's own thread do when another thread calls them.

The event loop runs in the main thread on real time, because other threads wait in real time. No test waits for
time to pass.
"""

import threading
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Any, ClassVar

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from alysd.nurseries import (
    ActorDown,
    Address,
    AskCycle,
    AskTimeout,
    HandlerCrashed,
    MailboxFull,
    Overflow,
    Refusal,
    TraceContext,
    WrongThread,
    actor,
    current_trace,
    traced,
)
from alysd.nurseries import threads as threads_module
from alysd.nurseries.inbox import Entry, Inbox
from alysd.nurseries.mailbox import Mailbox
from alysd.nurseries.threads import LoopGone, await_soon, call_soon
from alysd.testing.echo import Await, CrashAsked, Echo, EchoActor, Note, Refuse, Say, echo, pause, running


def in_thread(call: Callable[[], Any]) -> Awaitable[Any]:
    """Call a function in a worker thread, and await its result."""
    return trio.to_thread.run_sync(call)


def elsewhere(call: Callable[[], Awaitable[Any]]) -> Awaitable[Any]:
    """Await a call in a trio run of its own, in a worker thread."""
    return trio.to_thread.run_sync(lambda: trio.run(call))


async def test_a_thread_tells_and_asks() -> None:
    notes: list[str] = []
    address, child = echo(notes=notes)
    async with running([child]):
        await in_thread(lambda: address.tell_from_thread(Note("told")))
        assert await in_thread(lambda: address.ask_from_thread(Say("asked"))) == "asked"
        assert notes == ["told"]


async def test_a_thread_gets_the_errors_of_its_ask() -> None:
    address, child = echo()
    async with running([child]):
        for message, expected in ((Refuse(), Refusal), (CrashAsked(), HandlerCrashed)):
            with pytest.raises(expected):
                await in_thread(lambda message=message: address.ask_from_thread(message))
        go = trio.Event()
        with pytest.raises(AskTimeout):
            await in_thread(lambda: address.ask_from_thread(Await(go.wait), seconds=0.02))
        go.set()
        with pytest.raises(HandlerCrashed, match="timed out"):
            await in_thread(lambda: address.ask_from_thread(CrashAsked(TimeoutError("timed out"))))


async def test_a_thread_that_tells_a_full_mailbox_gets_its_error() -> None:
    address: Address[Echo] = Address("echo", capacity=1)
    async with running([actor(address, lambda: EchoActor([]))]) as system:
        system.suspend("echo")
        await wait_all_tasks_blocked()
        address.tell(Note("fills"))
        with pytest.raises(MailboxFull):
            await in_thread(lambda: address.tell_from_thread(Note("one more")))
        system.resume("echo")


async def test_a_system_that_does_not_run_is_down_for_threads() -> None:
    address, child = echo()
    for call in (lambda: address.tell_from_thread(Note("x")), lambda: address.ask_from_thread(Say("x"))):
        with pytest.raises(ActorDown, match="not part of a running system"):
            await in_thread(call)
    async with running([child]):
        await address.ask(Say("x"))
    with pytest.raises(ActorDown, match="not part of a running system"):
        await in_thread(lambda: address.tell_from_thread(Note("x")))


async def test_the_thread_of_the_system_may_not_block_itself() -> None:
    address, child = echo()
    async with running([child]):
        with pytest.raises(WrongThread, match="cannot call tell_from_thread of echo in this thread.*use tell"):
            address.tell_from_thread(Note("x"))
        with pytest.raises(WrongThread, match="cannot call ask_from_thread of echo.*await ask"):
            address.ask_from_thread(Say("x"))


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1, None, "1"])
async def test_a_thread_asks_with_a_number_of_seconds(seconds: Any) -> None:
    address, child = echo()
    async with running([child]):
        with pytest.raises((ValueError, TypeError), match="ask of echo: seconds must be a number from 0"):
            await in_thread(lambda: address.ask_from_thread(Say("x"), seconds=seconds))


async def test_a_thread_that_waits_when_the_system_stops_gets_an_error() -> None:
    address, child = echo(stop_seconds=0.01)
    outcome: list[BaseException] = []

    def ask() -> None:
        try:
            address.ask_from_thread(Await(never), seconds=60)
        except ActorDown as error:
            outcome.append(error)

    began = trio.Event()

    async def never() -> None:
        began.set()
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        async with running([child]):
            nursery.start_soon(in_thread, ask)
            await began.wait()
        await trio.lowlevel.checkpoint()
    assert len(outcome) == 1


def test_a_thread_that_waits_when_the_run_ends_gets_an_error() -> None:
    """The run may end while a system still has asks of threads: they must not wait for it."""
    outcome: list[str] = []
    threads: list[threading.Thread] = []

    async def main() -> None:
        token, began = trio.lowlevel.current_trio_token(), threading.Event()

        async def never() -> None:
            began.set()
            await trio.sleep_forever()

        def wait() -> None:
            try:
                await_soon(token, never, 60)
            except LoopGone as gone:
                outcome.append(str(gone))

        threads.append(threading.Thread(target=wait))
        threads[0].start()
        await in_thread(began.wait)

    trio.run(main)
    threads[0].join(60)
    assert outcome == ["the run ended"]


def test_a_run_that_has_ended_or_is_ending_accepts_no_calls() -> None:
    tokens: list[trio.lowlevel.TrioToken] = []

    async def main() -> None:
        tokens.append(trio.lowlevel.current_trio_token())

    trio.run(main)
    with pytest.raises(LoopGone, match="the run has ended"):
        call_soon(tokens[0], lambda: None)


async def test_a_run_without_room_for_tasks_is_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(*_: object, **__: object) -> None:
        raise RuntimeError("Nursery is closed to new arrivals")

    monkeypatch.setattr(threads_module, "spawn_system_task", closed)
    token = trio.lowlevel.current_trio_token()
    with pytest.raises(LoopGone, match="the run is ending"):
        await in_thread(lambda: await_soon(token, trio.lowlevel.checkpoint, 1))


async def test_a_busy_loop_bounds_the_wait_of_a_thread_and_the_message_is_not_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threads_module, "LOOP_SECONDS", 0.01)
    notes: list[str] = []
    address, child = echo(notes=notes)
    errors: list[ActorDown] = []

    def call() -> None:
        for message in (
            lambda: address.tell_from_thread(Note("late")),
            lambda: address.ask_from_thread(Await(never), seconds=0.0),
        ):
            try:
                message()
            except ActorDown as error:
                errors.append(error)

    async def never() -> None:
        notes.append("handled")

    async with running([child]):
        thread = threading.Thread(target=call)
        thread.start()
        thread.join(60)  # blocks the event loop
        assert [error.reason for error in errors] == ["its event loop did not react within 0.01 s"] * 2
        await address.ask(Say("on"))
        assert notes == []


async def test_the_trace_of_a_thread_goes_with_its_messages() -> None:
    address, child = echo()
    seen: list[TraceContext | None] = []

    async def note() -> None:
        seen.append(current_trace())

    context = TraceContext("a" * 32, "b" * 16)
    async with running([child]):
        with traced(context):
            await in_thread(lambda: address.ask_from_thread(Await(note)))
    assert seen == [context]


async def test_a_tell_in_another_thread_wakes_an_idle_actor() -> None:
    """The wake-up was lost, and the actor never handled a message again."""
    notes: list[str] = []
    address, child = echo(notes=notes)
    async with running([child]):
        for text in "abc":
            await wait_all_tasks_blocked()
            await in_thread(lambda text=text: address.tell(Note(text)))
            await elsewhere(lambda text=text: address.send(Note(text)))
        assert await address.ask(Say("alive")) == "alive"
        assert notes == ["a", "a", "b", "b", "c", "c"]


async def test_a_value_sent_in_another_thread_wakes_the_receiver_of_a_plain_mailbox() -> None:
    mailbox: Mailbox[int] = Mailbox("m", 3)
    received: list[int] = []

    async def receive() -> None:
        received.append(await mailbox.receive())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await wait_all_tasks_blocked()
        await in_thread(lambda: mailbox.send_nowait(1))
    assert received == [1]


async def test_a_value_that_arrives_just_before_the_wait_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at the empty queue and the wait, another thread may send."""
    mailbox: Mailbox[int] = Mailbox("m", 3)
    begin = mailbox._begin_wait  # pyright: ignore[reportPrivateUsage]

    def begin_late(_: object) -> None:
        mailbox.queue.append(7)
        begin()

    monkeypatch.setattr(Mailbox, "_begin_wait", begin_late)
    assert await mailbox.receive() == 7
    assert mailbox.waiter is None


async def test_a_message_that_arrives_just_before_an_actor_rests_is_not_missed() -> None:
    """Between the actor's look at its empty queue and its wait, another thread may send."""

    class Late(Inbox):
        late: ClassVar[list[Entry]] = [(Note("late"), 0.0, None)]

        def __setattr__(self, name: str, value: object) -> None:
            if name == "waiter" and value is not None and self.late:
                self.queue.append(self.late.pop())
            super().__setattr__(name, value)

    notes: list[str] = []
    address, child = echo(notes=notes)
    address.mailbox = address.receiver = Late("echo", 8, Overflow.BLOCK)
    async with running([child]):
        await wait_all_tasks_blocked()
        assert notes == ["late"]
        assert await address.ask(Say("alive")) == "alive"


async def test_a_call_that_raises_a_timeout_of_its_own_is_no_silent_loop() -> None:
    token = trio.lowlevel.current_trio_token()

    def call() -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        await in_thread(lambda: call_soon(token, call))


async def test_an_ask_or_an_overflow_in_another_thread_is_refused() -> None:
    waiting: Address[Echo] = Address("waiting", capacity=1)
    dropping: Address[Echo] = Address("dropping", capacity=1, overflow=Overflow.DROP_OLDEST)
    children = [actor(address, lambda: EchoActor([])) for address in (waiting, dropping)]
    async with running(children) as system:
        with pytest.raises(WrongThread, match="cannot ask waiting in this thread: use ask_from_thread"):
            await elsewhere(lambda: waiting.ask(Say("x")))
        for address in (waiting, dropping):
            system.suspend(address.name)
        await wait_all_tasks_blocked()
        for address in (waiting, dropping):
            address.tell(Note("fills"))
            with pytest.raises(WrongThread, match="send to the full mailbox.*use tell_from_thread"):
                await elsewhere(lambda address=address: address.send(Note("x")))
            with pytest.raises(WrongThread):
                await in_thread(lambda address=address: address.tell(Note("x")))
            system.resume(address.name)
            assert await address.ask(Say("alive")) == "alive"


async def test_a_system_is_changed_in_its_own_thread_only() -> None:
    address, child = echo()
    async with running([child]) as system:
        for call in (
            lambda: system.suspend("echo"),
            lambda: system.inject("echo", ValueError()),
            lambda: system.request_stop("by a thread"),
        ):
            with pytest.raises(WrongThread, match="the system runs in another one; use trio.from_thread"):
                await in_thread(call)
        assert await address.ask(pause(0)) == "waited"
    assert system.stop_reason == "its block was left"


async def test_a_receiver_woken_twice_is_a_bug_of_the_caller() -> None:
    mailbox: Mailbox[int] = Mailbox("m", 3)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mailbox.wait)
        await wait_all_tasks_blocked()
        task = mailbox.waiter
        mailbox.wake()
        mailbox.waiter = task
        with pytest.raises(AssertionError):
            mailbox.wake()
        mailbox.waiter = None


async def test_a_thread_that_asks_the_actor_which_waits_for_it_is_told_at_once() -> None:
    """Its ask timed out."""
    address, child = echo()
    other, other_child = echo("other")

    def ask_back() -> None:
        address.ask_from_thread(Say("x"), seconds=100)

    async def ask_echo() -> None:
        await address.ask(Say("x"), seconds=100)

    def ask_round() -> None:
        other.ask_from_thread(Await(ask_echo), seconds=100)

    async def in_nursery() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(in_thread, ask_back)

    async def both(call: Callable[[], None]) -> None:
        await in_thread(lambda: other.ask_from_thread(Say("may be asked")))
        await in_thread(call)

    async with running([child, other_child]):
        for wait in (lambda: both(ask_back), lambda: both(ask_round), in_nursery):
            with pytest.raises(AskCycle, match="for each other for ever: .*echo -> "):
                await address.ask(Await(wait), seconds=100)
        assert await address.ask(Say("alive")) == "alive"


async def test_a_thread_for_which_no_handler_waits_closes_no_cycle() -> None:
    address, child = echo()
    answers: list[str] = []
    release = threading.Event()

    def ask() -> None:
        release.wait(60)
        answers.append(address.ask_from_thread(Say("x"), seconds=60))

    async with trio.open_nursery() as nursery:

        async def begin() -> None:
            nursery.start_soon(in_thread, ask)

        async with running([child]):
            await address.ask(Await(begin))
            await address.ask(Await(lambda: _release(release)))
            while not answers:
                await trio.lowlevel.checkpoint()
    assert answers == ["x"]


async def _release(event: threading.Event) -> None:
    event.set()
    await trio.lowlevel.checkpoint()


async def test_a_thread_of_another_run_closes_no_cycle() -> None:
    """The handler of one run waits for a thread whose ask goes to another run."""
    address, child = echo()

    async def elsewhere_asked() -> str:
        inner, inner_child = echo("inner")
        answers: list[str] = []

        async def ask() -> None:
            answers.append(await in_thread(lambda: address.ask_from_thread(Say("x"), seconds=60)))

        async with running([inner_child]):
            await inner.ask(Await(ask), seconds=60)
        return answers[0]

    async with running([child]):
        assert await elsewhere(elsewhere_asked) == "x"


async def test_a_thread_that_trio_did_not_start_is_not_known_to_be_waited_for() -> None:
    """Nothing tells which task waits for it, so its ask to the actor that does times out."""
    address, child = echo()
    errors: list[Exception] = []

    def ask() -> None:
        try:
            address.ask_from_thread(Say("x"), seconds=0.02)
        except AskTimeout as error:
            errors.append(error)

    async def wait() -> None:
        thread = threading.Thread(target=copy_context().run, args=(ask,))
        thread.start()
        while thread.is_alive():
            await trio.lowlevel.checkpoint()

    async with running([child]):
        await address.ask(Await(wait), seconds=60)
    assert len(errors) == 1
