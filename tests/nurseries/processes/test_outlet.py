"""The end of a message is reported once: every further frame about it fails the child that sent it."""

import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from alysd.nurseries import ActorDown, Address, AskTimeout, Refusal
from alysd.nurseries.asks import Wheel
from alysd.nurseries.processes import outlet as module
from alysd.nurseries.processes.errors import BrokenProtocol
from alysd.nurseries.processes.frames import FrameReader, MalformedFrame
from alysd.nurseries.processes.outlet import Outlet
from alysd.nurseries.processes.wire import PORTION, Wire
from tests.nurseries.processes.counting import Add, Counting, Total, codec

ANSWER = codec.encode(7)


class Sending:
    """An outlet in whose place of a process the test reports. Message 1 is an ask, message 2 a tell."""

    def __init__(self, nursery: trio.Nursery) -> None:
        near, self._far = socket.socketpair()
        near.setblocking(False)
        self.address: Address[Counting] = Address("counter")
        self.address.wheel = wheel = Wheel()
        self.address.gone = None
        self.outlet = Outlet(0, self.address, Wire(near, 1 << 20), codec, 8)
        self.got: list[object] = []
        self._near = near
        self._nursery = nursery
        nursery.start_soon(wheel.run)
        nursery.start_soon(self.outlet.sweep)

    async def send(self) -> None:
        self._nursery.start_soon(self._ask)
        await wait_all_tasks_blocked()
        self.address.tell(Add(1))
        self.outlet.pump()

    async def _ask(self) -> None:
        try:
            self.got.append(await self.address.ask(Total(), seconds=1))
        except (AskTimeout, Refusal) as error:
            self.got.append(type(error))

    def close(self) -> None:
        self._near.close()
        self._far.close()
        self._nursery.cancel_scope.cancel()


@asynccontextmanager
async def sent() -> AsyncGenerator[Sending]:
    async with trio.open_nursery() as nursery:
        sending = Sending(nursery)
        try:
            await sending.send()
            yield sending
        finally:
            sending.close()


Report = Callable[[Outlet], None]

REPORTS: dict[str, Report] = {
    "reply": lambda outlet: outlet.reply(1, ANSWER),
    "refusal": lambda outlet: outlet.fail(1, Refusal("no")),
    "skip": lambda outlet: outlet.skipped(1),
    "lapse": lambda outlet: outlet.lapsed(1),
}


@pytest.mark.parametrize("second", REPORTS)
@pytest.mark.parametrize("first", ["reply", "refusal"])
async def test_an_ask_ends_once(autojump_clock: MockClock, first: str, second: str) -> None:
    """A hostile process could make the figures anything, with any number of refusals of one ask."""
    async with sent() as sending:
        REPORTS[first](sending.outlet)
        with pytest.raises(MalformedFrame, match="message 1, which has ended"):
            REPORTS[second](sending.outlet)
        await wait_all_tasks_blocked()
        sending.outlet.done(2)
        with pytest.raises(MalformedFrame, match="message 1, which has ended"):
            REPORTS[second](sending.outlet)
        assert sending.got == [7 if first == "reply" else Refusal]
        refused = int(first == "refusal")
        assert (sending.address.handled, sending.address.refused) == (2 - refused, refused)


@pytest.mark.parametrize("second", REPORTS)
@pytest.mark.parametrize("first", REPORTS)
async def test_a_cancelled_ask_ends_once(autojump_clock: MockClock, first: str, second: str) -> None:
    async with sent() as sending:
        await trio.sleep(1.1)
        assert sending.got == [AskTimeout]
        REPORTS[first](sending.outlet)
        with pytest.raises(MalformedFrame, match="message 1, which has ended"):
            REPORTS[second](sending.outlet)
        sending.outlet.done(2)
        counted = {"reply": (2, 0, 0), "refusal": (1, 1, 0), "skip": (1, 0, 1), "lapse": (2, 0, 0)}
        address = sending.address
        assert (address.handled, address.refused, address.abandoned) == counted[first]


async def test_an_ask_that_nobody_has_cancelled_cannot_be_skipped(autojump_clock: MockClock) -> None:
    async with sent() as sending:
        for report in ("skip", "lapse"):
            with pytest.raises(MalformedFrame, match="message 1"):
                REPORTS[report](sending.outlet)


