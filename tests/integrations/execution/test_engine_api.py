"""How the node handles the answers of an execution client, which a script gives instead of the network."""

import json
from typing import Any

import attrs
import httpx
import pytest
import trio
from trio.testing import MockClock

from alysd.errors import ComponentError, EngineBehind, EngineUnavailable
from alysd.integrations.execution.engine_api import EngineApiClient
from alysd.testing.engine import transfer_receipts
from alysd.testing.virtual_time import VirtualClock
from alysd.timing import Timing
from alysd.types.block import ExecutionPayload, PayloadAttributes
from alysd.types.hashes import BURN_ADDRESS, BlockHash, PayloadHash
from alysd.types.verdict import Invalid, Valid
from alysd.wire.engine_json import payload_to_json
from tests.integrations.execution.scripted_engine import HANGS, IN_SLOT, URL, Acts, Refusal, Result, Server, after
from tests.wire.samples import PAYLOAD

CATCHING_UP = Timing(2).engine_catching_up
HEAD, SAFE, FINAL = (PayloadHash(bytes([mark]) * 32) for mark in (1, 2, 3))
ROOT = BlockHash(b"\x0b" * 32)
ATTRIBUTES = PayloadAttributes(HEAD, ROOT, 10, bytes(32), BURN_ADDRESS, ())
VALID = {"status": "VALID", "latestValidHash": None, "validationError": None}
SYNCING = {"status": "SYNCING", "latestValidHash": None, "validationError": None}
BUILT = {"executionPayload": payload_to_json(PAYLOAD), "blockValue": "0x0"}
BLOCK = {"hash": "0x" + PAYLOAD.block_hash.hex(), "number": "0x7"}


async def test_genesis_is_block_zero() -> None:
    """Another block's hash would make every client look like one of another chain."""
    server = Server({"eth_getBlockByNumber": BLOCK})
    assert await server.client().genesis_hash() == PAYLOAD.block_hash
    assert server.requests[0]["params"] == ["0x0", False]


@pytest.mark.parametrize(("answer", "known"), [(BLOCK, True), (None, False)])
async def test_known_is_what_the_client_finds_by_hash(answer: Result, known: bool) -> None:
    """Feeding begins where this says; wrong, the client would be fed blocks that it cannot connect."""
    server = Server({"eth_getBlockByHash": answer})
    assert await server.client().knows(PAYLOAD.block_hash) is known


async def test_lookup_that_finds_another_block_is_no_answer() -> None:
    """A broken client must not pass for one that knows the block."""
    with pytest.raises(EngineUnavailable, match="has another block"):
        await Server({"eth_getBlockByHash": BLOCK}).client().knows(HEAD)


async def test_new_payload_is_sent_with_its_beacon_root_and_no_blobs() -> None:
    """The three parameters of engine_newPayloadV3, in their order."""
    server = Server({"engine_newPayloadV3": VALID})
    assert await server.client().new_payload(PAYLOAD, ROOT) == Valid()
    assert server.requests[0]["params"] == [payload_to_json(PAYLOAD), [], "0x" + ROOT.hex()]
    assert server.requests[0]["jsonrpc"] == "2.0"


async def test_invalid_verdict_keeps_the_clients_words() -> None:
    """Without them nobody can find out what two implementations disagree on."""
    answer = {"status": "INVALID", "latestValidHash": None, "validationError": "invalid merkle root"}
    verdict = await Server({"engine_newPayloadV3": answer}).client().new_payload(PAYLOAD, ROOT)
    assert verdict == Invalid("invalid merkle root")


async def test_a_verdict_about_another_payload_is_no_answer() -> None:
    """The node would approve a block that the client has not executed."""
    for block, valid in ((PAYLOAD.block_hash, True), (HEAD, False), (b"\x11" * 5, False)):
        server = Server({"engine_newPayloadV3": {**VALID, "latestValidHash": "0x" + block.hex()}})
        if valid:
            assert await server.client().new_payload(PAYLOAD, ROOT) == Valid()
        else:
            with pytest.raises(EngineUnavailable, match="not in a form of the Engine API: latestValidHash"):
                await server.client().new_payload(PAYLOAD, ROOT)


