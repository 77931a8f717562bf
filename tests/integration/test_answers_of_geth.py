"""The answers of the embedded engine are those of geth, on the same chain of random transactions.

Each run has other transactions. A failure prints the seed: `ALYSD_SEED=… pytest …` makes the same ones again.
"""

from collections.abc import AsyncGenerator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio

from alysd.api.jsonrpc import INVALID_PARAMS
from alysd.types.hashes import sha256
from alysd.wire.hex import to_hex
from tests.integration.geth_pair import Pair, difference, pair_with_blocks, part_of

pytestmark = pytest.mark.component

CONFIGS: dict[str, dict[str, Any]] = {
    "calls": {"tracer": "callTracer", "tracerConfig": {"withLog": True}},
    "top call": {"tracer": "callTracer", "tracerConfig": {"onlyTopCall": True, "withLog": True}},
    "prestate": {"tracer": "prestateTracer"},
    "prestate with empty": {
        "tracer": "prestateTracer",
        "tracerConfig": {"includeEmpty": True, "disableCode": True},
    },
    "difference": {"tracer": "prestateTracer", "tracerConfig": {"diffMode": True}},
    "difference without storage": {
        "tracer": "prestateTracer",
        "tracerConfig": {"diffMode": True, "disableStorage": True, "disableCode": True},
    },
    "steps": {"enableMemory": True, "enableReturnData": True},
    "some steps": {"disableStack": True, "disableStorage": True, "limit": 500},
}


@pytest.fixture
async def pair_and_blocks(tmp_path: Path, seed: int) -> AsyncGenerator[tuple[Pair, list[str], Random]]:
    async with pair_with_blocks(tmp_path, seed) as found:
        yield found


async def test_traces_are_those_of_geth(pair_and_blocks: tuple[Pair, list[str], Random]) -> None:
    pair, blocks, random = pair_and_blocks
    for config in CONFIGS.values():
        for block in blocks:
            await pair.same("debug_traceBlockByHash", block, config)
    for number in range(len(blocks) + 2):
        await pair.same("debug_traceBlockByNumber", hex(number), CONFIGS["calls"])
    for block in blocks:
        await pair.same("debug_traceBlock", await pair.own("debug_getRawBlock", block), CONFIGS["calls"])
    await pair.same("debug_traceTransaction", "0x" + "77" * 32)
    for block in blocks:
        transactions = (await pair.own("eth_getBlockByHash", block, False))["transactions"]
        for wanted in random.sample(transactions, min(3, len(transactions))):
            await pair.same("debug_traceTransaction", wanted)
            await pair.same("debug_traceTransaction", wanted, CONFIGS["difference"])


async def test_traces_of_calls_are_those_of_geth(pair_and_blocks: tuple[Pair, list[str], Random]) -> None:
    pair, blocks, random = pair_and_blocks
    for block in blocks:
        found = await pair.own("eth_getBlockByHash", block, True)
        for index, sent in enumerate(found["transactions"][:8]):
            call = {name: sent[name] for name in ("from", "to", "value", "input", "gas") if sent[name] is not None}
            if random.randrange(2):
                call |= {"maxFeePerGas": hex(10**12), "maxPriorityFeePerGas": hex(10**9)}
            call["gas"] = hex(
                random.choice((int(sent["gas"], 16), 21_000, 60_000, random.randrange(21_000, 300_000)))
            )
            for config in CONFIGS.values():
                await pair.same("debug_traceCall", call, "latest", config)
                await pair.same("debug_traceCall", call, block, {**config, "txIndex": hex(index)})


async def test_access_lists_and_proofs_are_those_of_geth(
    pair_and_blocks: tuple[Pair, list[str], Random],
) -> None:
    pair, blocks, random = pair_and_blocks
    await pair.same("eth_config")
    slots = [hex(slot) for slot in range(5)] + [f"0x{3:064x}", "0x00ff", "4", f"{4:064x}"]
    for block in blocks:
        found = await pair.own("eth_getBlockByHash", block, True)
        for sent in found["transactions"]:
            receipt = await pair.own("eth_getTransactionReceipt", sent["hash"])
            for account in {sent["to"], receipt["contractAddress"], "0x" + "12" * 20} - {None}:
                await pair.same("eth_getProof", account, slots, "latest")
                await pair.same("eth_getProof", account, [], block)
            call = {name: sent[name] for name in ("from", "to", "value", "input", "gas") if sent[name] is not None}
            call["gas"] = hex(random.choice((int(sent["gas"], 16), 100_000, 400_000)))
            await same_access_list(pair, call, "latest")
            await same_access_list(pair, call | {"accessList": sent.get("accessList", [])}, block)


