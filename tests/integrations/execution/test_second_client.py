"""The chains of two execution clients, before a node starts."""

import httpx
import pytest

from alysd.errors import WrongChain
from alysd.integrations.execution.second_client import check_chains
from alysd.messages.log.base import LogEvent
from alysd.messages.log.execution import ExecutionClientAway
from alysd.types.hashes import PayloadHash
from tests.integrations.execution.scripted_engine import Refusal, Server

GENESIS = PayloadHash(b"\x01" * 32)
BLOCK = {"hash": "0x" + "01" * 32, "number": "0x0"}
RIGHT = {"eth_getBlockByNumber": BLOCK, "eth_chainId": "0x539"}


async def check(second: dict[str, object]) -> None:
    both = (
        ("engine.engine_url", Server(dict(RIGHT)).client()),
        ("engine.second_engine_url", Server({**RIGHT, **second}).client()),
    )
    await check_chains(both, 1337, GENESIS)


async def test_two_clients_of_this_chain_are_right(logged: list[LogEvent]) -> None:
    await check({})
    assert not logged


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ({"eth_getBlockByNumber": {**BLOCK, "hash": "0x" + "02" * 32}}, "its block 0 is 0202020202"),
        ({"eth_chainId": "0x1"}, "has the chain id 1, but this chain's is 1337"),
    ],
)
async def test_a_client_of_another_chain_is_named_by_its_option(second: dict[str, object], words: str) -> None:
    with pytest.raises(WrongChain, match=f"engine.second_engine_url: the execution client .*{words}"):
        await check(second)


@pytest.mark.parametrize("answer", [Refusal(-32000, "starting"), httpx.Response(503), "1", None, 5])
async def test_a_client_without_a_usable_answer_is_logged(answer: object, logged: list[LogEvent]) -> None:
    """A node whose client starts later than the node itself would not start."""
    await check({"eth_chainId": answer})
    assert [type(event) for event in logged] == [ExecutionClientAway]
