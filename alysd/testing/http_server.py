"""An HTTP server on loopback that gives scripted answers to JSON requests.

async with serving(answer) as server:
client = HttpClient(server.url)
...
assert server.requests == [...]
"""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import h11
import trio


@attrs.define
class Reply:
    """An HTTP answer. A `body` that is not bytes is sent as JSON. `headers` come after content-length."""

    body: Any
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


@attrs.define
class Server:
    """A running server: its `url`, and the JSON bodies and Authorization headers of all requests, in order."""

    url: str
    requests: list[dict[str, Any]] = attrs.Factory(list[dict[str, Any]])
    authorizations: list[str | None] = attrs.Factory(list[str | None])


Answer = Callable[[dict[str, Any]], Awaitable[Reply]]
"""Makes the reply to the JSON of a request."""


def result(value: Any) -> Reply:
    """A result of JSON-RPC 1.0."""
    return Reply({"result": value, "error": None, "id": 1})


def refusal(code: int, message: str, status: int = 500) -> Reply:
    """An error of JSON-RPC 1.0, with the HTTP status of Bitcoin Core."""
    return Reply({"result": None, "error": {"code": code, "message": message}, "id": 1}, status)


@asynccontextmanager
async def serving(answer: Answer) -> AsyncGenerator[Server]:
    """Run a server on a free port of 127.0.0.1 that calls `answer` with every request."""
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        host, port = listener.socket.getsockname()
        server = Server(f"http://{host}:{port}")

        async def handle(stream: trio.SocketStream) -> None:
            with_h11 = h11.Connection(h11.SERVER)
            while True:
                body, authorization = await _read(stream, with_h11)
                if body is None:
                    return
                server.requests.append(json.loads(body))
                server.authorizations.append(authorization)
                reply = await answer(server.requests[-1])
                content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
                headers = [("content-length", str(len(content))), *reply.headers]
                head = h11.Response(status_code=reply.status, headers=headers)
                for event in (head, h11.Data(data=content), h11.EndOfMessage()):
                    await stream.send_all(with_h11.send(event) or b"")
                with_h11.start_next_cycle()

        async def accept() -> None:
            while True:
                nursery.start_soon(_until_closed, handle, await listener.accept())

        nursery.start_soon(accept)
        try:
            yield server
        finally:
            nursery.cancel_scope.cancel()
            await listener.aclose()


async def _until_closed(handle: Callable[[trio.SocketStream], Awaitable[None]], stream: trio.SocketStream) -> None:
    async with stream:
        try:
            await handle(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return


async def _read(stream: trio.SocketStream, connection: h11.Connection) -> tuple[bytes | None, str | None]:
    """The body and the authorization of the next request; None when the client has closed the connection.

    A client whose deadline passes closes it within a request.
    """
    body, authorization = bytearray(), None
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            received = await stream.receive_some(65536)
            if not received:
                return None, None
            connection.receive_data(received)
        elif isinstance(event, h11.Request):
            authorization = next(
                (value.decode() for name, value in event.headers if name == b"authorization"), None
            )
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return bytes(body), authorization
        else:
            return None, None
