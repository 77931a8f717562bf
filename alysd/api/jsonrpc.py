"""JSON-RPC 1.0 and 2.0, from bytes to bytes, over HTTP or a WebSocket. Both RPC ports of the node use it.

A request without `"jsonrpc": "2.0"` has version 1. Its answer has both `result` and `error`, as in Bitcoin Core. A
request of version 1 is answered even without an id, because mining software omits ids. In version 2, a request
without an id is a notification, which is executed but not answered. Ethereum tools use version 2, miners version
1.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar, cast

import attrs
import trio

from alysd.api.hex_values import kind
from alysd.api.http.messages import Pause, Request, Response, no_pause
from alysd.api.http.site import Route
from alysd.errors import Malformed, Refused
from alysd.wire.json_input import parse_json

T = TypeVar("T")
D = TypeVar("D")

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
SERVER_ERROR = -32000
TIMED_OUT = -32002
RESPONSE_TOO_LARGE = -32003

MAX_BATCH = 100
"""The maximum number of requests in a batch. web3 libraries send a few dozen. geth accepts 1,000."""

MAX_RESPONSE = 25 * 1024 * 1024
"""The maximum size, in bytes, of an answer, or of all answers to a batch together. geth has the same limit.

When the answers to a batch reach the limit, each further request of the batch is refused.
"""

DEADLINE_SECONDS = 30.0
"""Deadline of a request, or of a whole batch. web3.py waits 30 s, and geth's write timeout is 30 s."""

IN_PLACE = 64 * 1024
"""The maximum size, in bytes, of a body that is parsed in the event loop, and of a text that is encoded there.

It takes about 1 ms. Larger ones are left to a thread, so that they do not delay a block.
"""

THREADS = 2
"""The maximum number of threads that parse, decode and encode large texts for one port.

They only compute, and each holds the GIL for up to 0.1 s at a time, so more would delay blocks.
"""

MAX_PARAMETERS = 64
"""The maximum number of parameters of a request, with the nulls at their end. Methods have at most 5."""

LARGE_ITEMS, LARGE_TEXT = 1_000, 32 * 1024
"""Parameters with more values, or more characters, than this are decoded in a thread: others take about 1 ms."""

_PIECE = 64
"""The number of items of a list that are encoded at once, with the GIL held: 0.3 ms for logs."""


@attrs.frozen(str=False)
class RpcError(Refused):
    """An error with the code, message and data that the caller gets. `data` must be a JSON value or None."""

    code: int
    message: str
    data: Any = None

    def __str__(self) -> str:
        return self.message


class InvalidParams(Refused):
    """A parameter is missing or invalid, or there are too many parameters."""


@attrs.frozen
class Params:
    """Parameters by position. A decoder converts a JSON value to the method's type, or raises `Malformed`."""

    values: tuple[Any, ...]
    threads: trio.CapacityLimiter | None = None
    """The limit of the threads that decode the values, if these are large."""

    async def decoded(self, decode: "Callable[[Params], T]") -> T:
        """Decode the parameters with `decode`: large ones in a thread. Raises the errors of `decode`."""
        if self.threads is None:
            return decode(self)
        return await trio.to_thread.run_sync(decode, self, limiter=self.threads)

    def required(self, position: int, decode: Callable[[Any], T]) -> T:
        """Decode the parameter at `position`. Raises `InvalidParams` when it is missing or invalid."""
        if position >= len(self.values):
            raise InvalidParams(f"missing value for required argument {position}")
        try:
            return decode(self.values[position])
        except Malformed as error:
            raise InvalidParams(f"params[{position}]: {error}") from error

    def optional(self, position: int, decode: Callable[[Any], T], default: D) -> T | D:
        """Decode the parameter at `position`. Returns `default` when it is missing or null."""
        if position >= len(self.values) or self.values[position] is None:
            return default
        return self.required(position, decode)


@attrs.frozen
class Encoded:
    """A result that is already encoded, because it is the same for many requests."""

    json: bytes

    @classmethod
    def of(cls, result: Any) -> "Encoded":
        """Encode a JSON value."""
        return cls(_encode(result))


Handler = Callable[[Params], Awaitable[Any]]


@attrs.frozen
class Method:
    """One RPC method. `call` takes the parameters, at most `parameters` of them.

    It returns a JSON value, or an `Encoded` one. With `large`, the value may have megabytes, so a thread encodes
    it, unless it is a short text or empty.
    """

    call: Handler
    parameters: int = 0
    large: bool = False


@attrs.frozen
class _Request:
    """A well-formed request. `version` is 1 or 2. `answered` is false for a notification.

    `large` says that its parameters take long to decode.
    """

    method: str
    params: tuple[Any, ...]
    id: Any
    version: int
    answered: bool
    large: bool = False