async def test_an_ask_that_was_counted_as_handled_can_be_skipped(autojump_clock: MockClock) -> None:
    """An address of the parent reports the ask as received, and as skipped when it is cancelled there."""
    async with sent() as sending:
        sending.outlet.done(2)
        await trio.sleep(1.1)
        sending.outlet.skipped(1)
        assert (sending.address.handled, sending.address.abandoned) == (1, 1)


async def test_a_tell_is_refused_once_and_while_it_is_in_flight(autojump_clock: MockClock) -> None:
    async with sent() as sending:
        for number in (2, 3):
            with pytest.raises(MalformedFrame, match=f"message {number}"):
                sending.outlet.reply(number, ANSWER)
        sending.outlet.fail(2, Refusal("no"))
        for _ in range(2):
            with pytest.raises(MalformedFrame, match="an error for message 2, which has ended or was not sent"):
                sending.outlet.fail(2, Refusal("no"))
            sending.outlet.done(2)
        assert (sending.address.handled, sending.address.refused) == (1, 1)


@pytest.mark.parametrize("claimed", [(0, 0), (1, 0), (2, 1), (2, 2), (99, 99)])
async def test_a_refused_tell_is_not_sent_again(autojump_clock: MockClock, claimed: tuple[int, int]) -> None:
    """The numbers that a process claims afterwards to have begun and finished change nothing."""
    async with sent() as sending:
        sending.outlet.fail(2, ActorDown("other", "stopped"))
        sending.outlet.settle(*claimed, None)
        assert [entry[0] for entry in sending.address.mailbox.queue] == ([Total()] if claimed == (0, 0) else [])
        assert len(sending.address.mailbox.dead_letters or ()) == 1
        assert sending.address.handled <= 1


async def test_an_ask_that_returns_to_the_mailbox_gives_its_place_back(autojump_clock: MockClock) -> None:
    async with sent() as sending:
        sending.outlet.settle(0, 0, None)
        assert sending.address.depth == 2
        await trio.sleep(1.1)
        assert (sending.got, sending.address.depth) == ([AskTimeout], 1)


async def test_an_answer_of_another_type_is_refused(autojump_clock: MockClock) -> None:
    async with sent() as sending:
        with pytest.raises(MalformedFrame, match="Total was answered with the type str"):
            sending.outlet.reply(1, codec.encode("7"))
        sending.outlet.reply(1, ANSWER)
        await wait_all_tasks_blocked()
        assert sending.got == [7]


async def test_a_process_that_ends_no_cancelled_ask_fails(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_CANCELLED", 0)
    with pytest.RaisesGroup(pytest.RaisesExc(BrokenProtocol, match="it has not ended 1 asks that were cancelled")):
        async with sent():
            await trio.sleep(2)


async def test_messages_that_return_to_a_full_mailbox_take_no_place(autojump_clock: MockClock) -> None:
    async with sent() as sending:
        address, inbox = sending.address, sending.address.mailbox
        for _ in range(inbox.capacity):
            address.tell(Add(1))
        sending.outlet.settle(0, 0, None)
        assert (address.depth, len(inbox.queue)) == (inbox.capacity, inbox.capacity + 2)
        await trio.sleep(1.1)  # the ask gives up in the queue
        sending.outlet.sent = 0
        sending.outlet.pump()
        assert (inbox.abandoned, len(sending.outlet.in_flight)) == (1, 8)
        assert (address.depth, inbox.limit) == (inbox.capacity - 7, inbox.capacity)


async def test_a_portion_of_many_messages_is_sent_before_the_rest_is_encoded() -> None:
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        address: Address[Counting] = Address("counter")
        address.gone = None
        for amount in range(PORTION + 1):
            address.tell(Add(amount))
        Outlet(0, address, Wire(near, 1 << 20), codec, PORTION + 1).pump()  # the caller sends the rest
        frames = FrameReader(1 << 20).feed(far.recv(1 << 20))
        assert [codec.decode(frame.payload) for frame in frames] == [Add(amount) for amount in range(PORTION)]
