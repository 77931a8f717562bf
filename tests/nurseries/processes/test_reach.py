"""A process may send to its parent only the declared messages."""

import socket
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from alysd.nurseries import (
    Actor,
    Address,
    ChildSpec,
    Immediate,
    Overflow,
    Reach,
    TraceContext,
    actor,
    current_trace,
    handles,
    process,
    traced,
)
from alysd.nurseries.processes import reach as module
from alysd.nurseries.processes import wire as wire_module
from alysd.nurseries.processes.errors import NotReachable
from alysd.nurseries.processes.frames import (
    ASK,
    DONE,
    ENDED,
    ERROR,
    HEAD,
    REPLY,
    SKIPPED,
    TELL,
    TRACE_BYTES,
    TRACED,
    Frame,
    MalformedFrame,
)
from alysd.nurseries.processes.host import DRAIN_SECONDS
from alysd.nurseries.processes.reach import ReachLink
from alysd.nurseries.processes.spec import ProcessContext, ProcessLimits
from alysd.nurseries.processes.wire import Wire
from alysd.testing.harness import ActorTestHarness
from alysd.testing.process_double import ProcessDouble
from alysd.testing.stand_in import RecordedAddress, StandIn
from alysd.testing.transcript import Transcript
from tests.nurseries.processes.counting import (
    CODEC,
    Counting,
    Flood,
    Note,
    Notes,
    Secret,
    TalkBack,
    Telling,
    TooMuch,
    Total,
    codec,
)

START = "tests.nurseries.processes.counting:start"


class Notebook(Actor[Telling], partial=True):
    """Writes down the numbers that it is told, and the traces."""

    def __init__(self, counter: Address[Counting] | None = None, seconds: float = 0.0) -> None:
        self.numbers: list[int] = []
        self.traces: list[TraceContext | None] = []
        self.counter = counter
        self.seconds = seconds

    @handles(Note)
    async def note(self, message: Note) -> None:
        await trio.sleep(self.seconds)
        self.numbers.append(message.number)
        self.traces.append(current_trace())

    @handles(Notes)
    async def notes(self, message: Notes) -> str:
        if self.counter is not None:
            await self.counter.ask(Total())
        await trio.sleep(self.seconds)
        self.traces.append(current_trace())
        return " ".join(map(str, self.numbers))

    @handles(Secret)
    async def secret(self, message: Secret) -> str:
        raise TooMuch(1)


class Fixture:
    def __init__(self, reaches: list[Any], **options: Any) -> None:
        self.harness = ActorTestHarness()
        self.double = ProcessDouble()
        self.counter: Address[Counting] = Address("counter")
        options = {"codec": CODEC, "refusals": [TooMuch], "restart": Immediate(), **options}
        self.spec = self.double.intercept(process(self.counter, START, reaches=reaches, **options))

    def running(self, *others: ChildSpec) -> Any:
        return self.harness.running(*others, self.spec)


async def test_a_process_tells_and_asks_the_addresses_that_it_was_given(autojump_clock: MockClock) -> None:
    address, notebook = Address[Telling]("notebook"), Notebook()
    one = Fixture([address])
    context = TraceContext("1" * 32, "2" * 16)
    async with one.running(actor(address, lambda: notebook)):
        assert await one.counter.ask(TalkBack(3)) == "0 1 2", "the ask is handled after the tells before it"
        with traced(context):
            assert await one.counter.ask(TalkBack(1)) == "0 1 2 0"
        assert notebook.traces == [None, None, None, None, context, context]


async def test_a_trace_that_is_none_is_left_out(autojump_clock: MockClock) -> None:
    address, notebook = Address[Telling]("notebook"), Notebook()
    one = Fixture([address])
    async with one.running(actor(address, lambda: notebook)):
        one.double.inject("counter", framed(TELL | TRACED, 1, 1, b"0" * TRACE_BYTES + codec.encode(Note(5))))
        await trio.sleep(0.1)
        assert (notebook.numbers, notebook.traces) == ([5], [None])


