"""Fixed-size byte strings with names, and the two hash functions of Bitcoin and the approvals.

Each name is a `NewType` over `bytes`: free at run time, told apart by the type checker. All are kept in
*internal* byte order; only `wire` and the RPC servers turn Bitcoin's and Alys's hashes round for display.
"""

import hashlib
from typing import NewType

BlockHash = NewType("BlockHash", bytes)
"""`hash_tree_root` of an Alys block, 32 bytes."""

PayloadHash = NewType("PayloadHash", bytes)
"""Keccak-256 of an execution block's header, 32 bytes: the hash Ethereum tools show."""

BitcoinHash = NewType("BitcoinHash", bytes)
"""A Bitcoin txid or block hash, 32 bytes as hashed (the reverse of how Bitcoin displays it)."""

AuxHash = NewType("AuxHash", bytes)
"""What a Bitcoin miner commits to, 32 bytes as hashed (docs/protocol.md, "Merged mining")."""

EvmAddress = NewType("EvmAddress", bytes)
"""An account of the execution layer, 20 bytes."""

BlsPublicKey = NewType("BlsPublicKey", bytes)
"""A compressed G1 point, 48 bytes."""

BlsSignature = NewType("BlsSignature", bytes)
"""A compressed G2 point, 96 bytes."""

ZERO_HASH = BlockHash(bytes(32))
"""The parent of the genesis block."""

BURN_ADDRESS = EvmAddress(bytes(18) + b"\xde\xad")
"""Fee recipient of every block: what it receives leaves circulation (docs/protocol.md, "Block")."""


def sha256(data: bytes) -> bytes:
    """SHA-256 of `data`, 32 bytes."""
    return hashlib.sha256(data).digest()


def sha256d(data: bytes) -> bytes:
    """SHA-256 applied twice, as Bitcoin hashes transactions and headers; 32 bytes."""
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def displayed(value: bytes) -> str:
    """An Alys or Bitcoin hash as tools show it: hex of its bytes in reverse order, no prefix."""
    return value[::-1].hex()
