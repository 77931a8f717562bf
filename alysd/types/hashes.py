"""Types for byte strings of fixed size, and the hash functions SHA-256 and double SHA-256.

Each type is a `NewType` over `bytes`: the type checker distinguishes them, and they cost nothing at run time. All
values are in *internal* byte order; only `wire` and the RPC servers reverse Bitcoin and Alys hashes for display.
"""

import hashlib
from typing import NewType

BlockHash = NewType("BlockHash", bytes)
"""`hash_tree_root` of an Alys block, 32 bytes."""

PayloadHash = NewType("PayloadHash", bytes)
"""Keccak-256 of an execution block's header, 32 bytes: the block hash that Ethereum tools show."""

TransactionHash = NewType("TransactionHash", bytes)
"""Keccak-256 of a signed transaction of the execution layer, 32 bytes, as Ethereum tools show it."""

BitcoinHash = NewType("BitcoinHash", bytes)
"""A Bitcoin txid or block hash, 32 bytes in internal byte order (Bitcoin displays the bytes in reverse)."""

AuxHash = NewType("AuxHash", bytes)
"""The hash that a Bitcoin miner commits to, 32 bytes, internal byte order (docs/protocol.md, "Merged mining")."""

EvmAddress = NewType("EvmAddress", bytes)
"""The address of an account of the execution layer, 20 bytes."""

BlsPublicKey = NewType("BlsPublicKey", bytes)
"""A compressed G1 point, 48 bytes."""

BlsSignature = NewType("BlsSignature", bytes)
"""A compressed G2 point, 96 bytes."""

XOnlyKey = NewType("XOnlyKey", bytes)
"""A Bitcoin public key as used in taproot (BIP-340), 32 bytes."""

SchnorrSignature = NewType("SchnorrSignature", bytes)
"""A Schnorr signature (BIP-340), 64 bytes."""

ZERO_HASH = BlockHash(bytes(32))
"""No block: 32 zero bytes where a field of this type has no value."""

BURN_ADDRESS = EvmAddress(bytes(18) + b"\xde\xad")
"""The fee recipient of every block. Coins sent to it cannot be spent (docs/protocol.md, "Block")."""


def sha256(data: bytes) -> bytes:
    """SHA-256 of `data`, 32 bytes."""
    return hashlib.sha256(data).digest()


def sha256d(data: bytes) -> bytes:
    """SHA-256 applied twice, as Bitcoin hashes transactions and headers; 32 bytes."""
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def displayed(value: bytes) -> str:
    """An Alys or Bitcoin hash as tools display it: its bytes in reverse order, in hex without prefix."""
    return value[::-1].hex()