async def test_addresses_of_the_testing_kit_can_be_reached(autojump_clock: MockClock) -> None:
    transcript = Transcript()
    recorded, scripted = RecordedAddress[Telling]("notebook", transcript), StandIn[Telling]("notebook", transcript)
    scripted.on(Notes).answers("scripted")
    one, other = Fixture([recorded]), Fixture([scripted])
    async with one.running(actor(recorded, Notebook)):
        assert await one.counter.ask(TalkBack(2)) == "0 1"
    assert transcript.sent("notebook") == [Note(0), Note(1), Notes()]
    async with other.running():
        assert await other.counter.ask(TalkBack(0)) == "scripted"


async def test_the_parent_gives_only_what_its_reaches_list(autojump_clock: MockClock) -> None:
    address = Address[Telling]("notebook")
    one = Fixture([Reach(address, [Notes])])
    async with one.running(actor(address, Notebook)):
        assert await one.counter.ask(TalkBack(2)) == "", "Note is not permitted, Notes is"
        assert one.harness.child("notebook").mailbox is not None
        assert address.handled == 1


async def test_refusals_of_the_parents_actor_cross_as_their_class(autojump_clock: MockClock) -> None:
    address = Address[Telling]("notebook")
    one = Fixture([Reach(address, [Secret])])
    async with one.running(actor(address, Notebook)):
        assert await one.counter.ask(TalkBack(-1)) == "TooMuch(amount=1)"
        assert await one.counter.ask(TalkBack(0)) == ("NotReachable(name='counter', target='notebook with Notes')")


async def test_an_actor_that_is_down_is_an_answer(autojump_clock: MockClock) -> None:
    address = Address[Telling]("notebook")
    one = Fixture([address])
    async with one.running(actor(address, Notebook)) as system:
        await system.stop_child("notebook")
        assert await one.counter.ask(TalkBack(2)) == "ActorDown(name='notebook', reason='its mailbox is closed')"


async def test_a_cycle_of_asks_through_a_process_is_found(autojump_clock: MockClock) -> None:
    address = Address[Telling]("notebook")
    one = Fixture([address])
    async with one.running(actor(address, lambda: Notebook(one.counter))):
        begun = trio.current_time()
        answer = await one.counter.ask(TalkBack(0))
        assert trio.current_time() - begun < 1, "not after the timeout of the ask"
        assert "AskCycle" in answer
        assert "notebook" in answer


async def test_an_actor_of_the_parent_that_is_slow_holds_up_its_link_only(autojump_clock: MockClock) -> None:
    address = Address[Telling]("notebook", capacity=2)
    one = Fixture([address], limits=ProcessLimits(credit=4))
    async with one.running(actor(address, lambda: Notebook(seconds=0.2))):
        begun = trio.current_time()
        answer = await one.counter.ask(TalkBack(20), seconds=60)
        assert answer == " ".join(map(str, range(20)))
        assert trio.current_time() - begun == pytest.approx(4.2, abs=0.5)


@pytest.mark.parametrize("crash", [False, True])
async def test_what_a_process_sends_before_it_ends_arrives(autojump_clock: MockClock, crash: bool) -> None:
    """Messages above the credit, and those that waited for room in the parent, were lost."""
    address, notebook = Address[Telling]("notebook", capacity=2), Notebook(seconds=0.05)
    one = Fixture([address], limits=ProcessLimits(credit=4))
    async with one.running(actor(address, lambda: notebook)) as system:
        await one.counter.send(Flood(15, crash))
        if not crash:
            await system.stop_child("counter")
        await trio.sleep(2)
        assert notebook.numbers == list(range(15))
        assert one.harness.child("counter").restarts == crash


@pytest.mark.parametrize("crash", [False, True])
async def test_what_a_process_cannot_send_in_time_is_logged(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture, crash: bool
) -> None:
    """A stop gave up after a second, although its time was not over."""
    address = Address[Telling]("notebook", capacity=1)
    one = Fixture([address], limits=ProcessLimits(credit=4), stop_seconds=3.0)
    async with one.running(actor(address, Notebook)) as system:
        system.suspend("notebook")
        began = trio.current_time()
        await one.counter.send(Flood(8, crash))
        if crash:
            await one.harness.until(lambda: one.harness.child("counter").restarts == 1)
        else:
            await trio.sleep(1)
            began = trio.current_time()
            await system.stop_child("counter")
        assert trio.current_time() - began == pytest.approx(DRAIN_SECONDS if crash else 3.0, abs=0.2)
    assert "counter ended; 7 of its messages to notebook may be lost" in caplog.messages
    assert "counter ended; 4 of its messages to notebook are lost" in caplog.messages