async def same_access_list(pair: Pair, call: dict[str, Any], at: str) -> None:
    """Both have the same list, or ours says that there is none, and geth searches for it without end."""
    own = await pair.own("eth_createAccessList", call, at)
    if "message" in own and "has no access list" in own["message"]:
        assert await pair.of_geth_within(2.0, "eth_createAccessList", call, at) is None
    else:
        await pair.same("eth_createAccessList", call, at)


async def test_what_is_read_is_that_of_geth(pair_and_blocks: tuple[Pair, list[str], Random]) -> None:
    pair, blocks, random = pair_and_blocks
    differing: list[str] = []

    async def same(method: str, *params: Any) -> None:
        own, theirs = await pair.own(method, *params), await pair.of_geth(method, *params)
        if own != theirs and not equal_errors(own, theirs):
            differing.append(f"{method} {params}: {difference(own, theirs)}")

    for block in blocks:
        found = await pair.own("eth_getBlockByHash", block, True)
        for full in (True, False):
            await same("eth_getBlockByHash", block, full)
        await same("eth_getBlockByNumber", found["number"], True)
        await same("eth_getHeaderByHash", block)
        await same("eth_getHeaderByNumber", found["number"])
        await same("eth_getBlockReceipts", block)
        for at in (block, found["number"]):
            for name in ("Block", "Header", "Receipts"):
                await same(f"debug_getRaw{name}", at)
        await same("eth_getLogs", {"blockHash": block})
        for index, sent in enumerate(found["transactions"]):
            await same("eth_getTransactionByHash", sent["hash"])
            await same("eth_getTransactionReceipt", sent["hash"])
            await same("eth_getRawTransactionByHash", sent["hash"])
            await same("debug_getRawTransaction", sent["hash"])
            await same("eth_getTransactionByBlockHashAndIndex", block, hex(index))
            for account in (sent["from"], sent["to"]):
                if account is not None:
                    await same("eth_getBalance", account, block)
                    await same("eth_getTransactionCount", account, "latest")
                    for slot in ("0x1", "1", "0X0", "", f"{1:064x}"):
                        await same("eth_getStorageAt", account, slot, "latest")
                    await same("eth_getCode", account, "latest")
            call = {name: sent[name] for name in ("from", "to", "value", "input") if sent[name] is not None}
            await same("eth_call", call, block)
            call["gas"] = hex(random.randrange(21_000, 300_000))
            await same("eth_call", call, "latest")
            if sent["to"] is not None:
                await same("eth_estimateGas", call, "latest")
            fees = {"maxFeePerGas": "0x77359400", "maxPriorityFeePerGas": "0x3b9aca00"}
            await same("eth_fillTransaction", {**call, **fees})
            await same("eth_fillTransaction", {**call, "gasPrice": "0x77359400", "nonce": "0x7"})
    await same("eth_feeHistory", "0x5", "latest", [10, 50, 99.5])
    await same("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest"})
    for method, params in MISTAKES:
        await same(method, *params)
    assert not differing, "\n".join(differing)


