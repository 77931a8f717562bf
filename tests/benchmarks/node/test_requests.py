"""The client of the benchmark, and the answers that it accepts."""

import pytest
import trio

from benchmarks.node.requests import content_length, load


def test_the_length_is_found_whatever_its_case() -> None:
    """Otherwise the client would wait for ever for the rest of an answer."""
    assert content_length(b"HTTP/1.1 200 \r\ncontent-type: application/json\r\ncontent-length: 17") == 17
    assert content_length(b"HTTP/1.1 200 OK\r\nContent-Length: 3") == 3


@pytest.mark.parametrize("head", [b"HTTP/1.1 503 \r\ncontent-length: 3", b"HTTP/1.1 200 \r\nserver: x"])
def test_anything_else_is_not_counted_as_an_answer(head: bytes) -> None:
    """A daemon that refuses quickly is not a fast daemon."""
    with pytest.raises(ValueError, match=r"expected status 200|no Content-Length"):
        content_length(head)


async def test_every_client_asks_until_time_is_up() -> None:
    """Requests a second are the number of times over the seconds: both must be what happened."""
    served = 0

    async def serve(stream: trio.SocketStream) -> None:
        nonlocal served
        async for request in stream:
            assert request.startswith(b"POST / HTTP/1.1\r\n")
            assert b'"method": "getheadblock"' in request
            served += 1
            await stream.send_all(b"HTTP/1.1 200 \r\ncontent-length: 13\r\n\r\n")
            await stream.send_all(b'{"result": 1}')

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        seen = await load(listener.socket.getsockname()[1], "getheadblock", 3, 0.5)
        nursery.cancel_scope.cancel()
    assert len(seen.times) == served >= 3
    assert seen.seconds >= 0.5