async def test_what_a_process_sent_during_a_stop_arrives_while_the_stop_lasts(autojump_clock: MockClock) -> None:
    address, notebook = Address[Telling]("notebook", capacity=1), Notebook(seconds=0.5)
    one = Fixture([address], limits=ProcessLimits(credit=4), stop_seconds=8.0)
    async with one.running(actor(address, lambda: notebook)) as system:
        await one.counter.send(Flood(8, crash=False))
        await system.stop_child("counter")
        await trio.sleep(2)
        assert notebook.numbers == list(range(8))


async def test_tells_that_the_mailbox_refuses_are_logged(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    address = Address[Telling]("notebook", capacity=1, overflow=Overflow.FAIL)
    one = Fixture([address])
    async with one.running(actor(address, lambda: Notebook(seconds=1.0))):
        numbers = await one.counter.ask(TalkBack(8), seconds=60)
    refused = caplog.messages.count("notebook gave up Note: mailbox notebook is full (1 messages)")
    assert refused > 0
    assert "MailboxFull" in numbers or len(numbers.split()) + refused == 8


async def test_an_ask_of_a_process_that_gives_up_is_cancelled(autojump_clock: MockClock) -> None:
    address = Address[Telling]("notebook")
    one = Fixture([address])
    async with one.running(actor(address, lambda: Notebook(seconds=20.0))):
        assert "AskTimeout" in await one.counter.ask(TalkBack(1), seconds=60)
        assert (address.depth, address.abandoned) == (1, 0)
        await trio.sleep(20)
        assert address.abandoned == 1


def framed(kind: int, link: int, number: int, payload: bytes = b"") -> bytes:
    return HEAD.pack(len(payload), kind, link, number) + payload


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (framed(TELL, 1, 2, codec.encode(Note(1))), "message 2 on link 1 follows message 0"),
        (framed(TELL, 1, 1, b"{"), "a message to notebook cannot be decoded"),
        (framed(TELL | TRACED, 1, 1, b"\xff" * 99), "a message to notebook cannot be decoded"),
        (
            b"".join(framed(TELL, 1, n, codec.encode(Note(n))) for n in (1, 2, 3, 4)),
            "beyond the credit of 2 messages",
        ),
        # It could end unnoticed afterwards, and the child would be up without a process.
        (framed(ENDED, 0, 0), "its actor ended without being asked to"),
    ],
)
async def test_what_breaks_the_protocol_ends_the_process(
    autojump_clock: MockClock, data: bytes, reason: str
) -> None:
    address = Address[Telling]("notebook")
    one = Fixture([address], limits=ProcessLimits(credit=2))
    async with one.running(actor(address, Notebook)):
        one.double.inject("counter", data)
        await one.harness.until(lambda: one.harness.child("counter").restarts == 1)
        assert reason in (one.harness.child("counter").last_error or "")
        assert await one.counter.ask(TalkBack(1)) in ("0", "1 0", "1 2 0")


