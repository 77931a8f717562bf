"""The unmodified specification with its own state in memory, as an oracle for the embedded engine."""

# pyright: reportPrivateUsage=false
from typing import Any

from alysd.embedded.engine.specification import (
    U64,
    U256,
    Account,
    Address,
    Bytes,
    Bytes32,
    Uint,
    blocks,
    fork,
    rlp,
    state,
    transactions,
)
from alysd.types.block import ExecutionPayload
from alysd.types.execution import ExecutionHeader
from alysd.types.hashes import BlockHash
from alysd.wire.execution_genesis import genesis_payload
from alysd.wire.execution_header import encode_header, header_of


class StockChain:
    """A chain of payloads executed by the specification alone; raises its errors."""

    def __init__(self, execution_genesis: dict[str, Any]) -> None:
        world = state.State()
        for text, account in execution_genesis["alloc"].items():
            address = Address(bytes.fromhex(text[2:]))
            nonce, balance = int(account.get("nonce", "0x0"), 16), int(account.get("balance", "0x0"), 16)
            code = Bytes(bytes.fromhex(account.get("code", "0x")[2:]))
            state.set_account(world, address, Account(Uint(nonce), U256(balance), code))
            for slot, value in account.get("storage", {}).items():
                key = Bytes32(int(slot, 16).to_bytes(32, "big"))
                state.set_storage(world, address, key, U256(int(value, 16)))
        first = self.block(genesis_payload(execution_genesis), bytes(32))
        chain_id = U64(execution_genesis["config"]["chainId"])
        self.chain = fork.BlockChain([first], world, chain_id)

    @property
    def state_root(self) -> bytes:
        """Root of the state after the last block."""
        return bytes(state.state_root(self.chain.state))

    def add(self, payload: ExecutionPayload, beacon_root: bytes) -> None:
        """Execute a payload on the last block; raises when the specification finds anything wrong with it."""
        fork.state_transition(self.chain, self.block(payload, beacon_root))

    @staticmethod
    def block(payload: ExecutionPayload, beacon_root: bytes) -> blocks.Block:
        """A payload as the specification's block."""
        return blocks.Block(
            header=stock_header(header_of(payload, BlockHash(beacon_root))),
            transactions=tuple(
                Bytes(raw) if raw[0] < 0xC0 else rlp.decode_to(transactions.LegacyTransaction, raw)
                for raw in payload.transactions
            ),
            ommers=(),
            withdrawals=tuple(
                blocks.Withdrawal(U64(w.index), U64(w.validator_index), Address(w.address), U256(w.amount))
                for w in payload.withdrawals
            ),
        )


def stock_header(header: ExecutionHeader) -> blocks.Header:
    """A header as the specification's."""
    return rlp.decode_to(blocks.Header, encode_header(header))