async def test_forkchoice_names_head_safe_and_final() -> None:
    """Without attributes nothing is built."""
    server = Server({"engine_forkchoiceUpdatedV3": {"payloadStatus": VALID, "payloadId": None}})
    await server.client().set_forkchoice(HEAD, SAFE, FINAL)
    state = {"headBlockHash": HEAD, "safeBlockHash": SAFE, "finalizedBlockHash": FINAL}
    assert server.requests[0]["params"] == [{key: "0x" + hash_.hex() for key, hash_ in state.items()}, None]


UNKNOWN_BLOCK = [{"payloadStatus": SYNCING, "payloadId": None}, Refusal(-38002, "Invalid forkchoice state")]


@pytest.mark.parametrize("answer", UNKNOWN_BLOCK)
async def test_unknown_block_is_not_followed(answer: Any) -> None:
    """geth answers SYNCING where it lacks the head, an error where it lacks the final block: both lag behind."""
    with pytest.raises(EngineBehind) as behind:
        await Server({"engine_forkchoiceUpdatedV3": answer}).client().set_forkchoice(HEAD, SAFE, FINAL)
    assert behind.value.payload == HEAD


async def test_other_errors_of_the_client_are_passed_on() -> None:
    """geth refuses a reorganisation that its settings call too deep: an operator must read that in its words."""
    server = Server({"engine_forkchoiceUpdatedV3": Refusal(-38006, "Too deep reorg")})
    with pytest.raises(ComponentError, match=r"execution client refused .*: Too deep reorg"):
        await server.client().set_forkchoice(HEAD, SAFE, FINAL)


async def test_payload_is_built_on_the_head_and_taken_when_it_had_time_to_fill(autojump_clock: MockClock) -> None:
    """Taken at once, geth's payload holds no transactions."""
    server = Server(
        {
            "engine_forkchoiceUpdatedV3": {"payloadStatus": VALID, "payloadId": "0x0000000000000007"},
            "engine_getPayloadV3": BUILT,
        }
    )
    begun = trio.current_time()
    assert await server.client().build_payload(HEAD, SAFE, FINAL, ATTRIBUTES) == PAYLOAD
    assert server.methods == ["engine_forkchoiceUpdatedV3", "engine_getPayloadV3"]
    assert server.requests[0]["params"][0]["headBlockHash"] == "0x" + HEAD.hex()
    assert server.requests[0]["params"][1]["timestamp"] == "0xa"
    assert server.requests[1]["params"] == ["0x0000000000000007"]
    assert server.times[1] - begun == pytest.approx(IN_SLOT.fill)


@pytest.mark.parametrize("answer", UNKNOWN_BLOCK)
async def test_no_payload_is_built_on_an_unknown_head(answer: Any) -> None:
    """This is how the node learns that its client lost data, and begins to feed it."""
    with pytest.raises(EngineBehind) as behind:
        await Server({"engine_forkchoiceUpdatedV3": answer}).client().build_payload(HEAD, SAFE, FINAL, ATTRIBUTES)
    assert behind.value.payload == HEAD


async def test_head_that_the_client_calls_invalid_is_its_error() -> None:
    """To feed a client that has judged the head would change nothing."""
    answer = {"payloadStatus": {"status": "INVALID", "validationError": "bad state"}, "payloadId": None}
    client = Server({"engine_forkchoiceUpdatedV3": answer}).client()
    with pytest.raises(ComponentError, match=f"the head {HEAD.hex()} is invalid: bad state"):
        await client.build_payload(HEAD, SAFE, FINAL, ATTRIBUTES)
    with pytest.raises(ComponentError, match=f"the head {HEAD.hex()} is invalid: bad state"):
        await client.set_forkchoice(HEAD, SAFE, FINAL)


