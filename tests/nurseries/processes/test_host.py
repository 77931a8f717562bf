"""The first frame of a process, and a parent that closes the socket before."""

import os
import socket

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from alysd.nurseries.processes.frames import CANCEL, HEAD, READY, START, Frame
from alysd.nurseries.processes.host import HostStart, _first, host  # pyright: ignore[reportPrivateUsage]
from alysd.nurseries.processes.progress import Progress, progress_file
from alysd.nurseries.processes.wire import Wire
from tests.nurseries.processes.counting import CODEC, codec


async def test_a_parent_that_has_gone_ends_the_process(autojump_clock: MockClock) -> None:
    near, far = socket.socketpair()
    near.setblocking(False)
    far.close()
    progress = Progress(fd := progress_file())
    os.close(fd)
    with near:
        await host(near, progress)
    progress.close()


async def test_an_actor_whose_parent_has_gone_is_cancelled(autojump_clock: MockClock) -> None:
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)
    progress = Progress(fd := progress_file())
    os.close(fd)
    start = HostStart(
        name="counter",
        source="tests.nurseries.processes.counting:start",
        codec=CODEC,
        refusals=(),
        reaches=(),
        credit=8,
        message_bytes=1 << 16,
        stop_seconds=1.0,
        start_seconds=1.0,
        handle_seconds=None,
        crash_on_not_answered=False,
        restarts=0,
    )
    payload = start.pack(codec.encode(None))
    with near:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(host, near, progress)
            far.send(HEAD.pack(len(payload), START, 0, 0) + payload)
            await wait_all_tasks_blocked()
            assert far.recv(100) == HEAD.pack(0, READY, 0, 0)
            far.send(HEAD.pack(0, CANCEL, 0, 1))  # of an ask whose answer is on its way
            await wait_all_tasks_blocked()
            far.close()
    progress.close()


async def test_a_first_frame_in_two_parts_is_one(autojump_clock: MockClock) -> None:
    near, far = socket.socketpair()
    near.setblocking(False)
    found: list[Frame | None] = []

    async def read() -> None:
        found.append(await _first(Wire(near, 100)))

    data = HEAD.pack(3, START, 0, 0) + b"abc"
    with near, far:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            for part in (data[:15], data[15:]):
                far.send(part)
                await wait_all_tasks_blocked()
    assert found == [Frame(START, 0, 0, b"abc")]
