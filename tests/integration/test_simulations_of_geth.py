"""eth_simulateV1 of the embedded engine has the results of geth, for random blocks of calls and for mistakes.

Each run has other blocks. A failure prints the seed: `ALYSD_SEED=… pytest …` makes the same ones again.
"""

from collections.abc import AsyncGenerator
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest

from alysd.wire.hex import to_hex
from tests.integration.geth_pair import Pair, difference, pair_with_blocks
from tests.integration.random_code import RandomCode
from tests.integration.random_transactions import address_of
from tests.integration.rival_clients import SENDERS
from tests.thorough import cases

pytestmark = pytest.mark.component

CASES = cases(20, 100)
MAX_BLOCKS, MAX_BLOCK_CALLS = 256, 5_000
RICH, POOR, CODE = to_hex(address_of(0)), "0x" + "12" * 20, "0x" + "13" * 20
LOOP = {CODE: {"code": "0x5b5f56"}}


@pytest.fixture
async def pair_and_random(tmp_path: Path, seed: int) -> AsyncGenerator[tuple[Pair, Random]]:
    async with pair_with_blocks(tmp_path, seed) as (pair, _, random):
        yield pair, random


class RandomSimulations:
    """Makes the parameters of eth_simulateV1."""

    def __init__(self, random: Random, contracts: list[bytes]) -> None:
        self._random = random
        self._somewhere = [*(address_of(sender) for sender in range(SENDERS)), *contracts, b"\x13" * 20]
        self._code = RandomCode(random, self._somewhere)

    def one(self) -> dict[str, Any]:
        return {
            "blockStateCalls": [self._block() for _ in range(self._random.randrange(1, 4))],
            "traceTransfers": self._random.random() < 0.5,
            "validation": self._random.random() < 0.3,
            "returnFullTransactions": self._random.random() < 0.5,
        }

    def _block(self) -> dict[str, Any]:
        block: dict[str, Any] = {"calls": [self._call() for _ in range(self._random.randrange(4))]}
        if self._random.random() < 0.5:
            block["stateOverrides"] = {
                to_hex(self._random.choice(self._somewhere)): self._account()
                for _ in range(self._random.randrange(3))
            }
        changes: dict[str, Any] = {
            "gasLimit": hex(self._random.randrange(10**5, 6 * 10**7)),
            "feeRecipient": to_hex(self._code.address()),
            "prevRandao": to_hex(self._random.randbytes(32)),
            "baseFeePerGas": hex(self._random.randrange(10**10)),
            "beaconRoot": to_hex(self._random.randbytes(32)),
            "withdrawals": [
                {"index": "0x1", "validatorIndex": "0x2", "address": to_hex(self._code.address()), "amount": "0x7"}
            ],
        }
        block["blockOverrides"] = {name: value for name, value in changes.items() if self._random.random() < 0.15}
        return block

    def _account(self) -> dict[str, Any]:
        slots = {to_hex(slot.to_bytes(32, "big")): to_hex(self._random.randbytes(32)) for slot in range(3)}
        changes: dict[str, Any] = {
            "balance": hex(self._random.choice((0, 10**24))),
            "nonce": hex(self._random.randrange(1, 9)),
            "code": to_hex(self._code.runtime()),
            self._random.choice(("state", "stateDiff")): slots,
        }
        return {name: value for name, value in changes.items() if self._random.random() < 0.5}

    def _call(self) -> dict[str, Any]:
        call: dict[str, Any] = {
            "from": to_hex(address_of(self._random.randrange(SENDERS))),
            "gas": hex(self._random.randrange(60_000, 400_000)),
        }
        if self._random.random() < 0.25:
            call["input"] = to_hex(self._code.init_code())
            call["gas"] = "0xc3500"
        else:
            call["to"] = to_hex(self._random.choice((self._code.address(), *self._somewhere)))
            call["input"] = to_hex(self._random.randbytes(self._random.randrange(60)))
        if self._random.random() < 0.5:
            call["value"] = hex(self._random.randrange(10**12))
        if self._random.random() < 0.8:
            call |= {"maxFeePerGas": hex(10**12), "maxPriorityFeePerGas": hex(self._random.randrange(10**9))}
        return call


def number_logs(blocks: Any) -> None:
    """Number the logs of each block anew: geth 1.17 also counts those of messages that have failed."""
    for block in cast("list[Any]", blocks) if isinstance(blocks, list) else []:
        logs = [log for call in block["calls"] for log in call["logs"]]
        for index, log in enumerate(logs):
            log["logIndex"] = hex(index)


async def _contracts(pair: Pair) -> list[bytes]:
    """The contracts of the chain."""
    found: list[bytes] = []
    for number in range(1, 7):
        receipts = await pair.own("eth_getBlockReceipts", hex(number))
        found += [bytes.fromhex(one["contractAddress"][2:]) for one in receipts if one["contractAddress"]]
    return found


