"""Each message in a process has one outcome, which the parent learns: an answer, an error or a cancellation."""

import logging
import os
import socket
from contextlib import AbstractAsyncContextManager

import pytest
import trio
from trio.testing import MockClock

from alysd.nurseries import (
    ActorDown,
    Address,
    AskTimeout,
    HandlerCrashed,
    Immediate,
    OnCrash,
    Refusal,
    System,
    process,
)
from alysd.nurseries.processes.errors import ProcessCrashed, RemoteRefusal
from alysd.nurseries.processes.frames import TELL, TRACE_BYTES, TRACED, Frame
from alysd.nurseries.processes.inlet import HostedAddress, Inlet
from alysd.nurseries.processes.progress import Progress, progress_file
from alysd.nurseries.processes.wire import Wire
from alysd.testing.harness import ActorTestHarness
from alysd.testing.process_double import ProcessDouble
from tests.nurseries.processes.counting import (
    CODEC,
    Add,
    Counting,
    Defer,
    DeferTell,
    NeedOther,
    Reply,
    TooMuch,
    Total,
    Unclear,
    codec,
)

START = "tests.nurseries.processes.counting:start"


class Fixture:
    """One child in a double, with its harness."""

    def __init__(self, on_crash: OnCrash = OnCrash.DROP, handle_seconds: float | None = None) -> None:
        self.harness = ActorTestHarness()
        self.double = ProcessDouble()
        self.counter: Address[Counting] = Address("counter", on_crash=on_crash)
        self.spec = process(
            self.counter,
            START,
            codec=CODEC,
            config=5,
            refusals=[TooMuch],
            restart=Immediate(),
            handle_seconds=handle_seconds,
        )

    def running(self) -> AbstractAsyncContextManager[System]:
        return self.harness.running(self.double.intercept(self.spec))

    def figures(self) -> tuple[int, int, int, int]:
        """Handled, refused and abandoned messages, and restarts."""
        counter = self.counter
        return counter.handled, counter.refused, counter.abandoned, self.harness.child("counter").restarts


async def test_a_deferred_ask_is_answered_later(autojump_clock: MockClock) -> None:
    one = Fixture()
    got: list[object] = []

    async def ask() -> None:
        try:
            got.append(await one.counter.ask(Defer()))
        except Refusal as refusal:
            got.append(refusal)

    async with one.running(), trio.open_nursery() as nursery:
        for how in ("reply", "refuse"):
            nursery.start_soon(ask)
            await trio.sleep(0.1)
            assert one.figures()[0] in (1, 3), "it is handled when the handler has returned"
            one.counter.tell(Reply(how))
            await trio.sleep(0.1)
    assert [repr(each) for each in got] == ["5", "TooMuch(amount=1)"]
    assert one.counter.handled == 4
    assert one.counter.refused == 0, "as in one process: the handler has not refused it"


async def test_a_deferred_ask_that_fails_at_once_counts_as_handled(autojump_clock: MockClock) -> None:
    one = Fixture()
    async with one.running() as system, trio.open_nursery() as nursery:

        async def ask() -> None:
            with pytest.raises(TooMuch):
                await one.counter.ask(Defer())

        system.suspend("counter")
        nursery.start_soon(ask)
        await trio.sleep(0.1)
        one.counter.tell(Reply("refuse"))
        system.resume("counter")
        await trio.sleep(0.1)
        assert one.figures() == (2, 0, 0, 0)


async def test_a_trace_that_is_none_is_left_out(autojump_clock: MockClock) -> None:
    near, far = socket.socketpair()
    progress = Progress(fd := progress_file())
    os.close(fd)
    address = HostedAddress("counter")
    inlet = Inlet(Wire(near, 1 << 20), address, codec, progress)
    inlet.deliver(Frame(TELL | TRACED, 0, 1, b"0" * TRACE_BYTES + codec.encode(Add(1))))
    assert [entry[0] for entry in address.mailbox.queue] == [Add(1)]
    progress.close()
    near.close()
    far.close()


async def test_a_deferred_ask_is_not_being_handled(autojump_clock: MockClock) -> None:
    """The parent took it for a handler that made no progress, and ended the process."""
    one = Fixture(handle_seconds=1.0)
    async with one.running(), trio.open_nursery() as nursery:
        nursery.start_soon(one.counter.ask, Defer())
        await trio.sleep(4)
        one.counter.tell(Reply("reply"))
        await trio.sleep(0.5)
        assert one.figures() == (2, 0, 0, 0)


