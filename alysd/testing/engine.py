"""A fake execution client, which keeps blocks in memory and executes nothing.

It passes the port's contract tests.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Self

import attrs
import trio

from alysd.errors import EngineBehind, EngineUnavailable, Malformed
from alysd.types.block import ExecutionPayload, PayloadAttributes
from alysd.types.hashes import BlockHash, PayloadHash
from alysd.types.units import Height, Wei
from alysd.types.verdict import Invalid, Syncing, Valid, Verdict
from alysd.wire.execution_genesis import genesis_payload
from alysd.wire.execution_header import block_hash_of
from alysd.wire.receipts import encode_receipt


def transfer_receipts(count: int) -> tuple[bytes, ...]:
    """The receipts of a block of `count` transfers of type 0, which use 21,000 gas each."""
    return tuple(encode_receipt(0, 1, 21_000 * (place + 1), bytes(256), []) for place in range(count))


@attrs.define
class FakeEngine:
    """Implements `alysd.ports.ExecutionEngine` in memory.

    With `down` every call fails as if the client were unreachable; with `hang` no call returns. Payloads in
    `refuse` are invalid. Executing a payload takes `execution_seconds`, every call
    `answer_seconds`.
    """

    genesis: ExecutionPayload
    down: bool = False
    hang: bool = False
    execution_seconds: float = 0.0
    answer_seconds: float = 0.0
    refuse: set[PayloadHash] = attrs.Factory(set[PayloadHash])
    blocks: dict[PayloadHash, ExecutionPayload] = attrs.Factory(dict[PayloadHash, ExecutionPayload])
    head: PayloadHash = attrs.field(default=PayloadHash(b""))

    @classmethod
    def of(cls, execution_genesis: Mapping[str, Any]) -> Self:
        """A client that has only the genesis block."""
        payload = genesis_payload(execution_genesis)
        return cls(payload, blocks={payload.block_hash: payload}, head=payload.block_hash)

    async def _answer(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.down:
            raise EngineUnavailable("fake", "connection refused")
        if self.hang:
            await trio.sleep_forever()
        if self.answer_seconds:
            await trio.sleep(self.answer_seconds)

    async def genesis_hash(self) -> PayloadHash:
        """Hash of block 0."""
        await self._answer()
        return self.genesis.block_hash

    async def knows(self, payload: PayloadHash) -> bool:
        """Whether the block was given to this client, or built by it."""
        await self._answer()
        return payload in self.blocks

    async def new_payload(self, payload: ExecutionPayload, parent_beacon_block_root: BlockHash) -> Verdict:
        """Accept a payload if its parent is known and its hash is that of its header."""
        await self._answer()
        try:
            found = block_hash_of(payload, parent_beacon_block_root)
        except Malformed as error:
            return Invalid(str(error))
        if found != payload.block_hash:
            return Invalid("block hash mismatch")
        if payload.block_hash in self.refuse:
            return Invalid("refused by the test")
        if payload.parent_hash not in self.blocks:
            return Syncing()
        await trio.sleep(self.execution_seconds)
        self.blocks[payload.block_hash] = payload
        return Valid()

    async def set_forkchoice(self, head: PayloadHash, safe: PayloadHash, finalized: PayloadHash) -> None:
        """Set the head to a known block, or raise `EngineBehind`."""
        await self._answer()
        if not {head, safe, finalized} <= self.blocks.keys():
            raise EngineBehind(head)
        self.head = head

    async def build_payload(
        self, head: PayloadHash, safe: PayloadHash, finalized: PayloadHash, attributes: PayloadAttributes
    ) -> ExecutionPayload:
        """Build an empty payload with the given attributes."""
        await self.set_forkchoice(head, safe, finalized)
        parent = self.blocks[head]
        mark = repr((head, attributes)).encode()
        payload = attrs.evolve(
            parent,
            parent_hash=head,
            fee_recipient=attributes.fee_recipient,
            state_root=hashlib.sha256(mark).digest(),
            prev_randao=attributes.prev_randao,
            block_number=Height(parent.block_number + 1),
            timestamp=attributes.timestamp,
            base_fee_per_gas=Wei(max(7, parent.base_fee_per_gas * 7 // 8)),
            withdrawals=attributes.withdrawals,
        )
        identity = block_hash_of(payload, attributes.parent_beacon_block_root)
        return attrs.evolve(payload, block_hash=identity)

    async def receipts(self, payload: ExecutionPayload) -> tuple[bytes, ...]:
        """`transfer_receipts` for a known block."""
        await self._answer()
        if payload.block_hash not in self.blocks:
            raise EngineBehind(payload.block_hash)
        return transfer_receipts(len(payload.transactions))

    async def aclose(self) -> None:
        """Do nothing: this client has nothing to close."""
        await trio.lowlevel.checkpoint()
