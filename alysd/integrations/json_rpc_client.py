"""A JSON-RPC client over HTTP for one external system. Every call has a deadline, every answer a maximum size."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, Self, cast

import httpx
import trio

from alysd.errors import ComponentError, Unavailable, without_credentials
from alysd.wire.json_input import parse_json

MAX_CONNECTIONS = 10
"""The maximum number of connections to one system: one for a long call, the others for short ones.

Larger pools are slower."""

IN_PLACE = 64 * 1024
"""The maximum size, in bytes, of JSON that is parsed in the event loop, which takes about 1 ms."""

INVALID_URL = "the URL is not valid; in a password, write / as %2F, # as %23, @ as %40 and : as %3A"
"""The reason for an invalid URL with a user and a password, of which the library's own reason can show a part."""

_HTTP_OK, _HTTP_UNAUTHORIZED, _HTTP_UNAVAILABLE = 200, 401, 503

Credentials = Callable[[], Awaitable[httpx.Auth | None]]
"""A function that returns the current credentials. A file with credentials can change while the node runs."""


async def no_credentials() -> httpx.Auth | None:
    """No credentials, for a system that requires none."""
    return None


class _Body(httpx.AsyncByteStream):
    """The body of a request, in one piece. It replaces httpx's async generator, which cancellation leaves open."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _Once([self._content])


class _Once:
    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._pieces:
            raise StopAsyncIteration
        return self._pieces.pop()


class JsonRpcClient:
    """Calls the methods of one system. It is an async context manager; leaving it closes the connections.

    `component` names the system in errors. `unavailable` makes the error for a missing or invalid answer, from
    the URL and a reason. `max_response` is the maximum size of an answer in bytes, unless a call sets another.
    `version` is the value of `jsonrpc`. `unauthorized` is the explanation of HTTP 401. `transport` replaces the
    network in tests.
    """

    def __init__(
        self,
        component: str,
        url: str,
        unavailable: Callable[[str, str], Unavailable],
        credentials: Credentials = no_credentials,
        max_response: int = 1024 * 1024,
        version: str = "1.0",
        unauthorized: str = "does not accept the user and password",
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._component = component
        self._url = url
        self._shown_url = without_credentials(url)
        self._unavailable = unavailable
        self._credentials = credentials
        self._max_response = max_response
        self._version = version
        self._unauthorized = unauthorized
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(None),  # `call` has a deadline from connecting to the last byte
            trust_env=False,  # a proxy in the environment is not meant for these systems
            verify=url.startswith("https:"),  # loading certificates takes 50 ms
            headers={
                "Accept-Encoding": "identity"
            },  # the size of a compressed answer is unknown until it is unpacked
            limits=httpx.Limits(max_connections=MAX_CONNECTIONS),
            transport=transport,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def call(self, method: str, *params: Any, seconds: float, max_response: int | None = None) -> Any:
        """Call `method` and return its result, within `seconds`. The answer has at most `max_response` bytes.

        Raises the `unavailable` error when there is no valid answer, and `ComponentError` when the answer is an
        error.
        """
        most = max_response or self._max_response
        answered = await self._exchange(method, self._request(1, method, params), seconds, most)
        if answered is None:
            raise self._unavailable(self._shown_url, f"the answer to {method} is larger than {most} bytes")
        status, answer = answered
        fields = self._object(method, status, answer)
        refusal = fields.get("error")
        if refusal is not None:
            raise self._refused(method, refusal)
        return fields.get("result")

    async def batch(
        self, method: str, calls: Sequence[tuple[Any, ...]], *, seconds: float
    ) -> tuple[Any, ...] | None:
        """Call `method` with each of these parameters, in one request. Returns the results in order.

        None stands for the result of a call whose answer is an error. Returns None if all answers together are
        larger than `max_response`. Raises the `unavailable` error when there is no valid answer.
        """
        requests = [self._request(number, method, params) for number, params in enumerate(calls)]
        answered = await self._exchange(method, requests, seconds, self._max_response)
        if answered is None:
            return None
        status, answer = answered
        if not isinstance(answer, list) or status != _HTTP_OK:
            raise self._unavailable(self._shown_url, f"{method}: HTTP {status} and no answer to a batch")
        found: dict[int, Any] = {}
        for item in cast("list[Any]", answer):
            fields = self._object(method, status, item)
            number = fields.get("id")
            if isinstance(number, int) and fields.get("error") is None:
                found[number] = fields.get("result")
        return tuple(found.get(number) for number in range(len(calls)))

    def _request(self, number: int, method: str, params: tuple[Any, ...]) -> dict[str, Any]:
        return {"jsonrpc": self._version, "id": number, "method": method, "params": params}

    async def _exchange(self, method: str, content: Any, seconds: float, most: int) -> tuple[int, Any] | None:
        """Send a request. Returns the HTTP status and the JSON of the answer; None for one above `most` bytes."""
        try:
            with trio.fail_after(seconds):
                status, body = await self._post(method, content, most)
                return None if len(body) > most else (status, await self._decode(method, status, body))
        except trio.TooSlowError as error:
            raise self._unavailable(self._shown_url, f"no answer to {method} within {seconds:g} s") from error
        except httpx.InvalidURL as error:
            reason = str(error) if self._shown_url == self._url else INVALID_URL
            raise self._unavailable(self._shown_url, f"{method}: {reason}") from None
        except (httpx.HTTPError, UnicodeError) as error:  # the last for a host that is no name
            raise self._unavailable(self._shown_url, f"{method}: {str(error) or type(error).__name__}") from error

    async def _post(self, method: str, content: Any, most: int) -> tuple[int, bytes]:
        """Send a request. Returns the status and the body; of a body above `most` bytes, only the beginning."""
        request = self._client.build_request("POST", self._url, json=content)
        request.stream = _Body(request.content)
        response = await self._client.send(request, auth=await self._credentials(), stream=True)
        async with aclosing(response):
            encoding = response.headers.get("content-encoding", "identity")
            if encoding != "identity":
                raise self._unavailable(
                    self._shown_url,
                    f"the answer to {method} is compressed ({encoding[:20]}), which the node did not request",
                )
            body = bytearray()
            with trio.CancelScope() as reading:
                async for piece in response.aiter_bytes():
                    body += piece
                    if len(body) > most:
                        # An error raised here would leave httpx's generators open. A cancellation ends them.
                        reading.cancel()
            return response.status_code, bytes(body)

    async def _decode(self, method: str, status: int, body: bytes) -> Any:
        """Read the JSON of an answer."""
        if status == _HTTP_UNAUTHORIZED:
            raise self._unavailable(self._shown_url, f"{self._unauthorized} (HTTP 401)")
        if status == _HTTP_UNAVAILABLE:
            raise self._unavailable(self._shown_url, "too busy (HTTP 503)")
        try:
            if len(body) <= IN_PLACE:
                return parse_json(body)
            return await trio.to_thread.run_sync(parse_json, body)
        except ValueError as error:
            raise self._unavailable(self._shown_url, f"{method}: HTTP {status} and no JSON") from error

    def _object(self, method: str, status: int, answer: Any) -> dict[str, Any]:
        """One answer. A JSON error has precedence over the HTTP status, which Bitcoin Core sets to 500."""
        if not isinstance(answer, dict):
            raise self._unavailable(self._shown_url, f"{method}: HTTP {status} and no JSON-RPC answer")
        fields = cast("dict[str, Any]", answer)
        if status != _HTTP_OK and fields.get("error") is None:
            raise self._unavailable(self._shown_url, f"{method}: HTTP {status}")
        return fields

    def _refused(self, method: str, refusal: Any) -> ComponentError:
        fields = cast("dict[str, Any]", refusal) if isinstance(refusal, dict) else {}
        code, message = fields.get("code"), fields.get("message")
        return ComponentError(
            component=self._component,
            method=method,
            code=code if isinstance(code, int) else 0,
            message=message[:500] if isinstance(message, str) else "no reason given",
        )
