"""The requests of peers and their answers as bytes (docs/protocol.md, "Network").

Each decoder raises `Malformed` for bytes that its encoder would not make. It checks sizes and counts before
anything else.

The decoders of answers do not compute the hashes of blocks, and leave proposals encoded. A hash takes up to
0.14 s, and an answer can contain 60 such blocks. So the receiver computes the hashes one by one, and stops at the
first block that it has not asked for.
"""

from collections.abc import Sequence
from typing import TypeVar

import attrs

from alysd.errors import Malformed
from alysd.types.hashes import BlockHash
from alysd.types.peers import PeerStatus
from alysd.types.proposal import Proposal
from alysd.types.units import Height, Slot
from alysd.wire.block_ssz import ENCODED_BLOCK, MAX_ENCODED_BYTES, EncodedBlock
from alysd.wire.gossip import encode_proposal
from alysd.wire.ssz import ByteList, Bytes, UInt
from alysd.wire.ssz_composite import Container, ListOf

MAX_RANGE_BLOCKS = 256
"""The maximum number of blocks in one answer. Empty blocks of 21 members, of 0.7 KB each, are 179 KB together."""

MAX_ROOTS = 64
"""The maximum number of hashes in one request for blocks."""

MAX_PROPOSALS = 64
"""The maximum number of proposals in one answer: those of 32 slots with two different proposals each."""

MAX_REQUEST_BYTES = 32 * MAX_ROOTS
"""The maximum size of a request in bytes: 2 KiB, for the hashes of 64 blocks."""

MAX_RESPONSE_BYTES = 2**22
"""The maximum size, in bytes, of an answer with several blocks or proposals: 4 MiB."""

MAX_ANSWER_BYTES = 2**10 + MAX_ENCODED_BYTES
"""The maximum size of any answer in bytes. A block above `MAX_RESPONSE_BYTES` is alone in its answer.

The first number is more than an offset, and the approvals of its parent that a proposal has besides its block.
"""

STATUS_BYTES = 4 * 32 + 5 * 8
"""The size of a status in bytes: four hashes and five numbers."""

MAX_MILLISECONDS = 2**48
"""A peer's time must be below this number of milliseconds, which is in the year 10,889. A float has the precision
for all times below it."""

Value = TypeVar("Value")


@attrs.frozen
class _EncodedStatus:
    """The encoded fields of a status. The time is in whole milliseconds."""

    genesis: BlockHash
    head: BlockHash
    head_height: Height
    head_slot: Slot
    committed: BlockHash
    committed_height: Height
    finalized: BlockHash
    finalized_height: Height
    milliseconds: int


_STATUS = Container(
    _EncodedStatus,
    genesis=Bytes(32),
    head=Bytes(32),
    head_height=UInt(8),
    head_slot=UInt(8),
    committed=Bytes(32),
    committed_height=UInt(8),
    finalized=Bytes(32),
    finalized_height=UInt(8),
    milliseconds=UInt(8),
)


@attrs.frozen
class RangeRequest:
    """A request for at most `count` canonical blocks from the height `start` on."""

    start: Height
    count: int


_RANGE = Container(RangeRequest, start=UInt(8), count=UInt(2))
_ROOTS = ListOf(Bytes(32), MAX_ROOTS)
_SINCE = UInt(8)
_ENCODED_BLOCKS = ListOf(ByteList(MAX_ENCODED_BYTES), MAX_RANGE_BLOCKS)
_ENCODED_PROPOSALS = ListOf(ByteList(MAX_ANSWER_BYTES), MAX_PROPOSALS)


def encode_status(status: PeerStatus) -> bytes:
    """Encode a status. Raises `Malformed` for a field out of bounds."""
    fields = attrs.asdict(status, recurse=False)
    milliseconds = _time_in_bounds(round(fields.pop("time") * 1000))
    return _STATUS.encode(_EncodedStatus(**fields, milliseconds=milliseconds))


