"""Burns, and the withdrawals that are not fees, as an execution client tells of them."""

from collections.abc import Sequence
from typing import Any

import pytest

from alysd.audit.alys_side import BRIDGE, REQUEST_TOPIC, AlysClock, AlysSide, check_chain
from alysd.audit.records import AlysRecords
from alysd.errors import Malformed, UserError
from alysd.types.hashes import EvmAddress
from alysd.types.units import Height
from alysd.wire.keccak import keccak256

ALICE = "0x" + "a1" * 20
MINER = "0x" + "0e" * 20
GWEI = 10**9


def test_the_topic_is_that_of_the_event() -> None:
    assert bytes.fromhex(REQUEST_TOPIC[2:]) == keccak256(b"RequestPegOut(address,bytes,uint256)")


def silent(_height: int, _last: int) -> None:
    """Show no progress."""


class Client:
    """An execution client: a list of blocks, each with withdrawals, transactions and their receipts."""

    def __init__(self) -> None:
        self.blocks: list[dict[str, Any]] = []
        self.receipts: list[list[dict[str, Any]]] = []
        self.add()

    def add(self, *withdrawals: tuple[str, int], fees: int = 0, logs: Sequence[dict[str, Any]] = ()) -> None:
        """Add a block; `fees` is the priority fee of its only transaction, in wei."""
        number = len(self.blocks)
        busy = bool(fees or logs)
        self.blocks.append(
            {
                "number": hex(number),
                "hash": f"0x{number:064x}",
                "parentHash": f"0x{number - 1 if number else 0:064x}",
                "baseFeePerGas": "0x7",
                "withdrawals": [{"address": to, "amount": hex(gwei)} for to, gwei in withdrawals],
                "transactions": [{"maxFeePerGas": hex(fees + 7), "maxPriorityFeePerGas": hex(fees)}] * busy,
            }
        )
        self.receipts.append([{"gasUsed": "0x1", "logs": list(logs)}] * busy)

    async def call(self, method: str, *params: Any) -> Any:
        if method == "eth_getBalance":
            return hex(7 * 10**10)
        number = len(self.blocks) - 1 if params[0] == "latest" else int(params[0], 16)
        return self.receipts[number] if method == "eth_getBlockReceipts" else self.blocks[number]

    async def read(self) -> AlysRecords:
        return await AlysSide(self.call).read("latest", silent)


async def test_withdrawals_and_the_sums_of_the_fees_are_read() -> None:
    client = Client()
    client.add(fees=1_000 * GWEI)
    client.add((ALICE, 50))
    client.add((MINER, 800), (ALICE, 71), fees=100)
    found = await client.read()
    alice, miner = (EvmAddress(bytes.fromhex(one[2:])) for one in (ALICE, MINER))
    assert [(one.block, one.entries) for one in found.withdrawals] == [
        (2, ((alice, 50),)),
        (3, ((miner, 800), (alice, 71))),
    ]
    assert found.fees == ((1, 1_000 * GWEI), (3, 1_000 * GWEI + 100))


def request(text: bytes, value: int, address: str = BRIDGE) -> dict[str, Any]:
    data = (64).to_bytes(32, "big") + value.to_bytes(32, "big") + len(text).to_bytes(32, "big")
    data += text + bytes(-len(text) % 32)
    return {"address": address, "topics": [REQUEST_TOPIC, "0x" + "00" * 12 + "a1" * 20], "data": "0x" + data.hex()}


async def test_burns_are_the_bridges_own_logs() -> None:
    client = Client()
    forged = request(b"bc1qforged", 10**18, address="0x" + "bc" * 20)
    other = {"address": BRIDGE, "topics": ["0x" + "11" * 32], "data": "0x"}
    client.add(logs=[forged, request(b"bc1qright", 12_345 * 10**10 + 1), other])
    (burned,) = (await client.read()).burns
    assert (burned.address, burned.amount, "0x" + burned.sender.hex()) == (b"bc1qright", 12_345, ALICE)


@pytest.mark.parametrize("change", ["topics", "length", "place"])
async def test_a_request_that_cannot_be_read_is_refused(change: str) -> None:
    """The bridge makes no such log, and a client that lies ended the audit with a traceback."""
    log = request(b"bc1qright", 10**18)
    if change == "topics":
        log["topics"] = log["topics"][:1]
    elif change == "length":
        log["data"] = log["data"][: 2 + 2 * 100]
    else:
        log["data"] = "0x" + "ff" * 32 + log["data"][66:]
    client = Client()
    client.add(logs=[log])
    with pytest.raises(Malformed, match="block 1 has a request"):
        await client.read()


async def test_a_client_of_another_chain_is_refused() -> None:
    """Many chains have one id, such as the chains that a team makes for tests."""
    first: dict[str, Any] = {"hash": "0x" + "01" * 32}
    blocks: dict[str, Any] = {"0x0": first, "0x1": None}

    async def call(method: str, *params: Any) -> Any:
        return blocks[params[0]] if params else "0x7"

    await check_chain(call, 7, b"\x01" * 32, b"\x02" * 32)
    with pytest.raises(UserError, match="has the chain 7, but the chain specification names 8"):
        await check_chain(call, 8, b"\x01" * 32, b"\x02" * 32)
    with pytest.raises(
        UserError, match="block 0 of the execution client is 0x0101.*different chains with the id 7"
    ):
        await check_chain(call, 7, b"\x03" * 32, b"\x02" * 32)
    blocks["0x1"] = {"parentBeaconBlockRoot": "0x" + "02" * 32}
    await check_chain(call, 7, b"\x01" * 32, b"\x02" * 32)
    with pytest.raises(UserError, match="genesis block 0202.*that of the chain specification is 0303"):
        await check_chain(call, 7, b"\x01" * 32, b"\x03" * 32)


async def test_a_reorganisation_during_the_audit_ends_it() -> None:
    client = Client()
    client.add()
    client.add()
    client.blocks[2]["parentHash"] = "0x" + "99" * 32
    with pytest.raises(UserError, match="reorganised"):
        await client.read()


async def test_the_times_of_single_blocks_are_read() -> None:
    async def call(method: str, *params: Any) -> Any:
        assert (method, params[1]) == ("eth_getBlockByNumber", False)
        return {"latest": {"number": "0x20"}, "0x1f": {"timestamp": "0x65"}}[params[0]]

    clock = AlysClock(call)
    assert (await clock.height("latest"), await clock.time_of(Height(31))) == (32, 101)
