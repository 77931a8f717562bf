"""A connection on its own: sends end, and so does the connection when the client leaves."""

import pytest
import trio
import trio.testing
from starlette.applications import Starlette

from alysd.api.connections import BoundedStream
from alysd.api.server import ServerLimits
from alysd.testing.asgi_server import served


async def pair() -> tuple[trio.SocketStream, trio.SocketStream]:
    """Connect two streams over the loopback."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    client = await trio.open_tcp_stream("127.0.0.1", listeners[0].socket.getsockname()[1])
    accepted = await listeners[0].accept()
    await listeners[0].aclose()
    return client, accepted


async def test_bytes_pass_both_ways_until_the_end() -> None:
    client, accepted = await pair()
    stream = BoundedStream(accepted)
    async with client:
        await stream.send_all(b"there")
        assert await client.receive_some() == b"there"
        await client.send_all(b"back")
        assert await stream.receive_some(100) == b"back"
        await stream.send_eof()
        assert await client.receive_some() == b""
        await stream.aclose()
    assert stream.closed.is_set()


async def test_a_send_that_nobody_takes_ends_the_connection() -> None:
    client, accepted = await pair()
    stream = BoundedStream(accepted, send_seconds=0.1)
    async with client:
        with pytest.raises(trio.BrokenResourceError, match="does not read"):
            await stream.send_all(b"x" * 50_000_000)
    assert stream.closed.is_set()


async def test_aborting_wakes_who_waits_for_the_peer() -> None:
    client, accepted = await pair()
    stream = BoundedStream(accepted)
    async with client, trio.open_nursery() as nursery:

        async def wait() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await stream.receive_some(100)

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        stream.abort()


async def test_connections_that_clients_closed_do_not_count() -> None:
    """hypercorn keeps them for the keep-alive time: 256 short visits would shut everyone out for a minute."""
    async with served(Starlette(), ServerLimits(connections=1)) as running:
        for _ in range(5):
            async with await running.connect() as stream:
                await stream.send_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
                assert b"404" in await stream.receive_some()
            await trio.sleep(0.05)
