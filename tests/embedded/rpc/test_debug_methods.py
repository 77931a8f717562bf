"""debug_trace…: the parameters of geth, and its errors."""

from pathlib import Path
from typing import Any

import attrs
import pytest

from alysd.embedded.engine.block_rlp import encode_block
from alysd.types.hashes import PayloadHash
from alysd.types.units import Wei
from alysd.wire.execution_header import encode_header
from alysd.wire.keccak import keccak256
from alysd.wire.rlp import decode, encode
from tests.embedded.engine.kit import RICH as RICH_SIGNER
from tests.embedded.engine.kit import read, transfer
from tests.embedded.rpc.chain import NOBODY, RICH, RpcFailure, box, eth_chain, selector

SET = selector("set(uint256,string)") + f"{9:064x}{64:064x}{0:064x}"
"""Sets the number of a box to 9, and emits an event."""

CALL_TRACER = {"tracer": "callTracer"}


async def test_what_a_transaction_did_is_shown(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        to = await box(chain)
        sent = await chain.send(nonce=1, to=to, data=SET, gas=100_000, value=0)
        block = "0x" + (await chain.mine()).hex()
        trace = await chain.rpc("debug_traceTransaction", sent, {**CALL_TRACER, "tracerConfig": {"withLog": True}})
        receipt = await chain.rpc("eth_getTransactionReceipt", sent)
        assert trace["gasUsed"] == receipt["gasUsed"]
        assert [log["topics"] for log in trace["logs"]] == [log["topics"] for log in receipt["logs"]]
        steps = await chain.rpc("debug_traceTransaction", sent)
        assert steps["failed"] is False
        assert steps["structLogs"][0]["op"] == "PUSH1"
        assert steps == await chain.rpc("debug_traceTransaction", sent, None)
        for at in (block, "latest"):
            name = "Hash" if at == block else "Number"
            (found,) = await chain.rpc(f"debug_traceBlockBy{name}", at, CALL_TRACER)
            assert found["txHash"] == sent
            assert found["result"]["to"] == to


async def test_a_call_is_traced_with_overrides(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        code = {NOBODY: {"code": "0x435f5260205ff3"}}
        options = {**CALL_TRACER, "stateOverrides": code, "blockOverrides": {"number": "0x64"}}
        trace = await chain.rpc("debug_traceCall", {"to": NOBODY}, "latest", options)
        assert int(trace["output"], 16) == 100
        change = {"tracer": "prestateTracer", "tracerConfig": {"diffMode": True}, "timeout": "1m500ms"}
        paid = {"from": RICH.address, "to": NOBODY, "value": "0x5"}
        trace = await chain.rpc("debug_traceCall", paid, "latest", change)
        assert trace["post"][NOBODY] == {"balance": "0x5"}


ONLY = "name callTracer or prestateTracer, or no tracer"

WRONG: list[tuple[str, tuple[Any, ...], str]] = [
    ("debug_traceTransaction", ("0x" + "77" * 32,), "-32000: transaction not found"),
    ("debug_traceTransaction", (), "-32602: missing value for required argument 0"),
    ("debug_traceBlockByNumber", ("0x0",), "-32000: genesis is not traceable"),
    ("debug_traceBlockByNumber", ("0x99",), "-32000: block #153 not found"),
    ("debug_traceBlockByNumber", ("pending",), "-32000: pending block is not available"),
    ("debug_traceBlockByHash", ("0x" + "77" * 32,), f"-32000: block 0x{'77' * 32} not found"),
    ("debug_traceCall", ({}, "pending"), "-32000: tracing on top of pending is not supported"),
    ("debug_traceCall", ({"chainId": "0x5"},), "-32000: chainId does not match node's (have=5, want=7)"),
    ("debug_traceCall", ({"gas": "0x5"},), "-32000: tracing failed: intrinsic gas too low: have 5, want 53000"),
    (
        "debug_traceCall",
        ({}, "latest", {"tracer": "4byteTracer"}),
        "-32602: params[2]: tracer: '4byteTracer' is not supported here: " + ONLY,
    ),
    (
        "debug_traceCall",
        ({}, "latest", {"timeout": "5 s"}),
        "-32602: params[2]: timeout: must be a duration such as 500ms or 10s, got '5 s'",
    ),
    (
        "debug_traceCall",
        ({}, "latest", {"limit": -1}),
        "-32602: params[2]: limit: must be a whole number of bytes, got a number",
    ),
    (
        "debug_traceCall",
        ({}, "latest", {"tracer": "prestateTracer", "tracerConfig": {"diffMode": True, "includeEmpty": True}}),
        "-32602: params[2]: tracerConfig: cannot use diffMode with includeEmpty",
    ),
]


@pytest.mark.parametrize(("method", "params", "words"), WRONG)
async def test_what_cannot_be_traced_is_refused(
    tmp_path: Path, method: str, params: tuple[Any, ...], words: str
) -> None:
    async with eth_chain(tmp_path) as chain:
        with pytest.raises(RpcFailure) as caught:
            await chain.rpc(method, *params)
        assert str(caught.value) == words


async def test_an_encoded_block_is_traced_as_the_stored_one(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        to = await box(chain)
        await chain.send(nonce=1, to=to, data=SET, gas=100_000, value=0)
        block = "0x" + (await chain.mine()).hex()
        raw = await chain.rpc("debug_getRawBlock", block)
        assert raw == await chain.rpc("debug_getRawBlock", "latest")
        assert keccak256(bytes.fromhex((await chain.rpc("debug_getRawHeader", block))[2:])).hex() == block[2:]
        expected = await chain.rpc("debug_traceBlockByHash", block, CALL_TRACER)
        assert await chain.rpc("debug_traceBlock", raw, CALL_TRACER) == expected


async def test_a_block_that_could_not_follow_its_parent_is_not_executed(tmp_path: Path) -> None:
    """The price of blob gas at the largest excess would take hours, and nothing would interrupt it."""
    async with eth_chain(tmp_path) as chain:
        await chain.mine()
        reader = chain.engine.reader
        head = reader.head()
        block = reader.block(head.hash)
        assert block is not None

        async def refusal(transactions: int = 0, **fields: Any) -> str:
            signed = read(transfer(RICH_SIGNER, 0))
            header = attrs.evolve(head, **fields)
            encoded = encode_block(attrs.evolve(block, header=header, transactions=(signed,) * transactions))
            with pytest.raises(RpcFailure) as caught:
                await chain.rpc("debug_traceBlock", "0x" + encoded.hex())
            return str(caught.value)

        assert "excess blob gas is 18446744073709551615" in await refusal(excess_blob_gas=2**64 - 1)
        assert "base fee is" in await refusal(base_fee=Wei(2**256 - 1))
        assert "block number is 5, expected 1" in await refusal(number=5)
        assert await refusal(parent_hash=PayloadHash(b"\7" * 32)) == f"-32000: parent 0x{'07' * 32} not found"
        assert await refusal(number=0) == "-32000: genesis is not traceable"
        assert "1429 transactions need more than the gas limit 30000000" in await refusal(transactions=1429)
        for malformed in ("0x", "0xc0", "0x01", "0xc4c0c0c0c0"):
            with pytest.raises(RpcFailure, match="-32000: could not decode block: rlp"):
                await chain.rpc("debug_traceBlock", malformed)
        ommers = encode([decode(encode_header(head)), [], [b""], []])
        with pytest.raises(RpcFailure, match="a block has no ommers since the merge"):
            await chain.rpc("debug_traceBlock", "0x" + ommers.hex())


async def test_what_is_not_there_has_no_encoding(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        unknown = "0x" + "77" * 32
        for method, nothing in (("Block", "0x"), ("Header", "0x"), ("Receipts", None)):
            assert await chain.rpc(f"debug_getRaw{method}", "0x99") == nothing
            with pytest.raises(RpcFailure, match=f"^-32000: block {unknown} not found"):
                await chain.rpc(f"debug_getRaw{method}", unknown)
            with pytest.raises(RpcFailure, match="^-32000: pending block is not available"):
                await chain.rpc(f"debug_getRaw{method}", "pending")
        assert await chain.rpc("debug_getRawReceipts", "earliest") == []
        assert await chain.rpc("debug_getRawTransaction", unknown) == "0x"


async def test_a_caller_may_ask_for_less_time_but_not_for_more(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        loop = {"tracer": "callTracer", "stateOverrides": {NOBODY: {"code": "0x5b5f56"}}, "timeout": "50ms"}
        with pytest.raises(RpcFailure, match="^-32000: execution timeout$"):
            await chain.rpc("debug_traceCall", {"to": NOBODY, "gas": hex(50_000_000)}, "latest", loop)
