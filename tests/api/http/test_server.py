"""The server: ports, bounds on clients that misbehave, and an end within a second whatever they do."""

import logging

import httpx
import pytest
import trio

from alysd.api.http.limits import ServerLimits
from alysd.api.http.messages import Request, Response
from alysd.api.http.server import listen
from alysd.api.http.site import Route, Site
from alysd.api.http.websocket import GOING_AWAY, WebSocket
from alysd.errors import AddressInUse
from alysd.testing.site_server import served


async def hello(request: Request) -> Response:
    return Response.text("hello")


async def endless(request: Request) -> Response:
    await trio.sleep_forever()
    raise AssertionError


async def huge(request: Request) -> Response:
    return Response(b"x" * 30_000_000)


async def broken(request: Request) -> Response:
    raise KeyError("a fault of this program")


async def polite(socket: WebSocket) -> None:
    """Leave when the server closes."""
    await socket.closing.wait()
    await socket.close(GOING_AWAY)


SITE = Site(
    {
        "/": Route("GET", hello),
        "/endless": Route("GET", endless),
        "/huge": Route("GET", huge),
        "/broken": Route("GET", broken),
    },
    {"/polite": polite},
)

HUNG = 30.0
"""Seconds after which a test takes the server to hang. Busy machines are slow, so no test expects less."""

PATIENT = ServerLimits(drain=60.0)
"""A server that waits so long when it stops that a wait for nothing would be noticed on any machine."""


async def test_a_request_is_answered_without_naming_the_server() -> None:
    async with served(SITE) as running, httpx.AsyncClient() as client:
        answer = await client.get(running.url)
        assert (answer.status_code, answer.text) == (200, "hello\n")
        assert "server" not in answer.headers


async def test_a_taken_port_is_named_with_what_to_do() -> None:
    listeners = await listen("127.0.0.1", 0)
    port = listeners[0].socket.getsockname()[1]
    with pytest.raises(AddressInUse, match=f"127.0.0.1:{port} is in use by another process; stop it"):
        await listen("127.0.0.1", port)
    for listener in listeners:
        await listener.aclose()


async def test_an_address_of_another_machine_is_refused_in_words() -> None:
    with pytest.raises(AddressInUse, match=r"^192\.0\.2\.1:0 cannot be opened: "):
        await listen("192.0.2.1", 0)


async def test_stopping_is_immediate_when_nobody_asks() -> None:
    async with served(SITE, PATIENT) as running, httpx.AsyncClient() as client:
        await client.get(running.url)  # leaves an idle connection
        began = trio.current_time()
        running.scope.cancel()
        await running.stopped.wait()
        assert trio.current_time() - began < PATIENT.drain / 2


async def test_stopping_is_immediate_when_a_client_leaves_at_that_moment() -> None:
    async with served(SITE, PATIENT) as running:
        began = trio.current_time()
        async with await running.connect() as stream:
            await stream.send_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
            await stream.receive_some()
            running.scope.cancel()
        await running.stopped.wait()
        assert trio.current_time() - began < PATIENT.drain / 2


async def test_an_answer_in_progress_is_finished_before_stopping() -> None:
    asked = trio.Event()

    async def slow(request: Request) -> Response:
        asked.set()
        await trio.sleep(0.2)
        return Response.text("done")

    site = Site({"/slow": Route("GET", slow)})
    async with served(site, PATIENT) as running, trio.open_nursery() as nursery:
        answers: list[str] = []
        answered = trio.Event()

        async def ask() -> None:
            async with httpx.AsyncClient() as client:
                answers.append((await client.get(running.url + "slow")).text)
            answered.set()

        nursery.start_soon(ask)
        await asked.wait()  # creating the client alone may take longer than any fixed time on a busy machine
        running.scope.cancel()
        await running.stopped.wait()
        with trio.fail_after(PATIENT.drain):
            await answered.wait()
        assert answers == ["done\n"]