async def test_an_address_that_was_not_given_is_refused_by_name(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    one = Fixture([])
    async with one.running():
        for number in range(1, 6):
            one.double.inject("counter", framed(ASK, 3, number, codec.encode(Notes())))
        await trio.sleep(1)
        assert one.harness.child("counter").restarts == 0
    refused = [text for text in caplog.messages if "may not reach" in text]
    assert refused == [
        f"the process of counter may not reach link 3 ({count} such messages so far)" for count in (1, 2, 4)
    ]
    storage = Address[Any]("storage")
    assert ProcessContext(None, {"storage": storage}).address("storage") is storage
    with pytest.raises(NotReachable, match="may not reach storage"):
        ProcessContext(None, {}).address("storage")


class Link:
    """A `ReachLink` whose other end the test holds."""

    def __init__(self, address: Address[Telling], nursery: trio.Nursery, credit: int = 8) -> None:
        near, far = socket.socketpair()
        for end in (near, far):
            end.setblocking(False)
        self.wire, self.far = Wire(near, 1 << 20), Wire(far, 1 << 20)
        self.refused: list[Exception] = []
        sender = Address[Counting]("counter").mailbox
        self.link = ReachLink(1, Reach(address), sender, self.wire, codec, credit, self.refused.append)
        nursery.start_soon(self.wire.write)
        nursery.start_soon(self.link.run)
        self._ends = near, far

    def send(self, kind: int, number: int, message: object) -> None:
        self.link.receive(Frame(kind, 1, number, codec.encode(message)))

    async def send_many(self, kind: int, message: object, times: int) -> None:
        for number in range(1, times + 1):
            self.send(kind, number, message)
            await wait_all_tasks_blocked()

    async def received(self) -> list[tuple[int, int]]:
        """Kinds and numbers of what the process would receive."""
        return [(frame.kind, frame.number) for frame in await self.far.receive() or ()]

    def close(self) -> None:
        for end in self._ends:
            end.close()


async def test_a_message_of_the_wrong_sort_is_refused(autojump_clock: MockClock) -> None:
    address = Address[Telling]("notebook")
    async with ActorTestHarness().running(actor(address, Notebook)), trio.open_nursery() as nursery:
        link = Link(address, nursery)
        link.send(ASK, 1, Note(1))
        link.send(TELL, 2, "text")
        link.send(TELL, 3, Notes())
        await trio.sleep(1)
        assert (address.handled, len(link.refused)) == (0, 3)
        assert [each for each in await link.received() if each[0] == ERROR] == [(ERROR, 1), (ERROR, 2), (ERROR, 3)]
        nursery.cancel_scope.cancel()
    link.close()


async def test_an_ask_is_cancelled_while_it_waits_and_after_it_was_delivered(autojump_clock: MockClock) -> None:
    address = Address[Telling]("notebook", capacity=2)
    async with (
        ActorTestHarness().running(actor(address, lambda: Notebook(seconds=5.0))),
        trio.open_nursery() as nursery,
    ):
        link = Link(address, nursery)
        for number, message in enumerate((Notes(), Notes(), Note(3), Note(4), Notes(), Note(6)), 1):
            link.send(ASK if isinstance(message, Notes) else TELL, number, message)
        await trio.sleep(1)
        for number in (2, 5, 77):
            link.link.cancel(number)
        await trio.sleep(40)
        assert (address.handled, address.depth) == (4, 0)
        answers = [each for each in await link.received() if each[0] != DONE]
        assert sorted(answers) == [(REPLY, 1), (SKIPPED, 2), (SKIPPED, 5)], "the place of 2 lets 4 be delivered"
        nursery.cancel_scope.cancel()
    link.close()


async def test_no_more_asks_run_than_the_credit_allows(autojump_clock: MockClock) -> None:
    address = Address[Telling]("notebook")
    async with (
        ActorTestHarness().running(actor(address, lambda: Notebook(seconds=5.0))),
        trio.open_nursery() as nursery,
    ):
        link = Link(address, nursery, credit=2)
        for number in range(1, 7):
            link.send(ASK, number, Notes())
            await trio.sleep(0.1)
        assert address.depth == 3
        await trio.sleep(40)
        assert address.handled == 6
        nursery.cancel_scope.cancel()
    link.close()


async def test_an_answer_that_is_too_long_or_unknown_is_an_error(autojump_clock: MockClock) -> None:
    address = Address[Telling]("notebook")

    class Long(Notebook):
        @handles(Notes)
        async def notes(self, message: Notes) -> str:
            return "x" * (2 << 20)

        @handles(Secret)
        async def secret(self, message: Secret) -> str:
            return object()  # type: ignore[return-value]

    async with ActorTestHarness().running(actor(address, Long)), trio.open_nursery() as nursery:
        link = Link(address, nursery)
        link.send(ASK, 1, Notes())
        link.send(ASK, 2, Secret())
        await trio.sleep(1)
        assert sorted(await link.received()) == [(DONE, 2), (ERROR, 1), (ERROR, 2)]
        nursery.cancel_scope.cancel()
    link.close()


@pytest.mark.parametrize(("kind", "message"), [(TELL, "not permitted"), (ASK, Notes())], ids=["tells", "asks"])
async def test_a_process_that_does_not_read_gets_no_credit(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, kind: int, message: object
) -> None:
    """The answers to what it sent filled the memory of the parent."""
    monkeypatch.setattr(wire_module, "HIGH_BYTES", 1 << 16)
    address = Address[Telling]("notebook")
    async with ActorTestHarness().running(actor(address, Notebook)), trio.open_nursery() as nursery:
        link = Link(address, nursery)
        with pytest.raises(MalformedFrame, match="beyond the credit of 8 messages"):
            await link.send_many(kind, message, 20_000)
        assert link.wire.waiting_bytes < (1 << 16) + 20 * 1024
        before = len(link.refused) + address.handled
        await link.received()
        await trio.sleep(1)
        assert len(link.refused) + address.handled == before + 8, "it goes on when the process reads"
        nursery.cancel_scope.cancel()
    link.close()


async def test_answers_that_the_process_does_not_read_become_errors(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answers of all its open asks could have gigabytes together."""
    monkeypatch.setattr(module, "UNREAD_BYTES", 1 << 20)
    address = Address[Telling]("notebook")

    class Long(Notebook):
        @handles(Notes)
        async def notes(self, message: Notes) -> str:
            await trio.sleep(1)
            return "x" * 500_000

    async with ActorTestHarness().running(actor(address, Long)), trio.open_nursery() as nursery:
        link = Link(address, nursery)
        for number in range(1, 9):
            link.send(ASK, number, Notes())
        await trio.sleep(10)
        assert link.wire.waiting_bytes < 2 << 20
        ends: list[tuple[int, int]] = []
        while len(ends) < 8:
            ends.extend(each for each in await link.received() if each[0] != DONE)
        assert ends == [(REPLY if number < 4 else ERROR, number) for number in range(1, 9)]
        nursery.cancel_scope.cancel()
    link.close()


@pytest.mark.parametrize(("kind", "message"), [(TELL, Note(1)), (ASK, "not permitted")], ids=["tell", "ask"])
async def test_a_cancelled_message_that_is_never_asked_is_forgotten(
    autojump_clock: MockClock, kind: int, message: object
) -> None:
    """Each took the place of an ask for ever."""
    address = Address[Telling]("notebook")
    async with ActorTestHarness().running(actor(address, Notebook)), trio.open_nursery() as nursery:
        link = Link(address, nursery, credit=2)
        for number in range(1, 20):
            link.send(kind, number, message)
            link.link.cancel(number)
            await trio.sleep(0.1)
        link.send(ASK, 20, Notes())
        await trio.sleep(1)
        assert (REPLY, 20) in await link.received()
        nursery.cancel_scope.cancel()
    link.close()


@pytest.mark.parametrize("rounds", range(6))
async def test_an_ask_can_be_cancelled_at_any_moment(autojump_clock: MockClock, rounds: int) -> None:
    """Between its delivery and its first step, nobody knew it."""
    address = Address[Telling]("notebook")
    async with (
        ActorTestHarness().running(actor(address, lambda: Notebook(seconds=5.0))),
        trio.open_nursery() as nursery,
    ):
        link = Link(address, nursery)
        link.send(ASK, 1, Notes())
        await wait_all_tasks_blocked()
        link.send(ASK, 2, Notes())
        for _ in range(rounds):
            await trio.lowlevel.checkpoint()
        link.link.cancel(2)
        await trio.sleep(20)
        assert address.handled == 1
        assert (SKIPPED, 2) in await link.received()
        nursery.cancel_scope.cancel()
    link.close()


async def test_tells_that_arrived_before_the_end_of_the_process_are_delivered(autojump_clock: MockClock) -> None:
    """They were lost with the process, although the parent had them."""
    address, notebook = Address[Telling]("notebook", capacity=2), Notebook(seconds=1.0)
    async with ActorTestHarness().running(actor(address, lambda: notebook)):
        async with trio.open_nursery() as nursery:
            link = Link(address, nursery, credit=16)
            for number in range(1, 5):
                link.send(TELL, number, Note(number))
            link.send(TELL, 5, "not permitted")
            link.send(ASK, 6, Notes())
            link.send(TELL, 7, Note(7))
            link.send(TELL, 8, Note(8))
            link.link.receive(Frame(TELL, 1, 9, b"{"))
            await trio.sleep(0.5)
            nursery.cancel_scope.cancel()
        await trio.sleep(4)
        assert notebook.numbers == [1, 2], "there was no room for 3"
        assert link.link.finish() == 3, "there is room for two, and one cannot be decoded"
        await trio.sleep(4)
        assert notebook.numbers == [1, 2, 3, 4]
        assert link.link.finish() == 0
    link.close()
