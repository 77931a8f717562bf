"""The client of an Alys node: speaks as a pool's program does, and tells apart what can be waited out."""

from typing import Any

import pytest

from alysd.errors import ComponentError, NodeUnavailable, NotNow
from alysd.integrations.alys_node import AlysNodeRpc
from alysd.testing.blocks import MINER, mine
from alysd.testing.http_server import Reply, refusal, result, serving
from alysd.types.hashes import AuxHash
from alysd.wire.auxpow import decode_auxpow
from tests.wire.samples import OFFER_JSON, WORK, candidate


def fixed(reply: Reply) -> Any:
    async def answer(_request: dict[str, Any]) -> Reply:
        return reply

    return serving(answer)


async def test_work_is_asked_for_an_address_or_for_the_nodes_own_miner() -> None:
    async with fixed(result(OFFER_JSON)) as server, AlysNodeRpc(server.url) as node:
        assert (await node.create_work(MINER)).height == OFFER_JSON["height"]
        await node.create_work(None)
        asked = [(request["method"], request["params"]) for request in server.requests]
    assert asked == [("createauxblock", ["0x" + "11" * 20]), ("getauxblock", [])]


async def test_what_can_be_waited_out_is_told_from_what_cannot() -> None:
    """The miner would give up on a node that syncs, or try for ever what is wrong."""
    async with fixed(refusal(-32606, "nothing waits", 200)) as server, AlysNodeRpc(server.url) as node:
        with pytest.raises(NotNow, match="nothing waits"):
            await node.create_work(MINER)
    async with (
        fixed(refusal(-32602, "params[0]: 20 bytes", 200)) as server,
        AlysNodeRpc(server.url) as node,
    ):
        with pytest.raises(ComponentError, match="20 bytes"):
            await node.create_work(MINER)


async def test_a_node_whose_parts_restart_is_one_that_is_away() -> None:
    """A proof would be given up for refused, when a second later the node would take it."""
    async with fixed(refusal(-32603, "auxpow is down", 200)) as server, AlysNodeRpc(server.url) as node:
        with pytest.raises(NodeUnavailable, match="auxpow is down"):
            await node.submit_work(WORK, candidate(0).auxpow(1))
    async with fixed(refusal(-32606, "syncing", 200)) as server, AlysNodeRpc(server.url) as node:
        with pytest.raises(NotNow, match="syncing"):
            await node.submit_work(WORK, candidate(0).auxpow(1))


async def test_an_offer_that_makes_no_sense_counts_as_no_answer() -> None:
    async with fixed(result({"hash": "00"})) as server, AlysNodeRpc(server.url) as node:
        with pytest.raises(NodeUnavailable, match="nonsense: hash"):
            await node.create_work(MINER)


async def test_a_proof_is_handed_in_with_the_hash_as_displayed() -> None:
    proof = candidate(transactions=3).auxpow(nonce=1)
    async with fixed(result(True)) as server, AlysNodeRpc(server.url) as node:
        await node.submit_work(WORK, proof)
        method, (shown, encoded) = server.requests[-1]["method"], server.requests[-1]["params"]
    assert method == "submitauxblock"
    assert bytes.fromhex(shown)[::-1] == WORK
    assert decode_auxpow(bytes.fromhex(encoded)) == proof


async def test_a_refused_proof_says_why() -> None:
    async with fixed(refusal(-32605, "no commitment", 200)) as server, AlysNodeRpc(server.url) as node:
        with pytest.raises(ComponentError, match="no commitment"):
            await node.submit_work(AuxHash(bytes(32)), mine(AuxHash(bytes(32)), 2**255))
