"""The requests of `alysd peg` to a node of the chain."""

from collections.abc import Sequence
from typing import Any, cast

METHOD_NOT_FOUND = -32601
"""The error code of a server that does not know a method (JSON-RPC 2.0, section 5.1)."""

CALL_SECONDS = 10.0
"""Deadline of a call. The node answers from one read, but may first have to restart an actor."""

Question = tuple[str, Sequence[Any]]
"""A method and its parameters."""


def ask_once(url: str, method: str, *params: Any) -> dict[str, Any]:
    """Call one method of the node. Raises `NodeUnavailable`, and `ComponentError` for a refusal."""
    import trio

    return trio.run(_ask_one, url, (method, params))


async def _ask_one(url: str, question: Question) -> dict[str, Any]:
    (answer,) = await ask_node(url, question)
    return answer


async def ask_node(url: str, *questions: Question) -> list[dict[str, Any]]:
    """Call methods of the node. The answer to each is an object, empty for null.

    Raises `NodeUnavailable`, and `ComponentError` for a refusal.
    """
    from contextlib import aclosing

    from alysd.errors import ComponentError, NodeUnavailable, UserError, without_credentials
    from alysd.integrations.json_rpc_client import JsonRpcClient

    answers: list[dict[str, Any]] = []
    async with aclosing(JsonRpcClient("Alys node", url, NodeUnavailable)) as client:
        for method, params in questions:
            try:
                answer: object = await client.call(method, *params, seconds=CALL_SECONDS)
            except ComponentError as error:
                if error.code != METHOD_NOT_FOUND:
                    raise
                raise UserError(
                    f"{without_credentials(url)} does not know the method {method}: give the URL of an Alys node "
                    "(`api.address`, port 3000 by default), not of the Ethereum RPC or of another program"
                ) from None
            if answer is not None and not isinstance(answer, dict):
                raise NodeUnavailable(url, f"the answer to {method} is not that of an Alys node")
            answers.append(cast("dict[str, Any]", answer or {}))
    return answers
