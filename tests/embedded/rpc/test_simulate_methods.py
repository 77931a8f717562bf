"""eth_simulateV1: what one request may do, and what it leaves. Another test compares the results with geth's."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from alysd.embedded.rpc.backend import RpcLimits
from tests.embedded.rpc.chain import NOBODY, RICH, RpcFailure, eth_chain

CODE = "0x" + "13" * 20
COUNTER = "0x5f54600101805f555f5260205ff3"
"""Adds one to slot 0, and returns the sum."""

BEACON_ROOTS = "0x000f3df6d732807ef1319fb7b8bb8522d0beac02"
LOGGER = "0x5f5fa0"
LOOP = "0x5b5f56"
WORD = "0x" + "{:064x}"


def blocks(*calls: dict[str, Any], **block: Any) -> dict[str, Any]:
    return {"blockStateCalls": [{"calls": list(calls), **block}]}


async def test_each_call_and_block_sees_what_those_before_did_and_the_chain_does_not(tmp_path: Path) -> None:
    count = {"from": NOBODY, "to": CODE}
    several = {
        "blockStateCalls": [
            {"calls": [count, count], "stateOverrides": {CODE: {"code": COUNTER}}},
            {"blockOverrides": {"number": "0x5"}, "calls": [count]},
        ]
    }
    async with eth_chain(tmp_path) as chain:
        found = await chain.rpc("eth_simulateV1", several)
        assert [block["number"] for block in found] == ["0x1", "0x2", "0x3", "0x4", "0x5"]
        assert [call["returnData"] for block in found for call in block["calls"]] == [
            WORD.format(1),
            WORD.format(2),
            WORD.format(3),
        ]
        assert all(one["parentHash"] == before["hash"] for before, one in pairwise(found))
        assert await chain.rpc("eth_getCode", CODE) == "0x"
        assert await chain.rpc("eth_getTransactionCount", NOBODY) == "0x0"


async def test_a_system_call_that_overflows_a_balance_changes_nothing(tmp_path: Path) -> None:
    """Its error ended the connection, as an error of this program."""
    rich, pays = "0x" + "ab" * 20, "0x5f5f5f5f600173" + "ab" * 20 + "5af100"
    accounts = {rich: {"balance": hex(2**256 - 1)}, BEACON_ROOTS: {"balance": "0x5", "code": pays}}
    read = {"from": NOBODY, "to": CODE}
    balance = {CODE: {"code": "0x73" + BEACON_ROOTS[2:] + "315f5260205ff3"}}
    async with eth_chain(tmp_path) as chain:
        (found,) = await chain.rpc("eth_simulateV1", blocks(read, stateOverrides={**accounts, **balance}))
        assert found["calls"][0]["returnData"] == WORD.format(5)


@pytest.mark.parametrize("later", [{}, {"blockOverrides": {"number": "0x3", "time": "0xff"}}])
async def test_no_block_follows_the_last_possible_time(tmp_path: Path, later: dict[str, Any]) -> None:
    last = {"blockOverrides": {"number": "0x1", "time": hex(2**64 - 1)}}
    async with eth_chain(tmp_path) as chain:
        (found,) = await chain.rpc("eth_simulateV1", {"blockStateCalls": [last]})
        assert found["timestamp"] == hex(2**64 - 1)
        with pytest.raises(RpcFailure, match=f"block timestamps must be at most {2**64 - 1}") as failure:
            await chain.rpc("eth_simulateV1", {"blockStateCalls": [last, later]})
        assert failure.value.code == -38021


async def test_a_withdrawal_that_overflows_a_balance_says_so(tmp_path: Path) -> None:
    minted = {"index": "0x0", "validatorIndex": "0x0", "address": NOBODY, "amount": "0x1"}
    full = {NOBODY: {"balance": hex(2**256 - 1)}}
    wanted = blocks(stateOverrides=full, blockOverrides={"withdrawals": [minted]})
    async with eth_chain(tmp_path) as chain:
        with pytest.raises(RpcFailure, match=r"withdrawals: a number .* a balance above 2\^256 - 1 wei"):
            await chain.rpc("eth_simulateV1", wanted)


async def test_the_code_of_a_contract_can_be_replaced_for_later_blocks(tmp_path: Path) -> None:
    """The state after a block had the hash of the contract's first code."""
    call = {"from": NOBODY, "to": CODE}
    replaced = {
        "blockStateCalls": [
            {"stateOverrides": {CODE: {"code": COUNTER}}},
            {"stateOverrides": {CODE: {"code": "0x5f5ffd"}}},
            {"calls": [call]},
        ]
    }
    async with eth_chain(tmp_path) as chain:
        found = await chain.rpc("eth_simulateV1", replaced)
        assert found[2]["calls"][0]["error"]["message"] == "execution reverted"


