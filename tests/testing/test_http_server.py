"""The HTTP server for tests: what a client does wrong is the client's matter, not the test's."""

import h11
import pytest
import trio

from alysd.testing.http_server import Reply, result, serving

HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 124\r\n\r\n"


async def answer(_request: dict[str, object]) -> Reply:
    return result(None)


@pytest.mark.parametrize("sent", [b"", HEAD[:20], HEAD, HEAD + b"{"])
async def test_a_client_may_close_the_connection_within_a_request(sent: bytes) -> None:
    """A command whose deadline passes does."""
    async with serving(answer) as server:
        host, port = server.url.removeprefix("http://").split(":")
        async with await trio.open_tcp_stream(host, int(port)) as stream:
            await stream.send_all(sent)
            await stream.send_eof()
            with trio.fail_after(10):
                assert await stream.receive_some() == b"", "closed by the server, which goes on"
    assert server.requests == []


async def test_what_is_not_http_fails_the_test() -> None:
    with pytest.RaisesGroup(h11.RemoteProtocolError, flatten_subgroups=True):
        async with serving(answer) as server:
            host, port = server.url.removeprefix("http://").split(":")
            async with await trio.open_tcp_stream(host, int(port)) as stream:
                await stream.send_all(b"{}\r\n\r\n")
                await stream.receive_some()
