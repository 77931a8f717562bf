"""Keccak-256 as in Ethereum.

Its padding differs from that of the SHA-3 standard, so `hashlib` does not have it.
"""

from Crypto.Hash import keccak


def keccak256(data: bytes) -> bytes:
    """Keccak-256 of `data`, 32 bytes."""
    return keccak.new(digest_bits=256, data=data).digest()
