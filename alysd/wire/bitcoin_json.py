"""The JSON that the peg receives from a Bitcoin node. Every field is checked.

Formats: Bitcoin Core's help texts for its methods.
"""

from typing import Any

from alysd.errors import Malformed
from alysd.types.hashes import BitcoinHash
from alysd.types.units import MAX_SAT
from alysd.wire.bitcoin_chain import MAX_BLOCK_BYTES
from alysd.wire.json_input import hex_field, object_of

_SAT_PER_BTC = 100_000_000


def hash_from_json(value: Any) -> BitcoinHash:
    """Read the result of `getblockhash`. Raises `Malformed`."""
    return BitcoinHash(hex_field({"hash": value}, "hash", 32, 32)[::-1])


def block_from_json(value: Any) -> bytes:
    """Read the result of `getblock` with verbosity 0. Raises `Malformed`."""
    return hex_field({"block": value}, "block", 1, MAX_BLOCK_BYTES)


def fee_rate_from_json(value: Any) -> int | None:
    """Read the result of `estimatesmartfee` as sat per 1,000 virtual bytes. Raises `Malformed`.

    None if the node has no estimate. The node gives BTC per 1,000 virtual bytes, with at most eight decimals.
    """
    rate = object_of(value, "fee estimate").get("feerate")
    if rate is None:
        return None
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate * _SAT_PER_BTC <= MAX_SAT:
        raise Malformed(f"feerate: {str(rate)[:40]} is not a fee rate in BTC per 1,000 virtual bytes")
    return max(1, round(rate * _SAT_PER_BTC))
