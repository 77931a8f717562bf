"""The messages between a node and a signer in another process, in SSZ (docs/protocol.md, "Signer").

A frame is its length in 4 bytes (little-endian), a byte that names the kind of message, and the message. Each
decoder raises `Malformed` for bytes that its encoder would not make.
"""

from enum import IntEnum
from typing import Any

import attrs

from alysd.errors import Malformed
from alysd.types.chain_spec import ChainSpec
from alysd.types.following import FinalityStep, PegView
from alysd.types.hashes import BitcoinHash, BlockHash, XOnlyKey
from alysd.types.peg import MAX_INPUTS, PegSignature
from alysd.types.units import Height
from alysd.wire.block_ssz import APPROVALS, SLOT_PROOF
from alysd.wire.following import PEG_VIEW, WORK_VIEW
from alysd.wire.ssz import ByteList, Bytes, SszCodec, UInt
from alysd.wire.ssz_composite import Container, ListOf

VERSION = 1
"""The version of this protocol. Both sides must have the same one."""

LENGTH_BYTES = 4
"""The width of the length at the start of a frame."""

MAX_VIEWS = 4096
"""The maximum number of blocks in one message."""

MAX_REASON = 1024
"""The maximum length of a reason in bytes."""

_MOST_HASHES = 2**20
"""The limit of the SSZ list of hashes in a proof. `most_frame_bytes` is the lower bound of each chain."""


class SignerRefusal(IntEnum):
    """The reason why the signer refuses a request."""

    MALFORMED = 1
    """The request cannot be parsed. The signer closes the connection."""

    NOT_FOLLOWED = 2
    """The blocks break a rule, or their finality is not proved."""

    FORBIDDEN = 3
    """The signer must not sign the payment."""

    NOT_STORED = 4
    """The signer's disk fails."""


@attrs.frozen
class AskKnown:
    """Ask for the state of the signer. `genesis` is that of the node's chain."""

    version: int
    genesis: BlockHash


@attrs.frozen
class SendViews:
    """Send the next final blocks, oldest first, of those that the last step has proved to be final."""

    views: tuple[PegView, ...]


@attrs.frozen
class AskSignature:
    """Ask for the signature of the version `txid` of a payment."""

    txid: BitcoinHash


@attrs.frozen
class Known:
    """The state of the signer: its key, and the newest final block whose contents it has, with the blocks below.

    `wanted` is the number of blocks that the last step has proved to be final, and whose contents it lacks.
    """

    version: int
    genesis: BlockHash
    key: XOnlyKey
    height: Height
    hash: BlockHash
    wanted: int


@attrs.frozen
class RefusedBySigner:
    """The signer refuses the request; `reason` is UTF-8 text."""

    refusal: int
    reason: bytes


Message = AskKnown | FinalityStep | SendViews | AskSignature | Known | PegSignature | RefusedBySigner

_KINDS: dict[int, tuple[type[Any], SszCodec[Any]]] = {
    1: (AskKnown, Container(AskKnown, version=UInt(2), genesis=Bytes(32))),
    2: (
        FinalityStep,
        Container(
            FinalityStep,
            hashes=ListOf(Bytes(32), _MOST_HASHES),
            first=SLOT_PROOF,
            last=SLOT_PROOF,
            carrier=WORK_VIEW,
            path=ListOf(SLOT_PROOF, 64),
            approvals=APPROVALS,
        ),
    ),
    3: (SendViews, Container(SendViews, views=ListOf(PEG_VIEW, MAX_VIEWS))),
    4: (AskSignature, Container(AskSignature, txid=Bytes(32))),
    129: (
        Known,
        Container(
            Known,
            version=UInt(2),
            genesis=Bytes(32),
            key=Bytes(32),
            height=UInt(8),
            hash=Bytes(32),
            wanted=UInt(4),
        ),
    ),
    130: (
        PegSignature,
        Container(PegSignature, txid=Bytes(32), key=Bytes(32), signatures=ListOf(Bytes(64), MAX_INPUTS)),
    ),
    131: (RefusedBySigner, Container(RefusedBySigner, refusal=UInt(1), reason=ByteList(MAX_REASON))),
}
"""The kinds of messages by their bytes: below 128 from the node, the others from the signer."""

_NUMBERS = {kind: number for number, (kind, _) in _KINDS.items()}


def most_frame_bytes(spec: ChainSpec) -> int:
    """The maximum length of a frame: the hashes of the blocks that one proof can cover, and 1 MiB."""
    return 2**20 + 32 * (spec.max_blocks_without_auxpow + 1)


def encode_message(message: Message) -> bytes:
    """The frame of a message. Raises `Malformed` for a field out of bounds."""
    number = _NUMBERS[type(message)]
    body = _KINDS[number][1].encode(message)
    return (len(body) + 1).to_bytes(LENGTH_BYTES, "little") + bytes([number]) + body


def decode_message(content: bytes) -> Message:
    """Decode a frame without its length. Raises `Malformed`."""
    found = _KINDS.get(content[0]) if content else None
    if found is None:
        raise Malformed(f"a message of a signer has an unknown kind: {content[:1].hex() or 'none'}")
    return found[1].decode(content[1:])


def refuse(refusal: SignerRefusal, reason: str) -> RefusedBySigner:
    """The answer with a reason, which is cut to the length that is allowed."""
    text = reason.encode()[:MAX_REASON].decode(errors="ignore")
    return RefusedBySigner(refusal, text.encode())