async def test_random_simulations_have_the_results_of_geth(pair_and_random: tuple[Pair, Random]) -> None:
    pair, random = pair_and_random
    source = RandomSimulations(random, await _contracts(pair))
    results, differing = 0, list[str]()
    for _ in range(CASES):
        wanted, at = source.one(), random.choice(("latest", hex(random.randrange(1, 7))))
        own, theirs = (
            await pair.own("eth_simulateV1", wanted, at),
            await pair.of_geth("eth_simulateV1", wanted, at),
        )
        results += isinstance(own, list)
        number_logs(theirs)
        if own != theirs:
            differing.append(f"{difference(own, theirs)} of {wanted} at {at}")
    assert not differing, "\n\n".join(differing)
    assert results > CASES // 3  # otherwise the test compares little more than refusals


def _blocks(*calls: dict[str, Any], **block: Any) -> dict[str, Any]:
    return {"blockStateCalls": [{"calls": list(calls), **block}]}


_PAID = {"from": RICH, "to": POOR, "maxFeePerGas": hex(10**12)}
_WIDE = {"gasLimit": hex(10**9)}
ONES: list[dict[str, Any]] = [
    {},
    {"blockStateCalls": []},
    {"blockStateCalls": [{}] * (MAX_BLOCKS + 1)},
    _blocks(blockOverrides={"number": "0x400"}),
    _blocks(blockOverrides={"number": "0x0"}),
    _blocks(blockOverrides={"time": "0x0"}),
    {"blockStateCalls": [{"blockOverrides": {"number": "0x50"}}, {"blockOverrides": {"number": "0x50"}}]},
    {"blockStateCalls": [{"blockOverrides": {"time": hex(10**9)}}, {"blockOverrides": {"time": hex(10**9)}}]},
    {"blockStateCalls": [{}, {"blockOverrides": {"number": "0x20"}}, {}]},
    _blocks({"from": POOR, "to": RICH, "value": "0x1"}),
    _blocks({**_PAID, "from": POOR}),
    _blocks({**_PAID, "gas": "0x5207"}),
    _blocks({**_PAID, "gas": hex(10**9)}),
    _blocks({**_PAID, "gas": "0x5208"}, {**_PAID, "gas": "0x5209"}, blockOverrides={"gasLimit": hex(42_000)}),
    _blocks({**_PAID, "maxPriorityFeePerGas": hex(10**13)}),
    _blocks({**_PAID, "maxFeePerGas": "0x1"}, blockOverrides={"baseFeePerGas": "0x5"}),
    _blocks({"from": RICH, "input": "0x" + "00" * 49_153}),
    _blocks(*[_PAID] * (MAX_BLOCK_CALLS + 1)),
    {"blockStateCalls": [{"calls": [_PAID] * 4_000}] * 3},
    _blocks({"from": POOR, "to": CODE}, stateOverrides={CODE: {"code": "0xfe"}}),
    _blocks({"from": POOR, "to": CODE}, stateOverrides={CODE: {"code": "0x5ffd"}}),
    _blocks({"from": POOR, "to": CODE}, stateOverrides={CODE: {"code": "0x485f5260205ff3"}}),
    _blocks({"from": POOR, "to": CODE, "gas": hex(10**5)}, stateOverrides=LOOP),
    _blocks({"from": POOR, "to": CODE, "gas": hex(10**5)}, stateOverrides=LOOP, blockOverrides=_WIDE),
    _blocks({"from": POOR, "to": RICH, "gas": hex(6 * 10**7)}, blockOverrides=_WIDE),
    _blocks({"from": POOR, "to": RICH}, {"from": POOR, "to": RICH}, blockOverrides=_WIDE),
    _blocks({"from": POOR}, {"from": POOR, "nonce": "0x9"}, {}),
    _blocks({"from": RICH, "to": POOR, "chainId": "0x5"}),
    _blocks({"from": POOR, "to": CODE}, stateOverrides={CODE: {"state": {}, "stateDiff": {}}}),
    {**_blocks({**_PAID, "nonce": hex(10**6)}), "validation": True},
    {**_blocks({**_PAID, "nonce": "0x0"}, stateOverrides={RICH: {"nonce": "0x5"}}), "validation": True},
    {**_blocks({"from": RICH, "to": POOR}), "validation": True},
    {**_blocks({**_PAID}, {**_PAID, "value": "0x5"}), "validation": True, "traceTransfers": True},
]


async def test_chosen_simulations_have_the_results_of_geth(pair_and_random: tuple[Pair, Random]) -> None:
    pair, _ = pair_and_random
    for wanted in ONES:
        await pair.same("eth_simulateV1", wanted)
    await pair.same("eth_simulateV1", _blocks(_PAID), "0x99")
    await pair.same("eth_simulateV1", {**_blocks(_PAID), "returnFullTransactions": True}, "0x3")
