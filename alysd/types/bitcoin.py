"""What a Bitcoin node says of its chain and of the block it would like mined.

Hashes are in internal byte order (`alysd.types.hashes`); amounts are in satoshi.
"""

from enum import Enum

import attrs

from alysd.types.hashes import BitcoinHash
from alysd.types.units import Sat


class CommitmentPlace(Enum):
    """Where in its coinbase a parent block commits to Alys (docs/protocol.md, "Merged mining")."""

    SCRIPT_SIG = "scriptsig"
    OP_RETURN = "opreturn"
    RAW_OUTPUT = "raw"


@attrs.frozen
class BitcoinChainInfo:
    """How far a Bitcoin node is: `network` is its own word for the chain (main, test, signet, regtest)."""

    network: str
    height: int
    tip: BitcoinHash
    initial_download: bool


@attrs.frozen
class TemplateTransaction:
    """A transaction of a template: `raw` is its full serialization, `wtxid` the hash over that (BIP-141)."""

    txid: BitcoinHash
    wtxid: BitcoinHash
    raw: bytes


@attrs.frozen
class BlockTemplate:
    """A Bitcoin block to be mined, all but its coinbase (BIP-22, BIP-145).

    `coinbase_value` is subsidy and fees, the most that the coinbase may pay. `bits` is the target as the header
    writes it, `target` the same as the number that the block's hash must not exceed.
    """

    version: int
    previous: BitcoinHash
    height: int
    time: int
    bits: int
    target: int
    coinbase_value: Sat
    transactions: tuple[TemplateTransaction, ...]
