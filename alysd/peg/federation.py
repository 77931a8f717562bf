"""The federation's Bitcoin address (docs/protocol.md, "Peg-out", "Federation address").

The address is a taproot output with one script, which requires the signatures of a quorum of members. The key path
cannot be used, because nobody knows the private key of the internal key.

btclib is imported inside the functions: the import takes 0.25 s, which would delay the start of the node.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from alysd.types.federation import quorum_of

if TYPE_CHECKING:
    from btclib.alias import Command
    from btclib.script.script_pub_key import ScriptPubKey

NUMS_KEY = bytes.fromhex("50929b74c1a04954b78b4b6035e97a5e078a5a0f28ec96d547bfee9ace803ac0")
"""The internal key: a point whose discrete logarithm nobody knows, which disables the key path (BIP-341)."""

TAPSCRIPT = 0xC0
"""The leaf version of tapscript (BIP-342)."""

_LARGEST_NUMBER_OPCODE = 16
"""The largest number that has its own opcode in Script (OP_16). Larger numbers are pushed as data."""


def spending_script(keys: Sequence[bytes]) -> bytes:
    """The script `multi_a(ceil(2n/3), keys in order)` (BIP-387); the keys are x-only (BIP-340, 32 bytes each)."""
    from btclib.script.script import serialize

    return serialize(_commands(keys))


def output_script(keys: Sequence[bytes]) -> bytes:
    """The output script that deposits pay to: OP_1 and the taproot output key, 34 bytes."""
    return _output(keys, "mainnet").script


def deposit_address(keys: Sequence[bytes], network: str) -> str:
    """The address of the federation on `network`: mainnet, testnet, signet or regtest."""
    return _output(keys, network).address


def _commands(keys: Sequence[bytes]) -> "list[Command]":
    first, *others = keys
    commands: list[Command] = [first, "OP_CHECKSIG"]
    for key in others:
        commands += [key, "OP_CHECKSIGADD"]
    threshold = quorum_of(len(keys))
    return [*commands, f"OP_{threshold}" if threshold <= _LARGEST_NUMBER_OPCODE else threshold, "OP_NUMEQUAL"]


def _output(keys: Sequence[bytes], network: str) -> "ScriptPubKey":
    from btclib.script.script_pub_key import ScriptPubKey

    # With None as internal key the library uses BIP-341's point, which is NUMS_KEY.
    return ScriptPubKey.p2tr(None, [(TAPSCRIPT, _commands(keys))], network)
