"""Keccak-256 as Ethereum uses it: the padding from before SHA-3 was fixed, hence not `hashlib.sha3_256`."""

from Crypto.Hash import keccak


def keccak256(data: bytes) -> bytes:
    """Keccak-256 of `data`, 32 bytes."""
    return keccak.new(digest_bits=256, data=data).digest()
