"""Checks that the witnesses of a Bitcoin block are those to which its coinbase commits (BIP-141).

The header commits to transactions without their witnesses. A node that leaves witnesses out, as old versions of
Bitcoin Core do with `-rpcserialversion=0`, or that changes them, would hide the federation's payments, or make a
payment of a deposit: payments are recognised by their witness.
"""

from collections.abc import Sequence

from alysd.errors import Malformed
from alysd.types.hashes import sha256d
from alysd.types.peg import Transaction
from alysd.wire.bitcoin_block import merkle_root
from alysd.wire.bitcoin_chain import LocatedTransactions
from alysd.wire.bitcoin_transaction import decode_transaction

COMMITMENT_HEADER = bytes.fromhex("6a24aa21a9ed")
"""The first bytes of the output script that commits to the witnesses."""

_COMMITMENT = slice(len(COMMITMENT_HEADER), len(COMMITMENT_HEADER) + 32)
_RESERVED_BYTES = 32
_NO_WTXID = bytes(32)
"""Stands for the wtxid of the coinbase, which has the commitment."""


def check_witnesses(block: bytes, located: LocatedTransactions) -> None:
    """Check that a block has exactly the witnesses to which its coinbase commits.

    `located` are the block's transactions, of which the first is the coinbase. The rule holds from the activation
    of BIP-141 on. Raises `Malformed`.
    """
    start, end = located.borders[:2]
    coinbase = decode_transaction(block[start:end])
    committed = _commitment_of(coinbase)
    if committed is None:
        if list(located.wtxids) != list(located.txids):
            raise Malformed("the Bitcoin block has a witness, and its coinbase commits to none")
        return
    stack: Sequence[bytes] = coinbase.witness[0] if coinbase.witness else ()
    if len(stack) != 1 or len(stack[0]) != _RESERVED_BYTES:
        raise Malformed(
            f"the witness of the coinbase must be one item of {_RESERVED_BYTES} bytes, found {len(stack)} items: "
            "the Bitcoin node must send blocks with their witnesses"
        )
    computed = sha256d(merkle_root([_NO_WTXID, *located.wtxids[1:]]) + stack[0])
    if computed != committed:
        raise Malformed(
            "the witnesses of the Bitcoin block are not those to which its coinbase commits: the commitment is "
            f"{committed.hex()}, and theirs is {computed.hex()}"
        )


def _commitment_of(coinbase: Transaction) -> bytes | None:
    """The hash in the last output that has the form of a commitment; None without one."""
    for output in reversed(coinbase.outputs):
        if output.script.startswith(COMMITMENT_HEADER) and len(output.script) >= _COMMITMENT.stop:
            return output.script[_COMMITMENT]
    return None