@attrs.frozen
class _Wrong:
    """A malformed request: its id, which tells the caller which one it was, or None, and the error."""

    id: Any
    error: RpcError


_Item = _Request | _Wrong


class Dispatcher:
    """Answers requests from a table of methods.

    `codes` gives the error code of each exception class that a method may raise by design, including subclasses
    without a code of their own. Any other error is a bug: it is raised, and ends the connection.
    """

    def __init__(
        self,
        methods: Mapping[str, Method],
        codes: Mapping[type[Exception], int],
        *,
        max_response: int = MAX_RESPONSE,
        max_batch: int = MAX_BATCH,
        threads: trio.CapacityLimiter | None = None,
    ) -> None:
        """`threads` limits the threads for large texts: by default `THREADS`. Dispatchers of one port share it."""
        self._threads = threads or trio.CapacityLimiter(THREADS)
        self._methods = methods
        self._max_batch = max_batch
        self._max_response = max_response
        self._codes = {**codes, InvalidParams: INVALID_PARAMS}
        self._answerable: tuple[type[Exception], ...] = (RpcError, *self._codes)

    async def answer(self, body: bytes, pause: Pause = no_pause) -> bytes | None:
        """Run a request, or the requests of a batch in order, and return the answer; None if there is none.

        `pause` is awaited before each item of a batch.
        """
        try:
            if len(body) <= IN_PLACE:
                found = _understand(body, self._max_batch)
            else:
                found = await trio.to_thread.run_sync(
                    _understand_large, body, self._max_batch, limiter=self._threads
                )
        except ValueError as error:
            return _encode(_failure(None, 2, RpcError(PARSE_ERROR, f"parse error: {error}")))
        deadline = trio.current_time() + DEADLINE_SECONDS
        if not isinstance(found, list):
            return await self._one(found, deadline, self._max_response)
        answers: list[bytes] = []
        most = self._max_response
        for item in found:
            await pause(self._max_response - most)
            answer = await self._one(item, deadline, most)
            if answer is not None:
                answers.append(answer)
                most -= len(answer)
        return b"[" + b",".join(answers) + b"]" if answers else None

    async def _one(self, request: _Item, deadline: float, most: int) -> bytes | None:
        """Return the encoded answer to one request; None for a notification.

        The answer is an error if the method has not ended by `deadline`, or if its result exceeds `most` bytes.
        """
        if isinstance(request, _Wrong):
            return _encode(_failure(request.id, 2, request.error))
        encoded = b""
        try:
            with trio.CancelScope(deadline=deadline) as scope:
                encoded = await self._carry_out(request, most)
            if scope.cancelled_caught:
                raise RpcError(TIMED_OUT, "request timed out")
        except self._answerable as error:
            encoded = _encode(_failure(request.id, request.version, self._explain(error)))
        return encoded if request.answered else None

    async def _carry_out(self, request: _Request, most: int) -> bytes:
        if most <= 0:
            raise RpcError(RESPONSE_TOO_LARGE, "response too large")
        method = self._methods.get(request.method)
        if method is None:
            raise RpcError(METHOD_NOT_FOUND, f"the method {request.method[:64]} does not exist/is not available")
        if len(request.params) > method.parameters:
            raise InvalidParams(f"too many arguments, want at most {method.parameters}")
        result = await method.call(Params(request.params, self._threads if request.large else None))
        if isinstance(result, Encoded):
            shown = result.json
        else:
            shown = await self._encoded(result) if method.large and not _short(result) else _encode(result)
        encoded = _success(request.id, request.version, shown)
        if len(encoded) > most:
            raise RpcError(RESPONSE_TOO_LARGE, "response too large")
        return encoded

    async def _encoded(self, result: Any) -> bytes:
        """Encode a large result."""
        return await trio.to_thread.run_sync(_encode_large, result, limiter=self._threads)

    def _explain(self, error: Exception) -> RpcError:
        """The error that the caller gets for `error`."""
        if isinstance(error, RpcError):
            return error
        code = next(self._codes[base] for base in type(error).__mro__ if base in self._codes)
        return RpcError(code, str(error))


def rpc_route(dispatcher: Dispatcher) -> Route:
    """Return the route that answers each POST with the dispatcher's answer."""

    async def call(request: Request) -> Response:
        answer = await dispatcher.answer(request.body, request.pause)
        return Response(status=204) if answer is None else Response(answer)

    return Route("POST", call)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


def _parse(body: bytes) -> Any:
    return parse_json(body, _DECODER)