async def test_transfers_are_shown_as_logs_between_those_of_contracts(tmp_path: Path) -> None:
    pay = {"from": RICH.address, "to": CODE, "value": "0x5"}
    wanted = blocks(pay, {**pay, "value": "0x0"}, stateOverrides={CODE: {"code": LOGGER}})
    async with eth_chain(tmp_path) as chain:
        (block,) = await chain.rpc("eth_simulateV1", {**wanted, "traceTransfers": True})
        (first, second) = (call["logs"] for call in block["calls"])
        assert [(log["address"], log["logIndex"]) for log in (*first, *second)] == [
            ("0x" + "ee" * 20, "0x0"),
            (CODE, "0x1"),
            (CODE, "0x2"),
        ]
        assert (first[0]["data"], first[0]["topics"][2]) == (WORD.format(5), WORD.format(int(CODE, 16)))
        assert {log["blockHash"] for log in (*first, *second)} == {block["hash"]}
        (plain,) = await chain.rpc("eth_simulateV1", wanted)
        assert [len(call["logs"]) for call in plain["calls"]] == [1, 1]
        assert plain["hash"] == block["hash"]  # only real logs are in the receipts


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"blockStateCalls": [], "validate": True}, "validate is not known here"),
    (blocks(stateOverrides={"0x" + "00" * 19 + "04": {"balance": "0x1"}}), "precompiled contract"),
    (blocks(blockOverrides={"blobBaseFee": "0x5"}), "blobBaseFee .* is not supported here"),
    (blocks(blockOverrides={"withdrawals": [{}]}), "index must be a quantity, got null"),
    (blocks(blockOverrides={"withdrawals": [{}] * 17}), "at most 16 entries, got 17"),
    (blocks({"nonce": "0x01"}), "nonce"),
    ({"blockStateCalls": 5}, "blockStateCalls: must be an array"),
    ({"blockStateCalls": [{}], "validation": "yes"}, "validation: must be"),
]


@pytest.mark.parametrize(("wanted", "words"), MISTAKES)
async def test_what_is_not_understood_is_refused(tmp_path: Path, wanted: dict[str, Any], words: str) -> None:
    async with eth_chain(tmp_path) as chain:
        with pytest.raises(RpcFailure, match=words) as failure:
            await chain.rpc("eth_simulateV1", wanted)
        assert failure.value.code == -32602
        assert await chain.rpc("eth_blockNumber") == "0x0"


async def test_a_block_without_room_for_gas_is_followed_by_others(tmp_path: Path) -> None:
    """The base fee after such a block was a division by zero."""
    async with eth_chain(tmp_path) as chain:
        wanted = {"blockStateCalls": [{"blockOverrides": {"gasLimit": "0x1"}}, {}], "validation": True}
        assert len(await chain.rpc("eth_simulateV1", wanted)) == 2


async def test_all_calls_share_the_gas_of_one_request(tmp_path: Path) -> None:
    call = {"from": NOBODY, "to": CODE}
    async with eth_chain(tmp_path, RpcLimits(call_gas=100_000)) as chain:
        wanted = blocks(call, stateOverrides={CODE: {"code": LOOP}})
        (block,) = await chain.rpc("eth_simulateV1", wanted)
        error = block["calls"][0]["error"]
        assert error["message"] == "out of gas (gas limit was capped by the RPC server's global gas cap)"
        wanted["blockStateCalls"][0]["calls"].append(call)
        with pytest.raises(RpcFailure, match="intrinsic gas too low: have 0, want 21000"):
            await chain.rpc("eth_simulateV1", wanted)


async def test_a_simulation_ends_in_time_and_within_its_bytes(tmp_path: Path) -> None:
    call = {"from": NOBODY, "to": CODE}
    loop = blocks(call, stateOverrides={CODE: {"code": LOOP}})
    large = blocks(*[{**call, "gas": hex(10**6)}] * 3, stateOverrides={CODE: {"code": "0x6108005ff3"}})
    async with eth_chain(tmp_path, RpcLimits(call_seconds=0.05, trace_bytes=5_000)) as chain:
        with pytest.raises(RpcFailure, match=r"execution aborted \(timeout = 0.05s\)") as failure:
            await chain.rpc("eth_simulateV1", loop)
        assert failure.value.code == -32016
    async with eth_chain(tmp_path / "other", RpcLimits(trace_bytes=5_000)) as chain:
        with pytest.raises(RpcFailure, match="return more than 5000 bytes: simulate fewer"):
            await chain.rpc("eth_simulateV1", large)


@pytest.mark.parametrize("receives", ["the recipient", "the fee recipient"])
async def test_a_balance_beyond_a_word_is_refused(tmp_path: Path, receives: str) -> None:
    """Such overrides were an internal error."""
    changes = {CODE: {"balance": hex(2**256 - 1)}}
    pay = {"from": RICH.address, "to": CODE if receives == "the recipient" else NOBODY, "value": "0x1"}
    block = {"stateOverrides": changes, "blockOverrides": {"feeRecipient": CODE}}
    async with eth_chain(tmp_path) as chain:
        with pytest.raises(RpcFailure, match="-32000: a balance exceeds"):
            await chain.rpc("eth_simulateV1", blocks({**pay, "gasPrice": "0x1"}, **block))
        if receives == "the recipient":
            for method in ("eth_call", "eth_estimateGas"):
                with pytest.raises(RpcFailure, match="-32000: a balance exceeds"):
                    await chain.rpc(method, pay, "latest", changes)
            with pytest.raises(RpcFailure, match="-32000: a balance exceeds"):
                await chain.rpc("debug_traceCall", pay, "latest", {"stateOverrides": changes})
