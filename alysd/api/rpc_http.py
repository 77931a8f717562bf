"""JSON-RPC over HTTP: one POST, one answer. Both RPC ports have this endpoint at `/`."""

from collections.abc import Awaitable, Callable
from contextlib import aclosing

import trio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from alysd.api.jsonrpc import INVALID_REQUEST, Dispatcher
from alysd.api.server import MAX_BODY
from alysd.errors import RpcCode

BODY_SECONDS = 10.0
"""For a request's body to arrive: 5 MiB at 4 Mbit/s. A slower sender would occupy a connection."""

JSON = "application/json"


class BodyTooLarge(Exception):
    """A request's body is longer than allowed."""


async def read_body(request: Request, most: int = MAX_BODY) -> bytes:
    """Read a request's body. Raises `BodyTooLarge` as soon as it is longer than `most` bytes."""
    body = bytearray()
    async with aclosing(request.stream()) as chunks:
        async for chunk in chunks:
            body += chunk
            if len(body) > most:
                raise BodyTooLarge
    return bytes(body)


def rpc_endpoint(
    dispatcher: Dispatcher, body_seconds: float = BODY_SECONDS
) -> Callable[[Request], Awaitable[Response]]:
    """Make the endpoint that answers from `dispatcher`. A body may take `body_seconds`."""

    async def endpoint(request: Request) -> Response:
        try:
            with trio.fail_after(body_seconds):
                body = await read_body(request)
        except BodyTooLarge:
            return _refusal(413, f"request body too large: at most {MAX_BODY} bytes are taken")
        except trio.TooSlowError:
            return _refusal(408, f"request body took longer than {body_seconds:.0f} s")
        except ClientDisconnect:
            return Response(status_code=400)
        answer = await dispatcher.answer(body)
        if answer is None:
            return Response(status_code=204)
        return Response(answer, media_type=JSON)

    return endpoint


def _refusal(status: int, words: str) -> Response:
    error = {"code": INVALID_REQUEST, "message": words}
    headers = {"connection": "close"}  # the rest of the body would be read as the next request
    return JSONResponse({"jsonrpc": "2.0", "id": None, "error": error}, status, headers)


async def internal_error(_request: Request, _error: Exception) -> Response:
    """The answer after a bug: Starlette calls this, then raises the error again, and the server logs it."""
    error = {"code": RpcCode.INTERNAL_ERROR, "message": "internal error; the node's log says more"}
    return JSONResponse({"jsonrpc": "2.0", "id": None, "error": error}, 500)
