"""debug_trace…: the parameters of geth, and its errors."""

from pathlib import Path
from typing import Any

import pytest

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


async def test_a_caller_may_ask_for_less_time_but_not_for_more(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        loop = {"tracer": "callTracer", "stateOverrides": {NOBODY: {"code": "0x5b5f56"}}, "timeout": "50ms"}
        with pytest.raises(RpcFailure, match="^-32000: execution timeout$"):
            await chain.rpc("debug_traceCall", {"to": NOBODY, "gas": hex(50_000_000)}, "latest", loop)
