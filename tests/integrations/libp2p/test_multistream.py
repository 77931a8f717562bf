"""The negotiation of protocols, with itself and with hostile bytes."""

import contextlib
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from tests.integrations.libp2p import needs_libp2p

pytestmark = needs_libp2p


class Pipe:
    """One end of a pipe in memory, with exact reads."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def read_exactly(self, n: int) -> bytes:
        data = b""
        while len(data) < n:
            more = await self._stream.receive_some(n - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    async def write(self, data: bytes) -> None:
        await self._stream.send_all(data)


async def negotiate(offered: list[str], known: set[str]) -> tuple[str | None, str | None]:
    """The protocols that the two sides agree on, each None if the side raised `NegotiationFailed`."""
    from alysd.integrations.libp2p.multistream import NegotiationFailed, offer, select

    here, there = trio.testing.memory_stream_pair()
    found: list[str | None] = [None, None]

    async def client() -> None:
        try:
            found[0] = await offer(Pipe(here), offered)
        except NegotiationFailed:
            await here.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(client)
        with contextlib.suppress(NegotiationFailed, EOFError):
            found[1] = await select(Pipe(there), known)
    return found[0], found[1]


async def test_both_sides_agree_on_the_first_protocol_that_both_know(autojump_clock: MockClock) -> None:
    assert await negotiate(["/b"], {"/a", "/b"}) == ("/b", "/b")
    assert await negotiate(["/c", "/b"], {"/a", "/b"}) == ("/b", "/b")


async def test_without_a_common_protocol_both_give_up(autojump_clock: MockClock) -> None:
    """A node of another chain would be answered."""
    assert await negotiate(["/alys/aaaaaaaa/blocks_by_root/1"], {"/alys/bbbbbbbb/blocks_by_root/1"}) == (
        None,
        None,
    )


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00",
        b"\xff\xff\xff\xff\x0f",
        b"\x05abcd\n",
        b"\x13/multistream/1.0.1\n",
        b"\x13/multistream/1.0.0 ",
        b"\x13/multistream/1.0.0\n\x03\xff\xfe\n",
        b"\x13/multistream/1.0.0\n" + b"\x03ls\n" * 9,
    ],
)
async def test_hostile_lines_end_the_negotiation(autojump_clock: MockClock, sent: bytes) -> None:
    """A line of four gigabytes would fill the memory, and a list of proposals without end would keep a task."""
    from alysd.integrations.libp2p.multistream import NegotiationFailed, select

    here, there = trio.testing.memory_stream_pair()
    await here.send_all(sent)
    with pytest.raises(NegotiationFailed):
        await select(Pipe(there), {"/a"})