async def test_client_that_builds_nothing_says_so() -> None:
    """Clients may follow an old head without building on it."""
    answer = {"payloadStatus": VALID, "payloadId": None}
    with pytest.raises(ComponentError, match="builds no payload on it"):
        await Server({"engine_forkchoiceUpdatedV3": answer}).client().build_payload(HEAD, SAFE, FINAL, ATTRIBUTES)


async def test_building_is_given_up_within_its_part_of_the_slot(autojump_clock: MockClock) -> None:
    """A client that is slow in both calls must not take twice the time."""
    server = Server(
        {
            "engine_forkchoiceUpdatedV3": after(0.7, {"payloadStatus": VALID, "payloadId": "0x0000000000000007"}),
            "engine_getPayloadV3": HANGS,
        }
    )
    begun = trio.current_time()
    with pytest.raises(EngineUnavailable, match=r"no answer to engine_getPayloadV3 within 0\.15 s"):
        await server.client().build_payload(HEAD, SAFE, FINAL, ATTRIBUTES)
    assert trio.current_time() - begun == pytest.approx(IN_SLOT.build)


async def test_slow_head_leaves_time_to_fetch_the_payload(autojump_clock: MockClock) -> None:
    """With the whole pause after the slowest answer that counts, the slot would stay without a block."""
    latest = IN_SLOT.build - IN_SLOT.fill - 0.01
    head = {"payloadStatus": VALID, "payloadId": "0x0000000000000007"}
    server = Server(
        {"engine_forkchoiceUpdatedV3": after(latest, head), "engine_getPayloadV3": after(0.09, BUILT)},
    )
    begun = trio.current_time()
    assert await server.client().build_payload(HEAD, SAFE, FINAL, ATTRIBUTES) == PAYLOAD
    assert trio.current_time() - begun < IN_SLOT.build


async def test_client_that_hangs_is_unavailable_after_the_deadline(autojump_clock: MockClock) -> None:
    """The words say how long was waited; the timeout depends on whether a slot waits too."""
    client = Server({"engine_newPayloadV3": HANGS}).client()
    for view, seconds in (
        (client, IN_SLOT.new_payload),
        (client.with_deadlines(CATCHING_UP), CATCHING_UP.new_payload),
    ):
        begun = trio.current_time()
        with pytest.raises(EngineUnavailable, match=f"no answer to engine_newPayloadV3 within {seconds:g} s"):
            await view.new_payload(PAYLOAD, ROOT)
        assert trio.current_time() - begun == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (httpx.Response(500, text="oops"), "HTTP 500"),
        (httpx.Response(503), "too busy"),
        (httpx.Response(200, text="<html>"), "no JSON"),
        (
            httpx.Response(200, json={"result": {"status": 5}}),
            "not in a form of the Engine API: status: not a string",
        ),
    ],
    ids=["error", "busy", "web page", "nonsense"],
)
async def test_answer_that_is_none_is_unavailable(response: httpx.Response, words: str) -> None:
    """A wrong port, a proxy, a broken client: all of them are waited out, none of them is believed."""
    with pytest.raises(EngineUnavailable, match=words):
        await Server({"engine_newPayloadV3": response}).client().new_payload(PAYLOAD, ROOT)


def of_transfers(count: int) -> ExecutionPayload:
    """The payload with so many transactions."""
    return attrs.evolve(PAYLOAD, transactions=PAYLOAD.transactions[:1] * count, gas_used=21_000 * count)


def receipts(count: int) -> list[dict[str, Any]]:
    """Receipts of transfers."""
    common = {"blockHash": "0x" + PAYLOAD.block_hash.hex(), "logsBloom": "0x" + "00" * 256, "logs": list[Any]()}
    return [
        {
            **common,
            "type": "0x0",
            "status": "0x1",
            "transactionIndex": hex(at),
            "cumulativeGasUsed": hex(21_000 * (at + 1)),
        }
        for at in range(count)
    ]


