"""Loads the daemon's JSON-RPC with many clients, over sockets, since an HTTP library would use more time."""

import json
from time import perf_counter

import attrs
import trio

ANSWER_SECONDS = 30.0
"""Deadline of one answer."""

_CHUNK = 65_536


@attrs.define
class Load:
    """The result of a run: `times` of all answers and `seconds` of the run."""

    seconds: float = 0.0
    times: list[float] = attrs.Factory(list[float])


def encode_request(port: int, method: str, *params: object) -> bytes:
    """Return the bytes of a request."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    head = f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class Connection:
    """A persistent connection, which carries one request at a time."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream

    async def send(self, request: bytes) -> bytes:
        """Send a request, wait for the whole answer, and return its body.

        Raises `ValueError` for an invalid answer, `trio.TooSlowError` after the deadline.
        """
        with trio.fail_after(ANSWER_SECONDS):
            await self._stream.send_all(request)
            received = b""
            while b"\r\n\r\n" not in received:
                received += await self._receive()
            head, _, body = received.partition(b"\r\n\r\n")
            length = content_length(head)
            while len(body) < length:
                body += await self._receive()
        return body

    async def _receive(self) -> bytes:
        data = await self._stream.receive_some(_CHUNK)
        if not data:
            raise ValueError("the daemon closed the connection")
        return data


class Client:
    """A client with one persistent connection, which repeats one request."""

    def __init__(self, stream: trio.SocketStream, port: int, method: str, *params: object) -> None:
        self._connection = Connection(stream)
        self._request = encode_request(port, method, *params)

    async def ask(self) -> bytes:
        """Send the request and return the body of the answer. Raises what `Connection.send` raises."""
        return await self._connection.send(self._request)


def content_length(head: bytes) -> int:
    """Return the Content-Length in a head. Raises `ValueError` without one or if the status is not 200."""
    status, *fields = head.split(b"\r\n")
    if b" 200" not in status:
        raise ValueError(f"the daemon answered {status!r}, expected status 200")
    for field in fields:
        name, _, value = field.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise ValueError(f"the answer has no Content-Length: {head[:200]!r}")


async def load(port: int, method: str, clients: int, seconds: float) -> Load:
    """Call one method with `clients` clients for `seconds`. Each sends a request after the previous answer."""
    result = Load()

    async def ask_on() -> None:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            client = Client(stream, port, method)
            while perf_counter() < end:
                begun = perf_counter()
                body = await client.ask()
                result.times.append(perf_counter() - begun)
                if b'"result"' not in body:
                    raise ValueError(f"the answer has no result: {body[:200]!r}")

    begun = perf_counter()
    end = begun + seconds
    async with trio.open_nursery() as nursery:
        for _ in range(clients):
            nursery.start_soon(ask_on)
    result.seconds = perf_counter() - begun
    return result
