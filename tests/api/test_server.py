"""The server: ports, bounds on clients that misbehave, and an end within a second whatever they do."""

import logging

import httpx
import pytest
import trio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from alysd.api.server import CLOSING, ServerLimits, listen
from alysd.errors import AddressInUse
from alysd.testing.asgi_server import served


async def hello(request: Request) -> Response:
    return PlainTextResponse("hello")


async def endless(request: Request) -> Response:
    await trio.sleep_forever()
    raise AssertionError


async def huge(request: Request) -> Response:
    return PlainTextResponse("x" * 30_000_000)


async def broken(request: Request) -> Response:
    raise KeyError("a fault of this program")


async def polite(socket: WebSocket) -> None:
    """Leave when the server closes."""
    await socket.accept()
    await socket.scope["state"][CLOSING].wait()
    await socket.close(1001)


APP = Starlette(
    routes=[
        Route("/", hello),
        Route("/endless", endless),
        Route("/huge", huge),
        Route("/broken", broken),
        WebSocketRoute("/polite", polite),
    ]
)


async def test_a_request_is_answered_without_naming_the_server() -> None:
    async with served(APP) as running, httpx.AsyncClient() as client:
        answer = await client.get(running.url)
        assert (answer.status_code, answer.text) == (200, "hello")
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
    async with served(APP) as running, httpx.AsyncClient() as client:
        await client.get(running.url)  # leaves an idle connection
        began = trio.current_time()
        running.scope.cancel()
        await running.stopped.wait()
        assert trio.current_time() - began < 0.5


async def test_stopping_is_immediate_when_a_client_leaves_at_that_moment() -> None:
    async with served(APP) as running:
        began = trio.current_time()
        async with await running.connect() as stream:
            await stream.send_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            await stream.receive_some()
            running.scope.cancel()
        await running.stopped.wait()
        assert trio.current_time() - began < 0.5


async def test_an_answer_in_progress_is_finished_before_stopping() -> None:
    asked = trio.Event()

    async def slow(request: Request) -> Response:
        asked.set()
        await trio.sleep(0.2)
        return PlainTextResponse("done")

    async with served(Starlette(routes=[Route("/slow", slow)])) as running, trio.open_nursery() as nursery:
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
        with trio.fail_after(1):
            await answered.wait()
        assert answers == ["done"]


async def test_a_request_that_never_ends_does_not_hold_up_stopping() -> None:
    async with served(APP) as running:
        stream = await running.connect()
        await stream.send_all(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n")
        await trio.sleep(0.1)
        began = trio.current_time()
        running.scope.cancel()
        await running.stopped.wait()
        assert trio.current_time() - began < 1.0
        await stream.aclose()


async def test_a_client_that_does_not_read_does_not_hold_up_stopping() -> None:
    """hypercorn shields its sends from cancellation: without closing under them this would wait for the client."""
    async with served(APP) as running:
        stream = await running.connect()
        await stream.send_all(b"GET /huge HTTP/1.1\r\nhost: x\r\n\r\n")
        await trio.sleep(0.3)
        began = trio.current_time()
        running.scope.cancel()
        await running.stopped.wait()
        assert trio.current_time() - began < 1.2
        await stream.aclose()


async def test_a_client_that_does_not_read_is_let_go() -> None:
    async with served(APP, ServerLimits(send=0.2)) as running:
        stream = await running.connect()
        await stream.send_all(b"GET /huge HTTP/1.1\r\nhost: x\r\n\r\n")
        await trio.sleep(0.5)
        with trio.fail_after(5):
            received = 0
            try:
                while chunk := await stream.receive_some():
                    received += len(chunk)
            except trio.BrokenResourceError:
                pass
        assert 0 < received < 30_000_000
        await stream.aclose()


async def test_connections_beyond_the_bound_are_closed() -> None:
    async with served(APP, ServerLimits(connections=2)) as running:
        kept = [await running.connect() for _ in range(2)]
        await trio.sleep(0.05)
        surplus = await running.connect()
        with trio.fail_after(5):
            assert await surplus.receive_some() == b""
        await kept[0].aclose()
        await trio.sleep(0.05)
        async with httpx.AsyncClient() as client:
            assert (await client.get(running.url)).text == "hello"
        await kept[1].aclose()
        await surplus.aclose()


async def test_a_connection_that_sends_nothing_is_closed() -> None:
    async with served(APP, ServerLimits(keep_alive=0.2)) as running:
        stream = await running.connect()
        await stream.send_all(b"GET / HT")  # nor does a request that never becomes one keep it open
        with trio.fail_after(5):
            assert await stream.receive_some() == b""
        await stream.aclose()


async def test_bytes_that_are_no_request_end_their_connection_only() -> None:
    async with served(APP) as running, httpx.AsyncClient() as client:
        for rubbish in (b"\x16\x03\x01\x02\x00", b"\x00" * 100, b"GET\r\n\r\n", b"A" * 70_000):
            stream = await running.connect()
            await stream.send_all(rubbish)
            await stream.aclose()
        assert (await client.get(running.url)).text == "hello"


async def test_a_fault_in_the_application_is_logged_and_ends_one_answer(caplog: pytest.LogCaptureFixture) -> None:
    async with served(APP) as running, httpx.AsyncClient() as client:
        assert (await client.get(running.url + "broken")).status_code == 500
        assert (await client.get(running.url)).text == "hello"
        running.scope.cancel()
        await running.stopped.wait()
    assert "a fault of this program" in caplog.text


async def test_nothing_is_logged_of_ordinary_requests(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="alysd"):
        async with served(APP) as running, httpx.AsyncClient() as client:
            await client.get(running.url)
    assert [record.name for record in caplog.records if not record.name.startswith("httpx")] == []


async def test_a_websocket_is_told_that_the_server_stops() -> None:
    async with served(APP) as running:
        stream = await running.connect()
        await stream.send_all(
            b"GET /polite HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        assert b"101" in await stream.receive_some()
        running.scope.cancel()
        with trio.fail_after(5):
            received = b""
            while chunk := await stream.receive_some():
                received += chunk
        assert received.endswith(b"\x88\x02" + (1001).to_bytes(2, "big"))
        await stream.aclose()
