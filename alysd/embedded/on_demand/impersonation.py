"""Transactions of accounts whose keys nobody here has: they carry the sender's address instead of a signature.

Both numbers of the signature, r and s, are the sender's address. Only a chain whose blocks are made on demand
reads such transactions so; elsewhere they belong to the account that the recovery finds for these numbers.
"""

from alysd.embedded.engine.transaction import SignedTransaction, read_impersonated, read_transaction
from alysd.embedded.engine.unsigned_transaction import UnsignedTransaction
from alysd.types.hashes import EvmAddress


def impersonated(unsigned: UnsignedTransaction, sender: EvmAddress) -> bytes:
    """The EIP-2718 bytes of a transaction of `sender`, which must not be the zero address."""
    number = int.from_bytes(sender, "big")
    return unsigned.encoded(0, number, number)


def read_any(raw: bytes, chain_id: int) -> SignedTransaction:
    """Read a transaction with a signature, or with the sender's address in its place.

    Raises the errors of `read_transaction`.
    """
    return read_impersonated(raw, chain_id) or read_transaction(raw, chain_id)
