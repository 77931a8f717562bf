"""The check of blocks that a peer has sent: their hash links, and all their approvals at once.

The source is docs/protocol.md, "Sync". A quorum approves only a block whose ancestors it has, so the approvals of
the last block prove a whole range. A node stores the approvals of every block and sends them to others, and block
hashes do not cover them. So those of the other blocks are checked too: all together, which takes a third of the
time of single checks.
"""

from collections.abc import Iterable
from typing import Final

from alysd.consensus.federation import (
    BatchVerifier,
    Verifier,
    check_approvals,
    check_signers,
    signature_check,
)
from alysd.consensus.violations import BadApprovalSignature, BrokenRange
from alysd.types.block import SignedBlock
from alysd.types.chain_spec import ChainContext
from alysd.types.federation import Federation
from alysd.types.hashes import BlockHash, displayed
from alysd.types.units import Height

_SEAL: Final = object()


class VerifiedRange:
    """Blocks that follow each other, oldest first, with valid approvals of a quorum of `federation`.

    Only `check_range` makes one, so a function that gets one need not check the approvals again. It cannot leave
    the process.
    """

    __slots__ = ("blocks", "federation")

    def __init__(self, blocks: tuple[SignedBlock, ...], federation: Federation, seal: object) -> None:
        if seal is not _SEAL:
            raise TypeError("only check_range makes a VerifiedRange")
        self.blocks: Final = blocks
        self.federation: Final = federation

    def covers(self, signed: SignedBlock, federation: Federation) -> bool:
        """Whether the approvals of this object, not only of an equal one, were checked against `federation`."""
        place = signed.block.height - self.blocks[0].block.height if self.blocks else -1
        found = 0 <= place < len(self.blocks) and self.blocks[place] is signed
        return found and self.federation == federation


def check_range(
    newest_first: Iterable[SignedBlock],
    start: Height,
    federation: Federation,
    context: ChainContext,
    verify: BatchVerifier,
) -> VerifiedRange:
    """Check that the blocks are a part of the chain that begins at the height `start`, and all their approvals.

    `newest_first` is read only up to the first false block. So an iterator that computes the hashes of the blocks
    computes no more than needed. Raises `BrokenRange` for blocks that are no branch, and the errors of
    `check_approvals`. Takes about 1 ms per block.
    """
    blocks: list[SignedBlock] = []
    for signed in newest_first:
        if blocks and (
            signed.hash != blocks[-1].block.parent_hash or signed.block.height != blocks[-1].block.height - 1
        ):
            raise BrokenRange(
                f"block {displayed(signed.hash)} at height {signed.block.height} is not the parent of the next: "
                f"expected {displayed(blocks[-1].block.parent_hash)} at height {blocks[-1].block.height - 1}"
            )
        check_signers(signed, federation)
        if not blocks:  # a false answer costs one signature and one hash
            _check_signatures([signed], federation, context, verify)
        blocks.append(signed)
    if blocks and blocks[-1].block.height != start:
        raise BrokenRange(f"it begins at height {blocks[-1].block.height}, not {start}")
    _check_signatures(blocks[1:], federation, context, verify)
    return VerifiedRange(tuple(reversed(blocks)), federation, _SEAL)


def _check_signatures(
    blocks: list[SignedBlock], federation: Federation, context: ChainContext, verify: BatchVerifier
) -> None:
    if not verify([signature_check(one.approvals, one.hash, federation, context) for one in blocks]):
        raise BadApprovalSignature(blocks[-1].approvals.count)


def check_single(
    found: Iterable[SignedBlock],
    wanted: BlockHash,
    federation: Federation,
    context: ChainContext,
    verify: Verifier,
) -> SignedBlock | None:
    """Check the answer to a request for the block `wanted`: nothing, or this block with the approvals of a quorum.

    Raises `BrokenRange` for another block, and the errors of `check_approvals`.
    """
    first: SignedBlock | None = None
    for signed in found:
        if first is not None or signed.hash != wanted:
            raise BrokenRange(f"block {displayed(wanted)} was asked for, but {displayed(signed.hash)} was sent")
        first = signed
    if first is not None:
        check_approvals(first, federation, context, verify)
    return first
