"""The JSON that the peg receives from a Bitcoin node. Every field is checked.

Formats: Bitcoin Core's help texts for its methods.
"""

from typing import Any

from alysd.errors import Malformed
from alysd.types.hashes import BitcoinHash
from alysd.types.units import MAX_SAT, SAT_PER_BTC
from alysd.wire.bitcoin_chain import MAX_BLOCK_BYTES
from alysd.wire.json_input import displayed_hash, hex_field, integer_field, list_field, object_of


def hash_from_json(value: Any) -> BitcoinHash:
    """Read the result of `getblockhash`. Raises `Malformed`."""
    return BitcoinHash(hex_field({"hash": value}, "hash", 32, 32)[::-1])


def median_time_from_json(block: BitcoinHash, value: Any) -> int:
    """Read the median time past from the result of `getblockheader` for `block`. Raises `Malformed`."""
    fields = object_of(value, "block header")
    if (found := displayed_hash(fields, "hash")) != block:
        raise Malformed(f"hash: the header of {block[::-1].hex()} was requested, found {found[::-1].hex()}")
    return integer_field(fields, "mediantime", 0, 2**32)


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
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate * SAT_PER_BTC <= MAX_SAT:
        raise Malformed(f"feerate: {str(rate)[:40]} is not a fee rate in BTC per 1,000 virtual bytes")
    return max(1, round(rate * SAT_PER_BTC))


def mempool_size_from_json(value: Any) -> int:
    """Read the number of transactions from the result of `getmempoolinfo`. Raises `Malformed`."""
    return integer_field(object_of(value, "mempool"), "size", 0, 2**63)


def mempool_from_json(value: Any) -> frozenset[BitcoinHash]:
    """Read the result of `getrawmempool`. Raises `Malformed`.

    It takes 0.1 s for 100,000 txids: call it in a thread.
    """
    txids = list_field({"mempool": value}, "mempool", MAX_BLOCK_BYTES)
    try:
        found = frozenset(BitcoinHash(bytes.fromhex(txid)[::-1]) for txid in txids)
    except (TypeError, ValueError) as error:
        raise Malformed("mempool: not a list of txids") from error
    if any(len(txid) != 32 for txid in found):
        raise Malformed("mempool: a txid must have 64 hex digits")
    return found


def transaction_from_json(value: Any) -> bytes:
    """Read the result of `getrawtransaction` without details. Raises `Malformed`."""
    return hex_field({"transaction": value}, "transaction", 1, MAX_BLOCK_BYTES)
