"""An execution client that knows accounts and burns, but executes no code.

Withdrawals add to accounts. The only transactions are calls of the bridge, which burn money; their receipts have
the log of the bridge contract, and the same log by another contract, which must count for nothing.
"""

from collections.abc import Iterable, Mapping

import attrs

from alysd.testing.engine import FakeEngine
from alysd.types.block import ExecutionPayload, PayloadAttributes
from alysd.types.hashes import BlockHash, EvmAddress, PayloadHash
from alysd.types.peg import BRIDGE_ADDRESS
from alysd.types.verdict import Invalid, Verdict
from alysd.wire.bridge_logs import REQUEST_TOPIC
from alysd.wire.execution_header import block_hash_of
from alysd.wire.keccak import keccak256
from alysd.wire.receipts import encode_receipt
from alysd.wire.rlp import RlpInput, as_bytes, as_list, decode, decode_integer, encode, encode_integer
from alysd.wire.trie import indexed_root

GAS = 60_000
"""The gas of each call."""

MOST_CALLS = 8
"""The maximum number of calls in a payload."""

GWEI_PER_SAT = 10
_WEI_PER_SAT = 10**10
_TYPE = 2
_MAX_FEE = 10**12
_OTHER_CONTRACT = EvmAddress(b"\xbc" * 20)


@attrs.frozen
class BridgeCall:
    """A transaction of `sender` that burns `sat` and asks for their payment to `address`."""

    sender: EvmAddress
    nonce: int
    address: bytes
    sat: int

    def encode(self) -> bytes:
        """The transaction. It pays no priority fee. Its signature is the sender's address."""
        fields: list[RlpInput] = [
            encode_integer(4242),
            encode_integer(self.nonce),
            encode_integer(0),
            encode_integer(_MAX_FEE),
            encode_integer(GAS),
            BRIDGE_ADDRESS,
            encode_integer(self.sat),
            self.address,
            self.sender,
        ]
        return bytes([_TYPE]) + encode(fields)

    @classmethod
    def decode(cls, raw: bytes) -> "BridgeCall":
        """Decode a transaction. Raises `Malformed`."""
        fields = as_list(decode(raw[1:]), 9)
        sat, nonce = decode_integer(fields[6]), decode_integer(fields[1])
        return cls(EvmAddress(as_bytes(fields[8], 20)), nonce, as_bytes(fields[7]), sat)


@attrs.frozen
class Accounts:
    """The accounts after a block: balances in gwei, and the number of transactions of each."""

    balances: Mapping[EvmAddress, int] = attrs.field(factory=dict[EvmAddress, int])
    nonces: Mapping[EvmAddress, int] = attrs.field(factory=dict[EvmAddress, int])

    def allow(self, call: BridgeCall) -> bool:
        """Whether the call is the sender's next one, and its balance suffices."""
        enough = self.balances.get(call.sender, 0) >= call.sat * GWEI_PER_SAT
        return enough and call.nonce == self.nonces.get(call.sender, 0)

    def after(self, call: BridgeCall) -> "Accounts":
        """The accounts after a call."""
        left = self.balances[call.sender] - call.sat * GWEI_PER_SAT
        return Accounts({**self.balances, call.sender: left}, {**self.nonces, call.sender: call.nonce + 1})

    def with_withdrawals(self, payload: ExecutionPayload) -> "Accounts":
        """The accounts after the payload's withdrawals."""
        balances = dict(self.balances)
        for one in payload.withdrawals:
            balances[one.address] = balances.get(one.address, 0) + one.amount
        return Accounts(balances, self.nonces)


