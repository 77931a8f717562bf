"""Reads Bitcoin blocks as a node sends them: the header, and all transactions."""

from alysd.errors import Malformed
from alysd.types.hashes import BitcoinHash, sha256d
from alysd.types.peg import Transaction
from alysd.wire.auxpow import BitcoinReader
from alysd.wire.bitcoin_block import merkle_root
from alysd.wire.bitcoin_transaction import read_transaction

HEADER_BYTES = 80

MAX_BLOCK_BYTES = 4_000_000
"""The maximum size of a block: it has at most 4,000,000 weight units (BIP-141)."""

_PREVIOUS = slice(4, 36)
_MERKLE_ROOT = slice(36, 68)


def check_header(data: bytes, expected: BitcoinHash) -> BitcoinHash:
    """Check that a block begins with the header that has the hash `expected`; return the previous block's hash.

    Raises `Malformed` for another header, and for a block without transactions or above the maximum size.
    """
    if not HEADER_BYTES < len(data) <= MAX_BLOCK_BYTES:
        raise Malformed(f"a Bitcoin block has {HEADER_BYTES + 1} to {MAX_BLOCK_BYTES} bytes, found {len(data)}")
    found = sha256d(data[:HEADER_BYTES])
    if found != expected:
        raise Malformed(f"the Bitcoin block {expected[::-1].hex()} was requested, found {found[::-1].hex()}")
    return BitcoinHash(data[_PREVIOUS])


def decode_transactions(block: bytes) -> tuple[Transaction, ...]:
    """Parse all transactions of a block, the coinbase first. Takes about 20 ms per 1,000: call it in a thread.

    Raises `Malformed` unless the bytes are one block whose header commits to exactly these transactions.
    """
    reader = BitcoinReader(block)
    root = reader.take(HEADER_BYTES)[_MERKLE_ROOT]
    found = tuple(read_transaction(reader) for _ in range(reader.count()))
    reader.end()
    computed = merkle_root([transaction.txid for transaction in found]) if found else None
    if computed != root:
        raise Malformed(
            f"the header of the Bitcoin block does not commit to its transactions ({len(found)}): its Merkle root "
            f"is {root[::-1].hex()}, and theirs is {'none' if computed is None else computed[::-1].hex()}"
        )
    return found
