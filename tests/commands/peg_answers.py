"""Runs `alysd peg` against a node that gives the answers of a test."""

from collections.abc import Mapping
from typing import Any

import trio

from alysd.cli import main
from alysd.testing.http_server import Reply, result, serving


async def run(answers: Mapping[str, list[Any]], *words: str) -> tuple[int, list[dict[str, Any]]]:
    """Run `alysd peg` against a node; the last answer to each method repeats. The exit status and requests."""

    async def answered(request: dict[str, Any]) -> Reply:
        waiting = answers[request["method"]]
        found = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        return found if isinstance(found, Reply) else result(found)

    async with serving(answered) as server:
        code = await trio.to_thread.run_sync(main, ["peg", *words, "--url", server.url])
        return code, server.requests