@attrs.define
class PegEngine(FakeEngine):
    """A `FakeEngine` with accounts. `offered` are the calls that all clients know of, in the order of arrival.

    `accounts` has the accounts after each block, for all clients: they depend on the block alone.
    """

    offered: list[BridgeCall] = attrs.field(kw_only=True, factory=list[BridgeCall])
    accounts: dict[PayloadHash, Accounts] = attrs.field(kw_only=True, factory=dict[PayloadHash, Accounts])

    async def new_payload(self, payload: ExecutionPayload, parent_beacon_block_root: BlockHash) -> Verdict:
        """Check the calls and the receipts root, then the payload as `FakeEngine` does."""
        if payload.parent_hash in self.blocks and not self.down and not self.hang:
            after = self.after(payload)
            if after is None or payload.receipts_root != indexed_root(receipts_of(payload)):
                return Invalid("a call of the bridge is not valid")
        return await FakeEngine.new_payload(self, payload, parent_beacon_block_root)

    async def build_payload(
        self, head: PayloadHash, safe: PayloadHash, finalized: PayloadHash, attributes: PayloadAttributes
    ) -> ExecutionPayload:
        """Build a payload with the calls that are offered and valid."""
        empty = await FakeEngine.build_payload(self, head, safe, finalized, attributes)
        accounts = self.after(self.blocks[head])
        calls: list[bytes] = []
        for call in self.offered:
            if accounts is not None and len(calls) < MOST_CALLS and accounts.allow(call):
                accounts = accounts.after(call)
                calls.append(call.encode())
        payload = attrs.evolve(empty, transactions=tuple(calls), gas_used=GAS * len(calls))
        receipts = receipts_of(payload)
        bloom = _bloom(_logs(call) for call in map(BridgeCall.decode, calls))
        payload = attrs.evolve(payload, receipts_root=indexed_root(receipts), logs_bloom=bloom)
        return attrs.evolve(payload, block_hash=block_hash_of(payload, attributes.parent_beacon_block_root))

    async def receipts(self, payload: ExecutionPayload) -> tuple[bytes, ...]:
        """The receipts of a known block."""
        await FakeEngine.receipts(self, payload)
        return receipts_of(payload)

    def after(self, payload: ExecutionPayload) -> Accounts | None:
        """The accounts after a block whose parent is known; None for a block that is not valid."""
        known = self.accounts.get(payload.block_hash)
        if known is not None or payload.block_number == 0:
            return known or Accounts()
        accounts = self.after(self.blocks[payload.parent_hash])
        if accounts is None:
            return None
        for raw in payload.transactions:
            call = BridgeCall.decode(raw)
            if not accounts.allow(call):
                return None
            accounts = accounts.after(call)
        self.accounts[payload.block_hash] = accounts = accounts.with_withdrawals(payload)
        return accounts


def receipts_of(payload: ExecutionPayload) -> tuple[bytes, ...]:
    """The receipts of a payload, which follow from its transactions."""
    calls = (BridgeCall.decode(raw) for raw in payload.transactions)
    return tuple(
        encode_receipt(_TYPE, 1, GAS * (place + 1), _bloom([_logs(call)]), _logs(call))
        for place, call in enumerate(calls)
    )


def _logs(call: BridgeCall) -> list[RlpInput]:
    """The log of the bridge (Solidity's ABI), and the same log by another contract."""
    padded = call.address + bytes(-len(call.address) % 32)
    words = (64, call.sat * _WEI_PER_SAT, len(call.address))
    data = b"".join(word.to_bytes(32, "big") for word in words) + padded
    topics: list[RlpInput] = [REQUEST_TOPIC, bytes(12) + call.sender]
    return [[_OTHER_CONTRACT, topics, data], [BRIDGE_ADDRESS, topics, data]]


def _bloom(logs: Iterable[list[RlpInput]]) -> bytes:
    """The bloom filter of the addresses and of the first topic (Yellow Paper, 4.3.1)."""
    bits = 0
    for item in (BRIDGE_ADDRESS, _OTHER_CONTRACT, REQUEST_TOPIC) if any(logs) else ():
        digest = keccak256(item)
        for at in (0, 2, 4):
            bits |= 1 << int.from_bytes(digest[at : at + 2], "big") % 2048
    return bits.to_bytes(256, "big")
