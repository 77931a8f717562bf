"""The links of a federation: they delay, throttle, stall and cut real connections, and never reorder bytes.

The connections are real ones of this machine, on virtual time: what one end sends, the other end has at once.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.commands.federation_links import CONNECT_SECONDS, CONNECTIONS, LOOPBACK, Links, MemberRoute
from alysd.errors import ConfigError
from alysd.testing.processes import free_ports


@attrs.define(eq=False)
class Pair:
    """Member 1 dials member 2: its end of each connection, and the ends that member 2 has accepted."""

    links: Links
    port: int
    accepted: "trio.MemoryReceiveChannel[trio.SocketStream]"

    dialled: list[trio.SocketStream] = attrs.field(factory=list[trio.SocketStream])

    async def dial(self) -> trio.SocketStream:
        self.dialled.append(await trio.open_tcp_stream(LOOPBACK, self.port))
        return self.dialled[-1]

    async def joined(self) -> tuple[trio.SocketStream, trio.SocketStream]:
        near = await self.dial()
        return near, await self.accepted.receive()


@asynccontextmanager
async def pair(delay: float = 0.0, jitter: float = 0.0) -> AsyncGenerator[Pair]:
    (port,) = free_ports(1)
    send, accepted = trio.open_memory_channel[trio.SocketStream](100)

    async def accept(stream: trio.SocketStream) -> None:
        await send.send(stream)
        await trio.sleep_forever()

    listeners = await trio.open_tcp_listeners(0, host=LOOPBACK)
    links = Links([MemberRoute(1, 2, port, listeners[0].socket.getsockname()[1])], delay, jitter)
    await links.open()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, accept, listeners)
        nursery.start_soon(links.run)
        ends = Pair(links, port, accepted)
        yield ends
        for stream in ends.dialled:
            await trio.aclose_forcefully(stream)
        nursery.cancel_scope.cancel()


async def exactly(stream: trio.SocketStream, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        data += await stream.receive_some(count - len(data))
    return bytes(data)


async def ended(stream: trio.SocketStream) -> bool:
    try:
        return await stream.receive_some(1) == b""
    except trio.BrokenResourceError:
        return True


async def test_bytes_are_late_by_the_delay_and_keep_their_order(autojump_clock: MockClock) -> None:
    """A federation that is measured would have another network than the figures say."""
    seconds: list[float] = []
    async with pair(0.05, 0.02) as ends:
        near, far = await ends.joined()
        for n in range(100):
            begun = trio.current_time()
            await near.send_all(n.to_bytes(4, "big"))
            assert await exactly(far, 4) == n.to_bytes(4, "big")
            seconds.append(trio.current_time() - begun)
        assert 0.03 <= min(seconds) < 0.04
        assert 0.06 < max(seconds) <= 0.07
        for n in range(1000):
            await far.send_all(n.to_bytes(4, "big"))
            if n % 10 == 0:
                await trio.sleep(0.001)
        assert await exactly(near, 4000) == b"".join(n.to_bytes(4, "big") for n in range(1000))


async def test_no_more_bytes_pass_than_the_rate_allows(autojump_clock: MockClock) -> None:
    async with pair(0.05) as ends:
        near, far = await ends.joined()
        ends.links.between(2, 1).rate = 100_000
        async with trio.open_nursery() as nursery:
            begun = trio.current_time()
            nursery.start_soon(near.send_all, bytes(500_000))
            await exactly(far, 500_000)
            assert trio.current_time() - begun == pytest.approx(5.05, abs=0.01)


async def test_a_stalled_link_keeps_what_is_on_its_way(autojump_clock: MockClock) -> None:
    """A partition would lose bytes in the middle of a stream, which no network does."""
    async with pair(0.05) as ends:
        near, far = await ends.joined()
        await near.send_all(b"a")
        await trio.sleep(0.01)
        ends.links.divide([1])
        assert ends.links.divided == ((1,), (2,))
        await near.send_all(b"b")
        with trio.move_on_after(60) as silence:
            await far.receive_some(1)
        assert silence.cancelled_caught
        ends.links.heal()
        assert ends.links.divided == ()
        assert await exactly(far, 2) == b"ab"


async def test_a_connection_to_a_stalled_link_is_given_up(autojump_clock: MockClock) -> None:
    """Each attempt of a member during a long partition would stay open."""
    async with pair() as ends:
        ends.links.between(1, 2).stall()
        near, begun = await ends.dial(), trio.current_time()
        assert await ended(near)
        assert trio.current_time() - begun == pytest.approx(CONNECT_SECONDS)
        late = await ends.dial()
        await trio.sleep(1)
        ends.links.heal()
        await late.send_all(b"c")
        assert await exactly(await ends.accepted.receive(), 1) == b"c"


async def test_a_cut_link_closes_all_connections_and_every_new_one(autojump_clock: MockClock) -> None:
    async with pair() as ends:
        near, far = await ends.joined()
        ends.links.between(1, 2).cut()
        assert await ended(near)
        assert await ended(far)
        assert await ended(await ends.dial())
        ends.links.heal()
        near, far = await ends.joined()
        await near.send_all(b"d")
        assert await exactly(far, 1) == b"d"


async def test_the_end_of_one_side_ends_the_other_after_all_bytes(autojump_clock: MockClock) -> None:
    async with pair(0.05) as ends:
        near, far = await ends.joined()
        await far.send_all(b"last words")
        await far.aclose()
        assert await exactly(near, 10) == b"last words"
        assert await ended(near)


async def test_connections_of_a_pair_are_bounded() -> None:
    # In real time: virtual time would jump to the deadline of a connection that is being made.
    async with pair() as ends:
        kept = [await ends.joined() for _ in range(CONNECTIONS)]
        assert await ended(await ends.dial())
        await kept[0][0].aclose()
        assert await ended(kept[0][1])
        await ends.joined()


async def test_a_member_that_does_not_run_ends_the_connection(autojump_clock: MockClock) -> None:
    port, nobody = free_ports(2)
    links = Links([MemberRoute(1, 2, port, nobody)])
    await links.open()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(links.run)
        async with await trio.open_tcp_stream(LOOPBACK, port) as near:
            assert await ended(near)
        nursery.cancel_scope.cancel()


async def test_a_port_in_use_is_named() -> None:
    """A person would see two members that never connect."""
    listeners = await trio.open_tcp_listeners(0, host=LOOPBACK)
    port = listeners[0].socket.getsockname()[1]
    with pytest.raises(ConfigError, match=f"port {port}, at which member 1 reaches member 2, cannot be used"):
        await Links([MemberRoute(1, 2, port, 1)]).open()
    await listeners[0].aclose()


def test_a_partition_stalls_the_links_between_its_sides_only() -> None:
    routes = [MemberRoute(near, far, 1, 2) for near in range(1, 5) for far in range(1, 5) if near != far]
    links = Links(routes)

    def stalled() -> set[tuple[int, int]]:
        pairs = [(one, other) for one in range(1, 5) for other in range(one + 1, 5)]
        return {(one, other) for one, other in pairs if not links.between(one, other).passing}

    links.divide([1, 2])
    assert stalled() == {(1, 3), (1, 4), (2, 3), (2, 4)}
    links.divide([4])
    assert (stalled(), links.divided) == ({(1, 4), (2, 4), (3, 4)}, ((4,), (1, 2, 3)))
    links.divide([1, 2, 3, 4])
    assert (stalled(), links.divided) == (set(), ())