def _understand(body: bytes, most: int) -> _Item | list[_Item]:
    """Parse a body and read its request, or the requests of its batch, of which there may be `most`.

    Raises `ValueError` if it is not JSON.
    """
    found = _parse(body)
    if not isinstance(found, list):
        return _item(found)
    batch = cast("list[Any]", found)
    if not batch or len(batch) > most:
        words = "empty batch" if not batch else f"batch of {len(batch)} requests, at most {most} are taken"
        return _Wrong(None, RpcError(INVALID_REQUEST, words))
    return [_item(one) for one in batch]


def _understand_large(body: bytes, most: int) -> _Item | list[_Item]:
    """As `_understand`, in a thread: there the values of a refused request are also freed."""
    found = _understand(body, most)
    return [_weighed(one) for one in found] if isinstance(found, list) else _weighed(found)


def _weighed(item: _Item) -> _Item:
    return attrs.evolve(item, large=True) if isinstance(item, _Request) and _large(item.params) else item


def _large(params: tuple[Any, ...]) -> bool:
    """Whether parameters take long to decode. This counts no further than the bounds."""
    items, characters, waiting = 0, 0, [*params]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            characters += len(value)
        elif isinstance(value, list | dict):
            inner = cast("list[Any] | dict[str, Any]", value)
            items += len(inner)
            if items <= LARGE_ITEMS:
                waiting += inner.values() if isinstance(inner, dict) else inner
        if items > LARGE_ITEMS or characters > LARGE_TEXT:
            return True
    return False


def _item(value: Any) -> _Item:
    try:
        return _read(value)
    except RpcError as error:
        return _Wrong(_id_of(value), error)


def _id_of(item: Any) -> Any:
    """Return the id of a malformed request, or None. It tells the caller which request was malformed."""
    found = cast("dict[str, Any]", item).get("id") if isinstance(item, dict) else None
    return found if isinstance(found, str | int) else None


def _read(item: Any) -> _Request:
    """Read a request. Raises `RpcError` if its form is wrong."""
    if not isinstance(item, dict):
        raise RpcError(INVALID_REQUEST, f"a request must be a JSON object, got {kind(item)}")
    request = cast("dict[str, Any]", item)
    version = request.get("jsonrpc", "1.0")
    if version not in ("1.0", "1.1", "2.0"):
        raise RpcError(INVALID_REQUEST, f"jsonrpc must be 2.0 or 1.0, got {_named(version)}")
    method, identity = request.get("method"), request.get("id")
    if not isinstance(method, str):
        raise RpcError(INVALID_REQUEST, f"method must be a string, got {kind(method)}")
    if not isinstance(identity, str | int | None):
        raise RpcError(INVALID_REQUEST, f"id must be a string, an integer or null, got {kind(identity)}")
    params = request.get("params")
    if not isinstance(params, list | None) and params != {}:
        raise RpcError(INVALID_REQUEST, "params must be an array; named parameters are not supported")
    given = cast("list[Any]", params or [])
    if len(given) > MAX_PARAMETERS:
        raise RpcError(INVALID_PARAMS, f"too many arguments: {len(given)}, at most {MAX_PARAMETERS} are taken")
    second = version == "2.0"
    while given and given[-1] is None:
        given.pop()  # an optional parameter that is left out: some clients write null for it
    return _Request(method, tuple(given), identity, 2 if second else 1, not second or "id" in request)


def _named(value: Any) -> str:
    """A value of any kind and size, for errors."""
    return value[:40] if isinstance(value, str) else kind(value)


def _short(result: Any) -> bool:
    """Whether a result is encoded in less time than the change to a thread takes."""
    return len(result) <= IN_PLACE if isinstance(result, str) else not result


def _success(identity: Any, version: int, result: bytes) -> bytes:
    """The answer with an encoded result."""
    if version == 1:
        return b'{"result":%b,"error":null,"id":%b}' % (result, _encode(identity))
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (_encode(identity), result)


def _failure(identity: Any, version: int, error: RpcError) -> dict[str, Any]:
    body: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.data is not None:
        body["data"] = error.data
    if version == 1:
        return {"result": None, "error": body, "id": identity}
    return {"jsonrpc": "2.0", "id": identity, "error": body}


_ENCODER = json.JSONEncoder(separators=(",", ":"))


def _encode(value: Any) -> bytes:
    return _ENCODER.encode(value).encode()


def _encode_large(value: Any) -> bytes:
    """Encode a value. A list is encoded in pieces, so that other threads get the GIL between them."""
    if not isinstance(value, list):
        return _encode(value)
    items = cast("list[Any]", value)
    pieces = (_encode(items[first : first + _PIECE])[1:-1] for first in range(0, len(items), _PIECE))
    return b"[%b]" % b",".join(pieces)