async def test_refusals_and_faults_are_those_of_geth(pair_and_blocks: tuple[Pair, list[str], Random]) -> None:
    pair, blocks, _ = pair_and_blocks
    rich = (await pair.own("eth_getTransactionByBlockHashAndIndex", blocks[0], "0x0"))["from"]
    for call in (
        {"from": ACCOUNT, "to": ACCOUNT, "value": hex(10**20)},
        {"from": rich, "to": ACCOUNT, "value": hex(10**26), "gas": "0x5208"},
        {"from": rich, "to": ACCOUNT, "maxFeePerGas": "0x1"},
        {"from": rich, "to": ACCOUNT, "maxFeePerGas": "0x1", "maxPriorityFeePerGas": "0x2"},
        {"from": rich, "to": ACCOUNT, "maxPriorityFeePerGas": "0x2"},
        {"from": rich, "to": ACCOUNT, "gasPrice": hex(10**22), "gas": "0x5208"},
        {"from": rich, "input": "0x" + "00" * 49_153},
        {"from": rich, "input": "0x" + "00" * 49_153, "gas": "0x5208"},
        {"from": ACCOUNT, "input": "0x" + "00" * 49_153, "gas": "0x5208", "value": hex(10**20)},
        *({"from": rich, "input": code, "gas": hex(gas)} for code, gas in CREATIONS),
        *({"to": "0x" + "00" * 19 + "0a", "input": to_hex(data)} for data in point_evaluations()),
        {"to": "0x" + "00" * 19 + "0a", "input": to_hex(point_evaluations()[0]), "gas": "0x5500"},
    ):
        for method in ("eth_call", "eth_estimateGas", "debug_traceCall"):
            config = ({"tracer": "callTracer"},) if method == "debug_traceCall" else ()
            await pair.same(method, call, "latest", *config)


CREATIONS = [
    ("0xfe", 100_000),
    ("0x5f5ffd", 100_000),
    ("0x60ef5f5360015ff3", 100_000),
    ("0x6103e85ff3", 100_000),
    ("0x6160015ff3", 10_000_000),
    ("0x50", 100_000),
    ("0x600056", 100_000),
    ("0x" + "5f" * 1025, 100_000),
    ("0x60016000603e3e", 100_000),
    ("0x0c", 100_000),
    ("0x5b5f56", 100_000),
    ("0x", 53_000),
    ("0x00", 53_000),
]
"""Codes of creations that fail in different ways, with their gas."""


def point_evaluations() -> list[bytes]:
    """Inputs of the precompiled contract of EIP-4844: a valid one, and one for each fault."""
    infinity, zero = bytes.fromhex("c0" + "00" * 47), bytes(32)
    field = 0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB
    points = [
        bytes.fromhex(flags + "00" * 46 + last)
        for flags, last in (("e0", "00"), ("c0", "01"), ("00", "00"), ("40", "00"), ("20", "00"), ("80", "04"))
    ]
    points += [(number | 1 << 383).to_bytes(48, "big") for number in (field, *range(8))]

    def given(commitment: bytes, z: bytes, y: bytes, proof: bytes) -> bytes:
        return b"\x01" + sha256(commitment)[1:] + z + y + commitment + proof

    valid = given(infinity, zero, zero, infinity)
    return [
        valid,
        valid[:-1],
        b"",
        b"\x02" + valid[1:],
        given(infinity, b"\xff" * 32, zero, points[0]),
        given(infinity, zero, b"\xff" * 32, points[0]),
        given(infinity, zero, b"\0" * 31 + b"\1", infinity),
        given(points[0], b"\xff" * 32, zero, points[1]),
        *(given(point, zero, zero, points[0]) for point in points),
        *(given(infinity, zero, zero, point) for point in points),
    ]


async def test_the_pending_state_is_that_of_geth(pair_and_blocks: tuple[Pair, list[str], Random]) -> None:
    pair, _, _ = pair_and_blocks
    for raw in pair.source.batch(6):
        await pair.same("eth_sendRawTransaction", to_hex(raw))
    own = await pair.own("eth_getBlockByNumber", "pending", True)
    theirs = await pair.of_geth("eth_getBlockByNumber", "pending", True)
    with trio.fail_after(30):
        while len(theirs["transactions"]) < len(own["transactions"]):
            await trio.sleep(0.2)  # geth builds the block at most every two seconds
            theirs = await pair.of_geth("eth_getBlockByNumber", "pending", True)
    for name in ("number", "parentHash", "hash", "nonce", "miner", "baseFeePerGas", "withdrawals"):
        assert own[name] == theirs[name], name
    assert {*own} - {"parentBeaconBlockRoot"} == {*theirs}
    assert [one["hash"] for one in own["transactions"]] == [one["hash"] for one in theirs["transactions"]]
    assert sorted(own["transactions"][0]) == sorted(theirs["transactions"][0])
    for sent in own["transactions"]:
        for account in {sent["from"], sent["to"]} - {None}:
            await pair.same("eth_getTransactionCount", account, "pending")
            await pair.same("eth_getBalance", account, "pending")
            await pair.same("eth_getCode", account, "pending")
    await pair.same("eth_getBlockTransactionCountByNumber", "pending")
    fees, other = [await ask("eth_feeHistory", "0x3", "pending", [10, 90]) for ask in (pair.own, pair.of_geth)]
    for name in ("oldestBlock", "reward"):
        assert fees[name] == other[name]
    assert fees["baseFeePerGas"][:3] == other["baseFeePerGas"][:3]  # geth's block has a higher limit


