"""The check of yamux frames: what breaks a bound ends the connection, and what has failed is over at once."""

import struct
from types import SimpleNamespace
from typing import Any, cast

import attrs
import pytest
import trio
from trio.testing import MockClock

from tests.integrations.libp2p import needs_libp2p

pytestmark = needs_libp2p

DATA, WINDOW_UPDATE, PING, GO_AWAY = range(4)
SYN = 1


def frame(kind: int, flags: int = 0, stream: int = 1, length: int = 0, version: int = 0) -> bytes:
    """The header of a frame."""
    return struct.pack("!BBHII", version, kind, flags, stream, length)


@attrs.define
class Session:
    """An encrypted session from which the peer's bytes can be read. It waits after the last one."""

    received: bytes
    broken: bool = False
    written: int = 0
    is_initiator: bool = False

    async def read(self, n: int) -> bytes:
        await trio.lowlevel.checkpoint()
        if not self.received:
            await trio.sleep_forever()
        data, self.received = self.received[:n], self.received[n:]
        return data

    async def write(self, data: bytes) -> None:
        from alysd.integrations.libp2p.frames import ConnectionClosedError

        await trio.lowlevel.checkpoint()
        if self.broken:
            raise ConnectionClosedError("the peer has left")
        self.written += 1

    async def close(self) -> None:
        await trio.lowlevel.checkpoint()


def yamux(session: Session) -> Any:
    """yamux over the session, with its guard."""
    from alysd.integrations.libp2p.frames import open_yamux

    return open_yamux(cast("Any", session), cast("Any", "peer"), cast("Any", session))


def guard(received: bytes, streams: int = 0, unread: int = 0) -> Any:
    """The guard alone, of a connection with so many streams and bytes that were not read."""
    made = yamux(Session(received)).secured_conn
    made.muxed = SimpleNamespace(streams=dict.fromkeys(range(streams)), stream_buffers={1: bytes(unread)})
    return made


async def test_a_connection_that_cannot_be_written_ends_at_once(autojump_clock: MockClock) -> None:
    """A peer sends 2,000 pings and leaves: each took 10 ms and more, and the connection stayed for minutes."""
    session = Session(frame(PING, SYN, 0, 7) * 2000, broken=True)
    began = trio.current_time()
    await yamux(session).start()
    assert trio.current_time() - began < 1


async def test_a_connection_that_can_be_written_answers_pings(autojump_clock: MockClock) -> None:
    session = Session(frame(PING, SYN, 0, 7) * 20)
    with trio.move_on_after(0.4):
        await yamux(session).start()
    assert session.written == 20


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (frame(DATA, version=1), "not a yamux frame: it has version 1 and type 0"),
        (frame(9), "not a yamux frame: it has version 0 and type 9"),
        (b"short", "ended after 5 of the 12 bytes of a header"),
        (frame(DATA, length=(256 << 10) + 1), "262145 bytes for stream 1, beside 0 unread: at most 262144"),
        (frame(DATA, length=2**32 - 1), "4294967295 bytes for stream 1, beside 0 unread"),
    ],
)
async def test_a_frame_that_breaks_a_bound_ends_the_connection(
    data: bytes, reason: str, autojump_clock: MockClock
) -> None:
    from alysd.integrations.libp2p.frames import ConnectionClosedError

    made = guard(data)
    with pytest.raises(ConnectionClosedError, match=reason):
        await made.read(12)
    with pytest.raises(ConnectionClosedError, match="an earlier read or write has failed"):
        await made.read(12)
    with pytest.raises(ConnectionClosedError, match="an earlier read or write has failed"):
        await made.write(b"answer")


async def test_the_number_of_streams_is_bounded(autojump_clock: MockClock) -> None:
    """A stream costs its opener 12 bytes."""
    from alysd.integrations.libp2p import limits
    from alysd.integrations.libp2p.frames import ConnectionClosedError

    full = guard(frame(WINDOW_UPDATE, SYN), streams=limits.STREAMS)
    with pytest.raises(ConnectionClosedError, match="more than 64 open streams"):
        await full.read(12)
    quick = guard(frame(WINDOW_UPDATE, SYN) * (limits.STREAMS_BURST + 1))
    for _ in range(limits.STREAMS_BURST):
        await quick.read(12)
    with pytest.raises(ConnectionClosedError, match="opens more than 50 per second"):
        await quick.read(12)


async def test_the_rate_of_frames_is_bounded(autojump_clock: MockClock) -> None:
    from alysd.integrations.libp2p import limits
    from alysd.integrations.libp2p.frames import ConnectionClosedError

    made = guard(frame(PING) * (limits.FRAMES_BURST + 501))
    for _ in range(limits.FRAMES_BURST):
        await made.read(12)
    await trio.sleep(1)
    for _ in range(limits.FRAMES_PER_SECOND):
        await made.read(12)
    with pytest.raises(ConnectionClosedError, match="more than 500 frames per second"):
        await made.read(12)


async def test_bytes_that_nobody_reads_are_bounded(autojump_clock: MockClock) -> None:
    """libp2p does not enforce its windows."""
    from alysd.integrations.libp2p import limits
    from alysd.integrations.libp2p.frames import ConnectionClosedError

    made = guard(frame(DATA, length=1000), unread=limits.CONNECTION_UNREAD - 1000)
    await made.read(12)
    made = guard(frame(DATA, length=1001), unread=limits.CONNECTION_UNREAD - 1000)
    with pytest.raises(ConnectionClosedError, match="1001 bytes for stream 1, beside"):
        await made.read(12)


async def test_the_body_of_a_frame_is_not_read_as_a_header(autojump_clock: MockClock) -> None:
    body = b"\xff" * 30
    made = guard(frame(DATA, length=30) + body + frame(PING))
    assert await made.read(12) == frame(DATA, length=30)
    assert await made.read(20) + await made.read(10) == body
    assert await made.read(12) == frame(PING)


async def test_a_read_that_is_cancelled_is_the_last_one(autojump_clock: MockClock) -> None:
    """yamux gives up a body after 60 s and could take the rest for frames."""
    from alysd.integrations.libp2p.frames import ConnectionClosedError

    made = guard(b"")
    with trio.move_on_after(1):
        await made.read(12)
    with pytest.raises(ConnectionClosedError, match="an earlier read or write has failed"):
        await made.read(12)
