"""Values that a Bitcoin node returns: the state of its chain, and templates of blocks to mine.

Hashes are in internal byte order (`alysd.types.hashes`); amounts are in satoshi.
"""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

import attrs

from alysd.types.hashes import BitcoinHash
from alysd.types.units import Sat

CLI_OPTIONS: Mapping[str, str] = MappingProxyType(
    {"mainnet": "", "testnet": " -testnet", "signet": " -signet", "regtest": " -regtest"}
)
"""The option with which `bitcoin-cli` calls a node of a network, with a space before it."""


class CommitmentPlace(Enum):
    """The part of its coinbase in which a parent block commits to Alys (docs/protocol.md, "Merged mining")."""

    SCRIPT_SIG = "scriptsig"
    OP_RETURN = "opreturn"
    RAW_OUTPUT = "raw"


@attrs.frozen
class BitcoinChainInfo:
    """The network and the tip of a Bitcoin node; `network` is bitcoind's name: main, test, signet or regtest."""

    network: str
    height: int
    tip: BitcoinHash
    initial_download: bool


@attrs.frozen
class TemplateTransaction:
    """A transaction of a template; `raw` is serialized with witness, `wtxid` is the hash of `raw` (BIP-141)."""

    txid: BitcoinHash
    wtxid: BitcoinHash
    raw: bytes


@attrs.frozen
class BlockTemplate:
    """A Bitcoin block to be mined, without its coinbase (BIP-22, BIP-145).

    `coinbase_value` is the sum of subsidy and fees, the maximum that the coinbase may pay. `target` is the number
    that the block's hash must not exceed; `bits` is the same number in the compact form of the header.
    """

    version: int
    previous: BitcoinHash
    height: int
    time: int
    bits: int
    target: int
    coinbase_value: Sat
    transactions: tuple[TemplateTransaction, ...]