async def test_receipts_are_those_of_the_block() -> None:
    """By hash: by number it could be another branch's block."""
    server = Server({"eth_getBlockReceipts": receipts(2)})
    assert await server.client().receipts(of_transfers(2)) == transfer_receipts(2)
    assert server.requests[0]["params"] == ["0x" + PAYLOAD.block_hash.hex()]


async def test_client_without_receipts_by_hash_is_made_to_follow_and_asked_by_number() -> None:
    """EthereumJS; without this no block with transactions could be imported beside it."""
    answers: list[Result] = [None, receipts(1)]

    async def next_answer() -> Result:
        return answers.pop(0)

    server = Server(
        {
            "eth_getBlockReceipts": Acts(next_answer),
            "eth_getBlockByHash": BLOCK,
            "engine_forkchoiceUpdatedV3": {"payloadStatus": VALID, "payloadId": None},
        }
    )
    assert await server.client().receipts(of_transfers(1)) == transfer_receipts(1)
    assert server.requests[1]["params"][0]["headBlockHash"] == "0x" + PAYLOAD.block_hash.hex()
    assert server.requests[3]["params"] == ["0x7"]


async def test_receipts_of_an_unknown_block() -> None:
    """A client that lost the block between two calls lags behind; it is not broken."""
    unknown = {"payloadStatus": SYNCING, "payloadId": None}
    server = Server(
        {"eth_getBlockReceipts": None, "eth_getBlockByHash": None, "engine_forkchoiceUpdatedV3": unknown}
    )
    with pytest.raises(EngineBehind):
        await server.client().receipts(of_transfers(1))


@pytest.mark.parametrize(
    ("most", "accepted"), [(1024 * 1024 + 4096 + 2 * 21_000, True), (1024 * 1024 + 4096 + 2 * 21_000 + 1, False)]
)
async def test_receipts_may_be_as_long_as_the_gas_pays_for(most: int, accepted: bool) -> None:
    """A client that answers with 100 MB for one transfer would hold up the node's other calls for seconds."""
    body = json.dumps({"id": 1, "result": receipts(1)})
    padded = httpx.Response(200, content=body + " " * (most - len(body)))
    client = Server({"eth_getBlockReceipts": padded}).client()
    if accepted:
        assert await client.receipts(of_transfers(1)) == transfer_receipts(1)
    else:
        with pytest.raises(EngineUnavailable, match=f"larger than {most - 1} bytes"):
            await client.receipts(of_transfers(1))


async def test_a_verdict_is_short() -> None:
    """Only a payload and receipts may be long."""
    body = json.dumps({"id": 1, "result": VALID | {"validationError": "x" * 2**20}})
    with pytest.raises(EngineUnavailable, match="larger than 1048576 bytes"):
        await (
            Server({"engine_newPayloadV3": httpx.Response(200, content=body)}).client().new_payload(PAYLOAD, ROOT)
        )


async def test_closing_ends_all_views() -> None:
    """Sockets that stay open would hold up the daemon's end."""
    client = EngineApiClient.connect(URL, bytes(32), VirtualClock(), IN_SLOT, "http://127.0.0.1:8545")
    patient = client.with_deadlines(CATCHING_UP)
    await client.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        await patient.genesis_hash()
    with pytest.raises(RuntimeError, match="closed"):
        await patient.receipts(of_transfers(1))


async def test_closing_works_in_a_cancelled_scope() -> None:
    """That is where a daemon that is told to stop closes things."""
    client = EngineApiClient.connect(URL, bytes(32), VirtualClock(), IN_SLOT)
    with trio.CancelScope() as scope:
        scope.cancel()
        await client.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        await client.genesis_hash()