async def test_a_request_that_never_ends_does_not_hold_up_stopping() -> None:
    async with served(SITE) as running:
        stream = await running.connect()
        await stream.send_all(b"GET /endless HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await trio.sleep(0.1)
        began = trio.current_time()
        running.scope.cancel()
        await running.stopped.wait()
        assert trio.current_time() - began < HUNG
        await stream.aclose()


async def test_a_client_that_does_not_read_does_not_hold_up_stopping() -> None:
    """Without a deadline this would wait for the client."""
    async with served(SITE) as running:
        stream = await running.connect()
        await stream.send_all(b"GET /huge HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await trio.sleep(0.3)
        began = trio.current_time()
        running.scope.cancel()
        await running.stopped.wait()
        assert trio.current_time() - began < HUNG
        await stream.aclose()


async def test_a_client_that_does_not_read_is_let_go() -> None:
    async with served(SITE, ServerLimits(send=0.2, send_rate=2**30)) as running:
        stream = await running.connect()
        await stream.send_all(b"GET /huge HTTP/1.1\r\nhost: localhost\r\n\r\n")
        with trio.fail_after(HUNG):
            while not running.counts.slow:  # noqa: ASYNC110  the server has no event for a test
                await trio.sleep(0.05)
            received = 0
            try:
                while chunk := await stream.receive_some():
                    received += len(chunk)
            except trio.BrokenResourceError:
                pass
        assert 0 < received < 30_000_000
        await stream.aclose()


async def test_a_connection_that_sends_nothing_is_closed() -> None:
    async with served(SITE, ServerLimits(keep_alive=0.2)) as running, await running.connect() as stream:
        with trio.fail_after(HUNG):
            assert await stream.receive_some() == b""


async def test_a_request_that_never_becomes_whole_is_refused() -> None:
    async with served(SITE, ServerLimits(request=0.2)) as running, await running.connect() as stream:
        await stream.send_all(b"GET / HT")
        with trio.fail_after(HUNG):
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 408 Request Timeout")


HANDSHAKE = (
    b"GET /polite HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


@pytest.mark.parametrize("path", [b"/polite", b"/"])
async def test_a_byte_behind_a_websocket_handshake_harms_nobody(path: bytes) -> None:
    """One such packet ended the server, and with it the connections of all clients."""
    async with served(SITE) as running, httpx.AsyncClient() as client, await running.connect() as other:
        await other.send_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await other.receive_some()
        for _ in range(20):
            async with await running.connect() as stream:
                await stream.send_all(HANDSHAKE.replace(b"/polite", path) + b"x")
                await stream.receive_some()
        await other.send_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert (await other.receive_some()).startswith(b"HTTP/1.1 200"), "the other connection is cut"
        assert (await client.get(running.url)).text == "hello\n"
        assert running.counts.failed == 0


async def test_bytes_that_are_no_request_end_their_connection_only() -> None:
    async with served(SITE) as running, httpx.AsyncClient() as client:
        for rubbish in (b"\x16\x03\x01\x02\x00", b"\x00" * 100, b"GET\r\n\r\n", b"A" * 70_000):
            stream = await running.connect()
            await stream.send_all(rubbish)
            await stream.aclose()
        assert (await client.get(running.url)).text == "hello\n"


async def test_a_fault_in_the_application_is_logged_and_ends_one_answer(caplog: pytest.LogCaptureFixture) -> None:
    async with served(SITE) as running, httpx.AsyncClient() as client:
        assert (await client.get(running.url + "broken")).status_code == 500
        assert (await client.get(running.url)).text == "hello\n"
        running.scope.cancel()
        await running.stopped.wait()
    assert "a fault of this program" in caplog.text


async def test_nothing_is_logged_of_ordinary_requests(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="alysd"):
        async with served(SITE) as running, httpx.AsyncClient() as client:
            await client.get(running.url)
    assert [record.name for record in caplog.records if not record.name.startswith("httpx")] == []


async def test_a_websocket_is_told_that_the_server_stops() -> None:
    async with served(SITE) as running:
        stream = await running.connect()
        await stream.send_all(HANDSHAKE)
        assert b"101" in await stream.receive_some()
        running.scope.cancel()
        with trio.fail_after(HUNG):
            received = b""
            while chunk := await stream.receive_some():
                received += chunk
        assert received.endswith(b"\x88\x02" + (1001).to_bytes(2, "big"))
        await stream.aclose()
