"""The federation's Bitcoin address (docs/protocol.md, "Peg-out", "Federation address").

A taproot output without a usable internal key, and one script: enough members sign, or nobody spends.

btclib is imported where it is used: it takes a quarter of a second, which a node's start should not.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from alysd.types.federation import quorum_of

if TYPE_CHECKING:
    from btclib.alias import Command
    from btclib.script.script_pub_key import ScriptPubKey

NUMS_KEY = bytes.fromhex("50929b74c1a04954b78b4b6035e97a5e078a5a0f28ec96d547bfee9ace803ac0")
"""A point whose discrete logarithm nobody knows, so that the output has no key path (BIP-341)."""

_TAPSCRIPT = 0xC0
"""Leaf version of tapscript (BIP-342)."""

_LARGEST_NUMBER_OPCODE = 16
"""Script has opcodes of their own for the numbers up to 16; larger ones are pushed."""


def spending_script(keys: Sequence[bytes]) -> bytes:
    """`multi_a(ceil(2n/3), keys in order)` (BIP-387), of x-only keys (BIP-340, 32 bytes each)."""
    from btclib.script.script import serialize

    return serialize(_commands(keys))


def output_script(keys: Sequence[bytes]) -> bytes:
    """The output script that deposits pay to: OP_1 and the taproot output key, 34 bytes."""
    return _output(keys, "mainnet").script


def deposit_address(keys: Sequence[bytes], network: str) -> str:
    """The same as an address of `network`: mainnet, testnet, signet or regtest."""
    return _output(keys, network).address


def descriptor(keys: Sequence[bytes]) -> str:
    """The same as an output descriptor (BIP-386), for a wallet that watches the federation's coins."""
    members = ",".join(key.hex() for key in keys)
    return f"tr({NUMS_KEY.hex()},multi_a({quorum_of(len(keys))},{members}))"


def _commands(keys: Sequence[bytes]) -> "list[Command]":
    first, *others = keys
    commands: list[Command] = [first, "OP_CHECKSIG"]
    for key in others:
        commands += [key, "OP_CHECKSIGADD"]
    threshold = quorum_of(len(keys))
    return [*commands, f"OP_{threshold}" if threshold <= _LARGEST_NUMBER_OPCODE else threshold, "OP_NUMEQUAL"]


def _output(keys: Sequence[bytes], network: str) -> "ScriptPubKey":
    from btclib.script.script_pub_key import ScriptPubKey

    # Without an internal key the library takes BIP-341's point, which is NUMS_KEY.
    return ScriptPubKey.p2tr(None, [(_TAPSCRIPT, _commands(keys))], network)
