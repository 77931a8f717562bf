"""The client of external systems: every answer becomes a result or a named error."""

import gzip
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import trio

from alysd.errors import AlysError, BitcoinUnavailable, ComponentError
from alysd.integrations.json_rpc_client import IN_PLACE, JsonRpcClient
from alysd.testing.http_server import Reply, refusal, result, serving

SECONDS = 5.0
BOMB = gzip.compress(b'{"result": "' + bytes(100_000) * 200 + b'"}')
PIECE = 64 * 1024


async def call(reply: Reply, max_response: int = 2**20) -> Any:
    """Call `ping` on a server that answers `reply`; the result, or the error."""

    async def answer(request: dict[str, Any]) -> Reply:
        assert request["method"] == "ping"
        return reply

    async with serving(answer) as server, client_of(server.url, max_response) as client:
        try:
            return await client.call("ping", 1, "two", seconds=SECONDS)
        except AlysError as error:
            return error


def client_of(url: str, max_response: int = 2**20) -> JsonRpcClient:
    return JsonRpcClient("Bitcoin node", url, BitcoinUnavailable, max_response=max_response)


async def test_parameters_go_and_the_result_comes() -> None:
    async def answer(request: dict[str, Any]) -> Reply:
        return result(request["params"])

    async with serving(answer) as server, client_of(server.url) as client:
        assert await client.call("ping", 1, {"a": None}, seconds=SECONDS) == [1, {"a": None}]
        assert await client.call("ping", seconds=SECONDS) == []


async def test_large_answers_are_read_too() -> None:
    assert await call(result("x" * (2 * IN_PLACE))) == "x" * (2 * IN_PLACE)


@pytest.mark.parametrize("status", [200, 500, 404])
async def test_the_other_sides_own_error_keeps_code_and_words(status: int) -> None:
    """Whether to retry, and what to tell a person, depends on them."""
    error = await call(refusal(-8, "Block height out of range", status))
    assert isinstance(error, ComponentError)
    assert (error.method, error.code) == ("ping", -8)
    assert str(error) == "Bitcoin node refused ping: Block height out of range (code -8)"


@pytest.mark.parametrize("error", ["odd", {"code": "x", "message": 5}, {"message": "y" * 10_000}])
async def test_an_error_in_an_odd_form_is_an_error_still(error: Any) -> None:
    raised = await call(Reply({"error": error}))
    assert isinstance(raised, ComponentError)
    assert raised.code == 0
    assert len(raised.message) <= 500


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(b"", 401), "user and password"),
        (Reply(b"Work queue depth exceeded", 503), "too busy"),
        (Reply(b"<html>hello</html>", 200), "no JSON"),
        (Reply(b"[" * 100_000, 200), "no JSON"),
        (Reply([1, 2], 200), "no JSON-RPC answer"),
        (Reply({"result": 5}, 302), "HTTP 302"),
        (Reply({"result": "x" * 200_000}, 200), "larger than 200000 bytes"),
        (
            Reply(BOMB, 200, (("content-encoding", "gzip"),)),
            "is compressed (gzip), which the node did not request",
        ),
    ],
)
async def test_what_is_no_answer_is_unavailability(reply: Reply, words: str) -> None:
    """Another program on the port, or one that is overloaded, must neither crash the miner nor fill its memory."""
    error = await call(reply, max_response=200_000)
    assert isinstance(error, BitcoinUnavailable)
    assert words in str(error)


async def test_no_answer_in_time_is_unavailability_with_the_time() -> None:
    async def never(_request: dict[str, Any]) -> Reply:
        await trio.sleep_forever()
        raise AssertionError

    async with serving(never) as server, client_of(server.url) as client:
        with pytest.raises(BitcoinUnavailable, match=r"no answer to ping within 0\.05 s"):
            await client.call("ping", seconds=0.05)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://", "ftp://127.0.0.1/", "http://127.0.0.1:99999999"])
