"""JSON-RPC over HTTP, on a real port: what a client's library sees."""

from typing import Any

import httpx
import trio
from starlette.applications import Starlette
from starlette.routing import Route

from alysd.api import rpc_http
from alysd.api.jsonrpc import Dispatcher, Method
from alysd.api.params import Params
from alysd.api.rpc_http import internal_error, rpc_endpoint
from alysd.api.server import MAX_BODY
from alysd.testing.asgi_server import RunningServer, served


async def echo(params: Params) -> Any:
    return list(params.values)


async def broken(params: Params) -> Any:
    raise KeyError("a fault of this program")


def application(body_seconds: float = rpc_http.BODY_SECONDS) -> Starlette:
    methods = {"echo": Method(echo, 5, large=True), "broken": Method(broken)}
    routes = [Route("/", rpc_endpoint(Dispatcher(methods, {}), body_seconds), methods=["POST"])]
    return Starlette(routes=routes, exception_handlers={Exception: internal_error})


async def post(running: RunningServer, body: Any) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.post(running.url, json=body)


async def test_a_request_is_answered_as_json() -> None:
    async with served(application()) as running:
        answer = await post(running, {"jsonrpc": "2.0", "id": 1, "method": "echo", "params": [1]})
        assert answer.headers["content-type"] == "application/json"
        assert answer.json() == {"jsonrpc": "2.0", "id": 1, "result": [1]}


async def test_an_error_is_an_answer_too() -> None:
    """Libraries look into the body only when the status is 200."""
    async with served(application()) as running:
        answer = await post(running, {"jsonrpc": "2.0", "id": 1, "method": "nothing"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (200, -32601)


async def test_a_notification_has_an_empty_answer() -> None:
    async with served(application()) as running:
        answer = await post(running, {"jsonrpc": "2.0", "method": "echo"})
        assert (answer.status_code, answer.content) == (204, b"")


async def test_a_fault_of_this_program_is_an_internal_error() -> None:
    async with served(application()) as running:
        answer = await post(running, {"jsonrpc": "2.0", "id": 1, "method": "broken"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, -32603)
        assert "KeyError" not in answer.text


async def test_a_body_of_megabytes_is_taken_and_one_beyond_the_bound_is_not() -> None:
    async with served(application()) as running:
        fits = "x" * (MAX_BODY - 1000)
        answer = await post(running, {"jsonrpc": "2.0", "id": 1, "method": "echo", "params": [fits]})
        assert answer.json()["result"] == [fits]
        refused = await post(running, "x" * (MAX_BODY + 1))
        assert refused.status_code == 413
        assert refused.json()["error"]["message"] == "request body too large: at most 5242880 bytes are taken"


async def test_a_body_that_never_comes_is_given_up() -> None:
    async with served(application(body_seconds=0.1)) as running:
        stream = await running.connect()
        await stream.send_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
        with trio.fail_after(5):
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 408")
        await stream.aclose()


async def test_a_client_that_leaves_in_mid_request_harms_nobody() -> None:
    async with served(application()) as running:
        stream = await running.connect()
        await stream.send_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
        await stream.aclose()
        answer = await post(running, {"jsonrpc": "2.0", "id": 1, "method": "echo"})
        assert answer.json()["result"] == []


async def test_only_post_is_answered() -> None:
    async with served(application()) as running, httpx.AsyncClient() as client:
        assert (await client.get(running.url)).status_code == 405
