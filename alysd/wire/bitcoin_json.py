"""What Bitcoin Core answers in JSON, as values. Everything is checked: a Bitcoin node is another program's word.

Formats: BIP-22, BIP-23 and BIP-145 for `getblocktemplate`, Bitcoin Core's help texts for the rest.
"""

from typing import Any, cast

from alysd.errors import Malformed
from alysd.types.bitcoin import BitcoinChainInfo, BlockTemplate, TemplateTransaction
from alysd.types.hashes import BitcoinHash
from alysd.types.units import Sat

MAX_TRANSACTIONS = 20_000
"""In one template. A block has at most 4,000,000 weight units and a transaction at least 244: 16,393 fit."""

MAX_TRANSACTION_BYTES = 4_000_000
"""Of one transaction: a whole block's weight, were it all witness."""

MAX_SCRIPT_BYTES = 10_000
"""Of an output script that can be spent (Bitcoin's MAX_SCRIPT_SIZE)."""

MAX_MONEY = 21_000_000 * 10**8
"""Satoshi that will ever be."""


def template_from_json(value: Any) -> BlockTemplate:
    """Read the result of `getblocktemplate`. Raises `Malformed`, naming the field."""
    fields = _object(value, "template")
    transactions = _list(fields, "transactions", MAX_TRANSACTIONS)
    return BlockTemplate(
        version=_integer(fields, "version", -(2**31), 2**31),
        previous=_hash(fields, "previousblockhash"),
        height=_integer(fields, "height", 1, 2**31),
        time=_integer(fields, "curtime", 0, 2**32),
        bits=int.from_bytes(_bytes(fields, "bits", 4, 4), "big"),
        target=int.from_bytes(_bytes(fields, "target", 32, 32), "big"),
        coinbase_value=Sat(_integer(fields, "coinbasevalue", 0, MAX_MONEY + 1)),
        transactions=tuple(_transaction(item) for item in transactions),
    )


def chain_info_from_json(value: Any) -> BitcoinChainInfo:
    """Read the result of `getblockchaininfo`. Raises `Malformed`, naming the field."""
    fields = _object(value, "chain information")
    downloading = fields.get("initialblockdownload")
    if not isinstance(downloading, bool):
        raise Malformed("initialblockdownload: not true or false")
    return BitcoinChainInfo(
        network=_text(fields, "chain"),
        height=_integer(fields, "blocks", 0, 2**31),
        tip=_hash(fields, "bestblockhash"),
        initial_download=downloading,
    )


def tip_from_json(value: Any) -> BitcoinHash:
    """Read the result of `waitfornewblock`: the newest block's hash. Raises `Malformed`."""
    return _hash(_object(value, "newest block"), "hash")


def script_from_json(value: Any) -> bytes:
    """Read the output script from `validateaddress`. Raises `Malformed` when the address is not valid."""
    fields = _object(value, "address information")
    if fields.get("isvalid") is not True:
        raise Malformed(f"not an address of this network: {fields.get('error', 'no reason given')}")
    return _bytes(fields, "scriptPubKey", 1, MAX_SCRIPT_BYTES)


def _transaction(value: Any) -> TemplateTransaction:
    fields = _object(value, "transaction")
    return TemplateTransaction(
        txid=_hash(fields, "txid"),
        wtxid=_hash(fields, "hash"),
        raw=_bytes(fields, "data", 1, MAX_TRANSACTION_BYTES),
    )


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Malformed(f"{what}: not a JSON object")
    return cast("dict[str, Any]", value)


def _list(fields: dict[str, Any], key: str, most: int) -> list[Any]:
    value = fields.get(key)
    if not isinstance(value, list):
        raise Malformed(f"{key}: not a list")
    items = cast("list[Any]", value)
    if len(items) > most:
        raise Malformed(f"{key}: {len(items)} of them, more than {most}")
    return items


def _text(fields: dict[str, Any], key: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str):
        raise Malformed(f"{key}: not a string")
    return value


def _integer(fields: dict[str, Any], key: str, least: int, bound: int) -> int:
    value = fields.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < bound:
        raise Malformed(f"{key}: not an integer from {least} to {bound - 1}")
    return value


def _bytes(fields: dict[str, Any], key: str, least: int, most: int) -> bytes:
    text = _text(fields, key)
    if len(text) > 2 * most:
        raise Malformed(f"{key}: {len(text)} characters, more than {2 * most}")
    try:
        data = bytes.fromhex(text)
    except ValueError as error:
        raise Malformed(f"{key}: not hex") from error
    if len(data) < least:
        raise Malformed(f"{key}: {len(data)} bytes, fewer than {least}")
    return data


def _hash(fields: dict[str, Any], key: str) -> BitcoinHash:
    """Read a hash as it is displayed, and give it as it is hashed."""
    return BitcoinHash(_bytes(fields, key, 32, 32)[::-1])