def equal_errors(own: Any, theirs: Any) -> bool:
    """Whether both refuse a request with one code. geth names Go's types in the texts about parameters."""
    code, other = (part_of(each, "code") if "message" in str(each) else None for each in (own, theirs))
    if code is None or code != other:
        return False
    short, long = str(own["message"]), str(theirs["message"])
    return code == INVALID_PARAMS or (short == "out of gas" and "out of gas" in long)


ACCOUNT = "0x" + "12" * 20
MISTAKES: list[tuple[str, tuple[Any, ...]]] = [
    ("eth_getBlockByNumber", ("0x01", False)),
    ("eth_getBlockByNumber", ("0x", False)),
    ("eth_getBlockByNumber", ("1", False)),
    ("eth_getBlockByNumber", ("0x1",)),
    ("eth_getBlockByNumber", ()),
    ("eth_getBlockByHash", ("0x12", False)),
    ("eth_getBalance", (ACCOUNT,)),
    ("eth_getBalance", ("0x12", "latest")),
    ("eth_getBalance", (ACCOUNT, "0x99")),
    ("eth_call", ({"to": ACCOUNT, "value": "0x01"}, "latest")),
    ("eth_call", ({"to": ACCOUNT, "gas": "0x"}, "latest")),
    ("eth_call", ({"to": ACCOUNT, "gas": "0x0"}, "latest")),
    ("eth_call", ({"to": ACCOUNT, "gas": "0x5207"}, "latest")),
    ("eth_estimateGas", ({"to": ACCOUNT, "gas": "0x5"}, "latest")),
    ("eth_estimateGas", ({"from": ACCOUNT, "to": ACCOUNT, "gasPrice": "0x77359400"}, "latest")),
    ("eth_call", ({"to": ACCOUNT, "data": "0x1"}, "latest")),
    ("eth_call", ({"to": ACCOUNT, "gasPrice": "0x1", "maxFeePerGas": "0x1"}, "latest")),
    ("eth_call", ({"data": "0x00", "input": "0x365f5260205ff3"}, "latest")),
    ("eth_estimateGas", ({"to": ACCOUNT, "data": "0x00", "input": "0x"}, "latest")),
    ("eth_fillTransaction", ({"from": ACCOUNT, "to": ACCOUNT, "data": "0x00", "input": "0x11"},)),
    ("eth_getLogs", ({"address": [ACCOUNT] * 1001},)),
    ("eth_newFilter", ({"fromBlock": "0x5", "toBlock": "0x1"},)),
    ("eth_newFilter", ({"fromBlock": "latest", "toBlock": "0x1"},)),
    ("eth_newFilter", ({"toBlock": "earliest"},)),
    ("eth_newFilter", ({"toBlock": "pending"},)),
    ("eth_getStorageAt", (ACCOUNT, "zz", "latest")),
    ("eth_getStorageAt", (ACCOUNT, "0" * 65, "latest")),
    ("debug_getRawBlock", ("0x99",)),
    ("debug_getRawHeader", ("0x99",)),
    ("debug_getRawReceipts", ("0x99",)),
    ("debug_getRawTransaction", ("0x" + "00" * 32,)),
    ("debug_traceBlock", ("zz",)),
    ("eth_getTransactionReceipt", ("0x" + "00" * 32,)),
    ("eth_getStorageAt", (ACCOUNT, "0x0", "latest", "more")),
    ("eth_nothing", ()),
    ("debug_traceTransaction", ()),
    ("eth_sendTransaction", ({"from": ACCOUNT, "to": ACCOUNT},)),
    ("eth_accounts", ()),
]
