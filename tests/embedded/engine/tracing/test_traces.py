"""Traces: what a transaction did, made again from the state before its block, within bounds."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alysd.embedded.engine.calls import CallSource
from alysd.embedded.engine.overrides import NO_OVERRIDES, AccountOverride, BlockOverride, Overrides
from alysd.embedded.engine.reader import StatePruned
from alysd.embedded.engine.tracing.call_tracer import CallTracer
from alysd.embedded.engine.tracing.prestate_tracer import PrestateOptions, PrestateTracer
from alysd.embedded.engine.tracing.struct_logger import LoggerOptions, StructLogger
from alysd.embedded.engine.tracing.tracer import Room
from alysd.embedded.engine.tracing.traces import EvmTraces, NewTracer, TraceLimits, TraceRefused
from alysd.embedded.engine.values import CallRequest, ExecutionBlock
from tests.embedded.engine.kit import (
    COUNTER,
    LOOP,
    LOOP_CODE,
    OTHER,
    REVERTER,
    RICH,
    SPLITTER,
    THIRD,
    Sandbox,
    genesis,
    transfer,
)

LIMITS = TraceLimits(60.0, 2**24)


def calls(room: Room) -> CallTracer:
    return CallTracer(room, logs=True)


def steps(room: Room) -> StructLogger:
    return StructLogger(room, LoggerOptions())


def memory(room: Room) -> StructLogger:
    return StructLogger(room, LoggerOptions(memory=True, stack=False))


def difference(room: Room) -> PrestateTracer:
    return PrestateTracer(room, PrestateOptions(diff=True))


@pytest.fixture
def traces(sandbox: Sandbox) -> EvmTraces:
    return EvmTraces(CallSource(sandbox.chain.store, sandbox.chain.reader, sandbox.chain.chain_id))


def made(sandbox: Sandbox, *raw: bytes) -> ExecutionBlock:
    block = sandbox.chain.reader.block(sandbox.make(*raw).block_hash)
    assert block is not None
    return block


def counted(*nonces: int, signer: Any = RICH) -> list[bytes]:
    return [transfer(signer, nonce, to=COUNTER, gas=100_000, value=0) for nonce in nonces]


def trace_call(
    sandbox: Sandbox,
    traces: EvmTraces,
    request: CallRequest,
    new: NewTracer = calls,
    overrides: Overrides = NO_OVERRIDES,
    **others: Any,
) -> Any:
    options: dict[str, Any] = {"gas": 1_000_000, "limits": LIMITS, **others}
    return json.loads(traces.call(sandbox.head, request, overrides, new, **options))


def code_at(address: bytes, *parts: str) -> Overrides:
    return Overrides({address: AccountOverride(code=bytes.fromhex("".join(parts)))})  # type: ignore[dict-item]


def test_a_transaction_sees_those_before_it_in_its_block(sandbox: Sandbox, traces: EvmTraces) -> None:
    made(sandbox, *counted(0))
    block = made(sandbox, *counted(1, 2), *counted(0, signer=OTHER))
    word = [f"0x{value:064x}" for value in range(8)]
    for index, value in enumerate((1, 2, 3)):
        trace = json.loads(traces.transaction(block, index, steps, LIMITS))
        loaded = [line["storage"] for line in trace["structLogs"] if line["op"] == "SLOAD"]
        assert loaded == [{word[0]: word[value]}]
        change = json.loads(traces.transaction(block, index, difference, LIMITS))
        assert change["post"]["0x" + COUNTER.hex()]["storage"] == {word[0]: word[value + 1]}
        log = json.loads(traces.transaction(block, index, calls, LIMITS))["logs"][0]
        assert log["index"] == hex(index)


def test_the_traces_of_a_block_are_those_of_its_transactions(sandbox: Sandbox, traces: EvmTraces) -> None:
    reverting = transfer(THIRD, 0, to=REVERTER, gas=100_000, value=0)
    block = made(sandbox, *counted(0, 1), reverting)
    receipts = sandbox.chain.reader.receipts(block.header.hash)
    assert receipts is not None
    for new in (calls, steps, difference):
        found = traces.block(block, new, LIMITS)
        assert [digest for digest, _ in found] == [signed.hash for signed in block.transactions]
        for index, (_, trace) in enumerate(found):
            assert trace == traces.transaction(block, index, new, LIMITS)
    used = [int(json.loads(trace)["gasUsed"], 16) for _, trace in traces.block(block, calls, LIMITS)]
    assert used == [receipt.gas_used for receipt in receipts]
    assert sandbox.chain.reader.head() == block.header, "nothing is left behind"


def test_a_revert_and_a_creation_are_shown(sandbox: Sandbox, traces: EvmTraces) -> None:
    failed = trace_call(sandbox, traces, CallRequest(to=REVERTER))
    assert failed["error"] == "execution reverted"
    assert failed["output"].endswith("2a")
    made_contract = trace_call(sandbox, traces, CallRequest(data=bytes.fromhex("60015ff3")))
    assert (made_contract["type"], made_contract["output"]) == ("CREATE", "0x00")
    refused = trace_call(sandbox, traces, CallRequest(data=bytes.fromhex("60ef5f5360015ff3")))
    assert refused["error"] == "invalid code: must not begin with 0xef"
    assert "to" not in refused
    large = trace_call(sandbox, traces, CallRequest(data=bytes.fromhex("6160015ff3")), gas=6_000_000)
    assert large["error"] == "max code size exceeded: code size 24577 limit 24576"
    poor = trace_call(sandbox, traces, CallRequest(data=bytes.fromhex("6160005ff3")), gas=100_000)
    assert poor["error"] == "contract creation code storage out of gas"


PAYS = "5f5f5f5f6001305af1"
"""CALL of itself with 1 wei."""

CREATES = "5f5f6001f0"
"""CREATE with 1 wei and no code."""


@pytest.mark.parametrize(("code", "kind"), [(PAYS, "CALL"), (CREATES, "CREATE")])
def test_a_message_that_never_begins_is_shown(sandbox: Sandbox, traces: EvmTraces, code: str, kind: str) -> None:
    target = b"\x99" * 20
    found = trace_call(sandbox, traces, CallRequest(to=target), overrides=code_at(target, code))  # type: ignore[arg-type]
    (inner,) = found["calls"]
    assert (inner["type"], inner["error"]) == (kind, "insufficient balance for transfer")
    assert inner["gasUsed"] == "0x0"
    assert "error" not in found


def test_a_store_that_a_static_call_refuses_shows_no_refund(sandbox: Sandbox, traces: EvmTraces) -> None:
    """It would clear a slot; geth refuses it before it counts the refund."""
    caller, clearing = bytes(19) + b"\x77", bytes(19) + b"\x78"
    static_call = "5f5f5f5f73" + clearing.hex() + "620186a0fa"
    overrides = Overrides(
        {
            caller: AccountOverride(code=bytes.fromhex(static_call)),  # type: ignore[dict-item]
            clearing: AccountOverride(code=bytes.fromhex("5f5f55"), slots={bytes(32): 1}),  # type: ignore[dict-item]
        }
    )
    found = trace_call(sandbox, traces, CallRequest(to=caller), steps, overrides)  # type: ignore[arg-type]
    refused = next(line for line in found["structLogs"] if line["op"] == "SSTORE")
    assert ("write protection" in refused["error"], refused.get("refund")) == (True, None)


def test_a_contract_that_calls_itself_ends_deep_down(sandbox: Sandbox, traces: EvmTraces) -> None:
    """Hundreds of frames, each of several functions of Python, do not exceed its limit, nor does their JSON."""
    target = b"\x99" * 20
    request = CallRequest(to=target)  # type: ignore[arg-type]
    overrides = code_at(target, "5f5f5f5f5f305af1")
    found = traces.call(sandbox.head, request, overrides, calls, gas=2**40, limits=LIMITS)
    # `json.loads` refuses so deep a value from Python 3.12 on.
    outer, *inner = found.split(b',"calls":[')
    assert len(inner) == 1025, "the last one is refused"
    assert outer.startswith(b'{"from":')
    last, *ends = inner[-1].split(b"]")
    assert last.endswith(b"}")
    assert json.loads(last)["error"] == "max call depth exceeded"
    assert len(ends) == 1025
    assert all(b',"type":"CALL"}' in end for end in ends)


def test_a_call_is_traced_before_a_transaction_of_its_block(sandbox: Sandbox, traces: EvmTraces) -> None:
    made(sandbox, *counted(0, 1, 2))
    request = CallRequest(sender=OTHER.address, to=COUNTER)
    for index in (0, 1, 2, None):
        change = trace_call(sandbox, traces, request, difference, index=index)
        slots = change["post"]["0x" + COUNTER.hex()]["storage"]
        assert list(slots.values()) == [f"0x{(3 if index is None else index) + 1:064x}"]
    with pytest.raises(TraceRefused, match="transaction index 3 out of range"):
        trace_call(sandbox, traces, request, index=3)


def test_a_call_pays_what_its_transaction_would(sandbox: Sandbox, traces: EvmTraces) -> None:
    request = CallRequest(sender=RICH.address, to=COUNTER, max_fee=10**10, max_priority_fee=10**9, value=5)
    change = trace_call(sandbox, traces, request, difference)
    trace = trace_call(sandbox, traces, request)
    sender = "0x" + RICH.address.hex()
    spent = int(change["pre"][sender]["balance"], 16) - int(change["post"][sender]["balance"], 16)
    assert spent == int(trace["gasUsed"], 16) * (sandbox.head.base_fee + 10**9) + 5
    assert change["post"][sender]["nonce"] == 1


def test_a_call_in_the_next_block_knows_this_one(sandbox: Sandbox, traces: EvmTraces) -> None:
    made(sandbox)
    target = b"\x99" * 20
    block = BlockOverride(number=sandbox.head.number + 1)
    code = code_at(target, "60014303405f5260205ff3")
    found = trace_call(
        sandbox,
        traces,
        CallRequest(to=target),  # type: ignore[arg-type]
        overrides=Overrides(code.accounts, block),
    )
    assert found["output"] == "0x" + sandbox.head.hash.hex()


def refused(trace: Callable[[], object], words: str) -> None:
    with pytest.raises(TraceRefused, match=words):
        trace()


def test_a_trace_ends_in_time(sandbox: Sandbox, traces: EvmTraces) -> None:
    request = CallRequest(to=LOOP)
    for new in (calls, steps, difference):
        refused(
            lambda new=new: trace_call(sandbox, traces, request, new, gas=2**40, limits=TraceLimits(0.2, 2**40)),
            "^execution timeout$",
        )


@pytest.mark.parametrize(
    ("new", "code"),
    [
        (steps, LOOP_CODE[2:]),
        (memory, "5f620f0000535b600456"),
        (calls, "5b5f5f620fffff5f5f60045af15f56"),
        (calls, "5b61ffff5fa05f56"),
        (difference, "5b5a545f56"),
    ],
    ids=["steps", "memory", "input of calls", "logs", "slots"],
)
def test_a_trace_is_not_larger_than_its_room(
    sandbox: Sandbox, traces: EvmTraces, new: NewTracer, code: str
) -> None:
    target = b"\x99" * 20
    refused(
        lambda: trace_call(
            sandbox,
            traces,
            CallRequest(to=target),  # type: ignore[arg-type]
            new,
            code_at(target, code),
            gas=2**40,
            limits=TraceLimits(60.0, 200_000),
        ),
        "has more than 200000 bytes: trace less",
    )


def test_lines_above_the_limit_are_left_out(sandbox: Sandbox, traces: EvmTraces) -> None:
    def few(room: Room) -> StructLogger:
        return StructLogger(room, LoggerOptions(limit=1_000))

    whole = trace_call(sandbox, traces, CallRequest(to=COUNTER), steps)["structLogs"]
    some = trace_call(sandbox, traces, CallRequest(to=COUNTER), few)["structLogs"]
    assert 0 < len(some) < len(whole)
    assert some == whole[: len(some)]


def test_the_genesis_and_pruned_states_are_refused(tmp_path: Path) -> None:
    sandbox = Sandbox.open(tmp_path / "chain", genesis(), kept_states=0)
    try:
        traces = EvmTraces(CallSource(sandbox.chain.store, sandbox.chain.reader, sandbox.chain.chain_id))
        first = sandbox.chain.reader.block(sandbox.head.hash)
        assert first is not None
        refused(lambda: traces.block(first, calls, LIMITS), "^genesis is not traceable$")
        block = made(sandbox, *counted(0))
        payload = sandbox.make()
        sandbox.follow(payload.block_hash, finalized=payload.block_hash)
        with pytest.raises(StatePruned):
            traces.transaction(block, 0, calls, LIMITS)
    finally:
        sandbox.chain.close()


def test_a_call_that_cannot_be_paid_is_refused(sandbox: Sandbox, traces: EvmTraces) -> None:
    poor = CallRequest(to=SPLITTER, value=10**30)
    refused(lambda: trace_call(sandbox, traces, poor), "^tracing failed: insufficient funds for gas")
    refused(
        lambda: trace_call(sandbox, traces, CallRequest(to=SPLITTER), gas=5),
        "^tracing failed: intrinsic gas too low: have 5, want 21000$",
    )