async def test_nobody_there_is_unavailability(url: str) -> None:
    async with client_of(url) as client:
        with pytest.raises(BitcoinUnavailable):
            await client.call("ping", seconds=SECONDS)


async def test_a_failure_without_words_has_the_name_of_its_kind() -> None:
    """Such as that of a server without TLS whose URL begins with https."""

    def fail(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("")

    transport = httpx.MockTransport(fail)
    async with JsonRpcClient("node", "http://x", BitcoinUnavailable, transport=transport) as client:
        with pytest.raises(BitcoinUnavailable, match="ping: ConnectError$"):
            await client.call("ping", seconds=SECONDS)


async def test_after_a_failure_the_next_call_is_served() -> None:
    """A connection that broke once would stay broken."""
    replies = iter([Reply(b"nonsense"), refusal(-1, "no"), result(1)])

    async def answer(_request: dict[str, Any]) -> Reply:
        return next(replies)

    async with serving(answer) as server, client_of(server.url) as client:
        with pytest.raises(BitcoinUnavailable):
            await client.call("ping", seconds=SECONDS)
        with pytest.raises(ComponentError):
            await client.call("ping", seconds=SECONDS)
        assert await client.call("ping", seconds=SECONDS) == 1


class Endless(httpx.AsyncByteStream):
    """A body without an end; `pieces` counts what was read of it."""

    pieces = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            await trio.lowlevel.checkpoint()  # as reading from a socket does
            self.pieces += 1
            yield b" " * PIECE


async def test_an_answer_is_bounded_while_it_is_read() -> None:
    """An answer of 100 MB took 437 MB of memory before it was refused."""
    body = Endless()

    async def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["accept-encoding"] == "identity"
        return httpx.Response(200, stream=body)

    transport = httpx.MockTransport(answer)
    async with JsonRpcClient("x", "http://127.0.0.1:1", BitcoinUnavailable, transport=transport) as client:
        with pytest.raises(BitcoinUnavailable, match="larger than 200000 bytes"):
            await client.call("ping", seconds=SECONDS, max_response=200_000)
        assert body.pieces == 200_000 // PIECE + 1
        with pytest.raises(BitcoinUnavailable, match="larger than 1048576 bytes"):
            await client.call("ping", seconds=SECONDS)


async def batch(reply: Reply, max_response: int = 2**20) -> Any:
    """Call `double` with 1, 2 and 3 in one request to a server that answers `reply`; the results, or the error."""

    async def answer(request: Any) -> Reply:
        assert [(call["method"], call["params"]) for call in request] == [("double", [one]) for one in (1, 2, 3)]
        return reply

    async with serving(answer) as server, client_of(server.url, max_response) as client:
        try:
            return await client.batch("double", [(1,), (2,), (3,)], seconds=SECONDS)
        except AlysError as error:
            return error


async def test_the_answers_of_a_batch_may_come_in_any_order() -> None:
    answers = [{"id": number, "result": 2 * (number + 1), "error": None} for number in (2, 0, 1)]
    assert await batch(Reply(answers)) == (2, 4, 6)


async def test_a_refusal_in_a_batch_concerns_no_other_call() -> None:
    answers = [{"id": 0, "result": 2}, {"id": 1, "error": {"code": -5}, "result": None}, {"id": 7, "result": 1}]
    assert await batch(Reply(answers)) == (2, None, None)


@pytest.mark.parametrize("body", [{"result": [2, 4, 6]}, [7], [[]], "x", b"<html>", None])
async def test_what_is_no_answer_to_a_batch_is_no_answer(body: Any) -> None:
    assert isinstance(await batch(Reply(body)), BitcoinUnavailable)
    assert isinstance(await batch(Reply([], 500)), BitcoinUnavailable)


async def test_a_batch_whose_answer_is_too_large_says_so() -> None:
    answers = [{"id": number, "result": "x" * 1_000} for number in range(3)]
    assert await batch(Reply(answers), max_response=2_000) is None
