"""An execution client whose answers a test gives instead of the network."""

import json
import math
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import httpx
import trio

from alysd.errors import EngineUnavailable
from alysd.integrations.execution.engine_api import COMPONENT, EngineApiClient
from alysd.integrations.json_rpc_client import JsonRpcClient
from alysd.timing import Timing

IN_SLOT = Timing(2).engine_in_slot
URL = "http://127.0.0.1:8551"

Result = dict[str, Any] | list[Any] | str | None


@attrs.define
class Server:
    """Answers each method with what is set for it: a result, an error, or whatever a function does."""

    answers: dict[str, Any]
    requests: list[dict[str, Any]] = attrs.Factory(list[dict[str, Any]])
    times: list[float] = attrs.Factory(list[float])

    async def handle(self, request: httpx.Request) -> httpx.Response:
        call = json.loads(request.content)
        self.requests.append(call)
        self.times.append(trio.current_time())
        answer = self.answers[call["method"]]
        if isinstance(answer, Acts):
            answer = await answer.act()
        if isinstance(answer, httpx.Response):
            return answer
        if isinstance(answer, Refusal):
            return httpx.Response(200, json={"id": 1, "error": {"code": answer.code, "message": answer.words}})
        return httpx.Response(200, json={"jsonrpc": "2.0", "id": 1, "result": answer})

    def client(self) -> EngineApiClient:
        transport = httpx.MockTransport(self.handle)
        rpc = JsonRpcClient(COMPONENT, URL, EngineUnavailable, version="2.0", transport=transport)
        return EngineApiClient(URL, rpc, rpc, IN_SLOT)

    @property
    def methods(self) -> list[str]:
        return [call["method"] for call in self.requests]


@attrs.frozen
class Acts:
    act: Callable[[], Awaitable[Result]]


@attrs.frozen
class Refusal:
    code: int
    words: str


def after(seconds: float, result: Result) -> "Acts":
    async def answer() -> Result:
        await trio.sleep(seconds)
        return result

    return Acts(answer)


HANGS = after(math.inf, None)