async def test_a_look_at_a_deferred_ask_changes_nothing(autojump_clock: MockClock) -> None:
    """`Deferred.waiting` wrote the number of an old message as the one that is being handled."""
    one = Fixture()
    async with one.running(), trio.open_nursery() as nursery:
        nursery.start_soon(one.counter.ask, Defer())
        await trio.sleep(0.1)
        for _ in range(3):
            await one.counter.send(Reply("count"))
        assert await one.counter.ask(Total()) == 1
        progress = one.double.progress("counter")
        assert (progress.begun, progress.done) == (5, 5)
        one.counter.tell(Reply("reply"))


@pytest.mark.parametrize("name", ["", "slow"], ids=["after its handler", "during its handler"])
async def test_a_deferred_ask_that_was_given_up_lapses_once(autojump_clock: MockClock, name: str) -> None:
    """Each look at it was one more frame for the parent, which counted it as abandoned again."""
    one = Fixture()
    async with one.running():
        with pytest.raises(AskTimeout):
            await one.counter.ask(Defer(name), seconds=0.5)
        await trio.sleep(1)
        for _ in range(3):
            await one.counter.send(Reply("count"))
        assert await one.counter.ask(Total()) == 0
        await one.counter.send(Reply("reply"))
        assert await one.counter.ask(Total()) == 0
        await trio.sleep(0.1)
        assert one.figures() == (7, 0, 0, 0)


async def test_a_tell_has_no_answer_to_defer(autojump_clock: MockClock) -> None:
    one = Fixture(handle_seconds=1.0)
    async with one.running():
        one.counter.tell(DeferTell())
        await trio.sleep(4)
        one.counter.tell(Reply("reply"))
        assert await one.counter.ask(Total()) == 5
        await trio.sleep(0.1)
        assert one.figures() == (3, 0, 0, 0)


async def test_deferred_asks_end_with_their_process(autojump_clock: MockClock) -> None:
    one = Fixture()
    got: list[Exception] = []

    async def ask() -> None:
        try:
            await one.counter.ask(Defer())
        except (HandlerCrashed, ActorDown) as error:
            got.append(error)

    async with one.running() as system, trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.sleep(0.1)
        one.double.kill("counter")
        await trio.sleep(0.1)
        nursery.start_soon(ask)
        await trio.sleep(0.1)
        await system.stop_child("counter")
    assert [type(error) for error in got] == [HandlerCrashed, ActorDown]


async def test_an_error_without_a_text_keeps_its_class(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Making its text failed in the process, which ended with that failure instead."""
    caplog.set_level(logging.CRITICAL + 1, logger="alysd.nurseries")
    one = Fixture()
    async with one.running():
        with pytest.raises(RemoteRefusal) as refused:
            await one.counter.ask(Unclear(refused=True))
        text = "(its text cannot be made: RuntimeError)"
        assert repr(refused.value) == repr(RemoteRefusal("TextlessRefusal", text))
        with pytest.raises(HandlerCrashed) as crashed:
            await one.counter.ask(Unclear(refused=False))
        assert repr(crashed.value.error) == repr(ProcessCrashed("counter", "TextlessCrash", text))


@pytest.mark.parametrize(("on_crash", "times"), [(OnCrash.DROP, 1), (OnCrash.RETRY, 2)])
async def test_a_tell_that_needed_an_actor_that_is_down_goes_by_the_policy(
    autojump_clock: MockClock, on_crash: OnCrash, times: int
) -> None:
    """It was only logged as refused: neither handled again, nor kept as a dead letter."""
    one = Fixture(on_crash)
    async with one.running():
        one.counter.tell(NeedOther())
        assert await one.counter.ask(Total()) in (6, 7)
        await trio.sleep(0.1)
        assert await one.counter.ask(Total()) == 5 + times
        await trio.sleep(0.1)
        assert one.figures() == (2, times, 0, 0)
        letters = one.counter.mailbox.dead_letters or ()
        assert [(letter.message, letter.reason) for letter in letters] == [
            (NeedOther(), "not answered: ActorDown")
        ]


async def test_messages_that_are_handled_again_are_sent_again(autojump_clock: MockClock) -> None:
    one = Fixture(OnCrash.RETRY)
    async with one.running():
        for _ in range(20):
            one.counter.tell(NeedOther())
            one.counter.tell(Add(1))
        await trio.sleep(1)
        assert (one.counter.depth, one.counter.mailbox.dropped) == (0, 20)
