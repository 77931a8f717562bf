"""The socket between a process and its parent, and the frames on it."""

import socket
from collections.abc import Generator
from functools import partial
from itertools import chain

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from alysd.nurseries.processes import wire as module
from alysd.nurseries.processes.frames import HEAD, Frame, FrameReader, MalformedFrame
from alysd.nurseries.processes.wire import HIGH_BYTES, PORTION, Wire

Ends = tuple[socket.socket, socket.socket]


@pytest.fixture
def ends() -> Generator[Ends]:
    near, far = socket.socketpair()
    for end in (near, far):
        end.setblocking(False)
    yield near, far
    near.close()
    far.close()


def framed(kind: int, payload: bytes) -> bytes:
    return HEAD.pack(len(payload), kind, 0, 1) + payload


@pytest.mark.parametrize("step", [1, 2, 13, 14, 15, 40, 1000])
def test_frames_are_whole_wherever_the_bytes_are_cut(step: int) -> None:
    payloads = [b"", b"x", b"y" * 100, b"", b"z" * 30]
    data = b"".join(framed(kind, payload) for kind, payload in enumerate(payloads))
    reader = FrameReader(100)
    found = [frame for at in range(0, len(data), step) for frame in reader.feed(data[at : at + step])]
    assert found == [Frame(kind, 0, 1, payload) for kind, payload in enumerate(payloads)]


def test_a_frame_above_the_bound_is_refused_before_it_arrives() -> None:
    with pytest.raises(MalformedFrame, match="101 bytes; at most 100"):
        FrameReader(100).feed(HEAD.pack(101, 1, 0, 1))


async def test_more_than_the_socket_holds_is_sent_as_it_is_read(ends: Ends, autojump_clock: MockClock) -> None:
    sender, receiver = Wire(ends[0], 1 << 20), Wire(ends[1], 1 << 20)
    received = 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender.write)
        for number in range(8):
            sender.post(1, 0, number, bytes(500_000))
        assert sender.full
        assert sender.waiting_bytes > HIGH_BYTES
        sender.flush()
        sender.flush()
        while received < 8:
            received += len(await receiver.receive() or ())
        await sender.drained()
        assert (sender.full, sender.waiting_bytes) == (False, 0)
        nursery.cancel_scope.cancel()


async def test_whoever_waits_for_room_goes_on_when_there_is_room(ends: Ends, autojump_clock: MockClock) -> None:
    sender, receiver = Wire(ends[0], 1 << 20), Wire(ends[1], 1 << 20)
    went_on: list[str] = []

    async def wait() -> None:
        await sender.room()
        went_on.append("task")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender.write)
        await wait()
        for number in range(4):
            sender.post(1, 0, number, bytes(500_000))
        nursery.start_soon(wait)
        for _ in range(2):
            sender.when_room(sender.wake)
        sender.when_room(partial(went_on.append, "function"))
        sender.flush()
        await wait_all_tasks_blocked()
        assert went_on == ["task"]
        received = 0
        while received < 4:
            received += len(await receiver.receive() or ())
        await wait_all_tasks_blocked()
        assert sorted(went_on) == ["function", "task", "task"]
        nursery.cancel_scope.cancel()


async def test_room_that_a_flush_makes_is_announced(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HIGH_BYTES", 1000)
    wire, called = Wire(ends[0], 1 << 20), list[int]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wire.write)
        await wait_all_tasks_blocked()
        wire.post(1, 0, 0, bytes(2000))
        assert wire.full
        wire.when_room(partial(called.append, 1))
        wire.flush()
        await wait_all_tasks_blocked()
        assert called == [1]
        nursery.cancel_scope.cancel()


async def test_other_tasks_run_between_two_portions_of_what_has_arrived(ends: Ends) -> None:
    sender, receiver, portions, turns = Wire(ends[0], 100), Wire(ends[1], 100), list[list[int]](), [0]

    async def run() -> None:
        while True:
            turns.append(turns[-1] + 1)
            await trio.lowlevel.checkpoint()

    for number in range(2 * PORTION + 1):
        sender.post(1, 0, number)
    sender.flush()
    ends[0].close()
    seen: list[int] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        while received := await receiver.receive():
            portions.append([frame.number for frame in received])
            seen.append(turns[-1])
        nursery.cancel_scope.cancel()
    assert list(map(len, portions)) == [PORTION, PORTION, 1]
    assert list(chain.from_iterable(portions)) == list(range(2 * PORTION + 1))
    assert seen[0] < seen[2]


async def test_sending_to_a_closed_end_is_left_to_the_reader(ends: Ends) -> None:
    wire = Wire(ends[0], 1 << 20)
    ends[1].close()
    wire.post(1)
    wire.flush()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wire.write)
        wire.post(1)
        await wire.drained()
        assert not wire.waiting_bytes
        nursery.cancel_scope.cancel()
    assert await wire.receive() is None


async def test_an_end_that_was_closed_with_unread_bytes_is_closed(ends: Ends) -> None:
    ends[0].send(b"unread")
    wire = Wire(ends[0], 1 << 20)
    ends[1].close()
    assert await wire.receive() is None


async def test_a_wake_up_without_bytes_is_no_frame(
    ends: Ends, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def at_once(_: object) -> None:
        await trio.lowlevel.checkpoint()

    monkeypatch.setattr(trio.lowlevel, "wait_readable", at_once)
    assert await Wire(ends[0], 100).receive() == []
