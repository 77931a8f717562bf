"""Whole blocks in RLP, as Ethereum nodes send them to each other (devp2p, eth/68 "Block Encoding").

A typed transaction is bytes in the list of the transactions, and a legacy one is a list (EIP-2718).
"""

from collections.abc import Callable, Sequence

import attrs

from alysd.embedded.engine.transaction import SignedTransaction
from alysd.embedded.engine.values import ExecutionBlock
from alysd.errors import Malformed
from alysd.types.execution import ExecutionHeader
from alysd.types.hashes import PayloadHash
from alysd.wire.execution_header import decode_header, encode_header, encode_withdrawal
from alysd.wire.rlp import RlpInput, RlpItem, as_list, decode, decode_bounded, encode

_MOST_ITEMS = 100_000
"""The maximum number of RLP items of a block from outside, which take 0.1 s to decode.

With 30 million gas, a block has at most 1,428 transactions of 12 items, and 16,000 keys in access lists.
"""


@attrs.frozen
class UnreadBlock:
    """A block whose transactions are not decoded yet. Withdrawals are left out, because no trace shows them."""

    header: ExecutionHeader
    transactions: tuple[bytes, ...]

    @property
    def parent_hash(self) -> PayloadHash:
        """The hash of the block before it."""
        return self.header.parent_hash

    def read(self, read: Callable[[bytes], SignedTransaction]) -> ExecutionBlock:
        """Decode the transactions, each in 0.1 ms. Raises the errors of `read`."""
        return ExecutionBlock(self.header, tuple(read(raw) for raw in self.transactions), (), 0)


def encode_block(block: ExecutionBlock) -> bytes:
    """Encode a block."""
    return encode(
        [
            decode(encode_header(block.header)),
            _listed([signed.raw for signed in block.transactions]),
            [],
            [decode(encode_withdrawal(withdrawal)) for withdrawal in block.withdrawals],
        ]
    )


def decode_block(data: bytes) -> UnreadBlock:
    """Decode a block from outside. Raises `Malformed`."""
    header, transactions, ommers, _ = as_list(decode_bounded(data, _MOST_ITEMS), 4)
    if as_list(ommers):
        raise Malformed(f"a block has no ommers since the merge (EIP-3675), got {len(ommers)}")
    return UnreadBlock(decode_header(encode(header)), tuple(_raw(item) for item in as_list(transactions)))


def _listed(transactions: Sequence[bytes]) -> list[RlpInput]:
    return [raw if raw[0] < 0xC0 else decode(raw) for raw in transactions]


def _raw(item: RlpItem) -> bytes:
    return item if isinstance(item, bytes) else encode(item)
