"""How a Bitcoin coinbase commits to Alys blocks, and where (docs/protocol.md, "Merged mining", "Commitment").

Namecoin's merged mining, with two more places. The first place that holds a marker is the one that counts, and it
must hold exactly one: so a parent block can never be work for two ranges of this chain.
"""

from collections.abc import Iterator

import attrs

from alysd.consensus.work_violations import CommitmentMisplaced, CommitmentMissing, CommitmentTwice
from alysd.types.auxpow import Coinbase
from alysd.types.hashes import AuxHash

COMMITMENT_MAGIC = b"\xfa\xbe\x6d\x6d"
"""Marks a commitment: 0xfabe followed by "mm"."""

COMMITMENT_BYTES = 44
"""Magic 4, merkle root 32, size 4, nonce 4."""

_OP_RETURN = 0x6A
_OP_PUSHDATA = {0x4C: 1, 0x4D: 2, 0x4E: 4}
"""Opcodes that are followed by a push's length, and how many bytes that takes, little-endian."""


@attrs.frozen
class Commitment:
    """A commitment as found: `root` in internal byte order, `size` of the tree of chains, and its `nonce`."""

    root: AuxHash
    size: int
    nonce: int


def commitment(root: AuxHash, size: int = 1, nonce: int = 0) -> bytes:
    """The 44 bytes that commit to `root`: alone, an `aux_hash` is its own tree's root, of size 1.

    The root stands there as displayed, that is with its bytes reversed, as in Namecoin.
    """
    return COMMITMENT_MAGIC + root[::-1] + size.to_bytes(4, "little") + nonce.to_bytes(4, "little")


def find_commitment(coinbase: Coinbase) -> Commitment:
    """The commitment that counts: in the scriptSig, else in an OP_RETURN push, else as a raw output script.

    Raises `CommitmentMissing`, `CommitmentTwice`, or `CommitmentMisplaced` when a marker stands somewhere else or
    is followed by too few bytes.
    """
    script = coinbase.script_sig
    start = script.find(COMMITMENT_MAGIC)
    outputs = coinbase.output_scripts
    pushes = (push for output in outputs for push in op_return_pushes(output))
    for place, found in (
        ("scriptSig", [script[start : start + COMMITMENT_BYTES]] * script.count(COMMITMENT_MAGIC)),
        ("OP_RETURN outputs", [push for push in pushes if push.startswith(COMMITMENT_MAGIC)]),
        ("raw outputs", [output for output in outputs if output.startswith(COMMITMENT_MAGIC)]),
    ):
        if len(found) > 1:
            raise CommitmentTwice(place, len(found))
        if found:
            return _parse(found[0], place)
    if any(COMMITMENT_MAGIC in output for output in outputs):
        raise CommitmentMisplaced("outputs")
    raise CommitmentMissing


def op_return_pushes(script: bytes) -> Iterator[bytes]:
    """What an OP_RETURN script pushes; nothing for another script, nor from a push on that is cut short."""
    if not script or script[0] != _OP_RETURN:
        return
    at = 1
    while at < len(script):
        opcode, at = script[at], at + 1
        if opcode in _OP_PUSHDATA:
            width = _OP_PUSHDATA[opcode]
            length, at = int.from_bytes(script[at : at + width], "little"), at + width
        elif opcode < min(_OP_PUSHDATA):
            length = opcode
        else:
            return
        if at + length > len(script):
            return
        yield script[at : at + length]
        at += length


def _parse(data: bytes, place: str) -> Commitment:
    if len(data) != COMMITMENT_BYTES:
        raise CommitmentMisplaced(place)
    return Commitment(
        root=AuxHash(data[35:3:-1]),
        size=int.from_bytes(data[36:40], "little"),
        nonce=int.from_bytes(data[40:44], "little"),
    )