def decode_status(data: bytes) -> PeerStatus:
    """Decode a status."""
    fields = attrs.asdict(_STATUS.decode(data), recurse=False)
    milliseconds = _time_in_bounds(fields.pop("milliseconds"))
    return PeerStatus(**fields, time=milliseconds / 1000)


def _time_in_bounds(milliseconds: int) -> int:
    if not 0 <= milliseconds < MAX_MILLISECONDS:
        raise Malformed(f"a time must be below {MAX_MILLISECONDS} ms, found {milliseconds}")
    return milliseconds


def encode_range_request(request: RangeRequest) -> bytes:
    """Encode a request for a range of blocks. Raises `Malformed` for a field out of bounds."""
    _check_count(request.count)
    return _RANGE.encode(request)


def decode_range_request(data: bytes) -> RangeRequest:
    """Decode a request for a range of blocks."""
    request = _RANGE.decode(data)
    _check_count(request.count)
    return request


def _check_count(count: int) -> None:
    if not 1 <= count <= MAX_RANGE_BLOCKS:
        raise Malformed(f"a request must be for 1 to {MAX_RANGE_BLOCKS} blocks, found {count}")


def encode_roots_request(hashes: Sequence[BlockHash]) -> bytes:
    """Encode a request for the blocks with these `hashes`. Raises `Malformed` for more than `MAX_ROOTS`."""
    return _ROOTS.encode(hashes)


def decode_roots_request(data: bytes) -> tuple[BlockHash, ...]:
    """Decode a request for blocks by their hashes."""
    return tuple(BlockHash(root) for root in _ROOTS.decode(data))


def encode_since_request(since: Slot) -> bytes:
    """Encode a request for the proposals from the slot `since` on."""
    return _SINCE.encode(since)


def decode_since_request(data: bytes) -> Slot:
    """Decode a request for proposals."""
    return Slot(_SINCE.decode(data))


def encode_blocks(blocks: Sequence[bytes]) -> bytes:
    """Encode an answer with the first of these encoded blocks: as many as fit, and at least one if any."""
    return _fitting(_ENCODED_BLOCKS, blocks)


def decode_blocks(data: bytes, most: int) -> tuple[EncodedBlock, ...]:
    """Decode an answer of at most `most` blocks, the number that was asked for. Their number is checked first."""
    return _decoded(ListOf(ENCODED_BLOCK, MAX_RANGE_BLOCKS, most), data)


def encode_proposals(proposals: Sequence[Proposal]) -> bytes:
    """Encode the first of `proposals`: as many as an answer can contain, but at least one if there is one."""
    return _fitting(_ENCODED_PROPOSALS, [encode_proposal(one) for one in proposals[:MAX_PROPOSALS]])


def split_proposals(data: bytes) -> tuple[bytes, ...]:
    """The encoded proposals of an answer. `proposal_slot` and `decode_proposal` of `wire.gossip` read them.

    The answer has the proposals of several slots. The asker decodes only those that it wants.
    """
    return _decoded(_ENCODED_PROPOSALS, data)


def _decoded(kind: ListOf[Value], data: bytes) -> tuple[Value, ...]:
    """The elements of a list. Only a list of one element may have more than `MAX_RESPONSE_BYTES`."""
    if len(data) > MAX_ANSWER_BYTES:
        raise Malformed(f"an answer must have at most {MAX_ANSWER_BYTES} bytes, found {len(data)}")
    # The first element follows the offsets, so its offset is 4 in a list of one element.
    if len(data) > MAX_RESPONSE_BYTES and data[:4] != b"\x04\0\0\0":
        raise Malformed(
            f"an answer with several elements must have at most {MAX_RESPONSE_BYTES} bytes, found {len(data)}"
        )
    return kind.decode(data)


def _fitting(kind: ListOf[bytes], encoded: Sequence[bytes]) -> bytes:
    """The list of the first of these encoded elements, as many as an answer can contain."""
    size = 0
    for place, one in enumerate(encoded[: kind.most]):
        size += 4 + len(one)
        if place and size > MAX_RESPONSE_BYTES:
            return kind.encode(encoded[:place])
    return kind.encode(encoded[: kind.most])
