"""Many clients of the daemon's JSON-RPC, over plain sockets: a client library would cost more than the answer."""

import json
from time import perf_counter

import attrs
import trio

ANSWER_SECONDS = 30.0
"""The longest wait for one answer; a daemon that takes longer has failed."""

_CHUNK = 65_536


@attrs.define
class Load:
    """The measured load: seconds of every answer, and the seconds of the whole run."""

    seconds: float = 0.0
    times: list[float] = attrs.Factory(list[float])


class Client:
    """One persistent connection with one request at a time."""

    def __init__(self, stream: trio.SocketStream, port: int, method: str) -> None:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": []}).encode()
        head = f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        self._request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        self._stream = stream

    async def ask(self) -> bytes:
        """Send the request, wait for the whole answer, and return its body.

        Raises `ValueError` for what is no good answer, `trio.TooSlowError` for none.
        """
        with trio.fail_after(ANSWER_SECONDS):
            await self._stream.send_all(self._request)
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


def content_length(head: bytes) -> int:
    """Return the Content-Length of a head. Raises `ValueError` if it has none or its status is not 200."""
    status, *fields = head.split(b"\r\n")
    if b" 200" not in status:
        raise ValueError(f"not the expected answer: {status!r}")
    for field in fields:
        name, _, value = field.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise ValueError("no Content-Length")


async def load(port: int, method: str, clients: int, seconds: float) -> Load:
    """Let `clients` call one method for `seconds`; each sends its next request when it has its answer."""
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
                    raise ValueError(f"no result: {body[:200]!r}")

    begun = perf_counter()
    end = begun + seconds
    async with trio.open_nursery() as nursery:
        for _ in range(clients):
            nursery.start_soon(ask_on)
    result.seconds = perf_counter() - begun
    return result
