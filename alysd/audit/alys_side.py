"""Reads burns and withdrawals from an execution client's Ethereum JSON-RPC."""

from collections.abc import Callable
from typing import Any

import attrs

from alysd.audit.bitcoin_side import Call
from alysd.audit.records import AlysRecords, BlockWithdrawals, Burned
from alysd.errors import Malformed, UserError
from alysd.types.hashes import EvmAddress
from alysd.types.units import WEI_PER_SAT, Height, Sat
from alysd.wire.json_input import bytes_field, data_field, list_field, object_of, quantity_field

BRIDGE = "0x" + "bb" * 20
"""The address of the bridge contract (docs/protocol.md, "Peg-out")."""

REQUEST_TOPIC = "0xaa1c6070bc915de33c0fbc36ecf77b1e4fc1ebce832b2da62b6fe25f5a7dd5b0"
"""The topic of `RequestPegOut(address,bytes,uint256)`: the Keccak-256 hash of its signature."""


_MAX_ITEMS = 100_000
_WORD = 32
_TOPICS = 2
_PLACE = (2 * _WORD).to_bytes(_WORD, "big")
"""The place of the address within the data of a request."""
_MAX_DATA = 1024


async def check_chain(call: Call, chain_id: int, execution_genesis: bytes, genesis: bytes) -> None:
    """Raise `UserError` unless the execution client has the chain with this id and these genesis blocks.

    Many chains can have one id. Block 0 has the hash `execution_genesis`. The header of block 1, if there is one,
    names the genesis block of Alys, whose hash covers the whole specification.
    """
    found = quantity_field({"eth_chainId": await call("eth_chainId")}, "eth_chainId")
    if found != chain_id:
        raise UserError(
            f"the execution client has the chain {found}, but the chain specification names {chain_id}: give the "
            "URL of a client of that chain"
        )
    first = object_of(await call("eth_getBlockByNumber", "0x0", False), "block 0")
    if (stated := data_field(first, "hash", _WORD)) != execution_genesis:
        raise UserError(
            f"block 0 of the execution client is 0x{stated.hex()}, but that of the chain specification is "
            f"0x{execution_genesis.hex()}: they are of different chains with the id {chain_id}"
        )
    second: Any = await call("eth_getBlockByNumber", "0x1", False)
    if second is None:
        return
    stated = data_field(object_of(second, "block 1"), "parentBeaconBlockRoot", _WORD)
    if stated != genesis:
        raise UserError(
            f"the execution client has a chain with the genesis block {stated[::-1].hex()}, but that of the chain "
            f"specification is {genesis[::-1].hex()}: its parameters or its members differ"
        )


@attrs.define
class AlysClock:
    """Reads the times of single blocks of the execution layer."""

    call: Call

    async def height(self, tag: str) -> Height:
        """The height of the block `tag`."""
        found = object_of(await self.call("eth_getBlockByNumber", tag, False), f"block {tag}")
        return Height(quantity_field(found, "number"))

    async def time_of(self, height: Height) -> int:
        """The time of the block at a height up to that of the newest one, in seconds since 1970."""
        found = object_of(await self.call("eth_getBlockByNumber", hex(height), False), f"block {height}")
        return quantity_field(found, "timestamp")


@attrs.define
class AlysSide:
    """Reads the blocks of the execution layer, from 1 on."""

    call: Call
    _burns: list[Burned] = attrs.field(init=False, factory=list[Burned])
    _withdrawals: list[BlockWithdrawals] = attrs.field(init=False, factory=list[BlockWithdrawals])
    _fees: list[tuple[Height, int]] = attrs.field(init=False, factory=list[tuple[Height, int]])

    async def read(self, tag: str, progress: Callable[[int, int], None]) -> AlysRecords:
        """Read all blocks up to the block `tag`. Raises `UserError` if the chain is reorganised meanwhile."""
        last = object_of(await self.call("eth_getBlockByNumber", tag, False), f"block {tag}")
        height, parent = quantity_field(last, "number"), ""
        for number in range(1, height + 1):
            answer: Any = await self.call("eth_getBlockByNumber", hex(number), True)
            block = object_of(answer, f"block {number}")
            if parent and block.get("parentHash") != parent:
                raise UserError("the Alys chain was reorganised during the audit: run it again")
            parent = str(block.get("hash"))
            await self._take(Height(number), block)
            progress(number, height)
        balance = {"balance": await self.call("eth_getBalance", BRIDGE, hex(height))}
        return AlysRecords(
            height=Height(height),
            burns=tuple(self._burns),
            withdrawals=tuple(self._withdrawals),
            bridge_sat=Sat(quantity_field(balance, "balance", 256) // WEI_PER_SAT),
            fees=tuple(self._fees),
        )

    async def _take(self, number: Height, block: dict[str, Any]) -> None:
        entries = [object_of(one, "withdrawal") for one in list_field(block, "withdrawals", _MAX_ITEMS)]
        made = [(EvmAddress(data_field(one, "address", 20)), quantity_field(one, "amount")) for one in entries]
        if made:
            self._withdrawals.append(BlockWithdrawals(number, tuple(made)))
        transactions = [object_of(one, "transaction") for one in list_field(block, "transactions", _MAX_ITEMS)]
        if not transactions:
            return
        receipts = {"receipts": await self.call("eth_getBlockReceipts", hex(number))}
        base, fees = quantity_field(block, "baseFeePerGas", 256), 0
        found = [object_of(one, "receipt") for one in list_field(receipts, "receipts", _MAX_ITEMS)]
        if len(found) != len(transactions):
            raise Malformed(f"block {number} has {len(transactions)} transactions, but {len(found)} receipts")
        for transaction, receipt in zip(transactions, found, strict=True):
            fees += quantity_field(receipt, "gasUsed") * _priority_fee(transaction, base)
            for log in list_field(receipt, "logs", _MAX_ITEMS):
                self._take_log(number, object_of(log, "log"))
        if fees:
            before = self._fees[-1][1] if self._fees else 0
            self._fees.append((number, before + fees))

    def _take_log(self, number: Height, log: dict[str, Any]) -> None:
        topics = list_field(log, "topics", 4)
        if str(log.get("address")).lower() != BRIDGE or not topics or topics[0] != REQUEST_TOPIC:
            return
        if len(topics) != _TOPICS:
            raise Malformed(f"block {number} has a request with {len(topics)} topics instead of {_TOPICS}")
        sender = EvmAddress(data_field({"topic": topics[1]}, "topic", _WORD)[12:])
        data = bytes_field(log, "data", _MAX_DATA)
        # ABI: the place of the bytes, the value, then the length of the bytes and the bytes, padded with zeros.
        value, length = int.from_bytes(data[_WORD : 2 * _WORD], "big"), int.from_bytes(data[64:96], "big")
        address = data[3 * _WORD : 3 * _WORD + length]
        if len(address) != length or data[:_WORD] != _PLACE:
            raise Malformed(f"block {number} has a request whose address cannot be read")
        self._burns.append(Burned(number, sender, address, Sat(value // WEI_PER_SAT)))


def _priority_fee(transaction: dict[str, Any], base: int) -> int:
    """The priority fee per gas that a transaction pays (docs/protocol.md, "Fees")."""
    if transaction.get("maxFeePerGas") is None:
        return quantity_field(transaction, "gasPrice", 256) - base
    most = quantity_field(transaction, "maxFeePerGas", 256)
    return min(quantity_field(transaction, "maxPriorityFeePerGas", 256), most - base)
