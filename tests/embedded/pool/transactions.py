"""Transactions for tests of the pool, with senders but without real signatures."""

from itertools import count
from typing import Any

from alysd.embedded.engine.transaction import SignedTransaction
from alysd.types.hashes import EvmAddress

CHAIN_ID = 7
GWEI = 10**9
ANNA, BORIS, CLARA = (EvmAddress(bytes([n]) * 20) for n in (1, 2, 3))

_serial = count()


def transaction(sender: EvmAddress = ANNA, nonce: int = 0, **fields: Any) -> SignedTransaction:
    """Make a transfer that pays 10 gwei, at most 1 of them to the author, with a hash of its own."""
    filled: dict[str, Any] = {
        "hash": next(_serial).to_bytes(32, "big"),
        "raw": bytes(110),
        "type": 2,
        "chain_id": CHAIN_ID,
        "max_fee": 10 * GWEI,
        "max_priority_fee": GWEI,
        "gas": 21_000,
        "to": BORIS,
        "value": 1,
        "data": b"",
        "access_list": (),
        "v": 0,
        "r": 1,
        "s": 1,
        **fields,
    }
    return SignedTransaction(sender=sender, nonce=nonce, **filled)
