"""The JSON that `alysd mine` receives from Bitcoin Core and from an Alys node.

Every field is checked, because another program sent it. Formats: BIP-22, BIP-23 and BIP-145 for
`getblocktemplate`, Bitcoin Core's help texts for its other methods, docs/json-rpc.md for `createauxblock`.
"""

from typing import Any

from alysd.errors import Malformed
from alysd.types.bitcoin import BitcoinChainInfo, BlockTemplate, TemplateTransaction
from alysd.types.hashes import AuxHash, BitcoinHash
from alysd.types.mining import AuxOffer
from alysd.types.units import MAX_SAT, Height, Sat
from alysd.wire.bitcoin_transaction import MAX_TRANSACTION_BYTES
from alysd.wire.json_input import displayed_hash, hex_field, integer_field, list_field, object_of, text_field

MAX_TRANSACTIONS = 20_000
"""The maximum number of transactions in a template.

A block has at most 4,000,000 weight units, and a transaction at least 240, so at most 16,667 transactions fit.
"""

MAX_SCRIPT_BYTES = 10_000
"""The maximum size of an output script that can be spent (Bitcoin's MAX_SCRIPT_SIZE)."""


def template_from_json(value: Any) -> BlockTemplate:
    """Read the result of `getblocktemplate`. Raises `Malformed`, naming the field."""
    fields = object_of(value, "template")
    transactions = list_field(fields, "transactions", MAX_TRANSACTIONS)
    return BlockTemplate(
        version=integer_field(fields, "version", -(2**31), 2**31),
        previous=BitcoinHash(displayed_hash(fields, "previousblockhash")),
        height=integer_field(fields, "height", 1, 2**31),
        time=integer_field(fields, "curtime", 0, 2**32),
        bits=int.from_bytes(hex_field(fields, "bits", 4, 4), "big"),
        target=int.from_bytes(hex_field(fields, "target", 32, 32), "big"),
        coinbase_value=Sat(integer_field(fields, "coinbasevalue", 0, MAX_SAT + 1)),
        transactions=tuple(_transaction(item) for item in transactions),
    )


def chain_info_from_json(value: Any) -> BitcoinChainInfo:
    """Read the result of `getblockchaininfo`. Raises `Malformed`, naming the field."""
    fields = object_of(value, "chain information")
    downloading = fields.get("initialblockdownload")
    if not isinstance(downloading, bool):
        raise Malformed(f"initialblockdownload: not true or false (found {str(downloading)[:40]})")
    return BitcoinChainInfo(
        network=text_field(fields, "chain"),
        height=integer_field(fields, "blocks", 0, 2**31),
        tip=BitcoinHash(displayed_hash(fields, "bestblockhash")),
        initial_download=downloading,
    )


def tip_from_json(value: Any) -> BitcoinHash:
    """Read the result of `waitfornewblock`: the newest block's hash. Raises `Malformed`."""
    return BitcoinHash(displayed_hash(object_of(value, "newest block"), "hash"))


def script_from_json(value: Any) -> bytes:
    """Read the output script from `validateaddress`. Raises `Malformed` when the address is not valid."""
    fields = object_of(value, "address information")
    if fields.get("isvalid") is not True:
        raise Malformed(f"not an address of this network: {fields.get('error', 'no reason given')}")
    return hex_field(fields, "scriptPubKey", 1, MAX_SCRIPT_BYTES)


def _transaction(value: Any) -> TemplateTransaction:
    fields = object_of(value, "transaction")
    return TemplateTransaction(
        txid=BitcoinHash(displayed_hash(fields, "txid")),
        wtxid=BitcoinHash(displayed_hash(fields, "hash")),
        raw=hex_field(fields, "data", 1, MAX_TRANSACTION_BYTES),
    )


def aux_offer_from_json(value: Any) -> AuxOffer:
    """Read the result of `createauxblock` or `getauxblock`. Raises `Malformed`, naming the field."""
    fields = object_of(value, "offered work")
    return AuxOffer(
        aux_hash=AuxHash(displayed_hash(fields, "hash")),
        chain_id=integer_field(fields, "chainid", 0, 2**32),
        target=int.from_bytes(hex_field(fields, "_target", 32, 32), "little"),
        height=Height(integer_field(fields, "height", 0, 2**63)),
        reward=Sat(integer_field(fields, "coinbasevalue", 0, 2**63)),
    )
